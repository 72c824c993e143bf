"""Large pictures part by part: overlapping tiles on a grid, borders mirrored, for networks; strips for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fusion.runtime import cancel


@dataclass(frozen=True)
class Tile:
    """One tile: the part of the picture it is for; it is read with `halo` more pixels on every side."""

    rows: slice
    columns: slice
    halo: int

    @property
    def read(self) -> tuple[slice, slice]:
        """Where the tile with its halo lies in the picture that was extended by `halo` on every side."""
        rows, columns = (slice(core.start, core.stop + 2 * self.halo) for core in (self.rows, self.columns))
        return rows, columns

    @property
    def inner(self) -> tuple[slice, slice]:
        """The tile without its halo, within what was read."""
        rows, columns = (slice(self.halo, self.halo + core.stop - core.start) for core in (self.rows, self.columns))
        return rows, columns


def tiles(height: int, width: int, side: int, halo: int) -> list[Tile]:
    """Tiles of at most side x side that cover height x width once, row by row."""
    return [
        Tile(slice(top, min(top + side, height)), slice(left, min(left + side, width)), halo)
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def in_tiles(
    planes: Tensor,
    run: Callable[[Tensor], Tensor],
    *,
    side: int,
    halo: int,
    multiple_of: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """`run` over (N, C, H, W), tile by tile: (C', H, W).

    `run` takes (N, C, h, w), h and w multiples of `multiple_of`, and returns (C', h, w), C' as it likes. Where no pixel
    of its result depends on anything further than `halo` outside its own square of the `multiple_of` grid, the tiles'
    borders cannot be seen. Raises ValueError unless `side` is a multiple of `multiple_of`.
    """
    if side <= 0 or side % multiple_of:
        raise ValueError(f"the tile's side must be a positive multiple of {multiple_of}, got {side}")
    height, width = planes.shape[-2:]
    halo = -(-halo // multiple_of) * multiple_of
    extended = extend(planes, halo, multiple_of)
    rows, columns = extended.shape[-2] - 2 * halo, extended.shape[-1] - 2 * halo
    result = torch.empty(0)
    boxes = tiles(rows, columns, side, halo)
    for done, tile in enumerate(boxes, start=1):
        cancel.check()
        part = run(extended[..., tile.read[0], tile.read[1]])
        if done == 1:
            result = part.new_empty(len(part), rows, columns)
        result[:, tile.rows, tile.columns] = part[..., tile.inner[0], tile.inner[1]]
        if progress:
            progress(done / len(boxes))
    return result[:, :height, :width]


_STRIP = 1 << 17
"""Pixels: what a strip needs stays in a processor's cache."""


def by_strips(
    compute: Callable[[slice, slice], Tensor], size: Sequence[int], device: torch.device, margin: int = 0
) -> Tensor:
    """A result (..., H, W) of `size`, put together from `compute`'s for its rows, a few at a time.

    `compute` is given rows, the first of them even, and the same rows with up to `margin` more on either side. A GPU is
    given all at once.
    """
    height, width = size
    count = max(margin, _STRIP // width // 2, 1) * 2 if device.type == "cpu" else height
    tops = range(0, height, count)

    def part(top: int) -> Tensor:
        cancel.check()
        bottom = min(top + count, height)
        return compute(slice(top, bottom), slice(max(top - margin, 0), min(bottom + margin, height)))

    first = part(0)
    if len(tops) == 1:
        return first
    if first.requires_grad:
        return torch.cat([first, *map(part, tops[1:])], -2)
    result = first.new_empty(*first.shape[:-2], height, first.shape[-1])
    result[..., :count, :] = first
    for top in tops[1:]:
        result[..., top : top + count, :] = part(top)
    return result


def extend(planes: Tensor, margin: int, multiple_of: int = 1) -> Tensor:
    """(..., H, W) with `margin` mirrored pixels on every side, and at the far sides as many more as it takes to make
    H and W multiples of `multiple_of`."""
    for axis in (-2, -1):
        length = planes.shape[axis]
        index = torch.arange(-margin, length + -length % multiple_of + margin, device=planes.device)
        if len(index) > length:
            planes = planes.index_select(axis, mirror(index, length))
    return planes


def mirror(index: Tensor, length: int) -> Tensor:
    """Indices beyond 0 ... length-1 reflected at the first and last element (reflect-101), at any distance."""
    period = max(2 * (length - 1), 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index) if length > 1 else torch.zeros_like(index)
