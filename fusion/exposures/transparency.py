"""Transparent parts of exposures, as hugin's align_image_stack and nona leave them around pictures that they warp.

They take no part in a fusion: what is transparent in one exposure is taken from the exposure that is next to it in
brightness and shows that place. Places that no exposure shows are cropped.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.io.image import ExposurePair, Mask, Photo

_FEATHER = 0.02
"""How far inside its edge an exposure begins to give way, as a share of the longer side. A step would be an edge."""
_CELLS = 256
"""How many cells the longer side is divided into where a rectangle is searched."""


def filled(pair: ExposurePair) -> ExposurePair:
    """Fill what is transparent in an exposure from the others, and crop the exposures to what at least one shows.

    A note says so. Exposures without transparent parts are returned as they are.

    >>> dark, bright = torch.full((3, 40, 60), 0.2), torch.full((3, 40, 60), 0.8)
    >>> left = torch.arange(60).expand(40, 60) < 30
    >>> under = filled(ExposurePair(dark, bright, masks=(left, None))).under
    >>> round(float(under[0, 20, 0]), 1), round(float(under[0, 20, 59]), 1)
    (0.2, 0.8)
    """
    if not pair.masks:
        return pair
    everywhere = torch.ones(pair.size, dtype=torch.bool)
    masks = [everywhere if mask is None else mask for mask in pair.masks]
    shown = torch.stack(masks).any(0)
    rows, columns = slice(None), slice(None)
    note = "Transparent parts of the exposures were taken from the other exposures."
    if not bool(shown.all()):
        rows, columns = largest_rectangle(shown.numpy())
        note = f"{note[:-1]}, and the result was cropped to what they show."
    frames = [frame[:, rows, columns] for frame in pair.frames]
    masks = [mask[rows, columns] for mask in masks]
    under, *between, over = (_filled(index, frames, masks) for index in range(len(frames)))
    notes = (*pair.notes, note)
    return replace(pair, under=under, over=over, between=tuple(between), notes=notes, masks=())


def _filled(index: int, frames: list[Photo], masks: list[Mask]) -> Photo:
    """One exposure, with its transparent parts from those that are next to it in brightness."""
    import cv2

    own, opaque = frames[index], masks[index]
    if bool(opaque.all()):
        return own.contiguous()
    result, known = own.clone(), torch.zeros_like(opaque)
    for other in sorted(range(len(frames)), key=lambda other: abs(other - index)):
        if other != index:
            new = masks[other] & ~known
            result[:, new] = frames[other][:, new]
            known |= new
    distance = cv2.distanceTransform(opaque.numpy().astype(np.uint8), cv2.DIST_L2, 5)
    share = torch.from_numpy(np.asarray(distance, np.float32)) / max(1.0, _FEATHER * max(opaque.shape))
    return torch.lerp(result, own, share.clamp_(0, 1))


def largest_rectangle(shown: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of the largest rectangle of true values (H, W), to the size of a cell of a grid.

    >>> rows, columns = largest_rectangle(np.tri(100, 100, dtype=bool))
    >>> rows, columns
    (slice(49, 100, None), slice(0, 50, None))
    """
    side = math.ceil(max(shown.shape) / _CELLS)
    height, width = (length // side for length in shown.shape)
    cells = shown[: height * side, : width * side].reshape(height, side, width, side)
    cells = np.logical_and.reduce(cells, axis=(1, 3))
    best, found = 0, (0, 0, 0, 0)
    above = np.zeros(width, int)  # how many true cells there are from this row upwards
    for row in range(height):
        above = np.where(cells[row], above + 1, 0)
        for left in range(width):
            least = np.minimum.accumulate(above[left:])
            areas = least * np.arange(1, width - left + 1)
            if (at := int(areas.argmax())) >= 0 and areas[at] > best:
                best, found = int(areas[at]), (row + 1 - int(least[at]), row + 1, left, left + at + 1)
    top, bottom, start, stop = found
    return slice(top * side, bottom * side), slice(start * side, stop * side)
