"""FMI: how much of the sources' edges can be told from the fused picture's, window by window.

Source: Haghighat, Aghagolzadeh, Seyedarabi, "A non-reference image fusion metric based on mutual information of image
features", Computers and Electrical Engineering 2011, in the fast form of Haghighat, Razian, "Fast-FMI", AICT 2014; with
MEFB's settings (Zhang, Information Fusion 2021): R, G and B apart, edges as features, 3 x 3 windows inside the picture.

The features are MATLAB's `edge`: Sobel, border replicated, strengths above twice their root mean square that are the
largest in their row or their column. A window's nine features, column by column and divided by their sum, count as a
distribution over nine places. The joint distribution of a source's window and the result's is taken to be a mixture:

    phi * (the most dependent one, Frechet's bound) + (1 - phi) * (the independent one)

phi is the correlation of the nine values over that of the bound's places, which simplifies Nelsen's method. The
window's value is 2 I / (H_source + H_fused), and 1 where both hold the same edges; most windows hold none.

The values were not compared with MEFB's own code picture by picture, because that needs MATLAB: `edge` is written from
what it does, and a test compares the rest with a loop. The metric gives 0.861 to 0.951 for the eight pictures of
`tests/golden` (`python -m fusion.benchmark.experiments.golden`), where MEFB's 21 methods average 0.846 to 0.898, each
over 100 scenes. One habit is left out: MEFB overwrites a window of the result that has no edges before the second
source is compared with it, and what it then gets where that has none either rests on rounding; here it is 1.

A window has one of 512 patterns, so that only the pairs of patterns that occur are looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import at_least, sobel
from fusion.metrics.picture import Levels, Picture, Plane, Sources, mean_over_rgb

_CELLS = 9
_FLAT_CELLS = (1 << _CELLS) - 1


def _edges(levels: Levels) -> NDArray[np.bool_]:
    """Return thin edges: local maxima of the gradient, along the axis on which it is steeper, above the threshold."""
    import cv2

    gx, gy = sobel(at_least(3, levels), cv2.BORDER_REPLICATE)
    strength = gx * gx + gy * gy
    gx, gy = np.abs(gx), np.abs(gy)
    framed = np.pad(strength, 1, constant_values=-1)  # beyond the border nothing is as strong
    crest_x = (gx >= gy) & (framed[1:-1, :-2] <= strength) & (strength > framed[1:-1, 2:])
    crest_y = (gy >= gx) & (framed[:-2, 1:-1] <= strength) & (strength > framed[2:, 1:-1])
    return (strength > 4 * strength.mean()) & (crest_x | crest_y)


def _patterns(picture: Picture) -> NDArray[np.int64]:
    """Return each 3 x 3 window's edges as nine bits, column by column from the highest: (H - 2, W - 2)."""
    edges = _edges(picture.pixels).astype(np.int64)
    height, width = (side - 2 for side in edges.shape)
    patterns = np.zeros((height, width), np.int64)
    for x in range(3):
        for y in range(3):
            patterns = patterns * 2 + edges[y : y + height, x : x + width]
    return patterns


def _entropy(p: Plane) -> Plane:
    """Return -sum p log2 |p| of each row; phi may leave 0 to 1 and make a probability negative, as in the source."""
    return -np.sum(p * np.log2(np.abs(p), out=np.zeros_like(p), where=p != 0), axis=1)


def pattern_information(a: NDArray[np.int64], f: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the value of each pair of windows, 0 to 1: (N,).

    Windows are given as patterns (N,) and (N,) from 0 to 511, each of nine edges column by column.

    >>> pattern_information(np.array([0, 256]), np.array([0, 1])).tolist()
    [1.0, 0.0]
    """
    bits = np.arange(_CELLS)[::-1]
    pa, pf = (np.where(x == 0, _FLAT_CELLS, x)[:, None] >> bits & 1 for x in (a, f))  # no edge: flat, as all edges
    pa, pf = (p / p.sum(1, keepdims=True) for p in (pa, pf))
    ca, cf = np.cumsum(pa, 1), np.cumsum(pf, 1)
    places = np.arange(_CELLS)
    spread = [np.sqrt(np.maximum((p * places**2).sum(1) - (p * places).sum(1) ** 2, 0)) for p in (pa, pf)]
    da, df = (p - 1 / _CELLS for p in (pa, pf))
    norm = np.sqrt((da**2).sum(1) * (df**2).sum(1))
    product = (da * df).sum(1)
    correlation = np.divide(product, norm, out=np.zeros_like(product), where=(norm > 1e-12) & (np.abs(product) > 1e-12))

    upper = np.minimum(cf[:, :, None], ca[:, None, :])
    lower = np.maximum(cf[:, :, None] + ca[:, None, :] - 1, 0)
    bound = np.where((correlation >= 0)[:, None, None], upper, lower)
    covariance = (bound - cf[:, :, None] * ca[:, None, :]).sum((1, 2))
    attainable = covariance / np.maximum(spread[0] * spread[1], 1e-300)
    dependent = (spread[0] * spread[1] > 1e-12) & (correlation != 0)
    phi = np.divide(correlation, attainable, out=np.zeros_like(correlation), where=dependent)
    cells = np.diff(np.diff(bound, axis=1, prepend=0), axis=2, prepend=0).reshape(len(a), -1)
    independent = (pf[:, :, None] * pa[:, None, :]).reshape(len(a), -1)
    joint = phi[:, None] * cells + (1 - phi[:, None]) * independent
    total = _entropy(pa) + _entropy(pf)
    value = np.divide(2 * (total - _entropy(joint)), total, out=np.zeros_like(total), where=total > 0)
    return np.where(a == f, 1.0, value)


@mean_over_rgb
def feature_information(fused: Picture, sources: Sources) -> float:
    """Return FMI: how much of the photographs' edges the fused picture's edges tell, window by window.

        FMI = mean over sources and windows of 2 I / (H_source + H_fused)

    I is the mutual information of two windows' edges, H the entropy of one's; how they are found stands at the top of
    `fusion.metrics.fmi`. It is averaged over R, G and B. Range: 0 to 1, and 1 where all edges are the same. Higher is
    better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: Haghighat, Aghagolzadeh, Seyedarabi, "A non-reference image fusion metric based on mutual information of
    image features", Computers and Electrical Engineering 2011; Haghighat, Razian, "Fast-FMI", AICT 2014.

    >>> import numpy as np
    >>> from fusion.metrics import fmi
    >>> from fusion.metrics.picture import Sources
    >>> edge = np.zeros((12, 12, 3), np.uint8)
    >>> edge[:, 6:] = 200
    >>> fmi.METRIC.measure(edge // 2, Sources(edge, edge)), round(fmi.METRIC.measure(edge * 0, Sources(edge, edge)), 4)
    (1.0, 0.7)
    """
    f = _patterns(fused)
    total = 0.0
    for one in sources:
        source = one.derive(_patterns)
        pairs, counts = np.unique(source << _CELLS | f, return_counts=True)
        total += float(counts @ pattern_information(pairs >> _CELLS, pairs & _FLAT_CELLS)) / f.size
    return total / len(sources)


METRIC = Metric(
    name="fmi",
    title="FMI",
    better=Better.HIGHER,
    source="Haghighat, Aghagolzadeh, Seyedarabi, Computers and Electrical Engineering 2011; MEFB",
    meaning="It tells how well the result's edges predict those of each photograph; 1 is the most",
    caution="A copy of one photograph scores best, then the plain mean of both, and all values lie close together",
    formula=feature_information,
    agreement=0.02,
    bounds=(0, 1),
    mefb="FMI",
)
