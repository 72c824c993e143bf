"""SSIM of the fused picture with each source, and MS-SSIM of two planes.

Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
similarity", TIP 2004, eq. 13, with the settings of its section III-C: 11x11 Gaussian of sigma 1.5,
K1 = 0.01, K2 = 0.03, range 255, windows that lie inside the picture, population covariance, no downsampling.
Measured on rounded BT.601 grey; the mean of both sources' values. Sides below 11 are mirrored up to 11.
"""

from __future__ import annotations

import numpy as np

from fusion.metrics.base import Better, Metric, Pixels
from fusion.metrics.gaussian import gaussian_mean
from fusion.metrics.grey import grey
from fusion.metrics.planes import Plane, at_least

WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def _mean(plane: Plane) -> Plane:
    return gaussian_mean(plane, WINDOW, _SIGMA)


def _qualities(x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """SSIM's two factors in every window: of the means, and of contrast and structure."""
    mx, my = _mean(x), _mean(y)
    variances = _mean(x * x + y * y) - mx**2 - my**2
    covariance = _mean(x * y) - mx * my
    return (2 * mx * my + _C1) / (mx**2 + my**2 + _C1), (2 * covariance + _C2) / (variances + _C2)


def ssim(x: Plane, y: Plane) -> float:
    """SSIM of two planes on the scale 0 to 255, from -1 to 1; 1 where they are equal, flat ones included."""
    means, structure = _qualities(x, y)
    return float((means * structure).mean())


def ms_ssim(x: Plane, y: Plane) -> float:
    """MS-SSIM of two planes on the scale 0 to 255, 0 to 1; 1 where they are equal.

    Five scales, each of 2 x 2 means of the one before: the mean of contrast and structure at each, to the power of its
    weight, and at the last of SSIM. Smaller planes use the scales at which a window still fits, the weights made to sum
    to 1 again; a mean below 0 counts as 0. Source: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image
    quality assessment", Asilomar 2003.
    """
    import cv2

    scales = [(x, y)]
    while len(scales) < len(_SCALE_WEIGHTS) and min(x.shape) // 2 >= WINDOW:
        size = x.shape[1] // 2, x.shape[0] // 2
        x, y = (
            np.asarray(cv2.resize(p[: size[1] * 2, : size[0] * 2], size, interpolation=cv2.INTER_AREA), np.float64)
            for p in (x, y)
        )
        scales.append((x, y))
    weights = np.array(_SCALE_WEIGHTS[: len(scales)])
    means = [float(_qualities(*planes)[1].mean()) for planes in scales[:-1]] + [ssim(*scales[-1])]
    return float(np.prod(np.maximum(means, 0) ** (weights / weights.sum())))


def _measure(fused: Pixels, under: Pixels, over: Pixels) -> float:
    f, a, b = (at_least(WINDOW, grey(picture)) for picture in (fused, under, over))
    return (ssim(f, a) + ssim(f, b)) / 2


METRIC = Metric(
    name="ssim",
    title="SSIM",
    better=Better.HIGHER,
    source="Wang, Bovik, Sheikh, Simoncelli, TIP 2004",
    meaning="Mean likeness to the two photographs in brightness, contrast and structure, up to 1",
    caution="A copy of one photograph and the plain mean of both score above a careful fusion",
    measure=_measure,
    bounds=(-1, 1),
)
