"""Guided filters: what is known at low resolution, carried to full resolution along the edges of full-size guides.

Source: He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, eqs. 5, 6 and 14; He and Sun, "Fast Guided Filter", 2015,
algorithm 2, without its last box filter of the coefficients. In a window of the low resolution the map is an affine
function of the guides, by least squares; its coefficients are enlarged bilinearly.
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


def affine_of_guides(low: Tensor, low_guides: Tensor, radius: int = 2, epsilon: float = 1e-5) -> Tensor:
    """(B, 3, h, w): a_1, a_2 and b of `low` = a_1 g_1 + a_2 g_2 + b in a window, by least squares.

    `low` (B, 1, h, w), `low_guides` (B, 2, h, w); `radius` and `epsilon` as in `fast_guided_filter`.
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
    return torch.cat((a, mean_low - (a * mean_guides).sum(1, keepdim=True)), 1)


def apply_affine(affine: Tensor, guides: Tensor, top: int = 0, height: int | None = None) -> Tensor:
    """a_1 g_1 + a_2 g_2 + b, (B, 1, rows, W), for guides (B, 2, rows, W), the coefficients (B, 3, h, w) enlarged.

    The guides may be the rows from `top` on of a picture that is `height` rows high: strips of it give what the whole
    gives.
    """
    rows, width = guides.shape[-2:]
    position = (torch.arange(top, top + rows, device=affine.device) + 0.5) * (affine.shape[-2] / (height or rows)) - 0.5
    position = position.clamp(0, affine.shape[-2] - 1)
    above = position.long()
    below = (above + 1).clamp_max(affine.shape[-2] - 1)
    affine = torch.lerp(affine[..., above, :], affine[..., below, :], (position - above)[:, None])
    affine = F.interpolate(affine.flatten(0, 1), width, mode="linear").unflatten(0, affine.shape[:2])
    return (affine[:, :2] * guides).sum(1, keepdim=True) + affine[:, 2:]


def _mean(planes: Tensor, radius: int) -> Tensor:
    return F.avg_pool2d(planes, 2 * radius + 1, 1, radius, count_include_pad=False)


def through_copy(fuse: Callable[[Tensor, Tensor], Tensor], under: Tensor, over: Tensor, scale: float) -> Tensor:
    """`fuse` exposures (B, C, H, W) at `scale` of their sides, and carry the result (B, 1, h, w) up to (B, 1, H, W).

    Channel 0 is the exposure's own luma, which guides.
    """
    low_under, low_over = shrink(under, scale), shrink(over, scale)
    fused = fuse(low_under, low_over)
    if low_under is under:
        return fused
    affine = affine_of_guides(fused.float(), torch.cat((low_under[:, :1], low_over[:, :1]), 1))
    return apply_affine(affine, torch.cat((under[:, :1], over[:, :1]), 1))


def shrink(planes: Tensor, scale: float) -> Tensor:
    """(B, C, H, W) reduced to `scale` of its sides, by means of areas; as it is where that is 1 or more."""
    if scale >= 1:
        return planes
    height, width = planes.shape[-2:]
    return F.interpolate(planes, scaled(height, width, scale), mode="area")


def scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    """Both sides times `scale`, rounded, at least 1."""
    return max(1, round(height * scale)), max(1, round(width * scale))
