"""Finishing a photograph by hand, after any method has fused it: six controls, whose value 0 changes nothing.

Every control goes from -1 to 1 and changes what its name says. All work on R, G and B in sRGB's encoding, from 0 to 1;
Y = .299 R + .587 G + .114 B is a pixel's luma. The formulas are short, so that a program that shows a preview can use
them as well, and they are differentiable. In this order:

1. **Detail.** Y1 = Y + detail * q (Y - m). m is the mean of Y in a square of 2 * `RADIUS` + 1 pixels around a pixel of
   a copy of Y, v its variance there, and q = `EDGE`^2 / (v + `EDGE`^2), so that edges have no halo. The copy has a
   longest side of at most `COPY` pixels, each the mean of an area; q and q m are enlarged bilinearly. Squares are cut
   at the border.
2. **Black and white point.** b = `POINT` * black, w = `POINT` * white. Where b > 0, the value b becomes black; where
   b < 0, black becomes -b. Where w > 0, the value 1 - w becomes white; where w < 0, white becomes 1 + w. With x+ for
   max(x, 0), s = (1 - (-b)+ - (-w)+) / (1 - b+ - w+) and Y2 = clamp((-b)+ + s (Y1 - b+), 0, 1).
3. **Brightness.** Y3 = g Y2 with g = k / (1 + (k - 1) Y2), k = 2^brightness. Black and white stay, and the opposite
   value undoes it.
4. **Contrast.** k = 2^contrast, and p is what steps 2 and 3 make of the mean of Y, from .2 to .8. Where Y3 < p,
   Y4 = p t / (t + k (1 - t)) with t = Y3 / p; elsewhere 1 - Y4 is that of 1 - Y3 and 1 - p. Black, white and p stay.
5. **Colour.** Every channel becomes Y4 + c (channel - Y), where c = s g (Y4 / Y3) (1 + colour), with its limit
   1 / k for Y4 / Y3 where Y3 is 0. Where a channel would leave 0 to 1, c is the largest factor with which none does.

So hue is kept everywhere, the luma is Y4, and the ratios between the channels are kept by brightness and contrast.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import torch
from torch import Tensor

from fusion.blocks.box_mean import box_mean
from fusion.blocks.guided_filter import apply_affine, shrink
from fusion.errors import FusionError
from fusion.io.colour import luma
from fusion.runtime.tiles import by_strips

COPY = 512
"""Longest side, in pixels, of the copy in which detail is told from what surrounds it."""
RADIUS = 8
"""What surrounds a pixel, in pixels of the copy on each side."""
EDGE = 0.1
"""Standard deviation of a square whose detail counts half."""
POINT = 0.15
"""By how much the black and the white point move at most."""
PIVOT = 0.2, 0.8
"""Limits of the value that contrast leaves as it is."""


@dataclass(frozen=True)
class Finish:
    """How a fused photograph is finished, from -1 to 1 each. 0 leaves it as it is.

    Raises `FusionError` for a value outside.

    >>> Finish(brightness=0.2).contrast
    0.0
    """

    brightness: float = 0.0
    """Brighter above 0, darker below. Black and white stay."""
    contrast: float = 0.0
    """More difference between bright and dark above 0, less below. The mean stays about as bright."""
    colour: float = 0.0
    """Stronger colours above 0, weaker ones below. -1 gives greys."""
    detail: float = 0.0
    """Crisper above 0, softer below. Large edges stay as they are."""
    black: float = 0.0
    """Above 0, dark greys become black; below 0, black becomes grey."""
    white: float = 0.0
    """Above 0, light greys become white; below 0, white becomes grey."""

    def __post_init__(self) -> None:
        for control in fields(self):
            value = getattr(self, control.name)
            if not -1 <= value <= 1:  # NaN as well
                raise FusionError(f"The control {control.name} goes from -1 to 1; {value:g} is outside.")


def finished(photo: Tensor, finish: Finish) -> Tensor:
    """A photograph (3, H, W), from 0 to 1, with the controls applied: (3, H, W), from 0 to 1.

    Without any control it is `photo` itself. The result is differentiable with respect to `photo`.

    >>> grey = torch.full((3, 4, 4), 0.25)
    >>> finished(grey, Finish(brightness=1)).unique()
    tensor([0.4000])
    """
    if not any(astuple(finish)):
        return photo
    whole = luma(photo)
    pivot = _lit(_between_points(whole.mean(), finish), finish)[0].clamp(*PIVOT)
    around = _around(whole) if finish.detail else None
    height = photo.shape[-2]

    def rows_of(rows: slice, _: slice) -> Tensor:
        old = y = whole[:, rows]
        if around is not None:
            y = y + finish.detail * apply_affine(around, y[None], rows.start, height)[0]
        y, gain = _lit(_between_points(y, finish), finish)
        y, more = _contrasted(y, pivot, finish)
        difference = _slope(finish) * (1 + finish.colour) * gain * more * (photo[:, rows] - old)
        room = torch.where(difference > 0, 1 - y, y)
        return y + (room / difference.abs().clamp_min(1e-6)).amin(0, keepdim=True).clamp_max(1) * difference

    return by_strips(rows_of, photo.shape[-2:], photo.device).clamp(0, 1)


def _around(whole: Tensor) -> Tensor:
    """q and -q m as (1, 2, h, w), of a luma (1, H, W)."""
    copy = shrink(whole[None], COPY / max(whole.shape[-2:]))
    mean, square = box_mean(torch.cat((copy, copy**2), 1), 2 * RADIUS + 1).split(1, 1)
    share = EDGE**2 / ((square - mean**2).clamp_min(0) + EDGE**2)
    return torch.cat((share, -share * mean), 1)


def _slope(finish: Finish) -> float:
    """By how much black and white point stretch the values between them."""
    black, white = POINT * finish.black, POINT * finish.white
    return (1 - max(-black, 0) - max(-white, 0)) / (1 - max(black, 0) - max(white, 0))


def _between_points(y: Tensor, finish: Finish) -> Tensor:
    black = POINT * finish.black
    return (max(-black, 0) + _slope(finish) * (y - max(black, 0))).clamp(0, 1)


def _lit(y: Tensor, finish: Finish) -> tuple[Tensor, Tensor]:
    """The luma after brightness, and its ratio to the luma before."""
    factor = 2**finish.brightness
    gain = factor / (1 + (factor - 1) * y)
    return gain * y, gain


def _contrasted(y: Tensor, pivot: Tensor, finish: Finish) -> tuple[Tensor, Tensor]:
    """The luma after contrast, and its ratio to the luma before."""
    factor = 2**finish.contrast
    below, above = y / pivot, (1 - y) / (1 - pivot)
    less = 1 / (below + factor * (1 - below)).clamp_min(1e-6)
    bright = 1 - (1 - pivot) * above / (above + factor * (1 - above)).clamp_min(1e-6)
    dark = y < pivot
    return torch.where(dark, less * y, bright), torch.where(dark, less, bright / y.clamp_min(1e-6))
