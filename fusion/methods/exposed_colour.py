"""The colour of a fused luma, taken from those exposures that hold it, as if the scene had been exposed that brightly.

More light multiplies the encoded values, plus the 0.055 of sRGB's curve, by one factor. The colour of a photograph is
therefore kept as the ratio (RGB - luma) / (luma + 0.055)^0.85, and multiplied by the fused luma plus 0.055 to the same
power; 1 would be what light does, and lamps and evening skies look painted then. A lawn that is dark green in one
exposure and white in the other becomes as green as it is bright.

- The ratio comes from the brightest exposure, and where its channels clip, more and more from the next darker one. One
  clipped channel takes half of the trust, since the others still say something; a clipped pixel says nothing.
- A dark exposure counts by its signal: its last few levels are noise, and curves and black levels turn warm greys into
  red there. Where neither exposure is to be trusted, the result is grey, and white where it is bright.
- In the dark, ratios are means over 3 x 3 pixels: noise is seen there, and sharp colour is not.
- Where a colour does not fit into the range, it is desaturated until it does, smoothly, and the luma stays.

`python -m fusion.benchmark.experiments.colour DATASET` compares it with the published merge; its table stands in
docs/benchmark.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusion.blocks.box_mean import box_mean
from fusion.io import colour
from fusion.methods.base import Colour

_TOE = 0.055
"""sRGB's curve is a power law of the encoded values plus this, except below 0.04."""
_LIFT = 0.85
"""Exponent of the exposure by which colour grows: 1 is as light does, and less is calmer where the dark is lifted."""
_CLIPS = 0.75, 1.0
"""Value of a channel from which it begins to count less, and at which it counts as clipped."""
_SIGNAL = 0.03, 0.25
"""Brightest channel of a dark exposure up to which its colour is noise, and from which it is to be trusted."""
_LARGEST_GAIN = 1.6
"""The most by which colour grows beyond the brightest exposure's, whose noise grows as much."""
_PIXELS = 3
"""Side, in pixels, of the squares over which a dark colour is averaged."""
_CLEAN = 0.05, 0.2
"""Luma up to which a colour is averaged, and from which it is taken as it is."""
_AROUND = 9
"""Side, in pixels, of the squares over which the trust is averaged, so that it changes without an edge."""


def carry_colour(photos: Sequence[Tensor], luma: Tensor) -> Tensor:
    """RGB (B, 3, H, W), from 0 to 1, of a fused luma (B, 1, H, W).

    Its colour is that of photographs (B, 3, H, W) each, from dark to bright.

    >>> grey = torch.full((1, 3, 16, 16), 0.25)
    >>> carry_colour((grey, 2 * grey), torch.full((1, 1, 16, 16), 0.4)).mean((0, 2, 3))
    tensor([0.4000, 0.4000, 0.4000])
    """
    ratio, signal = _ratio(photos[0]), photos[0].amax(1, keepdim=True)
    for photo in photos[1:]:
        most, least = photo.amax(1, keepdim=True), photo.amin(1, keepdim=True)
        clips = _ramp(most, *_CLIPS)
        own, darker = 2 - clips - _ramp(least, *_CLIPS), clips * _ramp(signal, *_SIGNAL)
        own, darker = box_mean(torch.cat((own, darker), 1) / (own + darker + 1e-3), _AROUND).split(1, 1)
        ratio, signal = own * _ratio(photo) + darker * ratio, torch.maximum(signal, most)
    luma = luma.clamp(0, 1)
    exposure = torch.minimum(luma + _TOE, _LARGEST_GAIN * (colour.luma(photos[-1]) + _TOE))
    return _fitted(luma, exposure**_LIFT * ratio)


def _ratio(photo: Tensor) -> Tensor:
    """The colour (B, 3, H, W) of a photograph, which is the same at all exposures."""
    photo = torch.lerp(box_mean(photo, _PIXELS), photo, _ramp(colour.luma(photo), *_CLEAN))
    luma = colour.luma(photo)
    return (photo - luma) / (luma + _TOE) ** _LIFT


def _fitted(luma: Tensor, difference: Tensor) -> Tensor:
    """The sum (B, 3, H, W) of a luma (B, 1, H, W) and a colour's difference from it, desaturated until it fits."""
    room = torch.where(difference > 0, 1 - luma, luma)
    share = (room / difference.abs().clamp_min(1e-6)).amin(1, keepdim=True)
    return torch.addcmul(luma, difference, share / (1 + share**4) ** 0.25)


def _ramp(values: Tensor, low: float, high: float) -> Tensor:
    """A smooth step from 0 at `low` to 1 at `high`."""
    x = ((values - low) / (high - low)).clamp(0, 1)
    return x * x * (3 - 2 * x)


BY_EXPOSURE = Colour(carry_colour, reach=_AROUND // 2)
