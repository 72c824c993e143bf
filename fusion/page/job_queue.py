"""The queue of the page's jobs: one job runs at a time, a few wait, and nothing is done for a visitor who has left.

The page's handlers and its API follow the jobs that are made here; none of them computes in a thread of its own.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Generator, Hashable, Iterator
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Thread, get_native_id
from typing import Any, Generic, TypeVar

from fusion.errors import FusionError, ImageError
from fusion.page.prometheus import Statistics
from fusion.pipeline import Event, Loaded
from fusion.runtime import cancel, memory

T = TypeVar("T")

_FIRST_PACE = 1.2
"""Seconds that a method is expected to take before any has been timed."""
_LEARNING_RATE = 0.3
"""How much the latest job changes that expectation."""
_SECONDS_PER_FOLLOWER = 0.03
"""How long a follower pauses after a state, for each of those who follow the job."""
_TICK = 0.25
"""Seconds between two checks of whether the visitor is still there."""


class RefusedError(FusionError):
    """The page cannot do this now. `/metrics` counts it by its `code`."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code

    def __reduce__(self) -> tuple[type[RefusedError], tuple[str, str]]:
        """Pickle it with both arguments: where GPUs are lent, it comes out of another process."""
        return RefusedError, (self.code, str(self))


@dataclass(frozen=True)
class QueuePosition:
    """The position of a job that has nothing to show yet."""

    number: int
    """Its position in the queue. 1 comes next, and 0 has begun."""


@dataclass(eq=False)
class Job(Generic[T]):
    """States that are made one by one, for everyone who asked for the same."""

    steps: Callable[[], Generator[T, None, None]]
    """Makes the states."""
    methods: int
    """How many methods it runs, from which its duration is estimated."""
    longest: float
    """Seconds after which it is stopped."""
    key: Hashable = None
    """Jobs of equal key are one job, unless the key is None."""
    asking: list[Callable[[], bool]] = field(default_factory=list[Callable[[], bool]])
    """One function for each follower, which says whether that one still wants the result."""
    states: int = 0
    """How many states there have been."""
    latest: T | None = None
    error: BaseException | None = None
    over: bool = False
    began: float = math.inf
    """When it began, by `time.monotonic`."""
    run: Callable[..., Any] = field(default_factory=lambda: copy_context().run)
    """Runs a function in the context of who asked first: where GPUs are lent, that visitor's time is used."""

    def wanted(self) -> bool:
        """Whether anyone waits for it, and its time is not over."""
        return bool(self.asking) and time.monotonic() - self.began < self.longest


