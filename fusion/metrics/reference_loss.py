"""The loss for training on pictures that show what a good fusion looks like."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.io import colour
from fusion.metrics.ssim import ssim

_AREA = 16
_AREA_WEIGHT = 0.5
_STRUCTURE_WEIGHT = 0.25
_COLOUR_WEIGHT = 0.25
_CHROMA_WEIGHT = 4.0


def towards_reference(fused: Tensor, reference: Tensor) -> Tensor:
    """Return the distance of a fused picture (B, 3, H, W) to its reference, both from 0 to 1, as one number.

    It is |F - R| + 0.5 |mean F - mean R| over squares of 16 x 16 pixels + 0.25 (1 - SSIM of the lumas) + 0.25 times the
    distance of colours, which is that of the opponent planes R - G and (R + G) / 2 - B. Colours count up to five times
    as much where the reference's are strong, since most pixels are nearly grey, and a network would settle for grey.
    The sides are at least 16 pixels.

    >>> grey, red = torch.full((1, 3, 32, 32), 0.5), torch.tensor([0.7, 0.4, 0.4]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    >>> round(towards_reference(red, red).item(), 4), bool(towards_reference(grey, red) > 0.2)
    (0.0, True)
    """
    difference = fused - reference
    areas = F.avg_pool2d(difference, _AREA).abs().mean()
    structure = 1 - ssim(colour.luma(fused), colour.luma(reference)).mean()
    weight = 1 + _CHROMA_WEIGHT * _opponents(reference).abs().sum(1, keepdim=True).clamp_max(1)
    colours = (_opponents(difference).abs() * weight).mean()
    return difference.abs().mean() + _AREA_WEIGHT * areas + _STRUCTURE_WEIGHT * structure + _COLOUR_WEIGHT * colours


def _opponents(photo: Tensor) -> Tensor:
    """R - G and (R + G) / 2 - B of RGB (B, 3, H, W): (B, 2, H, W)."""
    red, green, blue = photo.unbind(1)
    return torch.stack((red - green, (red + green) / 2 - blue), 1)
