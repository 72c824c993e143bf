"""What the handlers of one page share, and how a visitor's request becomes a run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from fusion.io.files import new_folder
from fusion.io.image import check_count
from fusion.methods import METHODS, method_named
from fusion.methods.base import Method, Option
from fusion.outputs.tables import Row, method_row
from fusion.page import environment, examples
from fusion.page.gallery import Run, follow
from fusion.page.job_queue import JobQueue, QueuePosition, wait_for_memory
from fusion.page.requests import Requests
from fusion.page.run_cache import RunCache
from fusion.pipeline import Event, Session
from fusion.settings import Settings


class Compare(Protocol):
    """Fuses files with several methods, as `Session.compare` does."""

    def __call__(
        self, files: Sequence[str], methods: Sequence[str], settings: Settings, *, show_corrected: bool = True
    ) -> Iterator[Event]:
        """Yield the events of reading, fusing and measuring."""
        ...


def compare_with(session: Session, memory_mb: int | None = None) -> Compare:
    """Make the function that fuses for the page: on a GPU that is lent for the call, where the page runs on ZeroGPU.

    A network may use `memory_mb` megabytes on the processor, or half of what is free where that is None.

    It does everything from reading to measuring. A second call, for what needs no GPU, would queue and fork again,
    which costs more than it saves. Pictures are written outside, where the events arrive.
    """

    def compare(
        files: Sequence[str], methods: Sequence[str], settings: Settings, *, show_corrected: bool = True
    ) -> Iterator[Event]:
        check_count(len(files))
        settings = replace(settings, memory_mb=memory_mb)
        yield from wait_for_memory(session.compare(files, methods, settings, show_corrected=show_corrected))

    if not environment.gpu_is_lent():
        return compare
    import spaces  # pyright: ignore[reportMissingImports]

    return spaces.GPU(duration=_gpu_seconds)(compare)


def _gpu_seconds(_files: Sequence[str], methods: Sequence[str], _settings: Settings, **_choices: Any) -> int:
    return min(60, 10 + 4 * len(methods))


@dataclass(eq=False)
class Services:
    """The objects that the handlers of one page share."""

    session: Session
    compare: Compare
    queue: JobQueue
    report: Path | None = None
    """The folder of the benchmark's report that the page shows."""
    runs: RunCache = field(default_factory=RunCache)
    requests: Requests = field(default_factory=Requests)

    @property
    def folder(self) -> Path:
        """Gradio's cache. What lies in it is served without a copy, and deleted when it is old."""
        return self.queue.folder

    @cached_property
    def available(self) -> tuple[Method, ...]:
        """The methods that can run here, in the order of the page.

        Finding out loads the weights of all methods, which takes a second, so it is done once.
        """
        return tuple(method for method in METHODS if not method.unavailable)

    @cached_property
    def offered(self) -> tuple[tuple[Method, Option], ...]:
        """Every option of every method that can run here, in the order of the page."""
        return tuple((method, option) for method in self.available for option in method.options)

    @cached_property
    def described(self) -> list[Row]:
        """What programs are told of each method, also of those that cannot run here."""
        return [method_row(method) for method in METHODS]

    def run(
        self, files: Sequence[str], methods: Sequence[str], settings: Settings, *, wanted: Callable[[], bool]
    ) -> Iterator[Run | QueuePosition]:
        """Yield the position in the queue, then the run after each event. What was made before is not made again.

        Ends where `wanted()` turns False. Raises what `JobQueue.follow`, `RunCache.key` and `Session.compare` raise.
        """
        chosen = tuple(map(method_named, methods))
        settings = replace(settings, options={n: o for n, o in settings.options.items() if n in methods})
        key = self.runs.key(files, settings)
        kept, whole = self.runs.recall(key, chosen, settings)
        if whole:
            yield whole
            return
        missing = [name for name in methods if name not in kept]

        def steps() -> Generator[Run, None, None]:
            folder = new_folder(self.folder, "run")
            example = examples.name_of(files)
            latest = Run(folder, chosen, example=example, settings=settings, files=tuple(files), kept=kept)
            try:
                for run in follow(self.compare(files, missing, settings), latest):
                    latest = run
                    yield run
            finally:  # what is done is kept, also where the visitor has stopped
                self.runs.put(key, latest.finish_writing())

        job = (*key, *methods, str(settings))
        yield from self.queue.follow(steps, methods=len(missing), key=job, wanted=wanted)
