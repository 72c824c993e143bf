"""The colour of a fused luma, taken from those exposures that show it well.

The chroma of each exposure counts by how well its pixel is exposed, and little where a channel is clipped. It grows or
shrinks with the square root of what its luma does. Where a colour does not fit into the range, it is desaturated until
it does, and the luma stays.

Compared with the merge that DeepFuse uses, on the same luma and over the examples, hue is off by 3.81 degrees instead
of 4.90, and the result has 0.884 of the sources' colourfulness instead of 0.966 (`python -m
fusion.benchmark.experiments.colour examples` prints this).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusion.blocks.box_mean import box_mean
from fusion.io import colour
from fusion.methods.base import Colour

_EXPOSED = 0.3
"""Standard deviation of the luma around 0.5 at which a pixel counts as well exposed."""
_CLIPPED = (0.85, 1.0)
"""The brightest channel of a pixel that begins to count as clipped, and of one that is."""
_LARGEST_GAIN = 4.0
_AROUND = 9
"""Side, in pixels, of the squares over which the weights are averaged."""


def carry_colour(photos: Sequence[Tensor], luma: Tensor) -> Tensor:
    """RGB (B, 3, H, W), from 0 to 1, of a fused luma (B, 1, H, W), with the colour of photographs (B, 3, H, W) each.

    >>> grey = torch.full((1, 3, 16, 16), 0.25)
    >>> carry_colour((grey, 2 * grey), torch.full((1, 1, 16, 16), 0.4)).mean((0, 2, 3))
    tensor([0.4000, 0.4000, 0.4000])
    """
    chroma, total = torch.zeros_like(photos[0][:, :2]), torch.zeros_like(luma)
    for photo in photos:
        y = colour.luma(photo)
        low, high = _CLIPPED
        clipped = ((photo.amax(1, keepdim=True) - low) / (high - low)).clamp(0, 1)
        exposed = torch.exp(-((y - 0.5) ** 2) / (2 * _EXPOSED**2)) * y / (y + 0.05)
        # The last term decides where no exposure shows the pixel well.
        weight = box_mean(exposed * (1 - clipped / 4) + 1e-4 * (y + 0.01), _AROUND)
        gain = ((luma.clamp(0, 1) + 0.02) / (y + 0.02)).clamp(1 / _LARGEST_GAIN, _LARGEST_GAIN).sqrt()
        chroma = chroma + weight * gain * (colour.chroma(photo) - 0.5)
        total = total + weight
    return colour.fit_gamut(luma, 0.5 + chroma / total)


BY_EXPOSURE = Colour(carry_colour, reach=_AROUND // 2)
