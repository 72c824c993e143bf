"""Speed: every method beside OpenCV's exposure fusion, and the selective scan beside its reference loop.

Each method runs in a fresh process of its own. So does OpenCV's exposure fusion, the peer, with its own threads and the
C library's allocator, as its users run it. Both fuse the same pair in turn, so that a slow moment of the machine slows
both; the ratio of a run says more than its seconds. `opencv, memory kept` is the peer with
`memory.tune_allocator`, which this package's processes use: it shows what OpenCV could do if it kept its memory.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from fusion.runtime import memory

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from fusion.methods.base import Mode

PEER, PEER_KEPT = "opencv", "opencv, memory kept"
MEGAPIXELS = (0.26, 1.0, 6.0, 24.0)
_ASPECT = 1.5
RUNS = 5
"""Warm runs of each method, and of the peer beside it."""


@dataclass(frozen=True)
class MethodRow:
    """One method at one picture size: medians of several warm runs, and the first run of a fresh process."""

    method: str
    mode: str
    """exact; or fast, with the width and height of the copy that the network saw."""
    megapixels: float
    seconds: float
    ratio: float
    """The method's seconds over OpenCV's, which were measured in turn with it."""
    peak_mb: float
    """Peak memory of the process in MB, including the pair and Python."""
    first_call_seconds: float
    """Includes loading and compiling the method, but not imports and loading the pair."""


def method_rows(
    methods: Sequence[str],
    megapixels: Sequence[float] = MEGAPIXELS,
    mode: Mode = "auto",
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[MethodRow]:
    """Time every method at every size, and the peer at last; each row is yielded as soon as it is measured.

    Before each row, `say` is called with what is timed now and about how long the rest takes.
    """
    due = [(name, size) for size in megapixels for name in (PEER_KEPT, *methods)]
    start, told = time.perf_counter(), iter(range(len(due)))

    def announce() -> None:
        place = next(told)
        name, size = due[place]
        done, left = (sum(_expected_seconds(size) for _, size in part) for part in (due[:place], due[place:]))
        pace = (time.perf_counter() - start) / done if done else 1.0  # of this machine, over the expected one
        minutes = math.ceil(left * pace / 60)
        say(f"{name} at {size:g} megapixels, {place + 1} of {len(due)}; about {minutes} min left in all ...")

    for size in megapixels:
        with TemporaryDirectory(prefix="fusion-speed-") as folder:
            files = _write_pair(Path(folder), size)
            with _worker(PEER, files, mode) as peer:
                first_of_peer, all_of_peer = peer.run(), list[float]()
                for name in (PEER_KEPT, *methods):
                    announce()
                    with _worker(name, files, mode) as ours:
                        first = ours.run()
                        times = [(ours.run(), peer.run()) for _ in range(RUNS)]
                        seconds, peers = (median(column) for column in zip(*times, strict=True))
                        all_of_peer += [theirs for _, theirs in times]
                        way, peak = ours.told()
                        yield MethodRow(name, way, size, seconds, seconds / peers, peak, first)
                way, peak = peer.told()
                yield MethodRow(PEER, way, size, median(all_of_peer), 1.0, peak, first_of_peer)


def _expected_seconds(megapixels: float) -> float:
    """About what one row takes on two CPU cores: starting the process, and six runs of the method and of the peer."""
    return 5 + 1.5 * megapixels


def exposures(megapixels: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two random exposures (H, W, 3) of one scene with coarse and fine structure, 3 : 2, 8 bits.

    No method's time depends on what the pictures show.

    >>> under, over = exposures(0.01)
    >>> under.shape, bool(under.mean() < over.mean())
    ((82, 123, 3), True)
    """
    import cv2
    import numpy as np

    height = round((megapixels * 1e6 / _ASPECT) ** 0.5)
    size = round(height * _ASPECT), height
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.random((16, 24, 3), np.float32), size, interpolation=cv2.INTER_CUBIC)
    scene += rng.normal(0, 0.02, (height, 1, 1)).astype(np.float32) + rng.normal(0, 0.02, (1, size[0], 3)).astype("f")
    under, over = (np.asarray(np.clip(scene * gain, 0, 1) * 255, np.uint8) for gain in (0.5, 2.0))
    return under, over


def _write_pair(folder: Path, megapixels: float) -> tuple[Path, Path]:
    """The exposures as files that a fresh process reads without decoding."""
    import numpy as np

    files = folder / "under.npy", folder / "over.npy"
    for file, picture in zip(files, exposures(megapixels), strict=True):
        np.save(file, picture)
    return files


