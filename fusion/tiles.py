"""Large pictures in overlapping tiles on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tile:
    """One tile: what is read (`rows`, `columns`: core and halo), what of it is kept, and where that belongs."""

    rows: slice
    columns: slice
    core_rows: slice
    core_columns: slice

    @property
    def inner(self) -> tuple[slice, slice, slice]:
        """The core within a result (C, h, w) of the tile."""
        return slice(None), _within(self.core_rows, self.rows), _within(self.core_columns, self.columns)


def _within(inner: slice, outer: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)


def tiles(height: int, width: int, side: int, halo: int, multiple_of: int = 1) -> list[Tile]:
    """Tiles whose cores cover height x width without overlap; tile borders lie on the `multiple_of` grid.

    At the picture's edge a tile ends there too, so that a network pads it exactly as it pads the whole.
    `side` is the core's side; `side`, and `halo` rounded up, are multiples of `multiple_of` (ValueError).
    """
    if side <= 0 or side % multiple_of:
        raise ValueError(f"the tile's side must be a positive multiple of {multiple_of}, got {side}")
    halo = -(-halo // multiple_of) * multiple_of
    return [
        Tile(rows, columns, core_rows, core_columns)
        for core_rows, rows in _spans(height, side, halo)
        for core_columns, columns in _spans(width, side, halo)
    ]


def _spans(length: int, side: int, halo: int) -> list[tuple[slice, slice]]:
    """Cores along one axis, each with its core and halo cut off at the ends."""
    starts = range(0, length, side)
    cores = [slice(start, min(start + side, length)) for start in starts]
    return [(core, slice(max(core.start - halo, 0), min(core.stop + halo, length))) for core in cores]


def pad_to_multiple(planes: Tensor, multiple: int) -> Tensor:
    """(..., H, W) extended at the bottom and right to multiples of `multiple`, mirrored without the edge pixel.

    A side shorter than what is missing is mirrored back and forth.
    """
    for axis in (-2, -1):
        length = planes.shape[axis]
        missing = -length % multiple
        if missing:
            index = torch.arange(length + missing, device=planes.device)
            planes = planes.index_select(axis, mirror(index, length))
    return planes


def mirror(index: Tensor, length: int) -> Tensor:
    """Indices beyond 0 ... length-1 reflected at the first and last element (reflect-101), at any distance."""
    period = max(2 * (length - 1), 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index) if length > 1 else torch.zeros_like(index)
