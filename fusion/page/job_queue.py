"""Who is served when: one job at a time, a short line before it, and nothing done for a visitor who has left.

The page's handlers and its API follow jobs made here; none of them computes in a thread of its own.
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
from fusion.page import prometheus
from fusion.pipeline import Event, Loaded
from fusion.runtime import cancel, memory

T = TypeVar("T")

LONGEST_WAIT = 10.0
"""Seconds after which a turn would come that is still promised."""
ALWAYS = 1
"""So many may wait, however long it takes: one large job must not close the page."""
LONGEST_LINE = 16
JOB_SECONDS = int(os.environ.get("FUSION_JOB_SECONDS", "600"))
"""What one job may take."""
KEPT_FREE = int(os.environ.get("FUSION_KEEP_FREE_MB", "1024")) << 20
"""Bytes of the disk that are not filled with visitors' pictures."""

_FIRST_PACE = 1.2
"""Seconds for a method, as long as none has been timed."""
_LEARNT = 0.3
"""How much the latest job changes that."""
_TOLD = 0.03
"""Seconds for each of those who follow a job, before they are told more."""
_TICK = 0.25
"""Seconds between two looks at whether the visitor is still there."""
_MEMORY_WAIT = 5.0
"""Seconds that a job waits for memory."""


class RefusedError(FusionError):
    """The page cannot do this now; `code` is what `/metrics` counts it as."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        prometheus.REFUSALS.labels(code).inc()

    def __reduce__(self) -> tuple[type[RefusedError], tuple[str, str]]:
        """Where GPUs are lent, it comes out of another process."""
        return RefusedError, (self.code, str(self))


@dataclass(frozen=True)
class Place:
    """A job has nothing to show yet."""

    number: int
    """In line; 1 comes next, 0 has begun."""


@dataclass(eq=False)
class Job(Generic[T]):
    """States that are made one by one, for everyone who asked for the same."""

    steps: Callable[[], Generator[T, None, None]]
    methods: int
    key: Hashable = None
    asking: list[Callable[[], bool]] = field(default_factory=list[Callable[[], bool]])
    """Of everyone who follows it, whether it is still wanted."""
    states: int = 0
    """How many there have been."""
    latest: T | None = None
    error: BaseException | None = None
    over: bool = False
    began: float = math.inf
    run: Callable[..., Any] = field(default_factory=lambda: copy_context().run)
    """In the context of who asked first: where GPUs are lent, that is whose time they take."""

    def wanted(self) -> bool:
        """Whether anyone waits for it, and may."""
        return bool(self.asking) and time.monotonic() - self.began < JOB_SECONDS


class Line:
    """The jobs that wait, and the one that runs."""

    def __init__(self, folder: Path, longest_wait: float = LONGEST_WAIT, longest_line: int = LONGEST_LINE) -> None:
        self.folder = folder
        """Where jobs write."""
        self.longest_wait = longest_wait
        self.longest_line = longest_line
        self.closed = False
        self._waiting: list[Job[Any]] = []
        self._running: Job[Any] | None = None
        self._pace = _FIRST_PACE
        self._changed = Condition()
        prometheus.WAITING.set_function(lambda: len(self._waiting))
        prometheus.RUNNING.set_function(lambda: self._running is not None)

    def follow(
        self,
        steps: Callable[[], Generator[T, None, None]],
        *,
        methods: int = 1,
        key: Hashable = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Generator[Place | T, None, None]:
        """The job's places in line, then its states, as they change; who comes late may miss some, never the last.

        `steps` makes them in a thread of the job's own. Jobs of equal `key`, unless it is None, are one job. Where
        `wanted()` turns False, this ends; where nobody follows a job any more, it is not begun, or stops. Raises
        `RefusedError` if the job cannot be done in reasonable time, before anything is done; and what `steps` raised.
        """
        job = self._ask(steps, methods, key, wanted)
        try:
            seen, place = 0, None
            while wanted():
                with self._changed:
                    number, states, state, over = self._number(job), job.states, job.latest, job.over
                    if not over and states == seen and (seen or number == place):
                        self._changed.wait(_TICK)
                        continue
                if states != seen:
                    seen = states
                    yield state  # pyright: ignore[reportReturnType]
                    time.sleep(_TOLD * len(job.asking))  # or telling everyone would take the time of what is told
                elif over:
                    break
                else:
                    place = number
                    yield Place(number)
            if job.over and job.error:
                raise job.error
        finally:
            self._leave(job, wanted)

    def close(self) -> None:
        """Take no further jobs."""
        self.closed = True

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs."""
        return self._running is None and not self._waiting

    @property
    def stuck(self) -> bool:
        """Whether the running job has not noticed for a minute that its time is over."""
        running = self._running
        return running is not None and time.monotonic() - running.began > JOB_SECONDS + 60

    def _ask(
        self, steps: Callable[[], Generator[T, None, None]], methods: int, key: Hashable, wanted: Callable[[], bool]
    ) -> Job[T]:
        with self._changed:
            known = [self._running, *self._waiting]
            same = next((job for job in known if job and key is not None and job.key == key and job.wanted()), None)
            if same:
                same.asking.append(wanted)
                return same
            if self.closed:
                raise RefusedError("closing", "The page is about to restart; try again in a minute.")
            check_room(self.folder)
            seconds = self._expected()
            late = seconds > self.longest_wait and len(self._waiting) >= ALWAYS
            if late or len(self._waiting) >= self.longest_line:
                minutes = "a minute" if seconds < 60 else f"{math.ceil(seconds / 60)} minutes"
                raise RefusedError("busy", f"Too many photographs are in line at the moment; try again in {minutes}.")
            job = Job(steps, methods, key, [wanted])
            self._waiting.append(job)
            self._begin()
            return job

    def _leave(self, job: Job[Any], wanted: Callable[[], bool]) -> None:
        with self._changed:
            job.asking.remove(wanted)
            if not job.asking and job in self._waiting:
                self._waiting.remove(job)
                self._changed.notify_all()

    def _expected(self) -> float:
        """Seconds until the turn of who comes now."""
        running = self._running
        left = running.methods * self._pace - (time.monotonic() - running.began) if running else 0
        return max(0.0, left) + sum(job.methods for job in self._waiting) * self._pace

    def _number(self, job: Job[Any]) -> int:
        """In line; 0 if it is not there any more."""
        return self._waiting.index(job) + 1 if job in self._waiting else 0

    def _begin(self) -> None:
        """The next job, if it is its turn; whoever left a moment ago is passed over, and notices by itself."""
        self._waiting = [job for job in self._waiting if any(wanted() for wanted in job.asking)]
        if self._running is None and self._waiting:
            job = self._running = self._waiting.pop(0)
            job.began = time.monotonic()
            # No pool: it would wait for its thread when the page is told to stop at once.
            Thread(target=job.run, args=(self._work, job), daemon=True).start()
            self._changed.notify_all()

    def _work(self, job: Job[Any]) -> None:
        _give_way()
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
                error = RefusedError("overtime", f"This took longer than {JOB_SECONDS} seconds; try fewer methods.")
            else:
                time.sleep(_TICK)  # who waits may have left in the same moment, which shows a little later
        except BaseException as raised:  # noqa: BLE001  # whoever follows the job raises it
            error = raised
            _let_go(raised)
            if isinstance(raised, ImageError) and raised.code:
                prometheus.REFUSALS.labels(raised.code.value).inc()
        seconds = time.monotonic() - job.began
        prometheus.JOB_SECONDS.observe(seconds)
        with self._changed:
            job.error, job.over = error, True
            self._running = None
            if error is None and job.asking:
                self._pace += _LEARNT * (seconds / max(1, job.methods) - self._pace)
            if not self._waiting:
                memory.release()  # what a large pair took is for others now
            self._begin()
            self._changed.notify_all()


