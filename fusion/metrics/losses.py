"""What networks are trained for: differentiable, built on the metrics' own pieces. Planes (B, C, H, W), 0 to 1.

Every loss is `loss(fused, under, over)` against the photographs' own planes, never against corrected ones, and
returns one number.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.metrics.mef_ssim import filter_valid, gaussian_window, halve, mef_ssim

_ANCHOR_SIDE = 16
_ANCHOR_WEIGHT = 0.02
_RANGE_WEIGHT = 1.0
_EXPOSEDNESS_SIGMA = 0.2


def structure_and_luminance(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    """1 - MEF-SSIM (three scales), a light anchor on local luminance, and a penalty for leaving 0 ... 1.

    MEF-SSIM as MEFB measures it sees structure alone: without the anchor a result's brightness would be free. It is
    taken of the clamped result, which is what people see: of the unclamped one, networks learn to put detail outside.
    """
    structure = 1 - mef_ssim(fused.clamp(0, 1), under, over).mean()
    anchor = (F.avg_pool2d(fused, _ANCHOR_SIDE) - exposed_luminance(under, over)).abs().mean()
    outside = (F.relu(-fused) + F.relu(fused - 1)).mean()
    return structure + _ANCHOR_WEIGHT * anchor + _RANGE_WEIGHT * outside


def exposed_luminance(under: Tensor, over: Tensor) -> Tensor:
    """Means over 16 x 16 squares of both sources, weighted by how well each is exposed, there and as a whole.

    Weight exp(-(m - .5)^2 / (2 * .2^2)) of the whole picture's mean times that of the square's mean. Source: Ma et
    al., "Deep guided learning for fast multi-exposure image fusion" (MEF-Net), TIP 2020, section III-C.
    """
    sources = torch.stack((under, over))
    local = F.avg_pool2d(sources.flatten(0, 1), _ANCHOR_SIDE).unflatten(0, sources.shape[:2])
    whole = sources.mean((-2, -1), keepdim=True)
    weight = torch.exp(-((local - 0.5) ** 2 + (whole - 0.5) ** 2) / (2 * _EXPOSEDNESS_SIGMA**2))
    return (weight * local).sum(0) / weight.sum(0)


def mambamef_paper(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    """MambaMEF's published loss: 10 intensity + 3 gradient + 2 structure. Sides of 176 or more (five scales).

    |F - (Y1 + Y2) / 2| + | |S F| - max(|S Y1|, |S Y2|) | + 1 - MS-SSIM, the mean over both sources; S is Sobel.
    """
    intensity = (fused - (under + over) / 2).abs().mean()
    gradient = (sobel(fused) - torch.maximum(sobel(under), sobel(over))).abs().mean()
    structure = 1 - (ms_ssim(fused, under) + ms_ssim(fused, over)).mean() / 2
    return 10 * intensity + 3 * gradient + 2 * structure


def swinfusion(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    """SwinFusion's loss for exposures: 20 intensity + 20 gradient + 10 structure. Sides of 11 or more.

    |F - (Y1 + Y2) / 2| + | |S F| - max(|S Y1|, |S Y2|) | + 1 - SSIM, the mean over both sources; S is Sobel. Source: Ma
    et al., "SwinFusion", IEEE/CAA Journal of Automatica Sinica 2022.
    """
    intensity = (fused - (under + over) / 2).abs().mean()
    gradient = (sobel(fused) - torch.maximum(sobel(under), sobel(over))).abs().mean()
    structure = 1 - (ssim(fused, under) + ssim(fused, over)).mean() / 2
    return 20 * intensity + 20 * gradient + 10 * structure


def sobel(planes: Tensor) -> Tensor:
    """|Gx| + |Gy| of (B, 1, H, W), zeros beyond the border, not divided by 8."""
    kernel = planes.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    gradients = F.conv2d(planes, torch.stack((kernel, kernel.T))[:, None], padding=1)
    return gradients.abs().sum(1, keepdim=True)


_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2
_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale SSIM of (B, 1, H, W), one value a picture; 11 x 11 Gaussian of 1.5, valid windows, 2 x 2 means.

    Source: Wang, Simoncelli, Bovik, "Multiscale structural similarity", Asilomar 2003, eq. 7.
    """
    score = torch.ones(len(a), dtype=a.dtype, device=a.device)
    for scale, weight in enumerate(_MS_SSIM_WEIGHTS):
        luminance, structure = _ssim_terms(a, b)
        last = scale == len(_MS_SSIM_WEIGHTS) - 1
        value = (luminance * structure if last else structure).mean((1, 2, 3))
        score = score * value.clamp_min(1e-6) ** weight
        a, b = halve(a), halve(b)
    return score


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of (B, 1, H, W), one value a picture; window as `ms_ssim`'s. Source: Wang et al., TIP 2004, eq. 13."""
    luminance, structure = _ssim_terms(a, b)
    return (luminance * structure).mean((1, 2, 3))


def _ssim_terms(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    window = gaussian_window(11, 1.5, a)
    mean_a, mean_b, square_a, square_b, product = (filter_valid(x, window) for x in (a, b, a * a, b * b, a * b))
    variances = square_a - mean_a**2 + square_b - mean_b**2
    luminance = (2 * mean_a * mean_b + _SSIM_C1) / (mean_a**2 + mean_b**2 + _SSIM_C1)
    structure = (2 * (product - mean_a * mean_b) + _SSIM_C2) / (variances + _SSIM_C2)
    return luminance, structure
