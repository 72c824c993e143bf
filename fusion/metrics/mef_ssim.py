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
from functools import lru_cache
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fusion.metrics.base import Better, Metric, Pixels, kept_for_pair
from fusion.metrics.grey import grey

_WINDOW = 11
_SIGMA = 1.5
_C = (0.03 * 255) ** 2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001)
_FLAT = 1e-6
_MAX_POWER = 10.0
_CONTRAST_FLOOR = 1e-3
_EPS = torch.finfo(torch.float64).eps


def gaussian_window(size: int, sigma: float, like: Tensor) -> Tensor:
    """The (size,) Gaussian that sums to 1, on the device and in the dtype of `like`."""
    offset = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    window = torch.exp(-(offset**2) / (2 * sigma**2))
    return window / window.sum()


def filter_valid(planes: Tensor, window: Tensor) -> Tensor:
    """(B, C, H, W) correlated with window x window, only where the window lies inside: (B, C, H-n+1, W-n+1)."""
    batch, channels, height, width = planes.shape
    if planes.device.type == "cpu" and planes.dtype in (torch.float32, torch.float64) and not planes.requires_grad:
        return _filter_fast(planes, window)
    x = planes.reshape(batch * channels, 1, height, width)
    x = F.conv2d(F.conv2d(x, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return x.view(batch, channels, *x.shape[-2:])


def _filter_fast(planes: Tensor, window: Tensor) -> Tensor:
    """By OpenCV, which has no gradients and takes a third of the time."""
    import cv2

    margin, kernel = window.numel() // 2, window.numpy()
    filtered = [
        cv2.sepFilter2D(plane, -1, kernel, kernel)[margin : plane.shape[0] - margin, margin : plane.shape[1] - margin]
        for plane in planes.flatten(0, 1).numpy()
    ]
    return torch.from_numpy(np.stack(filtered)).unflatten(0, planes.shape[:2])


def halve(planes: Tensor) -> Tensor:
    """Half the size (rounded up): 2x2 means, the last row or column repeated where a side is odd."""
    height, width = planes.shape[-2:]
    return F.avg_pool2d(F.pad(planes, (0, width % 2, 0, height % 2), mode="replicate"), 2)


@dataclass(frozen=True)
class Target:
    """What the ideal fusion looks like at one scale; all planes (B, 1, h, w) but the sources (B, N, H, W)."""

    sources: Tensor
    means: Tensor
    """Gaussian means of the sources, (B, N, h, w)."""
    gains: Tensor
    """(B, N, h, w): target = sum_k gains_k (x_k - mu_k) in each patch."""
    variance: Tensor


def products(planes: Tensor) -> Tensor:
    """Of planes (B, N, H, W), the products of every two: (B, N (N - 1) / 2, H, W)."""
    return torch.cat([one * other for one, other in combinations(planes.split(1, 1), 2)], 1)


def structure_gains(variance: Tensor, covariance: Tensor) -> Tensor:
    """Gains (B, N, h, w) of the sources' patches in their target, of the patches' moments over 11 x 11 pixels.

    `variance` (B, N, h, w) and `covariance`, of every two as `products` orders them, in squared levels of 0 to 255.
    Eqs. 6 to 9.
    """

    def norm(gain: Tensor) -> Tensor:
        """|sum_k gain_k (x_k - mu_k)| over a patch."""
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
    """The variance of sum_k gain_k x_k, (B, 1, h, w)."""
    return (gain**2 * variance).sum(1, keepdim=True) + 2 * (products(gain) * covariance).sum(1, keepdim=True)


def _target(sources: Tensor) -> Target:
    """The target of sources (B, N, H, W), 0 to 255 less 128, in float64."""
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
    """The score of every patch of `fused` (B, 1, H, W), 0 to 255 less 128: (B, 1, h, w)."""
    gauss = gaussian_window(_WINDOW, _SIGMA, fused)
    mean = filter_valid(fused, gauss)
    variance = filter_valid(fused**2, gauss) - mean**2
    covariance = filter_valid(target.sources * fused, gauss) - target.means * mean
    covariance = (target.gains * covariance).sum(1, keepdim=True)
    return (2 * covariance + _C) / (target.variance + variance + _C)


@torch.no_grad()
def _targets(sources: Tensor) -> list[Target]:
    """The targets of the scales at which a window fits, of sources (B, N, H, W), 0 to 255 less 128, in float64.

    They need no gradient.
    """
    targets: list[Target] = []
    while len(targets) < len(_SCALE_WEIGHTS) and min(sources.shape[-2:]) >= _WINDOW:
        targets.append(_target(sources))
        sources = halve(sources)
    return targets


def mef_ssim(fused: Tensor, *exposures: Tensor) -> Tensor:
    """MEF-SSIM of lumas (B, 1, H, W) from 0 to 1, one value a picture: (B,). Sides of 44 or more give all scales.

    Differentiable in `fused`. Computed in the dtype of `fused`; the target in float64 whatever that is. Smaller
    pictures use the scales at which an 11x11 window still fits; below 11 pixels there is none: ValueError.
    """
    return _score(fused * 255 - 128, _targets(torch.cat(exposures, 1).double() * 255 - 128))


def _score(level: Tensor, targets: Sequence[Target]) -> Tensor:
    """MEF-SSIM of `level` (B, 1, H, W), 0 to 255 less 128: (B,)."""
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


def _measure(fused: Pixels, under: Pixels, over: Pixels) -> float:
    level = _levels(grey(fused))
    targets = _targets_of(grey(under).tobytes(), grey(over).tobytes(), level.shape[-2:])
    return float(_score(level, targets))


@kept_for_pair
@lru_cache(maxsize=1)
def _targets_of(under: bytes, over: bytes, size: tuple[int, int]) -> list[Target]:
    """Kept, since several results of one pair are measured one after the other, and targets take most of the time."""
    sources = [_levels(np.frombuffer(plane, np.uint8).reshape(size)) for plane in (under, over)]
    return _targets(torch.cat(sources, 1))


def _levels(plane: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(plane.astype(np.float64) - 128)[None, None]


METRIC = Metric(
    name="mef_ssim",
    title="MEF-SSIM",
    better=Better.HIGHER,
    source="Ma, Zeng, Wang, TIP 2015; settings of MEFB (Zhang 2021)",
    meaning="How much of both sources' local structure is kept, 0 to 1",
    caution="It sees no colour: turned grey, a result scores the same",
    measure=_measure,
    bounds=(0, 1),
    mefb="MEF_SSIM",
)
