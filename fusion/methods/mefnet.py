"""MEF-Net learns weight maps at low resolution; a guided filter enlarges them to full resolution.

Paper: Ma, Duanmu, Zhu, Fang, Wang, "Deep Guided Learning for Fast Multi-Exposure Image Fusion", TIP 2020, section III
and table I. The same network looks at each frame alone.

    luma -> shorter side 128 -> context aggregation network -> weight map -> guided filter, guide: luma
    fused luma = sum of |weight| luma / sum of |weight|, over the frames                         -> + merged chroma

| where           | the paper and its code                      | here, and why                                        |
|-----------------|---------------------------------------------|------------------------------------------------------|
| loss            | MEF-SSIM with luminance, one scale          | structure at three scales, a light luminance anchor: |
|                 |                                             | every network here is trained for the same           |
| training        | Adam 1e-4, whole bursts of up to 17 frames  | AdamW 2e-3, one cosine, norm cut at 1, crops of      |
|                 |                                             | pairs, most of a picture each                        |
| initial weights | Xavier                                      | Kaiming, the last bias 1: PyTorch's own fade over    |
|                 |                                             | six layers                                           |
| precision       | float32                                     | float32 in training too: a guided filter loses       |
|                 |                                             | bfloat16's few digits in differences of products     |
| small copy      | 8-bit RGB reduced bilinearly, then its luma | means of areas of the luma: nothing is rounded       |
| small pictures  | enlarged to 128 pixels                      | taken as they are                                    |
| large pictures  | reduced to sides of at most 2048 pixels     | taken as they are, or as `Fuser` reduces them        |
| colours         | clipped, channel by channel                 | desaturated until they fit: clipping moves the luma  |
|                 |                                             | and costs MEF-SSIM (docs/benchmark.md)               |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.blocks.guided_filter import fast_guided_filter, shrink
from fusion.methods.base import Method, Needs, Planes, Recipe
from fusion.metrics.losses import structure_and_luminance

_LOW_SIDE = 128
_WEIGHT_FLOOR = 1e-8


class AdaptiveNorm(nn.Module):
    """w0 x + w1 InstanceNorm(x), so that the network learns how much to normalise (section III-A)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w0 = nn.Parameter(torch.ones(1))
        self.w1 = nn.Parameter(torch.zeros(1))
        self.norm = nn.InstanceNorm2d(width, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return self.w0 * x + self.w1 * self.norm(x)


class ContextAggregation(nn.Sequential):
    """Dilated convolutions from a luma (B, 1, H, W) to a raw weight map (B, 1, H, W) (table I)."""

    def __init__(self, width: int = 24) -> None:
        layers: list[nn.Module] = []
        for index, dilation in enumerate((1, 2, 4, 8, 16, 1)):
            channels = width if index else 1
            layers += [
                nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation, bias=False),
                AdaptiveNorm(width),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        last = nn.Conv2d(width, 1, 1)
        super().__init__(*layers, last)
        for module in self:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2)
        nn.init.ones_(last.bias)  # pyright: ignore[reportArgumentType]


class MEFNet(nn.Module):
    """Two or more lumas (B, 1, H, W) to the fused luma (B, 1, H, W). 26,461 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = ContextAggregation()

    def forward(self, *exposures: Tensor) -> Tensor:
        """The weighted mean of the lumas, which lies between them."""
        lumas = torch.cat(exposures)
        weights = self._weights(lumas)
        weighted, total = (x.unflatten(0, (len(exposures), -1)).sum(0) for x in (weights * lumas, weights))
        return weighted / total

    def weight_maps(self, *exposures: Tensor) -> Tensor:
        """Return how much each exposure counts in each pixel: (N, B, 1, H, W), with a sum of 1 over N."""
        weights = self._weights(torch.cat(exposures)).unflatten(0, (len(exposures), -1))
        return weights / weights.sum(0)

    def _weights(self, frames: Tensor) -> Tensor:
        """Weights of the lumas of N exposures (N * B, 1, H, W), in the same shape. Their sum over N is not 1 yet."""
        low = shrink(frames, _LOW_SIDE / min(frames.shape[-2:]))
        return fast_guided_filter(self.weigh(low).float(), low, frames).abs() + _WEIGHT_FLOOR


METHOD = Method(
    name="mefnet",
    title="MEF-Net",
    paper="Ma et al., Deep Guided Learning for Fast Multi-Exposure Image Fusion, TIP 2020",
    origin="retrained",
    summary="A network learns weight maps on a small copy. A guided filter enlarges them along edges.",
    architecture=MEFNet,
    needs=Needs(planes=Planes.LUMA, many=True, working_bytes=40),
    weighs=True,
    recipe=Recipe(loss=structure_and_luminance, crop=256, batch=4, rate=2e-3, half_precision=False, zoom=4.0),
)