@dataclass(frozen=True)
class _TimedProcess:
    """A process that fuses the pair each time it is asked to, and measures itself."""

    pipe: Connection

    def run(self) -> float:
        """Seconds of one fusion; the first call of a process loads and compiles the method as well."""
        return self._ask("run")

    def told(self) -> tuple[str, float]:
        """Return how the method ran (`MethodRow.mode`), and the process's peak memory in MB."""
        return self._ask("tell")

    def _ask(self, question: str) -> Any:
        self.pipe.send(question)
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def _worker(name: str, files: tuple[Path, Path], mode: Mode) -> Generator[_TimedProcess]:
    fresh = multiprocessing.get_context("spawn")
    ours, theirs = fresh.Pipe()
    process = fresh.Process(target=_serve, args=(theirs, name, files, mode), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _TimedProcess(ours)
    finally:
        ours.close()
        process.join()


def _serve(pipe: Connection, name: str, files: tuple[Path, Path], mode: Mode) -> None:
    """Answer questions until the pipe closes."""
    fuse, way = _peer(files, kept=name == PEER_KEPT) if name in (PEER, PEER_KEPT) else _ours(name, files, mode)
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        try:
            if question == "run":
                start = time.perf_counter()
                fuse()
                pipe.send(time.perf_counter() - start)
            else:
                pipe.send((way(), memory.peak_mb()))
        except Exception as error:  # noqa: BLE001  # the parent raises it
            pipe.send(error)


def _peer(files: tuple[Path, Path], *, kept: bool) -> tuple[Callable[[], object], Callable[[], str]]:
    import cv2
    import numpy as np

    if kept:
        memory.tune_allocator()
    pictures = [np.load(file) for file in files]
    merge = cv2.createMergeMertens()
    return lambda: merge.process(pictures), lambda: "exact"


def _ours(name: str, files: tuple[Path, Path], mode: Mode) -> tuple[Callable[[], object], Callable[[], str]]:
    import numpy as np

    from fusion.io.image import as_pair
    from fusion.pipeline import Session
    from fusion.settings import Settings

    pair = as_pair(np.load(files[0]), np.load(files[1]))

    session, settings = Session("cpu"), Settings(align=False, repair=False, ghosts="ignore", mode=mode)
    scene = session.prepare(pair, settings)

    def way() -> str:
        height, width = session.seen(name, *pair.size, settings)
        return "exact" if (height, width) == pair.size else f"fast {width}x{height}"

    return lambda: session.fuse(scene, name, settings), way


def draw(rows: Sequence[MethodRow], path: Path) -> None:
    """Write a plot of seconds over megapixels, both logarithmic, with a line for each method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row.method for row in rows):
        points = [(row.megapixels, row.seconds) for row in rows if row.method == name]
        style = {PEER: "k-", PEER_KEPT: "k--"}.get(name, "o-")
        axes.loglog(*zip(*points, strict=True), style, label=name, linewidth=1.5)
    axes.set(xlabel="megapixels", ylabel="seconds a pair, warm")
    axes.grid(which="both", alpha=0.2)
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, dpi=110)


SCAN_SHAPES = {
    "windows": (4096, 64, 64, 8),
    "raster": (1, 64, 65_536, 16),
}
"""Batch, channels, tokens, states: MambaMEF's windows of 0.26 megapixels, and one scan over a quarter as many."""


@dataclass(frozen=True)
class ScanRow:
    """The scan on one shape of input: median seconds, and how near it comes to the machine's limits."""

    shape: str
    execution: str
    backward: bool
    """Whether the backward pass is included."""
    seconds: float
    reference_seconds: float
    ratio: float
    """How many times faster than the reference."""
    exp_share: float
    """States computed per second over exponentials computed per second when nothing else is done; 1 is the limit."""
    bytes_share: float
    """Bytes moved per second over those of a plain copy; 1 is the limit."""


def scan_rows() -> Iterator[ScanRow]:
    """Time the scan beside the token-by-token loop on the CPU. It takes about two minutes."""
    import torch

    from fusion.blocks.selective_scan import execution, reference, selective_scan
    from fusion.runtime.memory import tune_allocator

    tune_allocator()
    exps, copied = exponentials_a_second(), copied_bytes_a_second()
    for name, shape in SCAN_SHAPES.items():
        for backward in (False, True):
            inputs = scan_inputs(*shape)
            if backward:
                for x in inputs:
                    x.requires_grad_()
            runs = 1 if backward else RUNS  # the loop's backward takes half a minute

            def timed(
                scan: Callable[..., Tensor], inputs: Sequence[Tensor] = inputs, backward: bool = backward
            ) -> float:
                start = time.perf_counter()
                with torch.inference_mode(mode=not backward):
                    result = scan(*inputs)
                if backward:
                    result.sum().backward()
                return time.perf_counter() - start

            timed(selective_scan)  # compiles it, if needed
            times = [(timed(selective_scan), timed(reference)) for _ in range(runs)]
            ours, theirs = (median(column) for column in zip(*times, strict=True))
            batch, channels, length, states = shape
            passes = 2 if backward else 1  # states are computed again on the way back
            updates = passes * batch * channels * length * states
            moved = 4 * passes * batch * length * (3 * channels + 2 * states)
            yield ScanRow(
                name,
                execution("cpu"),
                backward,
                ours,
                theirs,
                theirs / ours,
                updates / ours / exps,
                moved / ours / copied,
            )


def scan_inputs(batch: int, channels: int, length: int, states: int) -> tuple[Tensor, ...]:
    """Random arguments of a scan: u, delta before softplus, A, B, C, D, bias of delta."""
    import torch

    rng = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    decay = -torch.exp(normal(channels, states))
    sequences = (normal(batch, channels, length), normal(batch, channels, length))
    gates = (normal(batch, states, length), normal(batch, states, length))
    return (*sequences, decay, *gates, normal(channels), normal(channels))


def exponentials_a_second() -> float:
    """Measure how many exponentials per second the scan's own polynomial computes on all threads, without memory."""
    import numpy as np
    import torch

    from fusion.blocks.scan_kernel import only_exponentials, share_out

    x = -np.random.default_rng(0).random((64 * torch.get_num_threads(), 4096), np.float32)
    return 100 * x.size / _fastest(lambda: share_out(only_exponentials, len(x), x, np.empty(len(x), np.float32)))


def copied_bytes_a_second() -> float:
    """Bytes read and written per second by a copy that is too large for any cache."""
    import torch

    x = torch.zeros(1 << 26)
    out = torch.zeros_like(x)
    return 8 * len(x) / _fastest(lambda: out.copy_(x))


def _fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of 50 runs, since a limit is what can be reached."""
    times: list[float] = []
    for _ in range(50):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