class Presses:
    """The latest thing that every visitor's page was told to do: it takes the place of the one before."""

    def __init__(self) -> None:
        self._latest: dict[str | None, Press] = {}

    def new(self, session: str | None, metrics: list[str]) -> Press:
        """One more, of the page that Gradio calls `session`, on which these metrics are ticked."""
        before = self._latest.get(session)
        if before:
            before.replaced = True
        press = self._latest[session] = Press(session, metrics)
        return press

    def stop(self, session: str | None) -> None:
        """Tell what that page does to end."""
        if press := self._latest.get(session):
            press.stopped = True

    def show(self, session: str | None, metrics: list[str]) -> None:
        """Tell what that page does which metrics to show from now on."""
        if press := self._latest.get(session):
            press.metrics = metrics

    def over(self, press: Press) -> None:
        """Forget one that has ended."""
        if self._latest.get(press.session) is press:
            del self._latest[press.session]


@dataclass(eq=False)
class Press:
    """One of them."""

    session: str | None
    metrics: list[str]
    """That are ticked by now."""
    stopped: bool = False
    replaced: bool = False

    def wanted(self, here: Callable[[], bool]) -> Callable[[], bool]:
        """Whether it is neither stopped nor replaced, and its visitor is `here`."""
        return lambda: not self.stopped and not self.replaced and here()


def _let_go(error: BaseException | None) -> None:
    """What the functions that an error went through still hold: photographs, for as long as the error is remembered."""
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _give_way() -> None:
    """Let this thread, and those that it starts, wait for whoever answers visitors: on Linux, threads may be nice."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)


def check_room(folder: Path) -> None:
    """Raise `RefusedError` if the disk of `folder` is nearly full."""
    if shutil.disk_usage(folder).free < KEPT_FREE:
        raise RefusedError("disk", "The page has no room for more photographs at the moment; try again later.")


def admitted(events: Iterator[Event]) -> Iterator[Event]:
    """The same, as long as there is memory for what comes after reading: waits a little, then raises `RefusedError`."""
    for event in events:
        if isinstance(event, Loaded):
            size = event.scene.pair.size
            needed, until = memory.needed(*size), time.monotonic() + _MEMORY_WAIT
            while memory.free() < needed:
                cancel.check()
                if time.monotonic() > until:
                    height, width = size
                    raise RefusedError(
                        "memory",
                        f"There is not enough memory for {width}×{height} pixels at the moment; "
                        "try again in a minute, or make the photographs smaller.",
                    )
                time.sleep(_TICK)
        yield event


def visitor(queue: Any) -> Callable[[], bool]:
    """Whether the one whose request this thread handles is still there, as `queue`, Gradio's, knows.

    Gradio stops asking a generator for more once its visitor has left; it tells nobody who is computing meanwhile.
    """
    from gradio.context import LocalContext

    name = LocalContext.event_id.get(None)
    event = queue.event_ids_to_events.get(name)
    if event is None:  # called by a program of this process
        return lambda: True
    return lambda: event.alive and any(event in (events or ()) for events in queue.active_jobs)
