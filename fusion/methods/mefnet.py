"""MEF-Net learns weight maps at low resolution; a guided filter enlarges them to full resolution.

Paper: Ma, Duanmu, Zhu, Fang, Wang, "Deep Guided Learning for Fast Multi-Exposure Image Fusion", TIP 2020, section III
and table I. The same network looks at each frame alone.

    luma -> shorter side 128 -> context aggregation network -> weight map -> guided filter, guide: luma
    fused luma = sum of |weight| luma / sum of |weight|, over the frames                         -> + merged chroma

| where           | the paper                          | here, and why                                                |
|-----------------|------------------------------------|--------------------------------------------------------------|
| loss            | MEF-SSIM with luminance, one scale | structure at three scales, a light luminance anchor: every   |
|                 |                                    | network here is trained for the same                         |
| training        | whole bursts of up to 17 frames    | crops of pairs, most of a picture each                       |
| initial weights | Xavier                             | Kaiming, the last bias 1: PyTorch's own fade over six layers |
| precision       | float32                            | float32 in training too: a guided filter loses bfloat16's    |
|                 |                                    | few digits in differences of products                        |
| weight floor    | 1e-8                               | 1e-3: a quotient of tiny weights has no finite gradient      |
| small pictures  | enlarged to 128 pixels             | taken as they are                                            |
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from fusion.blocks.guided_filter import fast_guided_filter, shrink
from fusion.methods.base import Method, Needs, Planes, Recipe
from fusion.metrics.losses import structure_and_luminance

_LOW_SIDE = 128
_WEIGHT_FLOOR = 1e-3


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
    """Two lumas (B, 1, H, W) to the fused luma (B, 1, H, W). 26,461 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = ContextAggregation()

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """The weighted mean of both lumas, which lies between them."""
        frames = torch.cat((under, over))
        weights = self._weights(frames)
        weighted, total = (rearrange(x, "(n b) c h w -> n b c h w", n=2).sum(0) for x in (weights * frames, weights))
        return weighted / total

    def weight_maps(self, under: Tensor, over: Tensor) -> Tensor:
        """Return how much each exposure counts in each pixel: (2, B, 1, H, W), with a sum of 1 over the two."""
        weights = rearrange(self._weights(torch.cat((under, over))), "(n b) c h w -> n b c h w", n=2)
        return weights / weights.sum(0)

    def _weights(self, frames: Tensor) -> Tensor:
        """Weights of both exposures' lumas (2B, 1, H, W), in the same shape. Their sum is not 1 yet."""
        low = shrink(frames, _LOW_SIDE / min(frames.shape[-2:]))
        return fast_guided_filter(self.weigh(low).float(), low, frames).abs() + _WEIGHT_FLOOR


METHOD = Method(
    name="mefnet",
    title="MEF-Net",
    paper="Ma et al., Deep Guided Learning for Fast Multi-Exposure Image Fusion, TIP 2020",
    faithful=True,
    summary="A network learns weight maps on a small copy. A guided filter enlarges them along edges.",
    architecture=MEFNet,
    needs=Needs(planes=Planes.LUMA, working_bytes=40),
    weighs=True,
    recipe=Recipe(loss=structure_and_luminance, crop=256, batch=4, rate=2e-3, half_precision=False, zoom=4.0),
)
