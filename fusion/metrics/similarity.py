"""Metrics built on SSIM between the fused picture and each photograph: Piella's, Yang's and Cvejic's.

All work on R, G and B apart, on the scale 0 to 255, under Gaussian windows of sigma 1.5 that lie inside the picture, as
in MEFB (Zhang, Information Fusion 2021). SSIM and its constants C1 and C2 are those of `fusion.metrics.ssim`. MEFB has
2e-16 for both constants in Yang's and Cvejic's metric: windows that are flat in both pictures are then 0 / 0 but for
rounding, which decides their value and with it, where such windows are common (clipped skies, dark rooms), the mean.
Hence there are two forms: `qy` and `qc` with SSIM's constants, and `qy_mefb` and `qc_mefb`, which repeat MEFB's
arithmetic down to the order of its sums.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import Moments, at_least, covariance, moments, share
from fusion.metrics.picture import Picture, Plane, Sources, mean_over_rgb
from fusion.metrics.ssim import FLAT, SIGMA, constants, ssim_map

_C = constants(255)
_SIMILAR = 0.75


def _covariance(x: Moments, y: Moments, size: int) -> Plane:
    """Return the covariance of every window, 0 where one of the two is flat."""
    found = covariance(x, y, size, SIGMA)
    found[(x.variance == 0) | (y.variance == 0)] = 0
    return found


def _ssim(x: Moments, y: Moments, covariance: Plane, c: tuple[float, float] = _C) -> Plane:
    return ssim_map(x.mean, y.mean, x.variance + y.variance, covariance, c)


# Piella's

_EDGE_WINDOW = 11


def _edges(picture: Picture) -> Moments:
    """Return the moments of the 3 x 3 Prewitt gradient's magnitude.

    There are zeros beyond the border, so that the picture's frame is an edge.
    """
    import cv2

    plane = at_least(_EDGE_WINDOW, picture.pixels)
    box, slope = np.ones(3), np.array([-1.0, 0.0, 1.0])
    gx = cv2.sepFilter2D(plane, cv2.CV_64F, slope, box, borderType=cv2.BORDER_CONSTANT)
    gy = cv2.sepFilter2D(plane, cv2.CV_64F, box, slope, borderType=cv2.BORDER_CONSTANT)
    return moments(np.asarray(cv2.magnitude(gx, gy), np.float64), _EDGE_WINDOW, SIGMA, FLAT)


@mean_over_rgb
def edge_similarity(fused: Picture, sources: Sources) -> float:
    """Return Q_W: SSIM of the fused picture's edge strengths with those of the photographs.

        Q_W = sum of s (w SSIM_under + (1 - w) SSIM_over) / sum of s   over all windows,
        w = v_under / (v_under + v_over),   s = max(v_under, v_over)

    Edge strength is the magnitude of the Prewitt gradient, and v its variance in an 11 x 11 Gaussian window. This is
    the weighted index of edge pictures in Piella's metric; as in MEFB, its other factor, the index of the pictures
    themselves, is left out, and a window without an edge has s = 0.5. Sides below 11 are mirrored up to 11. It is
    averaged over R, G and B. Range: -1 to 1. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Piella, Heijmans, "A new quality metric for image fusion", ICIP 2003.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> edge = np.zeros((16, 16, 3), np.uint8)
    >>> edge[:, 8:] = 200
    >>> round(QW.measure(edge, Sources(edge, edge)), 4), round(QW.measure(edge // 4, Sources(edge, edge)), 4)
    (1.0, 0.2217)
    """
    f, a, b = _edges(fused), *(source.derive(_edges) for source in sources)
    to_a, to_b = (_ssim(f, source, _covariance(f, source, _EDGE_WINDOW)) for source in (a, b))
    of_a = share(a.variance, b.variance)
    saliency = np.maximum(a.variance, b.variance)
    saliency[saliency == 0] = 0.5
    return float((saliency * (of_a * to_a + (1 - of_a) * to_b)).sum() / saliency.sum())


# Yang's and Cvejic's

_WINDOW = 7


class _Windows(NamedTuple):
    """The moments of three pictures' windows, from which both metrics are computed."""

    under: Moments
    over: Moments
    between: Plane
    """Covariance of the sources."""
    fused: Moments
    with_under: Plane
    """Covariance of the fused picture with `under`."""
    with_over: Plane
    """Covariance of the fused picture with `over`."""


def _moments(picture: Picture) -> Moments:
    return moments(at_least(_WINDOW, picture.pixels), _WINDOW, SIGMA, FLAT)


def _between(sources: Sources) -> Plane:
    a, b = (source.derive(_moments) for source in sources)
    return _covariance(a, b, _WINDOW)


def _windows(fused: Picture, sources: Sources) -> _Windows:
    a, b = (source.derive(_moments) for source in sources)
    f = _moments(fused)
    return _Windows(a, b, sources.derive(_between), f, _covariance(f, a, _WINDOW), _covariance(f, b, _WINDOW))


@mean_over_rgb
def either_similarity(fused: Picture, sources: Sources) -> float:
    """Return Q_Y: the likeness to both photographs where they agree, and to the nearer one where they do not.

        Q_Y = mean of  w SSIM_under + (1 - w) SSIM_over   where SSIM(under, over) >= 0.75,
                       max(SSIM_under, SSIM_over)         elsewhere;   w = v_under / (v_under + v_over)

    v is the variance in a 7 x 7 Gaussian window; where both photographs are flat they weigh alike. Sides below 7 are
    mirrored up to 7. It is averaged over R, G and B. Range: -1 to 1. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Yang, Zhang, Wang, Liu, "A novel similarity based quality metric for image fusion", Information Fusion
    2008.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (1, 8, 3))
    >>> round(QY.measure(ramp, Sources(ramp, ramp // 2)), 4), round(QY.measure(ramp[::-1], Sources(ramp, ramp)), 4)
    (1.0, -0.929)
    """
    a, b, between, f, with_a, with_b = _windows(fused, sources)
    to_a, to_b = _ssim(f, a, with_a), _ssim(f, b, with_b)
    of_a = share(a.variance, b.variance)
    alike = _ssim(a, b, between) >= _SIMILAR
    return float(np.where(alike, of_a * to_a + (1 - of_a) * to_b, np.maximum(to_a, to_b)).mean())


@mean_over_rgb
def weighted_similarity(fused: Picture, sources: Sources) -> float:
    """Return Q_C: the likeness to each photograph, weighted by how much of it is in the fused picture.

        Q_C = mean of w SSIM_under + (1 - w) SSIM_over,   w = cov_under / (cov_under + cov_over), kept within 0 to 1

    cov is a photograph's covariance with the fused picture in a 7 x 7 Gaussian window; where both are 0 the photographs
    weigh alike. Sides below 7 are mirrored up to 7. It is averaged over R, G and B. Range: -1 to 1. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Cvejic, Loza, Bull, Canagarajah, "A similarity metric for assessment of image fusion algorithms",
    International Journal of Signal Processing 2005.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (1, 8, 3))
    >>> round(QC.measure(ramp, Sources(ramp, ramp)), 4), round(QC.measure(ramp, Sources(ramp, ramp // 2)), 4)
    (1.0, 0.8814)
    """
    a, b, _, f, with_a, with_b = _windows(fused, sources)
    of_a = share(with_a, with_b).clip(0, 1)
    return float((of_a * _ssim(f, a, with_a) + (1 - of_a) * _ssim(f, b, with_b)).mean())


# Their forms in MEFB

_TINY = (2e-16, 2e-16)
_STRIP = 32


def _ordered_window() -> Plane:
    """Return the Gaussian (7, 7), summed one value after the other, like all that follows."""
    squares = (np.arange(_WINDOW) - _WINDOW // 2) ** 2
    window = np.exp(-(squares[:, None] + squares) / (2 * SIGMA**2))
    window /= np.cumsum(window)[-1]
    return window / np.cumsum(np.cumsum(window, axis=0)[-1])[-1]


def _ordered_mean(plane: Plane) -> Plane:
    """Return means under the 7 x 7 Gaussian, each summed as GNU Octave's filter2 does: by columns, from the far end.

    That order decides what rounding leaves of the variance of a flat window.
    """
    window = _ordered_window()
    height, width = (side - _WINDOW + 1 for side in plane.shape)
    means = np.zeros((height, width))
    for top in range(0, height, _STRIP):  # so much stays in the processor's cache
        strip = means[top : top + _STRIP]
        for x in reversed(range(_WINDOW)):
            for y in reversed(range(_WINDOW)):
                strip += window[y, x] * plane[top + y : top + y + len(strip), x : x + width]
    return means


def _raw_moments(picture: Picture) -> Moments:
    plane = at_least(_WINDOW, picture.pixels)
    mean = _ordered_mean(plane)
    return Moments(plane, mean, _ordered_mean(plane * plane) - mean * mean)


def _raw_covariance(x: Moments, y: Moments) -> Plane:
    return _ordered_mean(x.plane * y.plane) - x.mean * y.mean


def _raw_between(sources: Sources) -> Plane:
    return _raw_covariance(*(source.derive(_raw_moments) for source in sources))


def _raw_windows(fused: Picture, sources: Sources) -> _Windows:
    a, b = (source.derive(_raw_moments) for source in sources)
    f = _raw_moments(fused)
    return _Windows(a, b, sources.derive(_raw_between), f, _raw_covariance(a, f), _raw_covariance(b, f))


def _mean_of_finite(quality: Plane) -> float:
    finite = quality[np.isfinite(quality)]
    return float(finite.mean()) if finite.size else 1.0


@mean_over_rgb
@np.errstate(divide="ignore", invalid="ignore")
def either_similarity_mefb(fused: Picture, sources: Sources) -> float:
    """Return MEFB's form of Q_Y, in which SSIM's constants are 2e-16.

        Q_Y = mean of  w SSIM_under + (1 - w) SSIM_over   where SSIM(under, over) >= 0.75,
                       max(SSIM_under, SSIM_over)         elsewhere;   w = v_under / (v_under + v_over)

    The value of a window that is flat in both pictures is then a quotient of rounding errors. MEFB leaves out windows
    whose value is not a number; infinite ones are left out here as well, and the result is 1 where none is left. It is
    averaged over R, G and B. Range: any number, which means nothing where many windows are flat in all pictures. Higher
    counts as better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Yang, Zhang, Wang, Liu, Information Fusion 2008, as altered in the code of MEFB (Zhang, Information
    Fusion 2021).

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (1, 8, 3))
    >>> round(QY_MEFB.measure(ramp, Sources(ramp, ramp // 2)), 4)
    1.0
    """
    a, b, between, f, with_a, with_b = fused.derive(_raw_windows, sources)
    to_a, to_b = _ssim(a, f, with_a, _TINY), _ssim(b, f, with_b, _TINY)
    of_a = a.variance / (a.variance + b.variance)
    alike = _ssim(a, b, between, _TINY) >= _SIMILAR
    # Where of_a is not a number, MEFB's sum of both cases is not one either.
    larger = np.maximum(to_a, to_b) + 0 * of_a
    return _mean_of_finite(np.where(alike, of_a * to_a + (1 - of_a) * to_b, larger))


@mean_over_rgb
@np.errstate(divide="ignore", invalid="ignore")
def weighted_similarity_mefb(fused: Picture, sources: Sources) -> float:
    """Return MEFB's form of Q_C, in which SSIM's constants are 2e-16.

        Q_C = mean of w SSIM_under + (1 - w) SSIM_over,   w = cov_under / (cov_under + cov_over)

    The value of a window that is flat in both pictures is then a quotient of rounding errors. Where w leaves 0 to 1,
    because one photograph opposes the fused picture, MEFB sets the *quality* to 0 or 1 instead of w, which is kept. It
    leaves out windows whose value is not a number; infinite ones are left out here as well, and the result is 1 where
    none is left. It is averaged over R, G and B. Range: any number, which means nothing where many windows are flat in
    all pictures. Higher counts as better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Cvejic, Loza, Bull, Canagarajah, International Journal of Signal Processing 2005, as altered in the code
    of MEFB (Zhang, Information Fusion 2021).

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (1, 8, 3))
    >>> round(QC_MEFB.measure(ramp, Sources(ramp, ramp // 2)), 4)
    0.88
    """
    a, b, _, f, with_a, with_b = fused.derive(_raw_windows, sources)
    of_a = with_a / (with_a + with_b)
    quality = of_a * _ssim(a, f, with_a, _TINY) + (1 - of_a) * _ssim(b, f, with_b, _TINY)
    quality[of_a < 0] = 0
    quality[of_a > 1] = 1
    return _mean_of_finite(quality)


QW = Metric(
    name="qw",
    title="Q_W",
    better=Better.HIGHER,
    source="Piella, Heijmans, ICIP 2003; MEFB",
    meaning="It tells how alike the result's edges and the photographs' edges are; 1 is the most",
    caution="Noise and over-sharpening cost little",
    formula=edge_similarity,
    agreement=0.54,
    bounds=(-1, 1),
    mefb="Qw",
)

QY = Metric(
    name="qy",
    title="Q_Y",
    better=Better.HIGHER,
    source="Yang, Zhang, Wang, Liu, Information Fusion 2008",
    meaning="It tells how like the result is to both photographs where they agree, and to the nearer one where they do "
    "not; 1 is the most",
    caution="A copy of one photograph scores nearly 1",
    formula=either_similarity,
    agreement=0.65,
    bounds=(-1, 1),
)

QY_MEFB = Metric(
    name="qy_mefb",
    title="Q_Y (MEFB)",
    better=Better.HIGHER,
    source="Yang, Zhang, Wang, Liu, Information Fusion 2008, as altered in MEFB (Zhang 2021)",
    meaning="It tells what Q_Y tells by MEFB's formula, which divides rounding errors where the photographs are flat",
    caution="A copy of one photograph scores 1; rounding errors decide it where both photographs are flat",
    formula=either_similarity_mefb,
    agreement=0.66,
    repeats="qy",
    bounds=(-math.inf, math.inf),
    mefb="Qy",
)

QC = Metric(
    name="qc",
    title="Q_C",
    better=Better.HIGHER,
    source="Cvejic, Loza, Bull, Canagarajah, International Journal of Signal Processing 2005",
    meaning="It tells how like the result is to each photograph, weighted by how much of that photograph is in it; 1 "
    "is the most",
    caution="A copy of one photograph scores above a careful fusion",
    formula=weighted_similarity,
    agreement=0.55,
    bounds=(-1, 1),
)

QC_MEFB = Metric(
    name="qc_mefb",
    title="Q_C (MEFB)",
    better=Better.HIGHER,
    source="Cvejic, Loza, Bull, Canagarajah, 2005, as altered in MEFB (Zhang 2021)",
    meaning="It tells what Q_C tells by MEFB's formula, which divides rounding errors where the photographs are flat",
    caution="Rounding errors decide it where both photographs are flat: the plain mean can score below 0",
    formula=weighted_similarity_mefb,
    agreement=0.58,
    repeats="qc",
    bounds=(-math.inf, math.inf),
    mefb="Qc",
)
