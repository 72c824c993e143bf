"""Colour planes as metrics take them: one at a time, in float64, large enough for a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.base import Pixels

Levels: TypeAlias = NDArray[np.uint8]
"""(H, W), one plane of a picture, 0 to 255."""

Plane: TypeAlias = NDArray[np.float64]
"""(H, W), real numbers on the scale 0 to 255, or what was computed from them."""


def mean_over_rgb(measure: Callable[[Levels, Levels, Levels], float]) -> Callable[[Pixels, Pixels, Pixels], float]:
    """MEFB's way with colour: `measure` on R, G and B apart, then the mean of the three values."""

    def measure_rgb(fused: Pixels, under: Pixels, over: Pixels) -> float:
        values = [measure(fused[..., c], under[..., c], over[..., c]) for c in range(3)]
        return float(np.mean(values))

    return measure_rgb


def at_least(side: int, levels: Levels) -> Plane:
    """The plane in float64; sides below `side` are extended at their far end by mirrored copies."""
    missing = [(0, max(0, side - length)) for length in levels.shape]
    return np.pad(levels, missing, mode="symmetric").astype(np.float64)


def stretched(levels: Levels) -> Levels:
    """The plane's levels spread over 0 to 255 and rounded half up; zeros where it is flat."""
    low, high = int(levels.min()), int(levels.max())
    if low == high:
        return np.zeros_like(levels)
    return np.floor((levels.astype(np.float64) - low) / (high - low) * 255 + 0.5).astype(np.uint8)


def share(a: Plane, b: Plane) -> Plane:
    """a / (a + b); 1/2 where the sum is 0."""
    total = a + b
    return np.divide(a, total, out=np.full_like(total, 0.5), where=total != 0)
