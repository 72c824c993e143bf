"""Mertens exposure fusion in PyTorch, for any number of frames of any size, on any device, differentiable.

Source: Mertens, Kautz, Van Reeth, "Exposure Fusion", Pacific Graphics 2007. Sections 3.1 (weights) and 3.2
(blending, in `laplacian_blend.py`). Tests compare it with `cv2.createMergeMertens`. The exponents are (1, 1, 1) by
default; OpenCV's own default is (1, 1, 0).

There are two variants, and each is a method:

|              | `mertens` (the paper)                      | `mertens-torch` (a popular port: Jamy-L, MIT)            |
|--------------|--------------------------------------------|----------------------------------------------------------|
| pyramid      | down to one or two pixels                  | always 4 levels: cloudy blotches in large pictures       |
| reduce       | 5-tap binomial, mirrored borders           | 3-tap binomial, repeated borders                         |
| expand       | 5-tap binomial                             | bilinear between corner centres                          |
| grey         | as OpenCV's, see `OPENCV_GREY`             | mean of the channels                                     |
| contrast     | mirrored borders; 0 below 1e-6             | zeros beyond the border: its frame counts as detail      |
| exposedness  | exp(-(c - .5)^2 / (2 sigma^2)), sigma = .2 | ... / (2 sigma): much flatter                            |
| flat weights | 1e-12 added before normalising             | frames share equally where all weights are zero          |
| one channel  | its saturation does not count              | as `mertens`; in the port it is 0, so frames share       |
|              |                                            | equally                                                  |
| result       | clamped to 0 ... 1                         | as `mertens`; the port's function does not clamp         |

The blend is not bounded by its sources: values from about -.2 to 1.3 occur at strong edges. They are clamped, or,
with `roll_off`, bent smoothly into range.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.methods.base import Method, Needs, Option, Planes
from fusion.methods.laplacian_blend import PAPER, PORT, blend, extended
from fusion.runtime.tiles import by_strips

Variant = Literal["paper", "torch"]

# OpenCV's MergeMertens reads the BGR that imread gives as if it were RGB, so its grey has BT.601's weights of red and
# blue exchanged. The paper only says "grayscale version". OpenCV's weights are used here, so that pictures are equal
# to those of the program that people would otherwise use. BT.601 is (0.299, 0.587, 0.114).
OPENCV_GREY = (0.114, 0.587, 0.299)

# Where the Laplacian of 8-bit levels is zero, float rounding leaves about 1e-8. That is far above the floor of the
# weights, so that noise would choose between the frames where the picture is flat.
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
    """Fuse a burst (N, C, H, W) or (N, B, C, H, W), from 0 to 1, to (C, H, W) or (B, C, H, W).

    C is 1 or 3, and the sides are at least 2 pixels. `contrast`, `saturation` and `exposedness` are the exponents of
    the three weights (section 3.1, equation 1). `sigma` is the width of good exposure around 0.5. `grey` holds the
    weights of red, green and blue in the grey whose contrast counts. `roll_off` is the distance from black and white at
    which values begin to be bent into the range; at 0 they are clamped. Raises ValueError for other shapes, and for
    half precision, in which the weights would vanish.

    >>> exposure_fusion(torch.rand(3, 3, 40, 60)).shape
    torch.Size([3, 40, 60])
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
    fused = blend(frames, tuple(weights), PORT if port else PAPER)
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
    """Return how much each frame of a burst counts in each pixel (section 3.1): (N, ..., 1, H, W), summing to 1 over N.

    Arguments and errors are those of `exposure_fusion`, which blends by these maps.

    >>> torch.allclose(weight_maps(torch.rand(3, 3, 40, 60)).sum(0), torch.tensor(1.0))
    True
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
        if port:  # where all weights are 0, all frames count the same
            weights, total = torch.where(total > 0, weights, 1), torch.where(total > 0, total, len(frames))
        weights = weights / total
        return weights.narrow(-2, rows.start - seen.start, rows.stop - rows.start)

    return by_strips(shares, shape[-2:], frames[0].device, margin=1)


def _spread_of_channels(photo: Tensor) -> Tensor:
    """The root of the sum of squared differences from the channels' mean, (..., 1, H, W).

    The 1/3 of the variance cancels when the weights are normalised.
    """
    square = ((photo - photo.mean(-3, keepdim=True)) ** 2).sum(-3, keepdim=True)
    # The slope of the root is infinite at zero, so greys get the slope 0.
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)


def _contrast(photo: Tensor, weights: tuple[float, float, float]) -> Tensor:
    """The absolute Laplacian of the grey over the four neighbours, (..., 1, H, W), mirrored at the border."""
    grey = photo
    if photo.shape[-3] == 3:
        red, green, blue = photo.split(1, -3)
        grey = weights[0] * red + weights[1] * green + weights[2] * blue
    contrast = -4 * grey
    for axis in (-2, -1):
        length = grey.shape[axis]
        x = extended(grey, axis, -1, length + 1, mirrored=(True, True))
        contrast = contrast + x.narrow(axis, 0, length) + x.narrow(axis, 2, length)
    contrast = contrast.abs()
    return torch.where(contrast < _FLAT_CONTRAST, 0.0, contrast)


def _contrast_of_port(photo: Tensor) -> Tensor:
    grey = photo.mean(-3, keepdim=True)
    kernel = grey.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    return F.conv2d(grey.reshape(-1, 1, *grey.shape[-2:]), kernel, padding=1).abs().view(grey.shape)


def _bend(values: Tensor, knee: float) -> Tensor:
    """Bend values that are nearer than `knee` to 0 or 1, or beyond, so that they approach these limits exponentially.

    The slope is continuous at the knee.
    """
    low = knee * torch.exp((values - knee).clamp_max(0) / knee)
    high = 1 - knee * torch.exp((1 - knee - values).clamp_max(0) / knee)
    return torch.where(values < knee, low, torch.where(values > 1 - knee, high, values))


class Mertens(nn.Module):
    """Exposure fusion as a network without parameters, from two or more frames (B, 3, H, W) to (B, 3, H, W).

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
        """The fused photographs (B, 3, H, W), clamped from 0 to 1."""
        return self.fuse(frames)

    def weight_maps(self, *frames: Tensor) -> Tensor:
        """Return how much each frame counts in each pixel: (N, B, 1, H, W), with a sum of 1 over N."""
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
    origin="published",
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
    origin="adapted",
    summary="A popular port of Mertens stops after four pyramid levels, which leaves blotches in flat skies.",
    architecture=partial(Mertens, "torch"),
    needs=Needs(planes=Planes.RGB, many=True, cheap=True),
    options=_OPTIONS,
    weighs=True,
)
