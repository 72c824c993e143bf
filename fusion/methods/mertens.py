"""Mertens exposure fusion, in PyTorch: any number of frames, any size, on any device, differentiable.

Source: Mertens, Kautz, Van Reeth, "Exposure Fusion", Pacific Graphics 2007. Sections 3.1 (weights) and 3.2
(blending in a Laplacian pyramid, after Burt and Adelson 1983). Compared with `cv2.createMergeMertens` in tests.

Two variants, each a method of its own:

|                 | `mertens` (the paper)                       | `mertens-torch` (a popular port: Jamy-L, MIT)        |
|-----------------|---------------------------------------------|------------------------------------------------------|
| pyramid         | down to one or two pixels                   | always 4 levels: cloudy blotches in large pictures   |
| reduce          | 5-tap binomial, mirrored borders            | 3-tap binomial, repeated borders                     |
| expand          | 5-tap binomial                              | bilinear between corner centres                      |
| grey            | as OpenCV's, see `OPENCV_GREY`              | mean of the channels                                 |
| contrast        | mirrored borders                            | zeros beyond the border: its frame counts as detail  |
| exposedness     | exp(-(c - .5)^2 / (2 sigma^2)), sigma = .2  | ... / (2 sigma): much flatter                        |
| flat weights    | 1e-12 added before normalising              | frames share equally where all weights are zero      |

The blend is not bounded by its sources: values from about -.2 to 1.3 occur at strong edges. They are clamped, or,
with `roll_off`, bent smoothly into range.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.method import Method, Planes
from fusion.tiles import mirror

Variant = Literal["paper", "torch"]

# OpenCV's MergeMertens reads the BGR that imread gives as if it were RGB, so its grey has BT.601's weights of red and
# blue exchanged. The paper only says "grayscale version"; equal pictures to the program people would otherwise use
# are worth more than the last digit of a grey. BT.601 is (0.299, 0.587, 0.114).
OPENCV_GREY = (0.114, 0.587, 0.299)

# Where the Laplacian of 8-bit levels is zero, float rounding leaves about 1e-8 of it: far above the floor of the
# weights, so that noise would choose between the frames on flat ground.
_FLAT_CONTRAST = 1e-6
_WEIGHT_FLOOR = 1e-12


def exposure_fusion(
    burst: Tensor,
    *,
    contrast: float = 1.0,
    saturation: float = 1.0,
    exposedness: float = 1.0,
    sigma: float = 0.2,
    grey: tuple[float, float, float] = OPENCV_GREY,
    roll_off: float = 0.0,
    variant: Variant = "paper",
) -> Tensor:
    """A burst (N, C, H, W) or (N, B, C, H, W), 0 to 1, C of 1 or 3, fused to (C, H, W) or (B, C, H, W).

    `contrast`, `saturation` and `exposedness` are the exponents of the three weights (section 3.1, eq. 1); `sigma` is
    the width of good exposure around 0.5, `grey` the weights of red, green and blue. `roll_off` is the distance from
    black and white at which values begin to be bent into range; 0 clamps. Sides of 2 pixels or more. Raises ValueError
    for other shapes.
    """
    if burst.ndim not in (4, 5) or burst.shape[-3] not in (1, 3) or min(burst.shape[-2:]) < 2:
        raise ValueError(f"expected a burst (N, C, H, W) with C of 1 or 3 and sides >= 2, got {tuple(burst.shape)}")
    if variant == "torch":
        detail, spread, levels, reduce, expand = _contrast_torch(burst), 2 * sigma, 4, _reduce_torch, _expand_torch
    else:
        detail, spread, reduce, expand = _contrast(burst, grey), 2 * sigma**2, _reduce, _expand
        levels = _levels(burst)

    weight = detail**contrast
    if saturation and burst.shape[-3] == 3:
        weight = weight * _spread_of_channels(burst) ** saturation
    if exposedness:
        weight = weight * torch.exp(-((burst - 0.5) ** 2).sum(-3, keepdim=True) / spread) ** exposedness
    if variant == "torch":
        weight = torch.nan_to_num(weight / weight.sum(0), nan=1 / len(burst))
    else:
        weight = weight + _WEIGHT_FLOOR
        weight = weight / weight.sum(0)

    fused = _blend(burst, weight, levels, reduce, expand)
    return _bend(fused, roll_off) if roll_off else fused.clamp(0, 1)


def blend(burst: Tensor, weight: Tensor) -> Tensor:
    """A burst (N, C, H, W) or (N, B, C, H, W) by weights (N, ..., 1, H, W) that sum to 1, as section 3.2 blends it.

    Not clamped.
    """
    return _blend(burst, weight, _levels(burst), _reduce, _expand)


def _levels(burst: Tensor) -> int:
    return min(burst.shape[-2:]).bit_length() - 1  # floor(log2(shorter side))


def _blend(
    burst: Tensor,
    weight: Tensor,
    levels: int,
    reduce: Callable[[Tensor], Tensor],
    expand: Callable[[Tensor, int, int], Tensor],
) -> Tensor:
    """Section 3.2, eq. 4: Laplacian pyramid of the pictures times Gaussian pyramid of the weights, collapsed."""
    bands: list[Tensor] = []
    for _ in range(levels):
        if min(burst.shape[-2:]) < 2:
            break
        coarser = reduce(burst)
        band = burst - expand(coarser, *burst.shape[-2:])
        bands.append((band * weight).sum(0))
        burst, weight = coarser, reduce(weight)
    fused = (burst * weight).sum(0)
    for band in reversed(bands):
        fused = expand(fused, *band.shape[-2:]) + band
    return fused


def _spread_of_channels(photo: Tensor) -> Tensor:
    """Root of the sum of squared differences from the channels' mean. (The variance's 1/3 cancels in the weights.)"""
    square = ((photo - photo.mean(-3, keepdim=True)) ** 2).sum(-3, keepdim=True)
    # The root's slope at zero is infinite; greys take the slope 0 instead.
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)


def _contrast(photo: Tensor, weights: tuple[float, float, float]) -> Tensor:
    """|Laplacian| of the grey over the four neighbours, mirrored at the border."""
    grey = photo
    if photo.shape[-3] == 3:
        red, green, blue = photo.split(1, -3)
        grey = weights[0] * red + weights[1] * green + weights[2] * blue
    (up, down), (left, right) = _neighbours(grey, -2), _neighbours(grey, -1)
    contrast = (up + down + left + right - 4 * grey).abs()
    return torch.where(contrast < _FLAT_CONTRAST, 0.0, contrast)


def _neighbours(plane: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The plane moved by one pixel to either side along an axis, mirrored at the border."""
    length = plane.shape[axis]
    first, last = plane.narrow(axis, 1, 1), plane.narrow(axis, length - 2, 1)
    return (
        torch.cat((first, plane.narrow(axis, 0, length - 1)), axis),
        torch.cat((plane.narrow(axis, 1, length - 1), last), axis),
    )


