"""SSIM and MS-SSIM: one formula, for planes whose moments metrics keep and for tensors with gradients.

Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity", TIP
2004, eq. 13, with the settings of its section III-C: 11 x 11 Gaussian of sigma 1.5, K1 = 0.01, K2 = 0.03, windows that
lie inside the picture, population covariance, no downsampling.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import Moments, at_least, covariance, filter_valid, gaussian_window, moments
from fusion.metrics.picture import Picture, Plane, Sources

WINDOW = 11
SIGMA = 1.5
FLAT = 1e-8
"""A window's variance in squared levels, below which it is flat: rounding leaves up to 1e-10, and one level at a
window's corner makes 1e-6 or more."""
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

_Map = TypeVar("_Map", Plane, Tensor)


def constants(data_range: float) -> tuple[float, float]:
    """Return SSIM's C1 and C2 for pictures on the scale 0 to `data_range`.

    >>> [round(c, 4) for c in constants(255)]
    [6.5025, 58.5225]
    """
    return (0.01 * data_range) ** 2, (0.03 * data_range) ** 2


def ssim_map(mean_x: _Map, mean_y: _Map, variances: _Map, covariance: _Map, c: tuple[float, float]) -> _Map:
    """Return SSIM of every window; `variances` is the sum of both pictures', `c` holds C1 and C2."""
    upper = (2 * mean_x * mean_y + c[0]) * (2 * covariance + c[1])
    return upper / ((mean_x**2 + mean_y**2 + c[0]) * (variances + c[1]))


def ssim(x: Tensor, y: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return SSIM of tensors (B, 1, H, W) from 0 to `data_range`, one value for each picture: (B,), from -1 to 1.

    It is 1 where both are equal, and has gradients. Sides below 11 have no window.

    >>> x = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    >>> ssim(x, x).tolist(), ssim(x, 1 - x).item() < 0
    ([1.0], True)
    """
    return ssim_map(*_window_moments(x, y), constants(data_range)).mean((1, 2, 3))


def ms_ssim(x: Tensor, y: Tensor, *, data_range: float = 1.0, floor: float = 0.0) -> Tensor:
    """Return MS-SSIM of tensors (B, 1, H, W) from 0 to `data_range`, one value for each picture: (B,), from 0 to 1.

    There are five scales, each of 2 x 2 means of the one before. At each, the mean of contrast and structure

        (2 covariance + C2) / (variance_x + variance_y + C2)

    is taken to the power of the scale's weight, and at the last one the mean of SSIM; the result is their product.
    Sides below 176 use the scales at which a window still fits, the weights being made to sum to 1 again. A mean below
    `floor` counts as `floor`; a loss needs one above 0, where powers have finite gradients. Raises `ValueError` for
    sides below 11.

    Reference: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003,
    eq. 7.

    >>> x = torch.linspace(0, 1, 400).view(1, 1, 20, 20)
    >>> ms_ssim(x, x).tolist(), ms_ssim(x, 1 - x).tolist()
    ([1.0], [0.0])
    """
    if min(x.shape[-2:]) < WINDOW:
        raise ValueError(f"MS-SSIM needs at least {WINDOW} x {WINDOW} pixels, got {tuple(x.shape[-2:])}")
    c = constants(data_range)
    means: list[Tensor] = []
    while len(means) < len(_SCALE_WEIGHTS) - 1 and min(x.shape[-2:]) // 2 >= WINDOW:
        *_, variances, product = _window_moments(x, y)
        means.append(((2 * product + c[1]) / (variances + c[1])).mean((1, 2, 3)))
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    means.append(ssim(x, y, data_range=data_range))
    weights = x.new_tensor(_SCALE_WEIGHTS[: len(means)])[:, None]
    return (torch.stack(means).clamp_min(floor) ** (weights / weights.sum())).prod(0)


def _window_moments(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return both means, the sum of both variances, and the covariance, of every window."""
    window = gaussian_window(WINDOW, SIGMA, x)
    mean_x, mean_y, squares, product = (filter_valid(planes, window) for planes in (x, y, x * x + y * y, x * y))
    return mean_x, mean_y, squares - mean_x**2 - mean_y**2, product - mean_x * mean_y


def _moments(grey: Picture) -> Moments:
    return moments(at_least(WINDOW, grey.pixels), WINDOW, SIGMA, FLAT)


def mean_ssim(fused: Picture, sources: Sources) -> float:
    """Return SSIM of the fused picture with each photograph, averaged over the photographs.

    In every window SSIM compares two pictures' means mu, variances v and their covariance cov:

        SSIM = (2 mu_x mu_y + C1) (2 cov + C2) / ((mu_x^2 + mu_y^2 + C1) (v_x + v_y + C2))

    with C1 = (0.01 * 255)^2 and C2 = (0.03 * 255)^2. It is measured on BT.601 grey, rounded to 8 bits, and averaged
    over all 11 x 11 Gaussian windows (sigma 1.5) that lie inside the picture; sides below 11 are mirrored up to 11.
    Range: -1 to 1, and 1 only where all pictures are equal. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE Transactions on Image Processing 2004.

    >>> import numpy as np
    >>> from fusion.metrics import ssim
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(16, dtype=np.uint8)[:, None, None] * 16, (1, 16, 3))
    >>> round(ssim.METRIC.measure(ramp, Sources(ramp, ramp)), 9)
    1.0
    >>> round(ssim.METRIC.measure(ramp, Sources(ramp // 2, ramp)), 4)
    0.8261
    """
    f = _moments(fused.grey)
    values: list[float] = []
    for source in sources.grey:
        x = source.derive(_moments)
        product = covariance(f, x, WINDOW, SIGMA)
        values.append(float(ssim_map(f.mean, x.mean, f.variance + x.variance, product, constants(255)).mean()))
    return sum(values) / len(values)


METRIC = Metric(
    name="ssim",
    title="SSIM",
    better=Better.HIGHER,
    source="Wang, Bovik, Sheikh, Simoncelli, TIP 2004",
    meaning="It tells how alike the result and the two photographs are in brightness, contrast and structure; "
    "1 is the most",
    caution="A copy of one photograph and the plain mean of both score above a careful fusion",
    formula=mean_ssim,
    agreement=0.57,
    bounds=(-1, 1),
)
