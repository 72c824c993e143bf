"""How fast everything is: every method beside OpenCV's exposure fusion, the scan beside its reference loop, and how
near the scan comes to the machine's own limits. Ratios are of one run on one machine; seconds alone say little.

Each method runs in a fresh process of its own, and so does its peer, as its users run it: plainly, with OpenCV's own
threads and the C library's own memory. Both fuse the same pair in turn, so that a change of the machine's pace meets
both. `opencv, memory kept` is the peer with `memory.tune_allocator`, which this package's own processes use: what
OpenCV could do if it kept its memory.
"""

from __future__ import annotations

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
"""Warm runs of each kind."""


@dataclass(frozen=True)
class MethodRow:
    """One method at one size: medians of several warm runs, and the first run of a fresh process."""

    method: str
    mode: str
    """exact; or fast, and the width and height of what the network saw."""
    megapixels: float
    seconds: float
    ratio: float
    """Ours / OpenCV's, in the same minutes."""
    peak_mb: float
    """The most memory that the process ever had, the pair and Python included."""
    first_call_seconds: float
    """Imports and the pair's loading not included; the method's loading and compiling are."""


def method_rows(
    methods: Sequence[str],
    megapixels: Sequence[float] = MEGAPIXELS,
    mode: Mode = "auto",
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[MethodRow]:
    """Every method at every size, one after the other, and at last the peer. `say` is told what is being timed."""
    for size in megapixels:
        with TemporaryDirectory(prefix="fusion-speed-") as folder:
            files = _write_pair(Path(folder), size)
            with _worker(PEER, files, mode) as peer:
                first_of_peer, all_of_peer = peer.first(), list[float]()
                for name in (PEER_KEPT, *methods):
                    say(f"{name} at {size:g} megapixels")
                    with _worker(name, files, mode) as ours:
                        first = ours.first()
                        times = [(ours.run(), peer.run()) for _ in range(RUNS)]
                        seconds, peers = (median(column) for column in zip(*times, strict=True))
                        all_of_peer += [theirs for _, theirs in times]
                        way, peak = ours.told()
                        yield MethodRow(name, way, size, seconds, seconds / peers, peak, first)
                way, peak = peer.told()
                yield MethodRow(PEER, way, size, median(all_of_peer), 1.0, peak, first_of_peer)


def exposures(megapixels: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two random pictures (H, W, 3) of one scene with coarse and fine structure; no method's time depends on more."""
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
class _Worker:
    """A process that fuses whenever it is told to."""

    pipe: Connection

    def first(self) -> float:
        """Seconds of the first call, once the process is ready."""
        return self._ask("run")

    run = first

    def told(self) -> tuple[str, float]:
        """How the method ran, and the process's peak of memory in MB."""
        return self._ask("tell")

    def _ask(self, question: str) -> Any:
        self.pipe.send(question)
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def _worker(name: str, files: tuple[Path, Path], mode: Mode) -> Generator[_Worker]:
    fresh = multiprocessing.get_context("spawn")
    ours, theirs = fresh.Pipe()
    process = fresh.Process(target=_serve, args=(theirs, name, files, mode), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _Worker(ours)
    finally:
        ours.close()
        process.join()


def _serve(pipe: Connection, name: str, files: tuple[Path, Path], mode: Mode) -> None:
    """Answer until the pipe closes."""
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

    session, settings = Session("cpu"), Settings(align=False, ghosts="ignore", mode=mode)
    scene = session.prepare(pair, settings)

    def way() -> str:
        height, width = session.seen(name, *pair.size, settings)
        return "exact" if (height, width) == pair.size else f"fast {width}x{height}"

    return lambda: session.fuse(scene, name, settings), way


def draw(rows: Sequence[MethodRow], path: Path) -> None:
    """Seconds over megapixels, both logarithmic, a line for each method."""
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
"""Batch, channels, tokens, states: MambaMEF's windows at 0.26 megapixels, and one scan over as many pixels / 4."""


@dataclass(frozen=True)
class ScanRow:
    """One shape: medians in seconds, and the share of the machine's limit that is reached."""

    shape: str
    execution: str
    backward: bool
    """Forward and backward, or forward alone."""
    seconds: float
    reference_seconds: float
    ratio: float
    """Reference / ours: how many times faster."""
    exp_share: float
    """States a second, over the exponentials a second that the same polynomial reaches alone: 1 is the limit."""
    bytes_share: float
    """Bytes that must be read and written once a second, over those of a copy."""


def scan_rows() -> Iterator[ScanRow]:
    """The scan against the token-by-token loop on this machine's CPU. Takes about two minutes."""
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

            timed(selective_scan)  # compiles, where that has not been done
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
    """Random arguments of a scan: u, raw delta, A, B, C, D, bias of delta."""
    import torch

    rng = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    decay = -torch.exp(normal(channels, states))
    sequences = (normal(batch, channels, length), normal(batch, channels, length))
    gates = (normal(batch, states, length), normal(batch, states, length))
    return (*sequences, decay, *gates, normal(channels), normal(channels))


def exponentials_a_second() -> float:
    """The scan's own exponential of float32, nothing else, in registers, on all threads."""
    import numpy as np
    import torch

    from fusion.blocks.scan_kernel import only_exponentials, share_out

    x = -np.random.default_rng(0).random((64 * torch.get_num_threads(), 4096), np.float32)
    return 100 * x.size / _fastest(lambda: share_out(only_exponentials, len(x), x, np.empty(len(x), np.float32)))


def copied_bytes_a_second() -> float:
    """Read and written together, in memory that no cache holds."""
    import torch

    x = torch.zeros(1 << 26)
    out = torch.zeros_like(x)
    return 8 * len(x) / _fastest(lambda: out.copy_(x))


def _fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of many runs: a limit is what was reached once."""
    times: list[float] = []
    for _ in range(50):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