def _reduce(planes: Tensor) -> Tensor:
    """[1 4 6 4 1] / 16 along both axes, every second sample, mirrored borders: (..., (H+1)//2, (W+1)//2)."""
    for axis in (-2, -1):
        length = planes.shape[axis]
        index = torch.arange(-2, length + 2, device=planes.device)
        x = planes.index_select(axis, mirror(index, length))
        taps = [_every_second(x, axis, start, (length + 1) // 2) for start in range(5)]
        planes = (taps[0] + taps[4] + 4 * (taps[1] + taps[3]) + 6 * taps[2]) / 16
    return planes


def _every_second(planes: Tensor, axis: int, start: int, count: int) -> Tensor:
    index = [slice(None)] * planes.ndim
    index[axis] = slice(start, start + 2 * count - 1, 2)
    return planes[tuple(index)]


def _expand(planes: Tensor, height: int, width: int) -> Tensor:
    """The inverse's smooth part: samples spread by [1 4 6 4 1] / 8, to (..., height, width), as OpenCV's pyrUp.

    Even samples are (s[i-1] + 6 s[i] + s[i+1]) / 8, odd ones (s[i] + s[i+1]) / 2; the first sample is mirrored
    before the start, the last repeated beyond the end.
    """
    for axis, length in ((-2, height), (-1, width)):
        count = planes.shape[axis]
        before = planes.narrow(axis, min(1, count - 1), 1)
        after = planes.narrow(axis, count - 1, 1)
        x = torch.cat((before, planes, after), axis)
        left, centre, right = (x.narrow(axis, start, count) for start in range(3))
        even = (left + 6 * centre + right) / 8
        odd = (centre + right) / 2
        planes = torch.stack((even, odd), axis).flatten(axis - 1, axis) if axis == -1 else _interleave_rows(even, odd)
        planes = planes.narrow(axis, 0, length)
    return planes


def _interleave_rows(even: Tensor, odd: Tensor) -> Tensor:
    return torch.stack((even, odd), -2).flatten(-3, -2)


def _contrast_torch(photo: Tensor) -> Tensor:
    grey = photo.mean(-3, keepdim=True)
    kernel = grey.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    return _as_batch(lambda x: F.conv2d(x, kernel, padding=1), grey).abs()


def _reduce_torch(planes: Tensor) -> Tensor:
    kernel = planes.new_tensor([1, 2, 1]) / 4
    kernel = torch.outer(kernel, kernel).view(1, 1, 3, 3)
    height, width = planes.shape[-2:]
    pad = (1, width % 2, 1, height % 2)
    return _as_batch(lambda x: F.conv2d(F.pad(x, pad, mode="replicate"), kernel, stride=2), planes)


def _expand_torch(planes: Tensor, height: int, width: int) -> Tensor:
    def expand(x: Tensor) -> Tensor:
        rows, columns = 2 * x.shape[-2] - 1, 2 * x.shape[-1] - 1
        x = F.interpolate(x, (rows, columns), mode="bilinear", align_corners=True)
        return F.pad(x, (0, width - columns, 0, height - rows), mode="replicate")

    return _as_batch(expand, planes)


def _as_batch(function: Callable[[Tensor], Tensor], planes: Tensor) -> Tensor:
    """A function of (B, 1, H, W) applied to every plane of (..., H, W)."""
    out = function(planes.reshape(-1, 1, *planes.shape[-2:]))
    return out.reshape(*planes.shape[:-2], *out.shape[-2:])


def _bend(values: Tensor, knee: float) -> Tensor:
    """Values nearer than `knee` to 0 or 1, and beyond, approach them exponentially; slopes meet at the knee."""
    low = knee * torch.exp((values - knee).clamp_max(0) / knee)
    high = 1 - knee * torch.exp((1 - knee - values).clamp_max(0) / knee)
    return torch.where(values < knee, low, torch.where(values > 1 - knee, high, values))


class Mertens(nn.Module):
    """Exposure fusion of two frames as a network without parameters: (B, 3, H, W) twice -> (B, 3, H, W)."""

    def __init__(self, variant: Variant = "paper") -> None:
        super().__init__()
        self.variant: Variant = variant

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """Fused photographs, clamped."""
        return exposure_fusion(torch.stack((under, over)), variant=self.variant)


_PAPER = "Mertens et al., Exposure Fusion, Pacific Graphics 2007"

METHOD = Method(
    name="mertens",
    title="Mertens",
    paper=_PAPER,
    faithful=True,
    summary="The classic: the best-exposed, most colourful, sharpest parts, blended band by band. No training.",
    build=Mertens,
    planes=Planes.RGB,
)

METHOD_TORCH = Method(
    name="mertens-torch",
    title="Mertens (4-level port)",
    paper=_PAPER + "; as in the port Pytorch-Exposure-Fusion",
    faithful=False,
    summary="A popular port that stops after four levels: see the blotches in flat skies.",
    build=partial(Mertens, "torch"),
    planes=Planes.RGB,
)
