"""MambaMEF: two encoders, in which convolutions stand beside windowed Mamba and attention, and a decoder, on luma.

Paper: MambaMEF; its authors and year are not published (the repository GAry45v/MambaMEF has no licence; rebuilt from
a description of the network, no code or weights taken). Size: that of the one published checkpoint (width 32, one scan
block, one attention block), which is truncated and cannot be loaded; the published source and the paper's table
describe two other sizes.

    luma under, and through IAT -> encoder 1 --+
                                               +-- mean -> decoder -> fused luma -> + merged chroma -> RGB
    luma over, and through IAT  -> encoder 2 --+

| where             | the authors' code                           | here, and why                                      |
|-------------------|---------------------------------------------|----------------------------------------------------|
| step bias         | added twice in the scan                     | once                                               |
| attention dropout | active in inference: results differ each    | none                                               |
|                   | time                                        |                                                    |
| dropout           | 0.1 in mixers and MLPs, drop path 0.1       | none: few steps, each sees the exact loss          |
| IAT               | "frozen" but left in training mode          | eval(): frozen statistics                          |
| detail branch     | reads the corrected luma                    | reads the photograph's own: gamma hides how strong |
|                   |                                             | its contrast was, which decides the best fusion;   |
|                   |                                             | the context branch reads the corrected             |
| size              | full                                        | a copy of at most 128 x 128 pixels, in training    |
|                   |                                             | too; a guided filter carries the result up: its 17 |
|                   |                                             | pixels of sight are then a tenth of a scene        |
| sides             | zeros around the features of the context    | lumas mirrored up to them before the network, so   |
|                   | branch, up to multiples of 8                | that its convolutions see the mirror, too          |
| luma              | studio swing, cut to uint8                  | full range, never rounded before the end           |
| colours           | clipped, channel by channel                 | desaturated until they fit: clipping moves the     |
|                   |                                             | luma and costs MEF-SSIM (docs/benchmark.md)        |
| crops             | squashed to 256 x 256, black borders        | square crops, aspect kept                          |
| initial weights   | PyTorch's defaults                          | one channel carries the luma through; biases and   |
|                   |                                             | other inputs of the last convolution 0: untrained  |
|                   |                                             | it returns the mean of its inputs                  |
| training          | AdamW 1e-3, 39 epochs of batches of 2, rate | AdamW 1.5e-3, one cosine over the whole run, norm  |
|                   | along a cosine and constant in an epoch     | cut at 1, batch 4                                  |
| loss              | `losses.mambamef_paper`                     | the recipe's, as every network here                |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.pass_through import pass_channel_0
from fusion.blocks.vision_mamba import AttentionMixer, ScanMixer, TokenBlock
from fusion.blocks.window import from_windows, to_windows
from fusion.methods.base import Method, Needs, Planes, Recipe
from fusion.metrics.losses import structure_and_luminance

_WINDOW = 8


class DoubleConv(nn.Sequential):
    """Two 3 x 3 convolutions, each followed by ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1),
            nn.ReLU(inplace=True),
        )


class Encoder(nn.Module):
    """Features (B, 128, H, W): detail of the photograph's luma, and context of the corrected one in 8 x 8 windows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.detail = DoubleConv(1, 16)
        self.embed = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width, eps=1e-4),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width, eps=1e-4),
            nn.ReLU(inplace=True),
        )
        self.tokens = nn.Sequential(
            TokenBlock(width, ScanMixer(width, _WINDOW)),
            TokenBlock(width, AttentionMixer(width)),
        )
        self.join = DoubleConv(16 + width, 128)

    def forward(self, lumas: Tensor) -> Tensor:
        """The photograph's luma and the corrected one, (B, 2, H, W), to features (B, 128, H, W)."""
        own, corrected = lumas.split(1, 1)
        return self.join(torch.cat((self.detail(own), self.context(corrected)), 1))

    def context(self, luma: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, width, H, W): both token blocks in each window, after zero padding to multiples of 8."""
        height, width = luma.shape[-2:]
        features = F.pad(self.embed(luma), (0, -width % _WINDOW, 0, -height % _WINDOW))
        tokens = self.tokens(to_windows(features, _WINDOW))
        return from_windows(tokens, _WINDOW, *features.shape[-2:])[..., :height, :width]


class MambaMEF(nn.Module):
    """Two exposures, (B, 2, H, W) each, to the fused luma (B, 1, H, W). 623,249 parameters at width 32."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.encode_under = Encoder(width)
        self.encode_over = Encoder(width)
        self.decode = nn.Sequential(DoubleConv(128, 64), DoubleConv(64, 32), DoubleConv(32, 16), nn.Conv2d(16, 1, 1))
        _carry_luma_through(self)

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """The fused luma. It is not clamped, so that the loss sees how far it leaves the range from 0 to 1."""
        return self.decode((self.encode_under(under) + self.encode_over(over)) / 2)


def _carry_luma_through(network: MambaMEF) -> None:
    """Let channel 0 of every convolution on the way from a luma to the output pass the luma on unchanged."""
    for module in (*network.encode_under.modules(), *network.encode_over.modules(), *network.decode):
        if isinstance(module, DoubleConv):
            pass_channel_0(module[0])
            pass_channel_0(module[2])
    pass_channel_0(network.decode[-1])  # its other inputs begin with no weight and gain it where they help


METHOD = Method(
    name="mambamef",
    title="MambaMEF",
    paper="MambaMEF (GAry45v/MambaMEF); authors and year are not published",
    origin="adapted",
    summary="IAT evens out both exposures, then convolutions, Mamba and attention in 8 x 8 windows fuse the luma.",
    architecture=MambaMEF,
    needs=Needs(planes=Planes.LUMA, enhanced=True, multiple_of=_WINDOW, largest=128 * 128),
    recipe=Recipe(loss=structure_and_luminance, crop=256, batch=4, rate=1.5e-3, scale=0.375),
)
