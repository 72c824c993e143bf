"""Guided filters: what is known at low resolution, carried to full resolution along the edges of full-size guides.

Source: He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, eqs. 5, 6 and 14; He and Sun, "Fast Guided Filter", 2015,
algorithm 2, without its last box filter of the coefficients. In a window of the low resolution the map is an affine
function of the guides, by least squares; its coefficients are enlarged bilinearly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """(B, N + 1, h, w): a_1 to a_N and b of `low` = sum_k a_k g_k + b in a window, by least squares.

    `low` (B, 1, h, w), `low_guides` (B, N, h, w); `radius` and `epsilon` as in `fast_guided_filter`.
    """
    count = low_guides.shape[1]
    mean = partial(_mean, radius=radius)
    mean_guides, mean_low = mean(low_guides), mean(low)
    towards_low = mean(low_guides * low) - mean_guides * mean_low
    rows = [  # of the covariance matrix, from its diagonal on: (B, count - k, h, w)
        mean(low_guides[:, k : k + 1] * low_guides[:, k:]) - mean_guides[:, k : k + 1] * mean_guides[:, k:]
        for k in range(count)
    ]
    for row in rows:
        row[:, 0] += epsilon
    a = _solved(rows, list(towards_low.split(1, 1)))
    return torch.cat((a, mean_low - (a * mean_guides).sum(1, keepdim=True)), 1)


def _solved(rows: Sequence[Tensor], right: list[Tensor]) -> Tensor:
    """(B, N, h, w): x of A x = `right`, in each pixel, for a symmetric positive definite A; by elimination.

    `rows` are A's, from the diagonal on: (B, N, h, w), (B, N - 1, h, w), ...; `right` holds N planes (B, 1, h, w).
    """
    if len(rows) == 1:
        return right[0] / rows[0]
    first, *below = rows
    pivot, beside = first[:, :1], first[:, 1:]
    factors = (beside / pivot).split(1, 1)
    less = [row - factor * beside[:, k:] for k, (row, factor) in enumerate(zip(below, factors, strict=True))]
    x = _solved(less, [plane - factor * right[0] for plane, factor in zip(right[1:], factors, strict=True)])
    return torch.cat(((right[0] - (beside * x).sum(1, keepdim=True)) / pivot, x), 1)


def apply_affine(affine: Tensor, guides: Tensor, top: int = 0, height: int | None = None) -> Tensor:
    """sum_k a_k g_k + b, (B, 1, rows, W), for guides (B, N, rows, W), the coefficients (B, N + 1, h, w) enlarged.

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
    return (affine[:, :-1] * guides).sum(1, keepdim=True) + affine[:, -1:]


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
