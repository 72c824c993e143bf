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

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.methods.base import Method, Needs, Option, Planes
from fusion.runtime.tiles import by_strips, mirror

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
    burst: Tensor | Sequence[Tensor],
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
    for other shapes, and for half precision, in which the weights would vanish.
    """
    frames, port = tuple(burst), variant == "torch"
    weights = weight_maps(
        frames,
        contrast=contrast,
        saturation=saturation,
        exposedness=exposedness,
        sigma=sigma,
        grey=grey,
        variant=variant,
    )
    fused = _blend(frames, tuple(weights), _PORT if port else _PAPERS)
    return _bend(fused, roll_off) if roll_off else fused.clamp(0, 1)


def weight_maps(
    burst: Tensor | Sequence[Tensor],
    *,
    contrast: float = 1.0,
    saturation: float = 1.0,
    exposedness: float = 1.0,
    sigma: float = 0.2,
    grey: tuple[float, float, float] = OPENCV_GREY,
    variant: Variant = "paper",
) -> Tensor:
    """How much each frame of a burst counts in each pixel (section 3.1): (N, ..., 1, H, W), which sum to 1.

    Arguments and errors are those of `exposure_fusion`, which blends by them.
    """
    frames = tuple(burst)
    shape = frames[0].shape if frames else torch.Size()
    if len(shape) not in (3, 4) or shape[-3] not in (1, 3) or min(shape[-2:]) < 2:
        raise ValueError(f"expected a burst (N, C, H, W) with C of 1 or 3 and sides >= 2, got frames {tuple(shape)}")
    if any(frame.shape != shape for frame in frames):
        raise ValueError("the frames of a burst must be of one shape")
    if frames[0].dtype == torch.float16:
        raise ValueError("half precision is too coarse for the weights: give frames of float32")
    port = variant == "torch"

    def weigh(frame: Tensor) -> Tensor:
        weight = (_contrast_of_port(frame) if port else _contrast(frame, grey)) ** contrast
        if saturation and shape[-3] == 3:
            weight = weight * _spread_of_channels(frame) ** saturation
        if exposedness:
            spread = 2 * sigma if port else 2 * sigma**2
            weight = weight * torch.exp(-((frame - 0.5) ** 2).sum(-3, keepdim=True) / spread) ** exposedness
        return weight if port else weight + _WEIGHT_FLOOR

    def shares(rows: slice, seen: slice) -> Tensor:
        weights = torch.stack([weigh(frame[..., seen, :]) for frame in frames])
        total = weights.sum(0)
        if port:  # where all are 0, all count the same
            weights, total = torch.where(total > 0, weights, 1), torch.where(total > 0, total, len(frames))
        weights = weights / total
        return weights.narrow(-2, rows.start - seen.start, rows.stop - rows.start)

    return by_strips(shares, shape[-2:], frames[0].device, margin=1)


def blend(burst: Tensor | Sequence[Tensor], weight: Tensor | Sequence[Tensor]) -> Tensor:
    """A burst (N, C, H, W) or (N, B, C, H, W) by weights (N, ..., 1, H, W) that sum to 1, as section 3.2 blends it.

    Not clamped.
    """
    return _blend(tuple(burst), tuple(weight), _PAPERS)


class _Pyramid(NamedTuple):
    """How the levels of a pyramid follow from each other, the same along both axes."""

    reduce: tuple[float, ...]
    """A symmetric kernel's taps from the centre outwards; of its result, every second sample is taken."""
    mirrored: bool
    """What is read beyond the border when a level is reduced: its mirror image, or the last sample again."""
    expand: float
    """What a sample keeps of itself; its neighbours make up the rest. Between two samples is their mean."""
    levels: int | None = None
    """How many; None: as many as the shorter side can be halved."""


_PAPERS = _Pyramid(reduce=(6 / 16, 4 / 16, 1 / 16), mirrored=True, expand=6 / 8)
_PORT = _Pyramid(reduce=(2 / 4, 1 / 4), mirrored=False, expand=1.0, levels=4)


