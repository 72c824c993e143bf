"""DeepFuse, the first network for exposure fusion: a shared encoder, the sum of its features and a decoder, on luma.

Paper: Prabhakar, Sai Srikar, Babu, "DeepFuse: A Deep Unsupervised Approach for Exposure Fusion with Extreme Exposure
Image Pairs", ICCV 2017, section 3.1 and figure 3. (The weights that the authors released belong to a larger network.)

    luma under -> C1 5x5, C2 7x7 --+
               (the same weights)  + sum -> C3 7x7, C4 5x5, C5 5x5 -> fused luma -> + merged chroma -> RGB
    luma over  -> C1 5x5, C2 7x7 --+

| where           | the paper, or its authors' code               | here, and why                                      |
|-----------------|-----------------------------------------------|----------------------------------------------------|
| activation      | code: leaky 0.01 after each layer, no bias,   | leaky 0.01 after all but the last, biases,         |
|                 | then stretched from least to greatest         | clamped: a stretch would change the exposure       |
| loss            | MEF-SSIM at one scale                         | at three, with a light luminance anchor: every     |
|                 |                                               | network here is trained for the same               |
| training        | 100 epochs at 1e-4; code: Adam 1e-3, patches  | AdamW 2e-3, one cosine, norm cut at 1, crops of    |
|                 | of 77 x 77, batch 50                          | 128 x 128, batch 4                                 |
| initial weights | random                                        | one channel carries the luma through: untrained it |
|                 |                                               | returns the mean of its inputs                     |
| luma            | studio swing                                  | full range                                         |
| size            | code: reduced to sides of at most 512 pixels  | full                                               |
| borders         | zeros beyond the border                       | mirrored by 12 pixels, as every tile here; trained |
|                 |                                               | with zeros, so that up to 0.08 changes there       |
| colours         | clipped, channel by channel                   | desaturated until they fit: clipping moves the     |
|                 |                                               | luma and costs MEF-SSIM (docs/benchmark.md)        |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.pass_through import pass_channel_0
from fusion.methods.base import Method, Needs, Planes, Recipe
from fusion.metrics.losses import structure_and_luminance


class DeepFuse(nn.Module):
    """Two lumas (B, 1, H, W) to the fused luma (B, 1, H, W). 88,961 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 16, 5, padding=2)
        self.c2 = nn.Conv2d(16, 32, 7, padding=3)
        self.c3 = nn.Conv2d(32, 32, 7, padding=3)
        self.c4 = nn.Conv2d(32, 16, 5, padding=2)
        self.c5 = nn.Conv2d(16, 1, 5, padding=2)
        for convolution in (self.c1, self.c2, self.c3, self.c4):
            pass_channel_0(convolution)
        pass_channel_0(self.c5, 0.5)  # the features of two pictures were summed

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """The fused luma. It is not clamped, so that the loss sees how far it leaves the range from 0 to 1."""
        features = self.encode(torch.cat((under, over)))
        x = features[: len(under)] + features[len(under) :]
        x = F.leaky_relu(self.c3(x), 0.01)
        x = F.leaky_relu(self.c4(x), 0.01)
        return self.c5(x)

    def encode(self, luma: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 32, H, W), the same for both exposures."""
        return F.leaky_relu(self.c2(F.leaky_relu(self.c1(luma), 0.01)), 0.01)


METHOD = Method(
    name="deepfuse",
    title="DeepFuse",
    paper="Prabhakar et al., DeepFuse, ICCV 2017",
    origin="retrained",
    summary="The first network for exposure fusion. Five convolutions add up the features of both exposures.",
    architecture=DeepFuse,
    needs=Needs(planes=Planes.LUMA, halo=12),  # half of each kernel: 2 + 3 + 3 + 2 + 2
    recipe=Recipe(loss=structure_and_luminance, crop=128, batch=4, rate=2e-3),
)
