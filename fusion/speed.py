"""How fast the selective scan is, as a ratio to the reference loop in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from fusion.blocks.selective_scan import execution, reference, selective_scan

SHAPES = {
    "windows": (4096, 64, 64, 8),
    "raster": (1, 64, 65_536, 16),
}
"""Batch, channels, tokens, states: MambaMEF's windows at 0.26 megapixels, and one scan over as many pixels / 4."""

_RUNS = 5


@dataclass(frozen=True)
class ScanRow:
    """One shape: medians in seconds."""

    shape: str
    execution: str
    seconds: float
    reference_seconds: float
    ratio: float
    """Reference / ours: how many times faster."""


def scan_rows() -> list[ScanRow]:
    """The scan against the token-by-token loop, forward, on this machine's CPU. Takes about a minute."""
    rows: list[ScanRow] = []
    for name, shape in SHAPES.items():
        inputs = scan_inputs(*shape)
        with torch.inference_mode():
            selective_scan(*inputs)  # compiles, where that has not been done
            # In turn, so that a change of the machine's pace meets both.
            times = [(_time(selective_scan, inputs), _time(reference, inputs)) for _ in range(_RUNS)]
        ours, theirs = (median(column) for column in zip(*times, strict=True))
        rows.append(ScanRow(name, execution("cpu"), ours, theirs, theirs / ours))
    return rows


def scan_inputs(batch: int, channels: int, length: int, states: int) -> tuple[Tensor, ...]:
    """Random arguments of a scan: u, raw delta, A, B, C, D, bias of delta."""
    rng = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    decay = -torch.exp(normal(channels, states))
    sequences = (normal(batch, channels, length), normal(batch, channels, length))
    gates = (normal(batch, states, length), normal(batch, states, length))
    return (*sequences, decay, *gates, normal(channels), normal(channels))


def _time(scan: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> float:
    start = time.perf_counter()
    scan(*inputs)
    return time.perf_counter() - start