class JobQueue:
    """The jobs that wait, and the one that runs."""

    def __init__(
        self,
        folder: Path,
        *,
        longest_wait: float = 10.0,
        always: int = 1,
        longest_queue: int = 16,
        job_seconds: float = 600,
        kept_free: int = 1 << 30,
        statistics: Statistics | None = None,
    ) -> None:
        """Make an empty queue.

        `folder` is where jobs write; its disk keeps `kept_free` bytes free. A visitor who would wait for more than
        `longest_wait` seconds is refused, unless fewer than `always` jobs wait: one large job must not close the page.
        At most `longest_queue` jobs wait. A job is stopped after `job_seconds`.
        """
        self.folder = folder
        self.longest_wait = longest_wait
        self.always = always
        self.longest_queue = longest_queue
        self.job_seconds = job_seconds
        self.kept_free = kept_free
        self.statistics = statistics or Statistics()
        self.closed = False
        self._waiting: list[Job[Any]] = []
        self._running: Job[Any] | None = None
        self._pace = _FIRST_PACE
        self._changed = Condition()
        self.statistics.watch_jobs(lambda: len(self._waiting), lambda: int(self._running is not None))

    def follow(
        self,
        steps: Callable[[], Generator[T, None, None]],
        *,
        methods: int = 1,
        key: Hashable = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Generator[QueuePosition | T, None, None]:
        """Yield the job's positions in the queue, then its states, as they change.

        `steps` makes the states in a thread of its own. A follower may miss some of them, but never the last. Jobs of
        equal `key`, unless it is None, are one job. The generator ends where `wanted()` turns False. A job that nobody
        follows any more is not begun, or stops. Raises `RefusedError`, before anything is done, if the job cannot be
        done in reasonable time, and raises what `steps` raised.
        """
        job = self._ask(steps, methods, key, wanted)
        try:
            seen, told = 0, None
            while wanted():
                with self._changed:
                    number, states, state, over = self._number(job), job.states, job.latest, job.over
                    if not over and states == seen and (seen or number == told):
                        self._changed.wait(_TICK)
                        continue
                if states != seen:
                    seen = states
                    yield state  # pyright: ignore[reportReturnType]
                    time.sleep(_SECONDS_PER_FOLLOWER * len(job.asking))  # telling everyone would slow down the job
                elif over:
                    break
                else:
                    told = number
                    yield QueuePosition(number)
            if job.over and job.error:
                raise job.error
        finally:
            self._leave(job, wanted)

    def close(self) -> None:
        """Take no further jobs."""
        self.closed = True

    def check_room(self) -> None:
        """Raise `RefusedError` if the disk on which jobs write is nearly full."""
        if shutil.disk_usage(self.folder).free < self.kept_free:
            raise RefusedError("disk", "The page has no room for more photographs at the moment; try again later.")

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs."""
        return self._running is None and not self._waiting

    @property
    def stuck(self) -> bool:
        """Whether the running job has not noticed for a minute that its time is over."""
        running = self._running
        return running is not None and time.monotonic() - running.began > running.longest + 60

    def _ask(
        self, steps: Callable[[], Generator[T, None, None]], methods: int, key: Hashable, wanted: Callable[[], bool]
    ) -> Job[T]:
        """Join the job of this key, or queue a new one."""
        with self._changed:
            known = [self._running, *self._waiting]
            same = next((job for job in known if job and key is not None and job.key == key and job.wanted()), None)
            if same:
                same.asking.append(wanted)
                return same
            try:
                self._check()
            except RefusedError as error:
                self.statistics.refused(error.code)
                raise
            job = Job(steps, methods, self.job_seconds, key, [wanted])
            self._waiting.append(job)
            self._begin()
            return job

    def _check(self) -> None:
        """Raise `RefusedError` if no further job can be taken now."""
        if self.closed:
            raise RefusedError("closing", "The page is about to restart; try again in a minute.")
        self.check_room()
        seconds = self._expected()
        late = seconds > self.longest_wait and len(self._waiting) >= self.always
        if late or len(self._waiting) >= self.longest_queue:
            minutes = "a minute" if seconds < 60 else f"{math.ceil(seconds / 60)} minutes"
            raise RefusedError("busy", f"Too many photographs are in line at the moment; try again in {minutes}.")

    def _leave(self, job: Job[Any], wanted: Callable[[], bool]) -> None:
        with self._changed:
            job.asking.remove(wanted)
            if not job.asking and job in self._waiting:
                self._waiting.remove(job)
                self._changed.notify_all()

    def _expected(self) -> float:
        """Seconds until a job that is queued now would begin."""
        running = self._running
        left = running.methods * self._pace - (time.monotonic() - running.began) if running else 0
        return max(0.0, left) + sum(job.methods for job in self._waiting) * self._pace

    def _number(self, job: Job[Any]) -> int:
        """The position of a job in the queue; 0 if it does not wait there any more."""
        return self._waiting.index(job) + 1 if job in self._waiting else 0

    def _begin(self) -> None:
        """Begin the next job if none runs. Jobs whose followers have all left are passed over."""
        self._waiting = [job for job in self._waiting if any(wanted() for wanted in job.asking)]
        if self._running is None and self._waiting:
            job = self._running = self._waiting.pop(0)
            job.began = time.monotonic()
            # A pool would wait for its thread when the page is told to end at once.
            Thread(target=job.run, args=(self._work, job), daemon=True).start()
            self._changed.notify_all()

    def _work(self, job: Job[Any]) -> None:
        """Make the states of a job, in a thread of its own, and then begin the next."""
        _lower_priority()
        error: BaseException | None = None
        try:
            with cancel.as_long_as(job.wanted), closing(job.steps()) as steps:
                for state in steps:
                    with self._changed:
                        job.states, job.latest = job.states + 1, state
                        self._changed.notify_all()
                    cancel.check()
        except cancel.Cancelled:
            if job.asking:
                error = RefusedError("overtime", f"This took longer than {job.longest:g} seconds; try fewer methods.")
            else:
                time.sleep(_TICK)  # those who wait may have left at the same moment, which is noticed a little later
        except BaseException as raised:  # noqa: BLE001  # whoever follows the job raises it
            error = raised
            _clear_frames(raised)
        if isinstance(error, RefusedError):
            self.statistics.refused(error.code)
        elif isinstance(error, ImageError) and error.code:
            self.statistics.refused(error.code.value)
        seconds = time.monotonic() - job.began
        self.statistics.job_ended(seconds)
        with self._changed:
            job.error, job.over = error, True
            self._running = None
            if error is None and job.asking:
                self._pace += _LEARNING_RATE * (seconds / max(1, job.methods) - self._pace)
            if not self._waiting:
                memory.release()  # other programs can use what a large pair took
            self._begin()
            self._changed.notify_all()


def _clear_frames(error: BaseException | None) -> None:
    """Free the local variables of the functions that an error went through.

    They hold photographs, which would stay in memory for as long as the error is remembered.
    """
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _lower_priority() -> None:
    """Let threads that answer visitors run before this one and those that it starts. Linux alone allows that."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)


def wait_for_memory(events: Iterator[Event], *, patience: float = 5.0, tick: float = _TICK) -> Iterator[Event]:
    """Pass events on, as long as there is memory to fuse what was read.

    Waits up to `patience` seconds for it, then raises `RefusedError`. Memory is looked at every `tick` seconds.
    """
    for event in events:
        if isinstance(event, Loaded):
            size = event.scene.pair.size
            needed, until = memory.needed(*size), time.monotonic() + patience
            while memory.free() < needed:
                cancel.check()
                if time.monotonic() > until:
                    height, width = size
                    raise RefusedError(
                        "memory",
                        f"There is not enough memory for {width}×{height} pixels at the moment; "
                        "try again in a minute, or make the photographs smaller.",
                    )
                time.sleep(tick)
        yield event