def _blend(frames: Sequence[Tensor], weights: Sequence[Tensor], pyramid: _Pyramid, levels: int | None = None) -> Tensor:
    """Section 3.2, eq. 4: Laplacian pyramid of the pictures times Gaussian pyramid of the weights, collapsed."""
    size = frames[0].shape[-2:]
    if levels is None:
        levels = pyramid.levels or min(size).bit_length() - 1  # floor(log2(shorter side))
    if min(size) < 2 or not levels:
        return _weighted_sum(frames, weights)
    smaller = [_reduced(planes, pyramid) for planes in (*frames, *weights)]
    small_frames, small_weights = smaller[: len(frames)], smaller[len(frames) :]
    small_fused = _blend(small_frames, small_weights, pyramid, levels - 1)

    def collapsed(rows: slice, _: slice) -> Tensor:
        smooth = (_expanded(small, pyramid, rows, size[1]) for small in small_frames)
        bands = [frame[..., rows, :] - low for frame, low in zip(frames, smooth, strict=True)]
        detail = _weighted_sum(bands, [weight[..., rows, :] for weight in weights])
        return detail + _expanded(small_fused, pyramid, rows, size[1])

    return by_strips(collapsed, size, frames[0].device)


def _weighted_sum(frames: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    total = frames[0] * weights[0]
    for frame, weight in zip(frames[1:], weights[1:], strict=True):
        total = torch.addcmul(total, frame, weight)
    return total


def _reduced(planes: Tensor, pyramid: _Pyramid) -> Tensor:
    """The next coarser level, (..., (H+1)//2, (W+1)//2)."""
    height, width = ((side + 1) // 2 for side in planes.shape[-2:])
    reach = len(pyramid.reduce) - 1

    def reduced(rows: slice, _: slice) -> Tensor:
        x = planes
        for axis, start, stop in ((-2, rows.start, rows.stop), (-1, 0, width)):
            x = _between(
                x, axis, 2 * start - reach, 2 * stop - 1 + reach, mirrored=(pyramid.mirrored, pyramid.mirrored)
            )
            taps = [_every_second(x, axis, first, stop - start) for first in range(2 * reach + 1)]
            x = taps[reach] * pyramid.reduce[0]
            for away in range(1, reach + 1):
                x = torch.add(x, taps[reach - away] + taps[reach + away], alpha=pyramid.reduce[away])
        return x

    return by_strips(reduced, (height, width), planes.device)


def _expanded(planes: Tensor, pyramid: _Pyramid, rows: slice, width: int) -> Tensor:
    """The next finer level's smooth part: its `rows`, the first of them even; borders as OpenCV's pyrUp."""
    for axis, start, stop in ((-2, rows.start, rows.stop), (-1, 0, width)):
        first, last = start // 2, (stop + 1) // 2
        x = _between(planes, axis, first - 1, last + 1, mirrored=(True, False))
        left, centre, right = (x.narrow(axis, offset, last - first) for offset in range(3))
        even = torch.add(centre * pyramid.expand, left + right, alpha=(1 - pyramid.expand) / 2)
        odd = (centre + right) / 2
        planes = torch.stack((even, odd), axis).flatten(axis - 1, axis).narrow(axis, 0, stop - start)
    return planes


def _between(planes: Tensor, axis: int, start: int, stop: int, mirrored: tuple[bool, bool]) -> Tensor:
    """`planes[start:stop]` along an axis, also beyond its ends: mirrored there, or the last sample again."""
    length = planes.shape[axis]
    low, high = max(start, 0), min(stop, length)
    parts = [planes.narrow(axis, low, high - low)]
    for place, beyond, reflect in ((0, (start, 0), mirrored[0]), (2, (length, stop), mirrored[1])):
        if beyond[0] < beyond[1]:
            index = torch.arange(*beyond, device=planes.device)
            index = mirror(index, length) if reflect else index.clamp(0, length - 1)
            parts.insert(place, planes.index_select(axis, index))
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def _every_second(planes: Tensor, axis: int, start: int, count: int) -> Tensor:
    index = [slice(None)] * planes.ndim
    index[axis] = slice(start, start + 2 * count - 1, 2)
    return planes[tuple(index)]


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
    contrast = -4 * grey
    for axis in (-2, -1):
        length = grey.shape[axis]
        x = _between(grey, axis, -1, length + 1, mirrored=(True, True))
        contrast = contrast + x.narrow(axis, 0, length) + x.narrow(axis, 2, length)
    contrast = contrast.abs()
    return torch.where(contrast < _FLAT_CONTRAST, 0.0, contrast)


def _contrast_of_port(photo: Tensor) -> Tensor:
    grey = photo.mean(-3, keepdim=True)
    kernel = grey.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    return F.conv2d(grey.reshape(-1, 1, *grey.shape[-2:]), kernel, padding=1).abs().view(grey.shape)


def _bend(values: Tensor, knee: float) -> Tensor:
    """Values nearer than `knee` to 0 or 1, and beyond, approach them exponentially; slopes meet at the knee."""
    low = knee * torch.exp((values - knee).clamp_max(0) / knee)
    high = 1 - knee * torch.exp((1 - knee - values).clamp_max(0) / knee)
    return torch.where(values < knee, low, torch.where(values > 1 - knee, high, values))


class Mertens(nn.Module):
    """Exposure fusion as a network without parameters: frames (B, 3, H, W), two or more -> (B, 3, H, W).

    The arguments are those of `exposure_fusion`.
    """

    def __init__(
        self,
        variant: Variant = "paper",
        *,
        contrast: float = 1.0,
        saturation: float = 1.0,
        exposedness: float = 1.0,
        sigma: float = 0.2,
    ) -> None:
        super().__init__()
        choices = {"contrast": contrast, "saturation": saturation, "exposedness": exposedness, "sigma": sigma}
        self.fuse = partial(exposure_fusion, variant=variant, **choices)
        self.maps = partial(weight_maps, variant=variant, **choices)

    def forward(self, *frames: Tensor) -> Tensor:
        """Fused photographs, clamped."""
        return self.fuse(frames)

    def weight_maps(self, *frames: Tensor) -> Tensor:
        """What each frame counts: (N, B, 1, H, W)."""
        return self.maps(frames)


_PAPER = "Mertens et al., Exposure Fusion, Pacific Graphics 2007"

_OPTIONS = (
    Option("contrast", 0, 3, 1, "How much sharp structure counts: the exponent of the contrast weight."),
    Option("saturation", 0, 3, 1, "How much strong colour counts: the exponent of the saturation weight."),
    Option("exposedness", 0, 3, 1, "How much medium brightness counts: the exponent of the exposedness weight."),
    Option("sigma", 0.05, 1, 0.2, "How far from middle grey a pixel may be and still count as well exposed."),
)

METHOD = Method(
    name="mertens",
    title="Mertens",
    paper=_PAPER,
    faithful=True,
    summary="The classic blends the best exposed, most colourful and sharpest parts. It needs no training.",
    architecture=Mertens,
    needs=Needs(planes=Planes.RGB, many=True, cheap=True),
    options=_OPTIONS,
    weighs=True,
)

METHOD_TORCH = Method(
    name="mertens-torch",
    title="Mertens (4-level port)",
    paper=_PAPER + "; as in the port Pytorch-Exposure-Fusion",
    faithful=False,
    summary="A popular port of Mertens stops after four pyramid levels, which leaves blotches in flat skies.",
    architecture=partial(Mertens, "torch"),
    needs=Needs(planes=Planes.RGB, many=True, cheap=True),
    options=_OPTIONS,
    weighs=True,
)
