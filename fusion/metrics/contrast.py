"""Metrics of contrast and sharpness, measured on the fused picture alone.

All work on R, G and B apart, on the scale 0 to 255, as in MEFB (Zhang, Information Fusion 2021). None of
them sees the sources: noise, halos and over-sharpening raise all four. A flat picture scores 0.
"""

from __future__ import annotations

import math

import numpy as np

from fusion.metrics.base import Better, Metric
from fusion.metrics.planes import Levels, at_least, mean_over_rgb
from fusion.metrics.sobel import sobel


def _sd(fused: Levels, _under: Levels, _over: Levels) -> float:
    """Population standard deviation of the levels, 0 to 127.5."""
    return float(np.std(fused, dtype=np.float64))


def _sf(fused: Levels, _under: Levels, _over: Levels) -> float:
    """Spatial frequency: sqrt(RF^2 + CF^2), RF and CF the root mean squared differences of neighbours.

    Oddity, kept: (m - 1) n differences are divided by m n. Source: Eskicioglu, Fisher, 1995.
    """
    plane = fused.astype(np.float64)
    squares = sum(np.sum(np.diff(plane, axis=axis) ** 2) for axis in (0, 1))
    return float(np.sqrt(squares / plane.size))


def _ag(fused: Levels, _under: Levels, _over: Levels) -> float:
    """Average gradient: sqrt((gx^2 + gy^2) / 2), central differences, one-sided at the border.

    Oddity, kept: m n values are summed but divided by (m - 1)(n - 1). Source: Cui et al., 2015.
    """
    plane = at_least(2, fused)
    gy, gx = np.gradient(plane)
    height, width = plane.shape
    return float(np.sum(np.sqrt((gx**2 + gy**2) / 2)) / ((height - 1) * (width - 1)))


def _ei(fused: Levels, _under: Levels, _over: Levels) -> float:
    """Edge intensity: mean magnitude of the 3x3 Sobel gradient (weights 1 2 1, not divided), border replicated."""
    import cv2

    return float(np.mean(cv2.magnitude(*sobel(fused.astype(np.float64), cv2.BORDER_REPLICATE))))


SD = Metric(
    name="sd",
    title="Standard deviation",
    better=Better.HIGHER,
    source="Rao, Measurement Science and Technology 1997; MEFB",
    meaning="Overall contrast of the result",
    caution="A copy of the over-exposed photograph scores above a careful fusion, and sharpening raises it",
    measure=mean_over_rgb(_sd),
    bounds=(0, 127.5),
    mefb="SD",
)

SF = Metric(
    name="sf",
    title="Spatial frequency",
    better=Better.HIGHER,
    source="Eskicioglu, Fisher, IEEE Transactions on Communications 1995; MEFB",
    meaning="How much neighbouring pixels differ: detail, and noise as well",
    caution="Over-sharpening and noise raise it",
    measure=mean_over_rgb(_sf),
    bounds=(0, 255 * math.sqrt(2)),
    mefb="Spatial_frequency",
)

AG = Metric(
    name="ag",
    title="Average gradient",
    better=Better.HIGHER,
    source="Cui, Feng, Xu, Li, Chen, Optics Communications 2015; MEFB",
    meaning="Mean steepness of the result: detail, and noise as well",
    caution="Over-sharpening and noise raise it",
    measure=mean_over_rgb(_ag),
    mefb="Avg_gradient",
)

EI = Metric(
    name="ei",
    title="Edge intensity",
    better=Better.HIGHER,
    source="Rajalingam, Priya, 2018; MEFB",
    meaning="Mean strength of edges in the result",
    caution="Over-sharpening and noise raise it",
    measure=mean_over_rgb(_ei),
    mefb="Edge_intensity",
)
