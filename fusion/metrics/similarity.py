"""Metrics built on SSIM between the fused picture and each source: Piella's, Yang's and Cvejic's.

All work on R, G and B apart, on the scale 0 to 255, under Gaussian windows of sigma 1.5 that lie inside the picture, as
in MEFB (Zhang, Information Fusion 2021). Per window and pair of pictures

    SSIM = (2 mu_x mu_y + C1) (2 cov + C2) / ((mu_x^2 + mu_y^2 + C1) (var_x + var_y + C2))

with C1 = (0.01 * 255)^2 and C2 = (0.03 * 255)^2. MEFB has 2e-16 for both in Yang's and Cvejic's: windows that are flat
in both pictures are then 0 / 0 but for rounding, which decides their value and with it, where such windows are common
(clipped skies, dark rooms), the mean. Hence two forms: `qy` and `qc` with SSIM's constants, and `qy_mefb` and
`qc_mefb`, which repeat MEFB's arithmetic down to the order of its sums.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fusion.metrics.base import Better, Metric, kept_for_pair
from fusion.metrics.gaussian import gaussian_mean
from fusion.metrics.planes import Levels, Plane, at_least, mean_over_rgb, share

_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_FLAT = 1e-8  # rounding leaves up to 1e-10; one level at a window's corner makes 1e-6 or more
_SIMILAR = 0.75


class _Moments(NamedTuple):
    """A plane, and the mean and variance of its windows."""

    plane: Plane
    mean: Plane
    variance: Plane


def _moments(plane: Plane, size: int) -> _Moments:
    mean = gaussian_mean(plane, size, _SIGMA)
    variance = gaussian_mean(plane * plane, size, _SIGMA) - mean * mean
    variance[variance < _FLAT] = 0
    return _Moments(plane, mean, variance)


def _covariance(x: _Moments, y: _Moments, size: int) -> Plane:
    covariance = gaussian_mean(x.plane * y.plane, size, _SIGMA) - x.mean * y.mean
    covariance[(x.variance == 0) | (y.variance == 0)] = 0
    return covariance


def _ssim(x: _Moments, y: _Moments, covariance: Plane, c1: float = _C1, c2: float = _C2) -> Plane:
    upper = (2 * x.mean * y.mean + c1) * (2 * covariance + c2)
    return upper / ((x.mean**2 + y.mean**2 + c1) * (x.variance + y.variance + c2))


# Piella's

_EDGE_WINDOW = 11


def _edges(levels: Levels) -> _Moments:
    """Magnitude of the 3 x 3 Prewitt gradient with a border of zeros, so that the picture's frame is an edge."""
    import cv2

    plane = at_least(_EDGE_WINDOW, levels)
    box, slope = np.ones(3), np.array([-1.0, 0.0, 1.0])
    gx = cv2.sepFilter2D(plane, cv2.CV_64F, slope, box, borderType=cv2.BORDER_CONSTANT)
    gy = cv2.sepFilter2D(plane, cv2.CV_64F, box, slope, borderType=cv2.BORDER_CONSTANT)
    return _moments(np.asarray(cv2.magnitude(gx, gy), np.float64), _EDGE_WINDOW)


@kept_for_pair
@lru_cache(maxsize=6)
def _edges_of_source(levels: bytes, size: tuple[int, int]) -> _Moments:
    """Kept for the planes of one pair, since several results of it are measured one after the other."""
    return _edges(np.frombuffer(levels, np.uint8).reshape(size))


def _qw(fused: Levels, under: Levels, over: Levels) -> float:
    """SSIM of edge strengths, the sources weighted by their variances, windows by the larger one; -1 to 1.

    Piella, Heijmans 2003, their weighted index of the edge images: MEFB leaves out its other factor, the index of the
    pictures themselves, and gives a window without an edge the weight 0.5. Sides below 11 are mirrored up to 11.
    """
    f, a, b = _edges(fused), *(_edges_of_source(plane.tobytes(), plane.shape) for plane in (under, over))
    to_a, to_b = (_ssim(f, source, _covariance(f, source, _EDGE_WINDOW)) for source in (a, b))
    of_a = share(a.variance, b.variance)
    saliency = np.maximum(a.variance, b.variance)
    saliency[saliency == 0] = 0.5
    return float((saliency * (of_a * to_a + (1 - of_a) * to_b)).sum() / saliency.sum())


# Yang's and Cvejic's

_WINDOW = 7


