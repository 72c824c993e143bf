"""LightFuse: a small network for the colour of each pixel, and one at an eighth of the size for its surroundings.

Paper: Liu et al., "LightFuse: Lightweight CNN based Dual-exposure Fusion", arXiv 2107.02299, 2021 (the authors'
repository Taichi-Pink/LightFuse has no licence; rebuilt from a description). Size: that of its current weights file.

    both photographs (6 channels, each about its mean, in units of its spread)
        -> three 1x1 convolutions, full size ---------------------------+
        -> three depth-wise ones, stride 2 each; bilinear back to size -+ sum -> tanh -> fused photograph

| where           | the authors' code                          | here, and why                                        |
|-----------------|--------------------------------------------|------------------------------------------------------|
| stretch         | each photograph from its least value to    | by mean and spread: single pixels decide less        |
|                 | its greatest                               |                                                      |
| stretched       | the photograph, and then patches are cut   | what the network gets: a crop in training, the       |
|                 |                                            | photograph in use, whose mean and spread differ      |
| enlargement     | nearest neighbour: 8 x 8 blocks at edges   | bilinear                                             |
| sides           | resized to 2688 x 1792                     | any, mirrored up to multiples of 8                   |
| target          | SICE's label, chosen by people among 13    | half Mertens, half mean, in the labels' mean and     |
|                 | results                                    | spread: labels do not come with our pairs            |
| loss            | mean square on -1 ... 1, and VGG16         | mean square on 0 ... 1, which counts a quarter, and  |
|                 | features                                   | SSIM: no weights of others                           |
| training        | Adam 1e-3, 80 epochs, single patches       | AdamW 5e-3, one cosine, norm cut at 1, batch 4       |
| initial weights | Keras' defaults                            | one path carries the mean of both: no dead channels  |
| result          | cut to uint8                               | rounded, as everywhere                               |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.methods.base import Method, Needs, Planes, Recipe
from fusion.methods.mertens import exposure_fusion
from fusion.metrics.ssim import ssim

_STRIDE = 8


class LightFuse(nn.Module):
    """Two photographs (B, 3, H, W), H and W multiples of 8, to the fused one (B, 3, H, W). 1,574 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.combine = nn.Sequential(
            nn.Conv2d(6, 32, 1), nn.ReLU(inplace=True), nn.Conv2d(32, 32, 1), nn.ReLU(inplace=True),
            nn.Conv2d(32, 3, 1), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.reduce = nn.ModuleList(nn.Conv2d(6, 6, 3, stride=2, groups=6, bias=last < 2) for last in range(3))
        self.filter = nn.Conv2d(6, 3, 1)
        self._start_as_mean()

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """The fused photograph, from 0 to 1."""
        pair = torch.cat((_stretch(under), _stretch(over)), 1)
        low = pair
        for convolution in self.reduce:
            low = convolution(F.pad(low, (0, 1, 0, 1)))
        surroundings = F.interpolate(self.filter(low).float(), pair.shape[-2:], mode="bilinear")
        return (torch.tanh(self.combine(pair) + surroundings) + 1) / 2

    @torch.no_grad()
    def _start_as_mean(self) -> None:
        """Let the untrained network return about the mean of the stretched photographs, without a dead ReLU."""
        first, second, third = (layer for layer in self.combine if isinstance(layer, nn.Conv2d))
        assert first.bias is not None
        assert third.bias is not None
        assert self.filter.bias is not None
        for convolution in (first, second, third):
            convolution.weight[:3] = 0
        for channel in range(3):
            first.weight[channel, [channel, channel + 3]] = 0.5
            second.weight[channel, channel] = third.weight[channel, channel] = 1
        first.bias[:3] = 1.5
        second.bias[:3] = third.bias[:] = 0  # pyright: ignore[reportOptionalSubscript]
        self.filter.weight *= 0.1
        self.filter.bias[:] = -1.5


def _stretch(photo: Tensor) -> Tensor:
    """Photographs (B, 3, H, W), each about its mean in units of twice its spread. Most values are from -1 to 1."""
    mean, spread = photo.mean((1, 2, 3), keepdim=True), photo.std((1, 2, 3), keepdim=True)
    return (photo - mean) / (2 * spread.clamp_min(1e-3))


# The labels of SICE have about this mean and this standard deviation, whatever the scene.
_LABEL_MEAN, _LABEL_SPREAD = 0.485, 0.21


@torch.no_grad()
def _reference(under: Tensor, over: Tensor) -> Tensor:
    """A stand-in for SICE's label: Mertens' fusion, calmed by the mean, with the labels' mean and spread."""
    fused = (exposure_fusion(torch.stack((under, over)), exposedness=0) + (under + over) / 2) / 2
    mean, spread = fused.mean((1, 2, 3), keepdim=True), fused.std((1, 2, 3), keepdim=True)
    return ((fused - mean) / spread.clamp_min(0.05) * _LABEL_SPREAD + _LABEL_MEAN).clamp(0, 1)


def _loss(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    reference = _reference(under, over)
    structure = 1 - ssim(*(photo.flatten(0, 1).unsqueeze(1) for photo in (fused, reference))).mean()
    return F.mse_loss(fused, reference) + 0.05 * structure


METHOD = Method(
    name="lightfuse",
    title="LightFuse",
    paper="Liu et al., LightFuse, arXiv 2107.02299 (2021)",
    origin="adapted",
    summary="The smallest convolutional network here is made for small devices and fuses the colours directly.",
    architecture=LightFuse,
    needs=Needs(planes=Planes.RGB, multiple_of=_STRIDE, working_bytes=330),
    recipe=Recipe(loss=_loss, crop=256, batch=4, rate=5e-3, weight_decay=0.0, zoom=4.0),
)
