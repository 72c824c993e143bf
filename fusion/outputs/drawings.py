"""Drawings for people: a contact sheet of several results, and a method's weight maps in colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fusion.io.image import Photo, to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_TILE_SIDE, _CAPTION, _GAP = 560, 34, 12
"""Pixels: the longest side of a tile, the height of the line above it, and the space between tiles."""


def draw_weights(maps: Tensor) -> NDArray[np.uint8]:
    """Weight maps (N, 1, H, W), which sum to 1 over N, as one picture (H, W, 3): which exposure counts most where.

    The exposures go from dark to bright. Where the darkest alone counts, the picture is dark blue; where the brightest
    alone counts, it is yellow; between them it shows the weights' mean. The colours are cividis (Nunez, Anderton and
    Renslow, PLOS ONE 2018), which looks equally even to people with and without impaired colour vision.

    >>> import torch
    >>> draw_weights(torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)).tolist()  # all weight on the darker of two exposures
    [[[0, 34, 78]]]
    """
    import cv2
    import torch

    place = (torch.linspace(0, 1, len(maps)).view(-1, 1, 1, 1) * maps).sum(0)
    return np.asarray(cv2.applyColorMap(to_uint8(place), cv2.COLORMAP_CIVIDIS)[..., ::-1], np.uint8)


def contact_sheet(pictures: Mapping[str, Photo], columns: int = 3) -> Photo:
    """Pictures of one size, (3, H, W) from 0 to 1 by their titles, on one white sheet (3, h, w) with their titles.

    >>> import torch
    >>> sheet = contact_sheet({"under": torch.zeros(3, 40, 60), "over": torch.ones(3, 40, 60)}, columns=2)
    >>> tuple(sheet.shape)
    (3, 443, 1192)
    """
    import cv2
    import torch

    tiles = [_tile(title, photo) for title, photo in pictures.items()]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    sheet = cv2.copyMakeBorder(np.concatenate(rows), _GAP, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return torch.from_numpy(sheet).permute(2, 0, 1) / 255


def _tile(title: str, photo: Photo) -> NDArray[np.uint8]:
    import cv2

    pixels = to_uint8(photo)
    height, width = pixels.shape[:2]
    scale = _TILE_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    tile = cv2.copyMakeBorder(pixels, _CAPTION, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    cv2.putText(tile, title, (_GAP, _CAPTION - 11), cv2.FONT_HERSHEY_SIMPLEX, 0.62, (30, 30, 30), 1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)
