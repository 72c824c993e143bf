"""Means over square windows, clipped at the border of the picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def box_mean(planes: Tensor, side: int) -> Tensor:
    """Means of planes (..., H, W) over `side` x `side` pixels, `side` odd, of those pixels that lie inside the picture.

    >>> box_mean(torch.arange(3.0).view(1, 1, 1, 3), 3)
    tensor([[[[0.5000, 1.0000, 1.5000]]]])
    """
    for axis in (-2, -1):
        inside = planes.new_ones(planes.shape[axis])
        sums, counts = _window_sums(planes, side, axis), _window_sums(inside, side, -1)
        planes = sums / (counts if axis == -1 else counts[:, None])
    return planes


def _window_sums(planes: Tensor, side: int, axis: int) -> Tensor:
    """Sums over `side` neighbours along an axis, with zeros beyond the border.

    Sums over 1, 2, 4 ... neighbours are computed by doubling, and those that `side` is made of in binary are added up.
    A pooling layer gives the same and is much slower.
    """
    length, margin = planes.shape[axis], (side // 2, side // 2)
    powers = F.pad(planes, margin if axis == -1 else (0, 0, *margin))
    total, start, width = torch.zeros(()), 0, 1
    while True:
        if side & width:
            total = total + powers.narrow(axis, start, length)
            start += width
        if 2 * width > side:
            return total
        count = powers.shape[axis] - width
        powers = powers.narrow(axis, 0, count) + powers.narrow(axis, width, count)
        width *= 2
