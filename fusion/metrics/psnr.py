"""PSNR of the fused picture with its sources, and the "PSNR" of MEFB, which is another thing.

R, G and B apart, range 255, no border or window. Where the fused plane equals both sources both formulas give infinity;
it then counts as one pixel of one source being one level off, the smallest error there is.
"""

from __future__ import annotations

import numpy as np

from fusion.metrics.base import Better, Metric
from fusion.metrics.planes import Levels, mean_over_rgb


def _distance(fused: Levels, source: Levels) -> float:
    """The square root of the sum of squared differences."""
    return float(np.linalg.norm(fused.astype(np.float64) - source))


def _psnr(fused: Levels, under: Levels, over: Levels) -> float:
    """10 log10(255^2 / e) in dB, e the mean of both sources' mean squared errors."""
    squares = _distance(fused, under) ** 2 + _distance(fused, over) ** 2
    return float(10 * np.log10(255**2 * 2 * fused.size / max(squares, 1)))


def _psnr_mefb(fused: Levels, under: Levels, over: Levels) -> float:
    """20 log10(255 / sqrt(e)), e the mean of both sources' errors.

    An error is the root of the sum of squares, divided by the number of pixels. Oddity, kept: the root is taken
    inside the error and the count stands outside it. Values therefore grow with the picture's size (53 to 59 where
    PSNR is about 10 dB) and compare between pictures of one size only.
    """
    errors = (_distance(fused, under) + _distance(fused, over)) / fused.size
    smallest = 1 / fused.size
    return float(20 * np.log10(255 / np.sqrt(max(errors, smallest) / 2)))


PSNR = Metric(
    name="psnr",
    title="PSNR to the photographs (dB)",
    better=Better.HIGHER,
    source="Jagalingam, Hegde, Aquatic Procedia 2015",
    meaning="Closeness to both photographs, level by level",
    caution="The plain mean of both photographs scores best: no picture can be nearer to both",
    measure=mean_over_rgb(_psnr),
)

PSNR_MEFB = Metric(
    name="psnr_mefb",
    title="PSNR (MEFB)",
    better=Better.HIGHER,
    source="Jagalingam, Hegde, Aquatic Procedia 2015, as altered in MEFB (Zhang 2021)",
    meaning="Closeness to both photographs by MEFB's formula: not real decibels, depends on the size",
    caution="A copy of one photograph and the plain mean of both score above a careful fusion",
    measure=mean_over_rgb(_psnr_mefb),
    mefb="Psnr",
)
