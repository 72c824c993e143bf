"""Q^AB/F: how much of the sources' edges arrives in the fused picture.

Source: Xydeas, Petrovic, "Objective image fusion performance measure", Electronics Letters 2000,
with the constants and habits of MEFB's code (Zhang, Information Fusion 2021), on R, G and B apart:
3x3 Sobel with a border of zeros (the picture's frame counts as an edge), weights L = 1, no threshold.

    g        edge strength, the Sobel magnitude on the scale 0 to 255
    a        edge angle, arctan(sy / sx), pi/2 where sx = 0
    G        relative strength, the smaller g over the larger
    A        1 - |a_source - a_fused| / (pi/2)
    Q        preservation, a sigmoid of G times a sigmoid of A

Two habits of MEFB's code are kept. In MEFB's form, where both strengths are equal, G is the strength itself instead of
1; in both forms, angles that differ by more than pi/2 give A < 0, though the lines may be nearly parallel.
"""

from __future__ import annotations

import numpy as np

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import sobel
from fusion.metrics.picture import Picture, Plane, Sources, mean_over_rgb

_STRENGTH_SIGMOID = (0.9994, -15.0, 0.5)
_ANGLE_SIGMOID = (0.9879, -22.0, 0.8)


def _edges(picture: Picture) -> tuple[Plane, Plane]:
    """Return edge strength and angle; x points left, as in MEFB, which matters for vertical edges' angle only."""
    import cv2

    sx, sy = sobel(picture.pixels.astype(np.float64), cv2.BORDER_CONSTANT)
    slope = np.divide(sy, -sx, out=np.full_like(sx, np.inf), where=sx != 0)
    return np.sqrt(sx * sx + sy * sy), np.arctan(slope)  # the squares are whole: exact, and faster than hypot


def _sigmoid(x: Plane, settings: tuple[float, float, float]) -> Plane:
    height, steepness, middle = settings
    return height / (1 + np.exp(steepness * (x - middle)))


def _preservation(source: tuple[Plane, Plane], fused: tuple[Plane, Plane], *, as_mefb: bool) -> Plane:
    """Return Q of every pixel, 0 to 0.975."""
    (g_source, a_source), (g_fused, a_fused) = source, fused
    larger = np.maximum(g_source, g_fused)
    equal = larger.copy() if as_mefb else np.ones_like(larger)
    strength = np.divide(np.minimum(g_source, g_fused), larger, out=equal, where=g_source != g_fused)
    angle = 1 - np.abs(a_source - a_fused) / (np.pi / 2)
    return _sigmoid(strength, _STRENGTH_SIGMOID) * _sigmoid(angle, _ANGLE_SIGMOID)


def _edges_kept(fused: Picture, sources: Sources, *, as_mefb: bool) -> float:
    edges = fused.derive(_edges)
    found = [source.derive(_edges) for source in sources]
    kept = sum(float(np.sum(_preservation(source, edges, as_mefb=as_mefb) * source[0])) for source in found)
    there = sum(float(np.sum(strength)) for strength, _ in found)
    return kept / there if there > 0 else 1.0


@mean_over_rgb
def edges_kept_mefb(fused: Picture, sources: Sources) -> float:
    """Return Q^AB/F, the share of the photographs' edges that is preserved, with MEFB's rule for equal strengths.

        Q^AB/F = sum over sources and pixels of Q g / sum over sources and pixels of g

    Q is the preservation of a source's edge in the fused picture and g the edge's strength there; both are defined at
    the top of `fusion.metrics.qabf`. It is averaged over R, G and B. Range: 0 to 0.975, the sigmoids' upper end, which
    three equal pictures reach; 1 where no source has an edge, because nothing was lost. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: Xydeas, Petrovic, "Objective image fusion performance measure", Electronics Letters 2000, as altered in
    the code of MEFB (Zhang, Information Fusion 2021).

    >>> import numpy as np
    >>> from fusion.metrics import qabf
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (1, 8, 3))
    >>> round(qabf.METRIC.measure(ramp, Sources(ramp, ramp)), 4)
    0.9753
    """
    return _edges_kept(fused, sources, as_mefb=True)


@mean_over_rgb
def edges_kept(fused: Picture, sources: Sources) -> float:
    """Return Q^AB/F as published: the share of the photographs' edges that the fused picture preserves.

        Q^AB/F = sum over sources and pixels of Q g / sum over sources and pixels of g

    Q is the preservation of a source's edge in the fused picture and g the edge's strength there; both are defined at
    the top of `fusion.metrics.qabf`. Equally strong edges count as fully kept (G = 1). It is averaged over R, G and B.
    Range: 0 to 0.975, the sigmoids' upper end, which three equal pictures reach; 1 where no source has an edge, because
    nothing was lost. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: Xydeas, Petrovic, "Objective image fusion performance measure", Electronics Letters 2000.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (1, 8, 3))
    >>> round(XYDEAS.measure(ramp, Sources(ramp, ramp)), 4), round(XYDEAS.measure(ramp // 9, Sources(ramp, ramp)), 4)
    (0.9748, 0.0028)
    """
    return _edges_kept(fused, sources, as_mefb=False)


METRIC = Metric(
    name="qabf",
    title="Q^AB/F",
    better=Better.HIGHER,
    source="Xydeas, Petrovic, Electronics Letters 2000; MEFB",
    meaning="It tells how much of both photographs' edges the result keeps, from 0 to 0.975",
    caution="A copy of the over-exposed photograph can score as high as a careful fusion",
    formula=edges_kept_mefb,
    agreement=0.67,
    bounds=(0, 1),
    mefb="Qabf",
)

XYDEAS = Metric(
    name="qabf_xydeas",
    title="Q^AB/F (as published)",
    better=Better.HIGHER,
    source="Xydeas, Petrovic, Electronics Letters 2000",
    meaning="It tells how much of both photographs' edges the result keeps by the published formula, in which equally "
    "strong edges count as fully kept",
    caution="A copy of the over-exposed photograph can score as high as a careful fusion",
    formula=edges_kept,
    agreement=0.67,
    repeats="qabf",
    bounds=(0, 1),
)
