"""The "PSNR" of MEFB, which is not the peak signal-to-noise ratio.

Source: the metric that MEFB (Zhang, Information Fusion 2021) calls PSNR, as its published values have it;
R, G and B apart, range 255, no border or window.
"""

from __future__ import annotations

import numpy as np

from fusion.metric import Better, Metric
from fusion.metrics.planes import Levels, mean_over_rgb


def _error(fused: Levels, source: Levels) -> float:
    """sqrt(sum of squared differences) / pixels."""
    return float(np.linalg.norm(fused.astype(np.float64) - source) / fused.size)


def _psnr_mefb(fused: Levels, under: Levels, over: Levels) -> float:
    """20 log10(255 / sqrt(e)), e the mean of both sources' errors.

    Oddity, kept: the root is taken inside the error and the count stands outside it. Values therefore grow with
    the picture's size (53 to 59 where true PSNR is about 10 dB) and compare between pictures of one size only.
    Where the fused plane equals both sources the formula gives infinity; it then counts as one pixel of one
    source being one level off, the smallest error there is.
    """
    error = (_error(fused, under) + _error(fused, over)) / 2
    smallest = 1 / (2 * fused.size)
    return float(20 * np.log10(255 / np.sqrt(max(error, smallest))))


PSNR_MEFB = Metric(
    name="psnr_mefb",
    title="PSNR (MEFB)",
    better=Better.HIGHER,
    source="Jagalingam, Hegde, Aquatic Procedia 2015, as altered in MEFB (Zhang 2021)",
    meaning="Closeness to both photographs by MEFB's formula: not real decibels, depends on the size",
    caution="The plain mean of both photographs is best of all",
    measure=mean_over_rgb(_psnr_mefb),
    mefb="Psnr",
)
