"""Whether two pictures show the same view: a cheap look at small copies, whatever their exposures are.

The directions of edges hardly depend on the exposure. They are compared at every shift of the one copy against the
other by the Fourier transform, as phase correlation does (Kuglin and Hines, 1975); only edges that both copies show
count. For the same view, directions agree at one shift; for different views, they agree at none.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Grey: TypeAlias = NDArray[np.uint8]
"""A small copy (h, w), 0 to 255."""

_SAME, _DIFFERENT = 0.55, 0.33
"""The mean cosine of the angle between edges from which views are the same, and below which they are different."""
_FEWEST = 800
"""The fewest pixels with an edge in both copies that tell anything."""
_LARGEST_SHIFT = 0.12
"""The largest shift, as a share of each side."""
_DARKEST, _BRIGHTEST = 5, 250
_WEAKEST_EDGE = 6.0
"""The weakest gradient whose direction counts: the output of Sobel's filter, which is 8 times the slope in levels."""


def same_view(one: Grey, other: Grey) -> bool | None:
    """Whether two small copies of one size show the same view; None if they have too few edges in common to tell.

    >>> rings = np.uint8(127 + 120 * np.sin(np.hypot(*np.mgrid[:200, :300]) / 6))
    >>> same_view(rings, rings // 2), same_view(rings, rings[::-1]), same_view(rings, rings * 0)
    (True, False, None)
    """
    if one.shape != other.shape:
        return None
    agreement, count = _agreement(one, other)
    if count < _FEWEST:
        return None
    return True if agreement >= _SAME else False if agreement < _DIFFERENT else None


def shows_anything(copy: Grey) -> bool:
    """Whether a small copy has enough edges to be compared with others."""
    return int(_edges(copy)[1].sum()) >= _FEWEST


def _agreement(one: Grey, other: Grey) -> tuple[float, float]:
    """The mean cosine at the best shift, and how many pixels with an edge both copies have there at least."""
    shape = tuple(2 * side for side in one.shape)  # so that what leaves at one side does not enter at the other
    (first, first_seen), (second, second_seen) = (_directions(copy, shape) for copy in (one, other))
    total = np.fft.ifft2(first.conj() * second).real
    count = np.fft.ifft2(first_seen.conj() * second_seen).real
    near = np.ix_(*(_shifts(side) for side in one.shape))
    total, count = total[near], count[near]
    enough = max(_FEWEST, 0.5 * float(count.max()))
    return float((total / np.maximum(count, enough)).max()), float(count.max())


def _directions(copy: Grey, shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The transforms of the edges' directions, unit complex numbers, and of where there are edges."""
    slope, seen = _edges(copy)
    directions = np.where(seen, slope / np.maximum(np.abs(slope), 1e-6), 0)
    return np.fft.fft2(directions, shape), np.fft.fft2(seen.astype(np.float32), shape)


def _edges(copy: Grey) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The slopes, as complex numbers, and where they are those of an edge."""
    import cv2

    plane = cv2.GaussianBlur(copy.astype(np.float32), (0, 0), 1)
    slope = cv2.Sobel(plane, -1, 1, 0) + 1j * cv2.Sobel(plane, -1, 0, 1)
    seen = (np.abs(slope) > _WEAKEST_EDGE) & (plane > _DARKEST) & (plane < _BRIGHTEST)
    seen[[0, -1]] = seen[:, [0, -1]] = False
    return slope, seen


def _shifts(side: int) -> NDArray[np.int64]:
    most = int(_LARGEST_SHIFT * side)
    return np.arange(-most, most + 1)
