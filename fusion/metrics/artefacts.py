"""Metrics of what fusion does wrong: halos, clipping, noise. All look at the sources as well, and lower is better."""

from __future__ import annotations

import numpy as np

from fusion.metrics.base import Better, Metric, Pixels
from fusion.metrics.grey import grey
from fusion.metrics.planes import Levels, Plane, at_least
from fusion.metrics.sobel import sobel

# Halos

_HALO_SIGMA = 2.0


def _gradient(levels: Levels) -> tuple[Plane, Plane]:
    """Of the plane under a Gaussian, which hides most noise from it."""
    import cv2

    plane = cv2.GaussianBlur(at_least(3, levels), (0, 0), _HALO_SIGMA, borderType=cv2.BORDER_REPLICATE)
    return sobel(np.asarray(plane, np.float64), cv2.BORDER_REPLICATE)


def _halo(fused: Pixels, under: Pixels, over: Pixels) -> float:
    """The share of the result's gradient, on grey under a Gaussian of sigma 2, that no photograph has; 0 to 1.

    A halo brightens or darkens towards an edge where the photographs are flat or do the opposite: the product of the
    result's gradient with neither of theirs is positive. But for rounding it is 0 for every weighted mean of the
    photographs whose weights are the same everywhere, and for a flat result.
    """
    fx, fy = _gradient(grey(fused))
    opposed = np.ones(fx.shape, np.bool_)
    for source in (under, over):
        x, y = _gradient(grey(source))
        opposed &= fx * x + fy * y <= 0
    strength = np.hypot(fx, fy)
    total = float(strength.sum())
    return float(strength[opposed].sum()) / total if total > 0 else 0.0


# Clipping


def _lost_shadows(fused: Pixels, under: Pixels, over: Pixels) -> float:
    """The share of all samples (pixel and channel) that are 0 in the result and above 0 in a photograph, 0 to 1."""
    return float(np.mean((fused == 0) & (np.maximum(under, over) > 0)))


def _lost_highlights(fused: Pixels, under: Pixels, over: Pixels) -> float:
    """The share of all samples (pixel and channel) that are 255 in the result and less in a photograph, 0 to 1."""
    return float(np.mean((fused == 255) & (np.minimum(under, over) < 255)))


# Noise

_ROUNDING = 1 / 12
"""The variance of rounding to whole levels."""


def _noise(plane: Plane) -> Plane:
    """Immerkaer's difference of two Laplacians, which no plane and no ramp passes; noise of variance 1 gives 36."""
    import cv2

    kernel = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0])
    return np.asarray(cv2.filter2D(plane, cv2.CV_64F, kernel, borderType=cv2.BORDER_REFLECT), np.float64)


def _noise_gain(fused: Pixels, under: Pixels, over: Pixels) -> float:
    """The noise of the result over that of the noisier photograph, on grey; 1 where nothing has any.

    Noise: Immerkaer's standard deviation, sqrt(pi / 2) / 6 of the mean magnitude, with the variance of rounding added;
    of the half of all pixels at which the photographs' gradients are weakest.
    """
    import cv2

    f, a, b = (at_least(3, grey(picture)) for picture in (fused, under, over))
    slope = sum(np.hypot(*sobel(plane, cv2.BORDER_REFLECT)) for plane in (a, b))
    smooth = slope <= np.median(slope)

    def deviation(plane: Plane) -> float:
        measured = np.sqrt(np.pi / 2) / 6 * np.mean(np.abs(_noise(plane)[smooth]))
        return float(np.sqrt(measured**2 + _ROUNDING))

    return deviation(f) / max(deviation(a), deviation(b))


HALO = Metric(
    name="halo",
    title="Halo",
    better=Better.LOWER,
    source="Gradient reversal, as He, Sun, Tang (TPAMI 2013) name it",
    meaning="How much of the result's gradient is in neither photograph, as it is next to edges with a halo, 0 to 1",
    caution="A copy of one photograph and the plain mean of both have none; blur and noise count as some",
    measure=_halo,
    bounds=(0, 1),
)

LOST_SHADOWS = Metric(
    name="lost_shadows",
    title="Lost shadows",
    better=Better.LOWER,
    source="Share of clipped samples",
    meaning="How much of the result is at 0 where a photograph is not, 0 to 1",
    caution="Blur lowers it: it counts clipped samples, not lost detail",
    measure=_lost_shadows,
    bounds=(0, 1),
)

LOST_HIGHLIGHTS = Metric(
    name="lost_highlights",
    title="Lost highlights",
    better=Better.LOWER,
    source="Share of clipped samples",
    meaning="How much of the result is at 255 where a photograph is not, 0 to 1",
    caution="Darkening the result lowers it, though no detail comes back",
    measure=_lost_highlights,
    bounds=(0, 1),
)

NOISE_GAIN = Metric(
    name="noise_gain",
    title="Noise gain",
    better=Better.LOWER,
    source="Immerkaer, Computer Vision and Image Understanding 1996",
    meaning="Noise of the result in smooth areas, over that of the noisier photograph",
    caution="Blur lowers it: lost detail counts as lost noise",
    measure=_noise_gain,
)
