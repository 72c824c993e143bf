"""The methods on a GPU: whether the pictures equal the CPU's, and how much time and memory they take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from fusion.benchmark.speed import RUNS, exposures
from fusion.blocks.selective_scan import execution
from fusion.errors import FusionError
from fusion.io.image import as_pair
from fusion.pipeline import Scene, Session
from fusion.settings import Settings

MEGAPIXELS = (1.0, 8.3, 24.0)
_EXACT = Settings(mode="exact")


@dataclass(frozen=True)
class GpuRow:
    """One method at one picture size, in exact mode."""

    method: str
    device: str
    scan: str
    megapixels: float
    seconds: float
    """Median of several warm runs, including both copies between the CPU and the GPU."""
    peak_mb: float
    """Peak memory that PyTorch allocated on the GPU."""
    largest_difference: float
    """Largest difference from the CPU's picture, in 8-bit levels."""


def gpu_rows(methods: Sequence[str], megapixels: Sequence[float] = MEGAPIXELS) -> Iterator[GpuRow]:
    """Measure every method at every size, one row at a time. Raises `FusionError` where there is no CUDA device."""
    if not torch.cuda.is_available():
        raise FusionError("PyTorch finds no CUDA device on this computer, so there is nothing to check.")
    device, scan = torch.cuda.get_device_name(), execution("cuda")
    for size in megapixels:
        scene = Scene(as_pair(*exposures(size)))
        for name in methods:
            with Session("cuda") as session:
                ours = session.fuse(scene, name, _EXACT).photo
                torch.cuda.reset_peak_memory_stats()
                seconds = median(_seconds_on_gpu(session, scene, name) for _ in range(RUNS))
            peak = torch.cuda.max_memory_allocated() / (1 << 20)
            with Session("cpu") as session:
                theirs = session.fuse(scene, name, _EXACT).photo
            yield GpuRow(name, device, scan, size, seconds, peak, float((ours - theirs).abs().max()) * 255)


def _seconds_on_gpu(session: Session, scene: Scene, name: str) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    session.fuse(scene, name, _EXACT)
    torch.cuda.synchronize()
    return time.perf_counter() - start
