"""Blending in a Laplacian pyramid: every band of detail is blended with weights as smooth as the band.

Source: Mertens, Kautz, Van Reeth, "Exposure Fusion", Pacific Graphics 2007, section 3.2, after Burt and Adelson 1983.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.runtime.tiles import by_strips, mirror


class Pyramid(NamedTuple):
    """The rules by which a level of a pyramid is computed from the next one. Both axes are treated alike."""

    reduce: tuple[float, ...]
    """The taps of a symmetric kernel, from the centre outwards. Every second sample of its result is taken."""
    mirrored: bool
    """Whether a level is mirrored beyond its border when it is reduced. If not, the last sample is repeated."""
    expand: float
    """The share that a sample keeps when a level is enlarged; its two neighbours share the rest. New samples between
    two old ones are their mean."""
    reductions: int | None = None
    """How often a picture is reduced. None means as often as its shorter side can be halved."""


PAPER = Pyramid(reduce=(6 / 16, 4 / 16, 1 / 16), mirrored=True, expand=6 / 8)
"""The binomial kernel of five taps, as OpenCV has it."""
PORT = Pyramid(reduce=(2 / 4, 1 / 4), mirrored=False, expand=1.0, reductions=3)
"""The pyramid of the port Pytorch-Exposure-Fusion, whose `n_levels = 4` counts the levels."""


def blend(frames: Sequence[Tensor], weights: Sequence[Tensor], pyramid: Pyramid = PAPER) -> Tensor:
    """Blend N frames, (..., C, H, W) each, by N weights, (..., 1, H, W) each, which sum to 1. Nothing is clamped.

    >>> frames = torch.rand(2, 1, 3, 32, 48)
    >>> fused = blend(tuple(frames), (torch.ones(1, 1, 32, 48), torch.zeros(1, 1, 32, 48)))
    >>> torch.allclose(fused, frames[0], atol=1e-5)
    True
    """
    return _blend(frames, weights, pyramid)


def _blend(frames: Sequence[Tensor], weights: Sequence[Tensor], pyramid: Pyramid, left: int | None = None) -> Tensor:
    """Add up, level by level, the bands of the frames times the smoothed weights (section 3.2, equation 4).

    `left` is how often the frames are still to be reduced.
    """
    size = frames[0].shape[-2:]
    if left is None:
        left = pyramid.reductions or min(size).bit_length() - 1  # floor(log2(shorter side))
    if min(size) < 2 or not left:
        return _weighted_sum(frames, weights)
    smaller = [_reduced(planes, pyramid) for planes in (*frames, *weights)]
    small_frames, small_weights = smaller[: len(frames)], smaller[len(frames) :]
    small_fused = _blend(small_frames, small_weights, pyramid, left - 1)

    def collapsed(rows: slice, _: slice) -> Tensor:
        smooth = (_expanded(small, pyramid, rows, size[1]) for small in small_frames)
        bands = [frame[..., rows, :] - low for frame, low in zip(frames, smooth, strict=True)]
        detail = _weighted_sum(bands, [weight[..., rows, :] for weight in weights])
        return detail + _expanded(small_fused, pyramid, rows, size[1])

    return by_strips(collapsed, size, frames[0].device)


def _weighted_sum(frames: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    total = frames[0] * weights[0]
    for frame, weight in zip(frames[1:], weights[1:], strict=True):
        total = torch.addcmul(total, frame, weight)
    return total


def _reduced(planes: Tensor, pyramid: Pyramid) -> Tensor:
    """The next coarser level of planes (..., H, W), which is (..., (H + 1) // 2, (W + 1) // 2)."""
    height, width = ((side + 1) // 2 for side in planes.shape[-2:])
    reach = len(pyramid.reduce) - 1

    def reduced(rows: slice, _: slice) -> Tensor:
        x = planes
        for axis, start, stop in ((-2, rows.start, rows.stop), (-1, 0, width)):
            x = extended(
                x, axis, 2 * start - reach, 2 * stop - 1 + reach, mirrored=(pyramid.mirrored, pyramid.mirrored)
            )
            taps = [_every_second(x, axis, first, stop - start) for first in range(2 * reach + 1)]
            x = taps[reach] * pyramid.reduce[0]
            for away in range(1, reach + 1):
                x = torch.add(x, taps[reach - away] + taps[reach + away], alpha=pyramid.reduce[away])
        return x

    return by_strips(reduced, (height, width), planes.device)


def _expanded(planes: Tensor, pyramid: Pyramid, rows: slice, width: int) -> Tensor:
    """The rows `rows`, the first of them even, of the planes enlarged to the next finer level.

    The borders are those of OpenCV's `pyrUp`.
    """
    for axis, start, stop in ((-2, rows.start, rows.stop), (-1, 0, width)):
        first, last = start // 2, (stop + 1) // 2
        x = extended(planes, axis, first - 1, last + 1, mirrored=(True, False))
        left, centre, right = (x.narrow(axis, offset, last - first) for offset in range(3))
        even = torch.add(centre * pyramid.expand, left + right, alpha=(1 - pyramid.expand) / 2)
        odd = (centre + right) / 2
        planes = torch.stack((even, odd), axis).flatten(axis - 1, axis).narrow(axis, 0, stop - start)
    return planes


def extended(planes: Tensor, axis: int, start: int, stop: int, mirrored: tuple[bool, bool]) -> Tensor:
    """`planes[start:stop]` along an axis, where `start` may be negative and `stop` beyond the end.

    `mirrored` says for each end whether the planes are mirrored there; if not, the last sample is repeated.

    >>> extended(torch.tensor([1.0, 2.0, 3.0]), 0, -2, 4, mirrored=(True, False))
    tensor([3., 2., 1., 2., 3., 3.])
    """
    length = planes.shape[axis]
    low, high = max(start, 0), min(stop, length)
    parts = [planes.narrow(axis, low, high - low)]
    for place, beyond, reflect in ((0, (start, 0), mirrored[0]), (2, (length, stop), mirrored[1])):
        if beyond[0] < beyond[1]:
            index = torch.arange(*beyond, device=planes.device)
            index = mirror(index, length) if reflect else index.clamp(0, length - 1)
            parts.insert(place, planes.index_select(axis, index))
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def _every_second(planes: Tensor, axis: int, start: int, count: int) -> Tensor:
    index = [slice(None)] * planes.ndim
    index[axis] = slice(start, start + 2 * count - 1, 2)
    return planes[tuple(index)]
