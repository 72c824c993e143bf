"""Fast guided filter: a map known at low resolution, carried to a guide's full resolution along the guide's edges.

Source: He and Sun, "Fast Guided Filter", 2015, algorithm 2, without its last box filter of the coefficients:
in a window of the low resolution, map = a guide + b by least squares; a and b are enlarged bilinearly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F


def fast_guided_filter(low: Tensor, low_guide: Tensor, guide: Tensor, radius: int = 1, epsilon: float = 1e-4) -> Tensor:
    """`low` (B, 1, h, w), known where `low_guide` (B, 1, h, w) is, at the size of `guide` (B, 1, H, W).

    Windows of 2 radius + 1 samples, clipped at the border; `epsilon` is the variance of the guide, in its units, below
    which the map is smoothed rather than steered.
    """
    mean = partial(_mean, radius=radius)
    mean_guide, mean_low = mean(low_guide), mean(low)
    covariance = mean(low_guide * low) - mean_guide * mean_low
    variance = mean(low_guide**2) - mean_guide**2
    a = covariance / (variance + epsilon)
    b = mean_low - a * mean_guide
    size = guide.shape[-2:]
    return F.interpolate(a, size, mode="bilinear") * guide + F.interpolate(b, size, mode="bilinear")


def carry_up(low: Tensor, low_guides: Tensor, guides: Tensor, radius: int = 2, epsilon: float = 1e-5) -> Tensor:
    """`fast_guided_filter` with two guides, (B, 2, h, w) and (B, 2, H, W): `low` = a_1 g_1 + a_2 g_2 + b in a window.

    A fusion that was computed on a small copy of two exposures, at the exposures' own size. Source: He, Sun, Tang,
    "Guided Image Filtering", TPAMI 2013, eqs. 14 and 15.
    """
    mean = partial(_mean, radius=radius)
    mean_guides, mean_low = mean(low_guides), mean(low)
    towards_low = mean(low_guides * low) - mean_guides * mean_low
    variance = mean(low_guides**2) - mean_guides**2 + epsilon
    covariance = mean(low_guides.prod(1, keepdim=True)) - mean_guides.prod(1, keepdim=True)
    # Cramer's rule for the two equations [variance_1 covariance; covariance variance_2] a = towards_low.
    a = (variance.flip(1) * towards_low - covariance * towards_low.flip(1)) / (
        variance.prod(1, keepdim=True) - covariance**2
    )
    b = mean_low - (a * mean_guides).sum(1, keepdim=True)
    size = guides.shape[-2:]
    a, b = F.interpolate(a, size, mode="bilinear"), F.interpolate(b, size, mode="bilinear")
    return (a * guides).sum(1, keepdim=True) + b


def _mean(planes: Tensor, radius: int) -> Tensor:
    return F.avg_pool2d(planes, 2 * radius + 1, 1, radius, count_include_pad=False)


def through_copy(fuse: Callable[[Tensor, Tensor], Tensor], under: Tensor, over: Tensor, scale: float) -> Tensor:
    """`fuse` two lumas (B, 1, H, W) at `scale` of their sides, and carry its result (B, 1, h, w) up to (B, 1, H, W)."""
    low_under, low_over = shrink(under, scale), shrink(over, scale)
    fused = fuse(low_under, low_over)
    if low_under is under:
        return fused
    return carry_up(fused.float(), torch.cat((low_under, low_over), 1), torch.cat((under, over), 1))


def shrink(planes: Tensor, scale: float) -> Tensor:
    """(B, C, H, W) reduced to `scale` of its sides, by means of areas; as it is where that is 1 or more."""
    if scale >= 1:
        return planes
    size = [max(1, round(side * scale)) for side in planes.shape[-2:]]
    return F.interpolate(planes, size, mode="area")
