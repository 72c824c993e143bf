"""MEF-SSIM: how much of the sources' local structure a fused picture keeps.

Source: Ma, Zeng, Wang, "Perceptual quality assessment for multi-exposure image fusion", TIP 2015,
eqs. 4 to 11 and the three-scale form of section III-C, with the settings of MEFB (Zhang, Information
Fusion 2021): structure only (no luminance term), on 8-bit grey.

Per 11x11 patch and source k: mean mu_k, contrast c_k = |x_k - mu_k|, structure s_k = (x_k - mu_k) / c_k.
The patch that an ideal fusion would have takes the highest contrast and a weighted mean structure:

    target = max_k c_k * s / |s|,   s = sum_k w_k s_k,   w_k ~ (c_k / 11)^p,   p = min(tan(pi R / 2), 10),
    R = |sum_k (x_k - mu_k)| / sum_k |x_k - mu_k|      (how far the sources agree)

and the score of the patch is (2 cov(target, fused) + C) / (var(target) + var(fused) + C), C = (0.03 * 255)^2,
with Gaussian (sigma 1.5) moments, averaged over all patches that lie inside the picture; the scales' means
are multiplied, each to the power of its weight.

The target is a combination sum_k a_k (x_k - mu_k) of the sources, so every moment follows from window means
of products: no loop over patches. A patch that is flat in a source adds nothing, a patch flat in all asks
for a flat result. Taking variances as E[x^2] - mu^2 loses flat patches to rounding: levels are
centred on 128, the target is computed in float64, and variances below 1e-6 count as zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import filter_valid, gaussian_window, halve
from fusion.metrics.picture import Picture, Sources

_WINDOW = 11
_SIGMA = 1.5
_C = (0.03 * 255) ** 2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001)
_FLAT = 1e-6
_MAX_POWER = 10.0
_CONTRAST_FLOOR = 1e-3
_EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Target:
    """The ideal fusion at one scale."""

    sources: Tensor
    """(B, N, H, W), 0 to 255 less 128."""
    means: Tensor
    """Gaussian means of the sources, (B, N, h, w)."""
    gains: Tensor
    """(B, N, h, w): target = sum_k gains_k (x_k - mu_k) in each patch."""
    variance: Tensor
    """Variance of the target, (B, 1, h, w)."""


def products(planes: Tensor) -> Tensor:
    """Return the products of every two of the planes (B, N, H, W): (B, N (N - 1) / 2, H, W).

    >>> products(torch.tensor([[[[2.0]], [[3.0]], [[5.0]]]])).flatten().tolist()
    [6.0, 10.0, 15.0]
    """
    return torch.cat([one * other for one, other in combinations(planes.split(1, 1), 2)], 1)


def structure_gains(variance: Tensor, covariance: Tensor) -> Tensor:
    """Return the gains (B, N, h, w) with which the sources' patches add up to their target: eqs. 6 to 9.

    `variance` (B, N, h, w) holds the sources' variances over 11 x 11 pixels, in squared levels of 0 to 255;
    `covariance` (B, N (N - 1) / 2, h, w) those of every two sources, in the order of `products`.
    """

    def norm(gain: Tensor) -> Tensor:
        """Return |sum_k gain_k (x_k - mu_k)| over a patch."""
        return _WINDOW * _combined(gain, variance, covariance).clamp_min(0).sqrt()

    norms = _WINDOW * variance.sqrt()
    agreement = norm(torch.ones_like(variance)) / norms.sum(1, keepdim=True).clamp_min(_EPS)
    power = torch.tan(torch.pi / 2 * agreement.clamp(0, 1)).clamp(0, _MAX_POWER)
    contrast = norms + _CONTRAST_FLOOR
    weight = (contrast / _WINDOW) ** power + _EPS
    structure = weight / weight.sum(1, keepdim=True) / contrast
    length = norm(structure)
    return structure * torch.where(length > 0, contrast.amax(1, keepdim=True) / length.clamp_min(1e-30), 0.0)


def _combined(gain: Tensor, variance: Tensor, covariance: Tensor) -> Tensor:
    """Return the variance of sum_k gain_k x_k, (B, 1, h, w)."""
    return (gain**2 * variance).sum(1, keepdim=True) + 2 * (products(gain) * covariance).sum(1, keepdim=True)


def _target(sources: Tensor) -> Target:
    """Return the target of sources (B, N, H, W), 0 to 255 less 128, in float64."""
    box = torch.full((_WINDOW,), 1 / _WINDOW, dtype=sources.dtype, device=sources.device)
    gauss = gaussian_window(_WINDOW, _SIGMA, sources)

    def moments(window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = filter_valid(sources, window)
        variance = filter_valid(sources**2, window) - mean**2
        return mean, variance, filter_valid(products(sources), window) - products(mean)

    _, variance, covariance = moments(box)
    variance = torch.where(variance < _FLAT, 0.0, variance)
    covariance = torch.where(products(variance) == 0, 0.0, covariance)

    gains = structure_gains(variance, covariance)
    means, variance, covariance = moments(gauss)
    return Target(sources, means, gains, _combined(gains, variance, covariance))


def _quality(target: Target, fused: Tensor) -> Tensor:
    """Return the score of every patch of `fused` (B, 1, H, W), 0 to 255 less 128: (B, 1, h, w)."""
    gauss = gaussian_window(_WINDOW, _SIGMA, fused)
    mean = filter_valid(fused, gauss)
    variance = filter_valid(fused**2, gauss) - mean**2
    covariance = filter_valid(target.sources * fused, gauss) - target.means * mean
    covariance = (target.gains * covariance).sum(1, keepdim=True)
    return (2 * covariance + _C) / (target.variance + variance + _C)


@torch.no_grad()
def _targets(sources: Tensor) -> list[Target]:
    """Return the targets of sources (B, N, H, W), 0 to 255 less 128, in float64, at each scale that a window fits.

    They need no gradient.
    """
    targets: list[Target] = []
    while len(targets) < len(_SCALE_WEIGHTS) and min(sources.shape[-2:]) >= _WINDOW:
        targets.append(_target(sources))
        sources = halve(sources)
    return targets


def mef_ssim(fused: Tensor, *exposures: Tensor) -> Tensor:
    """Return MEF-SSIM of lumas (B, 1, H, W) from 0 to 1, one value for each picture: (B,), from 0 to 1.

    It has gradients with respect to `fused`, and is computed in its dtype; the target is computed in float64. Sides
    below 44 use the scales at which an 11 x 11 window still fits. Raises `ValueError` for sides below 11.

    >>> luma = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    >>> round(mef_ssim(luma, luma, luma).item(), 4)
    1.0
    """
    return _score(fused * 255 - 128, _targets(torch.cat(exposures, 1).double() * 255 - 128))


def _score(level: Tensor, targets: Sequence[Target]) -> Tensor:
    """Return MEF-SSIM of `level` (B, 1, H, W), 0 to 255 less 128: (B,)."""
    if not targets:
        raise ValueError(f"MEF-SSIM needs at least {_WINDOW} x {_WINDOW} pixels, got {tuple(level.shape[-2:])}")
    scores: list[Tensor] = []
    for target in targets:
        cast = Target(*(plane.to(level.dtype) for plane in vars(target).values()))
        # A result that opposes its sources has a negative mean; its logarithm would end a training run.
        scores.append(_quality(cast, level).mean((1, 2, 3)).clamp_min(1e-6))
        level = halve(level)
    weights = level.new_tensor(_SCALE_WEIGHTS[: len(scores)])[:, None]
    return (torch.stack(scores).log() * weights / weights.sum()).sum(0).exp()


def structure_kept(fused: Picture, sources: Sources) -> float:
    """Return MEF-SSIM: how much of the photographs' local structure the fused picture keeps.

    Formula and settings stand at the top of `fusion.metrics.mef_ssim`. It is measured on BT.601 grey, rounded to 8
    bits, at three scales; sides below 44 use the scales at which an 11 x 11 window still fits.
    Range: 0 to 1. Higher is better. It has no term for brightness.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255, sides of 11 or more.
        sources: two or more photographs of the same size.

    Raises `ValueError` for sides below 11.

    Reference: Ma, Zeng, Wang, "Perceptual quality assessment for multi-exposure image fusion", IEEE Transactions on
    Image Processing 2015, eqs. 4 to 11.

    >>> import numpy as np
    >>> from fusion.metrics import mef_ssim
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(16, dtype=np.uint8)[:, None, None] * 16, (1, 16, 3))
    >>> round(mef_ssim.METRIC.measure(ramp, Sources(ramp // 2, ramp)), 4)
    1.0
    >>> round(mef_ssim.METRIC.measure(ramp // 2, Sources(ramp // 2, ramp)), 4)
    0.8151
    """
    return float(_score(_levels(fused.grey), sources.grey.derive(_targets_of)))


def _targets_of(sources: Sources) -> list[Target]:
    return _targets(torch.cat([_levels(plane) for plane in sources], 1))


def _levels(plane: Picture) -> Tensor:
    return torch.from_numpy(plane.pixels.astype(np.float64) - 128)[None, None]


METRIC = Metric(
    name="mef_ssim",
    title="MEF-SSIM",
    better=Better.HIGHER,
    source="Ma, Zeng, Wang, TIP 2015; settings of MEFB (Zhang 2021)",
    meaning="It tells how much of both photographs' local structure the result keeps, from 0 to 1",
    caution="It sees no colour: turned grey, a result scores the same",
    formula=structure_kept,
    agreement=0.62,
    bounds=(0, 1),
    many=True,
    mefb="MEF_SSIM",
)
