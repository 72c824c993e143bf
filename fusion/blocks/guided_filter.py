"""Guided filters enlarge a map that is known at low resolution, along the edges of guides at full resolution.

Source: He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, eqs. 5, 6 and 14; He and Sun, "Fast Guided Filter", 2015,
algorithm 2, without its last box filter of the coefficients. In each window at low resolution the map is fitted by an
affine function of the guides, by least squares; the coefficients are enlarged bilinearly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F


def fast_guided_filter(low: Tensor, low_guide: Tensor, guide: Tensor, radius: int = 1, epsilon: float = 1e-4) -> Tensor:
    """The map `low` (B, 1, h, w), which belongs to `low_guide` (B, 1, h, w), at the size of `guide` (B, 1, H, W).

    Windows have a side of 2 * `radius` + 1 samples and are clipped at the border. Where the variance of the guide, in
    its own units, is below `epsilon`, the map is smoothed and does not follow the guide.

    >>> guide = torch.rand(1, 1, 64, 96)
    >>> small = shrink(guide, 0.25)
    >>> fast_guided_filter(1 - small, small, guide).shape
    torch.Size([1, 1, 64, 96])
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
    """The coefficients (B, N + 1, h, w) of `low` = a_1 g_1 + ... + a_N g_N + b around each sample, by least squares.

    `low` is (B, 1, h, w) and `low_guides` are (B, N, h, w); `radius` and `epsilon` are those of `fast_guided_filter`.
    The last plane of the result is b.

    >>> guides = torch.rand(1, 2, 32, 32)
    >>> affine = affine_of_guides(0.5 * guides[:, :1] + 0.1, guides, epsilon=0)
    >>> torch.allclose(affine[0, :, 16, 16], torch.tensor([0.5, 0.0, 0.1]), atol=1e-3)
    True
    """
    count = low_guides.shape[1]
    mean = partial(_mean, radius=radius)
    mean_guides, mean_low = mean(low_guides), mean(low)
    towards_low = mean(low_guides * low) - mean_guides * mean_low
    rows = [  # the rows of the covariance matrix, each from its diagonal on: (B, count - k, h, w)
        mean(low_guides[:, k : k + 1] * low_guides[:, k:]) - mean_guides[:, k : k + 1] * mean_guides[:, k:]
        for k in range(count)
    ]
    for row in rows:
        row[:, 0] += epsilon
    a = _solved(rows, list(towards_low.split(1, 1)))
    return torch.cat((a, mean_low - (a * mean_guides).sum(1, keepdim=True)), 1)


def _solved(rows: Sequence[Tensor], right: list[Tensor]) -> Tensor:
    """The solution x (B, N, h, w) of A x = `right` in each pixel, for a symmetric positive definite A, by elimination.

    `rows` are the rows of A from the diagonal on: (B, N, h, w), (B, N - 1, h, w), ... `right` is N planes (B, 1, h, w).
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
    """a_1 g_1 + ... + a_N g_N + b, (B, 1, rows, W), for guides (B, N, rows, W) and coefficients (B, N + 1, h, w).

    The coefficients are enlarged to the size of the guides. These may be some rows, from `top` on, of a picture that
    is `height` rows high; the result is then the same rows of the whole picture's result.

    >>> apply_affine(torch.tensor([2.0, 1.0]).view(1, 2, 1, 1), torch.ones(1, 1, 4, 6)).unique()
    tensor([3.])
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
    """Call `fuse` with exposures (B, C, H, W) reduced by `scale`, and enlarge its result (B, 1, h, w) to (B, 1, H, W).

    Channel 0 of each exposure is its luma, which serves as a guide.
    """
    low_under, low_over = shrink(under, scale), shrink(over, scale)
    fused = fuse(low_under, low_over)
    if low_under is under:
        return fused
    affine = affine_of_guides(fused.float(), torch.cat((low_under[:, :1], low_over[:, :1]), 1))
    return apply_affine(affine, torch.cat((under[:, :1], over[:, :1]), 1))


def shrink(planes: Tensor, scale: float) -> Tensor:
    """Planes (B, C, H, W) whose sides are multiplied by `scale`, by averaging areas; unchanged where it is 1 or more.

    >>> shrink(torch.ones(1, 3, 90, 120), 0.5).shape
    torch.Size([1, 3, 45, 60])
    """
    if scale >= 1:
        return planes
    height, width = planes.shape[-2:]
    return F.interpolate(planes, scaled(height, width, scale), mode="area")


def scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    """Both sides times `scale`, rounded, and at least 1.

    >>> scaled(90, 120, 0.01)
    (1, 1)
    """
    return max(1, round(height * scale)), max(1, round(width * scale))
