"""Makes camera RAW files (DNG) from photographs, for the table of formats and for tests. This is no experiment."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from fusion.io.image import Photo


def bayer(photo: Photo) -> NDArray[np.float32]:
    """The linear light behind a sensor's Bayer filters, (H, W), from a photograph (3, H, W) of even sides.

    Red is at the upper left of every four pixels.

    >>> bayer(torch.ones(3, 2, 2)).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    light = torch.where(photo <= 0.04045, photo / 12.92, ((photo + 0.055) / 1.055) ** 2.4).numpy()
    bayer = light[1].copy()
    bayer[::2, ::2], bayer[1::2, 1::2] = light[0, ::2, ::2], light[2, 1::2, 1::2]
    return bayer


def negative(light: NDArray[np.floating[Any]], neutral: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> bytes:
    """A DNG file of the light behind a sensor's filters, (H, W) from 0 to 1.

    It has 16 bits and sRGB's primaries. `neutral` is what the sensor sees of grey, of which no channel is above 1.
    """
    to_camera = [3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570]
    tags = [
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "Test", True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50717, "I", 1, 65535, True),
        (50721, "2i", 9, [number for value in to_camera for number in (round(value * 10000), 10000)], True),
        (50728, "2I", 3, [number for value in neutral for number in (round(value * 10000), 10000)], True),
        (50778, "H", 1, 21, True),
    ]
    data = io.BytesIO()
    levels = (light * 65535).round().astype(np.uint16)
    tifffile.imwrite(data, levels, photometric="cfa", extratags=tags, metadata=None)
    return data.getvalue()
