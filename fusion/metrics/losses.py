"""The losses that networks are trained with, built from the metrics' own formulas.

Every loss is `loss(fused, under, over)` of planes (B, C, H, W) from 0 to 1, has gradients, and returns one number. The
planes are the photographs' own, never exposure-corrected ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.metrics.mef_ssim import mef_ssim
from fusion.metrics.ssim import ms_ssim

_ANCHOR_SIDE = 16
_ANCHOR_WEIGHT = 0.02
_RANGE_WEIGHT = 1.0
_EXPOSEDNESS_SIGMA = 0.2
_LEAST_SIMILARITY = 1e-6


def structure_and_luminance(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    """Return 1 - MEF-SSIM (three scales), plus a light anchor on local luminance and a penalty for leaving 0 to 1.

    MEF-SSIM as MEFB measures it sees structure alone, so that without the anchor a result's brightness would be free.
    MEF-SSIM is computed from the clamped result, which is what people see; with the unclamped one, networks learn to
    put detail outside 0 to 1.

    >>> ramp = torch.linspace(0.2, 0.8, 2304).view(1, 1, 48, 48)
    >>> bool(structure_and_luminance(ramp, ramp, ramp) < structure_and_luminance(1 - ramp, ramp, ramp))
    True
    """
    structure = 1 - mef_ssim(fused.clamp(0, 1), under, over).mean()
    anchor = (F.avg_pool2d(fused, _ANCHOR_SIDE) - exposed_luminance(under, over)).abs().mean()
    outside = (F.relu(-fused) + F.relu(fused - 1)).mean()
    return structure + _ANCHOR_WEIGHT * anchor + _RANGE_WEIGHT * outside


def exposed_luminance(under: Tensor, over: Tensor) -> Tensor:
    """Return both sources' means over 16 x 16 squares, averaged by how well each is exposed there and as a whole.

    A source's weight is exp(-(m - 0.5)^2 / (2 * 0.2^2)) for the mean m of the square times the same for the mean of the
    whole picture. Reference: Ma et al., "Deep guided learning for fast multi-exposure image fusion" (MEF-Net), TIP
    2020, section III-C.

    >>> exposed_luminance(torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), 0.98)).item() < 0.52
    True
    """
    sources = torch.stack((under, over))
    local = F.avg_pool2d(sources.flatten(0, 1), _ANCHOR_SIDE).unflatten(0, sources.shape[:2])
    whole = sources.mean((-2, -1), keepdim=True)
    weight = torch.exp(-((local - 0.5) ** 2 + (whole - 0.5) ** 2) / (2 * _EXPOSEDNESS_SIGMA**2))
    return (weight * local).sum(0) / weight.sum(0)


def mambamef_paper(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    """Return MambaMEF's published loss: 10 intensity + 3 gradient + 2 structure.

    Intensity is the mean of |F - (Y1 + Y2) / 2|, gradient that of | |S F| - max(|S Y1|, |S Y2|) | with Sobel's S, and
    structure is 1 - MS-SSIM, averaged over both sources. MS-SSIM has its five scales from sides of 176 on.

    >>> plane = torch.linspace(0, 1, 1024).view(1, 1, 32, 32)
    >>> round(mambamef_paper(plane, plane, plane).item(), 4)
    0.0
    """
    intensity = (fused - (under + over) / 2).abs().mean()
    gradient = (sobel(fused) - torch.maximum(sobel(under), sobel(over))).abs().mean()
    similarity = sum(ms_ssim(fused, source, floor=_LEAST_SIMILARITY).mean() for source in (under, over)) / 2
    structure = 1 - similarity
    return 10 * intensity + 3 * gradient + 2 * structure


def sobel(planes: Tensor) -> Tensor:
    """Return |Gx| + |Gy| of planes (B, 1, H, W), with zeros beyond the border and not divided by 8.

    >>> sobel(torch.ones(1, 1, 3, 3)).view(3, 3).tolist()
    [[6.0, 4.0, 6.0], [4.0, 0.0, 4.0], [6.0, 4.0, 6.0]]
    """
    kernel = planes.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    gradients = F.conv2d(planes, torch.stack((kernel, kernel.T))[:, None], padding=1)
    return gradients.abs().sum(1, keepdim=True)