class _Windows(NamedTuple):
    """What both metrics are made of."""

    under: _Moments
    over: _Moments
    between: Plane
    """Covariance of the sources."""
    fused: _Moments
    with_under: Plane
    """Covariance of the fused picture with `under`."""
    with_over: Plane


def _windows(fused: Levels, under: Levels, over: Levels) -> _Windows:
    f = _moments(at_least(_WINDOW, fused), _WINDOW)
    a, b, between = _windows_of_sources(under.tobytes(), over.tobytes(), under.shape)
    return _Windows(a, b, between, f, _covariance(f, a, _WINDOW), _covariance(f, b, _WINDOW))


@kept_for_pair
@lru_cache(maxsize=3)
def _windows_of_sources(under: bytes, over: bytes, size: tuple[int, int]) -> tuple[_Moments, _Moments, Plane]:
    """Kept for the planes of one pair, since several results of it are measured one after the other."""
    a, b = (_moments(at_least(_WINDOW, np.frombuffer(x, np.uint8).reshape(size)), _WINDOW) for x in (under, over))
    return a, b, _covariance(a, b, _WINDOW)


def _qy(fused: Levels, under: Levels, over: Levels) -> float:
    """Mean of the weighted mean of both SSIM where the sources are alike, elsewhere of the larger one; -1 to 1.

    Where both sources are flat they weigh alike. Source: Yang, Zhang, Wang, Liu, Information Fusion 2008.
    """
    a, b, between, f, with_a, with_b = _windows(fused, under, over)
    to_a, to_b = _ssim(f, a, with_a), _ssim(f, b, with_b)
    of_a = share(a.variance, b.variance)
    alike = _ssim(a, b, between) >= _SIMILAR
    return float(np.where(alike, of_a * to_a + (1 - of_a) * to_b, np.maximum(to_a, to_b)).mean())


def _qc(fused: Levels, under: Levels, over: Levels) -> float:
    """Mean of both SSIM, weighted by the covariances' share in their sum, kept within 0 and 1; -1 to 1.

    Where both covariances are 0 the sources weigh alike. Source: Cvejic, Loza, Bull, Canagarajah, 2005.
    """
    a, b, _, f, with_a, with_b = _windows(fused, under, over)
    of_a = share(with_a, with_b).clip(0, 1)
    return float((of_a * _ssim(f, a, with_a) + (1 - of_a) * _ssim(f, b, with_b)).mean())


# Their forms in MEFB

_TINY = 2e-16
_STRIP = 32


