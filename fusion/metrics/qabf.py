"""Q^AB/F: how much of the sources' edges arrives in the fused picture.

Source: Xydeas, Petrovic, "Objective image fusion performance measure", Electronics Letters 2000,
with the constants and habits of MEFB's code (Zhang, Information Fusion 2021), on R, G and B apart:
3x3 Sobel with a border of zeros (the picture's frame counts as an edge), weights L = 1, no threshold.

    g        edge strength, the Sobel magnitude on the scale 0 to 255
    a        edge angle, arctan(sy / sx), pi/2 where sx = 0
    G        relative strength, the smaller g over the larger
    A        1 - |a_source - a_fused| / (pi/2)
    Q        preservation, a sigmoid of G times a sigmoid of A

Kept oddities: in MEFB's form, where both strengths are equal, G is the strength itself instead of 1; in both forms,
angles that differ by more than pi/2 give A < 0, though the lines may be nearly parallel.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fusion.metrics.base import Better, Metric, kept_for_pair
from fusion.metrics.planes import Levels, Plane, mean_over_rgb
from fusion.metrics.sobel import sobel

_STRENGTH_SIGMOID = (0.9994, -15.0, 0.5)
_ANGLE_SIGMOID = (0.9879, -22.0, 0.8)


def _edges(levels: Levels) -> tuple[Plane, Plane]:
    """Strength and angle; x points left, as in MEFB, which matters for the angle of vertical edges only."""
    import cv2

    sx, sy = sobel(levels.astype(np.float64), cv2.BORDER_CONSTANT)
    slope = np.divide(sy, -sx, out=np.full_like(sx, np.inf), where=sx != 0)
    return np.sqrt(sx * sx + sy * sy), np.arctan(slope)  # the squares are whole: exact, and faster than hypot


@kept_for_pair
@lru_cache(maxsize=6)
def _edges_of_source(levels: bytes, size: tuple[int, int]) -> tuple[Plane, Plane]:
    """Kept for the planes of one pair, since several results of it are measured one after the other."""
    return _edges(np.frombuffer(levels, np.uint8).reshape(size))


def _sigmoid(x: Plane, settings: tuple[float, float, float]) -> Plane:
    height, steepness, middle = settings
    return height / (1 + np.exp(steepness * (x - middle)))


def _preservation(source: tuple[Plane, Plane], fused: tuple[Plane, Plane], *, as_mefb: bool) -> Plane:
    """Q of every pixel, 0 to 0.975."""
    (g_source, a_source), (g_fused, a_fused) = source, fused
    larger = np.maximum(g_source, g_fused)
    equal = larger.copy() if as_mefb else np.ones_like(larger)
    strength = np.divide(np.minimum(g_source, g_fused), larger, out=equal, where=g_source != g_fused)
    angle = 1 - np.abs(a_source - a_fused) / (np.pi / 2)
    return _sigmoid(strength, _STRENGTH_SIGMOID) * _sigmoid(angle, _ANGLE_SIGMOID)


def _qabf(fused: Levels, under: Levels, over: Levels, *, as_mefb: bool = True) -> float:
    """Mean Q weighted with the sources' strengths; 1 where neither source has an edge: nothing was lost.

    Three equal pictures score 0.975, the sigmoids' upper end.
    """
    edges = _edges(fused)
    sources = [_edges_of_source(plane.tobytes(), plane.shape) for plane in (under, over)]
    kept = sum(float(np.sum(_preservation(source, edges, as_mefb=as_mefb) * source[0])) for source in sources)
    there = sum(float(np.sum(strength)) for strength, _ in sources)
    return kept / there if there > 0 else 1.0


def _qabf_xydeas(fused: Levels, under: Levels, over: Levels) -> float:
    """The same with G = 1 where strengths are equal."""
    return _qabf(fused, under, over, as_mefb=False)


METRIC = Metric(
    name="qabf",
    title="Q^AB/F",
    better=Better.HIGHER,
    source="Xydeas, Petrovic, Electronics Letters 2000; MEFB",
    meaning="How much of both photographs' edges arrives in the result, 0 to 0.975",
    caution="A copy of the over-exposed photograph can score as high as a careful fusion",
    measure=mean_over_rgb(_qabf),
    bounds=(0, 1),
    mefb="Qabf",
)

XYDEAS = Metric(
    name="qabf_xydeas",
    title="Q^AB/F (as published)",
    better=Better.HIGHER,
    source="Xydeas, Petrovic, Electronics Letters 2000",
    meaning="The same by the published formula, which takes equally strong edges for fully kept",
    caution="A copy of the over-exposed photograph can score as high as a careful fusion",
    measure=mean_over_rgb(_qabf_xydeas),
    bounds=(0, 1),
)
