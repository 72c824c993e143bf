"""Large pictures in parts: overlapping tiles with mirrored borders for networks, strips of rows for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fusion.runtime import cancel


@dataclass(frozen=True)
class HaloTile:
    """One tile: the rows and columns that it writes. It is read with `halo` more pixels on every side."""

    rows: slice
    columns: slice
    halo: int

    @property
    def read(self) -> tuple[slice, slice]:
        """Rows and columns of the tile with its halo, in the picture that was extended by `halo` on every side."""
        rows, columns = (slice(core.start, core.stop + 2 * self.halo) for core in (self.rows, self.columns))
        return rows, columns

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of the tile without its halo, within what was read."""
        rows, columns = (slice(self.halo, self.halo + core.stop - core.start) for core in (self.rows, self.columns))
        return rows, columns


def tile_grid(height: int, width: int, side: int, halo: int) -> list[HaloTile]:
    """Tiles of at most `side` x `side` pixels that cover `height` x `width` exactly once, row by row.

    >>> len(tile_grid(100, 250, side=100, halo=16))
    3
    """
    return [
        HaloTile(slice(top, min(top + side, height)), slice(left, min(left + side, width)), halo)
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
    """Apply `run` to planes (N, C, H, W) tile by tile and return its results as one tensor (C', H, W).

    `run` takes (N, C, h, w), where h and w are multiples of `multiple_of`, and returns (C', h, w) with any number of
    channels C'. If no pixel of its result depends on anything further than `halo` pixels outside its own square of the
    `multiple_of` grid, the borders of tiles cannot be seen. `progress` is called with the share that is done, 0 to 1.

    Raises `ValueError` unless `side` is a positive multiple of `multiple_of`, and `Cancelled` between tiles where
    nobody waits for the result any more.

    >>> planes = torch.rand(2, 1, 50, 70)
    >>> torch.equal(in_tiles(planes, lambda part: part.mean(0), side=32, halo=0), planes.mean(0))
    True
    """
    if side <= 0 or side % multiple_of:
        raise ValueError(f"the tile's side must be a positive multiple of {multiple_of}, got {side}")
    height, width = planes.shape[-2:]
    halo = -(-halo // multiple_of) * multiple_of
    extended = extend(planes, halo, multiple_of)
    rows, columns = extended.shape[-2] - 2 * halo, extended.shape[-1] - 2 * halo
    result = torch.empty(0)
    grid = tile_grid(rows, columns, side, halo)
    for done, tile in enumerate(grid, start=1):
        cancel.check()
        part = run(extended[..., tile.read[0], tile.read[1]])
        if done == 1:
            result = part.new_empty(len(part), rows, columns)
        result[:, tile.rows, tile.columns] = part[..., tile.inner[0], tile.inner[1]]
        if progress:
            progress(done / len(grid))
    return result[:, :height, :width]


_STRIP = 1 << 17
"""Pixels of a strip, so few that its intermediate results stay in the processor's cache."""


def by_strips(
    compute: Callable[[slice, slice], Tensor], size: Sequence[int], device: torch.device, margin: int = 0
) -> Tensor:
    """Compute a result (..., H, W) a few rows at a time. `size` is (H, W).

    `compute(rows, with_margin)` returns the result of `rows`; `with_margin` are the same rows with up to `margin` more
    on either side. The first row of each strip is even. A GPU computes all rows at once. Raises `Cancelled` between
    strips where nobody waits for the result any more.

    >>> photo = torch.rand(3, 600, 400)
    >>> halved = by_strips(lambda rows, _: photo[:, rows] / 2, (600, 400), photo.device)
    >>> torch.equal(halved, photo / 2)
    True
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
    """Extend planes (..., H, W) by `margin` mirrored pixels on every side (reflect padding).

    At the bottom and on the right, as many more are added as make H and W multiples of `multiple_of`.

    >>> extend(torch.zeros(1, 30, 50), 4, multiple_of=16).shape
    torch.Size([1, 40, 72])
    """
    for axis in (-2, -1):
        length = planes.shape[axis]
        index = torch.arange(-margin, length + -length % multiple_of + margin, device=planes.device)
        if len(index) > length:
            planes = planes.index_select(axis, mirror(index, length))
    return planes


def mirror(index: Tensor, length: int) -> Tensor:
    """Reflect indices outside 0 ... length - 1 at the first and the last element, at any distance (reflect-101).

    >>> mirror(torch.arange(-2, 6), 4).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    period = max(2 * (length - 1), 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index) if length > 1 else torch.zeros_like(index)
