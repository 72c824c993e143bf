"""SSIM of the fused picture with each source.

Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
similarity", TIP 2004, eq. 13, with the settings of its section III-C: 11x11 Gaussian of sigma 1.5,
K1 = 0.01, K2 = 0.03, range 255, windows that lie inside the picture, population covariance, no downsampling.
Measured on rounded BT.601 grey; the mean of both sources' values. Sides below 11 are mirrored up to 11.
"""

from __future__ import annotations

from fusion.metric import Better, Metric, Pixels
from fusion.metrics.gaussian import gaussian_mean
from fusion.metrics.grey import grey
from fusion.metrics.planes import Plane, at_least

_WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2


def _mean(plane: Plane) -> Plane:
    return gaussian_mean(plane, _WINDOW, _SIGMA)


def ssim(x: Plane, y: Plane) -> float:
    """SSIM of two planes on the scale 0 to 255, from -1 to 1; 1 where they are equal, flat ones included."""
    mx, my = _mean(x), _mean(y)
    variances = _mean(x * x + y * y) - mx**2 - my**2
    covariance = _mean(x * y) - mx * my
    quality = (2 * mx * my + _C1) * (2 * covariance + _C2) / ((mx**2 + my**2 + _C1) * (variances + _C2))
    return float(quality.mean())


def _measure(fused: Pixels, under: Pixels, over: Pixels) -> float:
    f, a, b = (at_least(_WINDOW, grey(picture)) for picture in (fused, under, over))
    return (ssim(f, a) + ssim(f, b)) / 2


METRIC = Metric(
    name="ssim",
    title="SSIM",
    better=Better.HIGHER,
    source="Wang, Bovik, Sheikh, Simoncelli, TIP 2004",
    meaning="Mean likeness to the two photographs in brightness, contrast and structure, up to 1",
    caution="The plain mean of both photographs does well, and so does a blurred result",
    measure=_measure,
    bounds=(-1, 1),
)