def _ordered_window() -> Plane:
    """(7, 7): the Gaussian, summed one value after the other, like all that follows."""
    squares = (np.arange(_WINDOW) - _WINDOW // 2) ** 2
    window = np.exp(-(squares[:, None] + squares) / (2 * _SIGMA**2))
    window /= np.cumsum(window)[-1]
    return window / np.cumsum(np.cumsum(window, axis=0)[-1])[-1]


def _ordered_mean(plane: Plane) -> Plane:
    """Means under the 7 x 7 Gaussian, each summed as GNU Octave's filter2 does: column by column, from the far end.

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


def _raw_moments(levels: Levels) -> _Moments:
    plane = at_least(_WINDOW, levels)
    mean = _ordered_mean(plane)
    return _Moments(plane, mean, _ordered_mean(plane * plane) - mean * mean)


def _raw_covariance(x: _Moments, y: _Moments) -> Plane:
    return _ordered_mean(x.plane * y.plane) - x.mean * y.mean


@kept_for_pair
@lru_cache(maxsize=3)
def _raw_windows_of_sources(under: bytes, over: bytes, size: tuple[int, int]) -> tuple[_Moments, _Moments, Plane]:
    """Kept for the planes of one pair, since several results of it are measured one after the other."""
    a, b = (_raw_moments(np.frombuffer(levels, np.uint8).reshape(size)) for levels in (under, over))
    return a, b, _raw_covariance(a, b)


@kept_for_pair
@lru_cache(maxsize=3)
def _raw_windows(fused: bytes, under: bytes, over: bytes, size: tuple[int, int]) -> _Windows:
    """Kept for the planes of one result, since two metrics are made of them."""
    a, b, between = _raw_windows_of_sources(under, over, size)
    f = _raw_moments(np.frombuffer(fused, np.uint8).reshape(size))
    return _Windows(a, b, between, f, _raw_covariance(a, f), _raw_covariance(b, f))


def _mean_of_finite(quality: Plane) -> float:
    finite = quality[np.isfinite(quality)]
    return float(finite.mean()) if finite.size else 1.0


@np.errstate(divide="ignore", invalid="ignore")
def _qy_mefb(fused: Levels, under: Levels, over: Levels) -> float:
    """`qy` with 2e-16 for SSIM's constants; any number, and meaningless where many windows are flat in all pictures.

    MEFB leaves windows out that are not a number; infinite ones are left out here as well. 1 where none is left.
    """
    a, b, between, f, with_a, with_b = _raw_windows(fused.tobytes(), under.tobytes(), over.tobytes(), fused.shape)
    to_a, to_b = _ssim(a, f, with_a, _TINY, _TINY), _ssim(b, f, with_b, _TINY, _TINY)
    of_a = a.variance / (a.variance + b.variance)
    alike = _ssim(a, b, between, _TINY, _TINY) >= _SIMILAR
    # Where of_a is not a number, MEFB's sum of both cases is not one either.
    larger = np.maximum(to_a, to_b) + 0 * of_a
    return _mean_of_finite(np.where(alike, of_a * to_a + (1 - of_a) * to_b, larger))


@np.errstate(divide="ignore", invalid="ignore")
def _qc_mefb(fused: Levels, under: Levels, over: Levels) -> float:
    """`qc` with 2e-16 for SSIM's constants; any number, and meaningless where many windows are flat in all pictures.

    Oddity, kept: where the share leaves 0 to 1, because one source opposes the result, the *quality* becomes 0 or 1,
    and not the share. MEFB leaves windows out that are not a number; infinite ones are left out here as well. 1 where
    none is left.
    """
    a, b, _, f, with_a, with_b = _raw_windows(fused.tobytes(), under.tobytes(), over.tobytes(), fused.shape)
    of_a = with_a / (with_a + with_b)
    quality = of_a * _ssim(a, f, with_a, _TINY, _TINY) + (1 - of_a) * _ssim(b, f, with_b, _TINY, _TINY)
    quality[of_a < 0] = 0
    quality[of_a > 1] = 1
    return _mean_of_finite(quality)


QW = Metric(
    name="qw",
    title="Q_W",
    better=Better.HIGHER,
    source="Piella, Heijmans, ICIP 2003; MEFB",
    meaning="Likeness of the result's edges to the photographs', up to 1",
    caution="Noise and over-sharpening cost little",
    measure=mean_over_rgb(_qw),
    bounds=(-1, 1),
    mefb="Qw",
)

QY = Metric(
    name="qy",
    title="Q_Y",
    better=Better.HIGHER,
    source="Yang, Zhang, Wang, Liu, Information Fusion 2008",
    meaning="Likeness to both photographs where they agree, to the nearer one where they do not, up to 1",
    caution="A copy of one photograph scores nearly 1",
    measure=mean_over_rgb(_qy),
    bounds=(-1, 1),
)

QY_MEFB = Metric(
    name="qy_mefb",
    title="Q_Y (MEFB)",
    better=Better.HIGHER,
    source="Yang, Zhang, Wang, Liu, Information Fusion 2008, as altered in MEFB (Zhang 2021)",
    meaning="The same by MEFB's formula, which divides rounding errors where the photographs are flat",
    caution="A copy of one photograph scores 1; rounding errors decide it where both photographs are flat",
    measure=mean_over_rgb(_qy_mefb),
    bounds=(-math.inf, math.inf),
    mefb="Qy",
)

QC = Metric(
    name="qc",
    title="Q_C",
    better=Better.HIGHER,
    source="Cvejic, Loza, Bull, Canagarajah, International Journal of Signal Processing 2005",
    meaning="Likeness to each photograph, weighted by how much of it is in the result, up to 1",
    caution="A copy of one photograph scores above a careful fusion",
    measure=mean_over_rgb(_qc),
    bounds=(-1, 1),
)

QC_MEFB = Metric(
    name="qc_mefb",
    title="Q_C (MEFB)",
    better=Better.HIGHER,
    source="Cvejic, Loza, Bull, Canagarajah, 2005, as altered in MEFB (Zhang 2021)",
    meaning="The same by MEFB's formula, which divides rounding errors where the photographs are flat",
    caution="Rounding errors decide it where both photographs are flat: the plain mean can score below 0",
    measure=mean_over_rgb(_qc_mefb),
    bounds=(-math.inf, math.inf),
    mefb="Qc",
)
