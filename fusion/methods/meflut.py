"""MEFLUT, with tables that are trained directly: the weight of a pixel is a function of its luma and of nothing else.

Paper: Jiang, Wang, Li, Li, Fan, Liu, "MEFLUT: Unsupervised 1D Lookup Tables for Multi-exposure Image Fusion", ICCV
2023, section 3. (The authors' code is MIT; nothing of it was copied.)

    luma -> its frame's table -> weight map; lumas blended by the weights, band by band -> + merged chroma

| where      | the paper, or its authors' code                    | here, and why                                      |
|------------|----------------------------------------------------|----------------------------------------------------|
| tables     | read off an attention network                      | trained directly, through the fusion: simpler, and |
|            |                                                    | the loss sees what the table does                  |
| exposures  | tables for two, three and four                     | for two; longer brackets are fused two by two      |
| entries    | 256 for each frame; values cut to 0 ... 1, index   | 64 logarithms, linear in between: every level is   |
|            | cut to a whole number                              | met in training                                    |
| blending   | a sum, weights smoothed at low resolution by a     | Mertens' Laplacian pyramid, which keeps more       |
|            | guided filter that is nearly a mean over 5 x 5     | structure                                          |
|            | (code: radius 2, epsilon 1)                        |                                                    |
| loss       | MEF-SSIM                                           | as every network here, see `losses`                |
| training   | of the attention network                           | of the tables: AdamW 1e-1, one cosine, norm cut at |
|            |                                                    | 1, batch 4                                         |
| colours    | clipped, channel by channel                        | desaturated until they fit: clipping moves the     |
|            |                                                    | luma and costs MEF-SSIM (docs/benchmark.md)        |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.methods.base import Method, Needs, Planes, Recipe
from fusion.methods.laplacian_blend import blend
from fusion.metrics.losses import structure_and_luminance
from fusion.runtime.tiles import by_strips

_ENTRIES = 64


class MEFLUT(nn.Module):
    """Two lumas (B, 1, H, W) to the fused luma (B, 1, H, W). 128 parameters."""

    def __init__(self) -> None:
        super().__init__()
        luma = torch.linspace(0, 1, _ENTRIES)
        # The logarithms of the weights. At first they are those of Mertens' exposedness.
        self.tables = nn.Parameter(-((luma - 0.5) ** 2).repeat(2, 1) / (2 * 0.2**2))

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """The fused luma. It is not clamped, so that the loss sees how far it leaves the range from 0 to 1."""
        return blend((under, over), self.weight_maps(under, over).unbind())

    def weight_maps(self, under: Tensor, over: Tensor) -> Tensor:
        """Return how much each exposure counts in each pixel: (2, B, 1, H, W), with a sum of 1 over the two."""

        def shares(rows: slice, _: slice) -> Tensor:
            frames = zip(self.tables, (under, over), strict=True)
            return torch.softmax(torch.stack([look_up(table, luma[..., rows, :]) for table, luma in frames]), 0)

        return by_strips(shares, under.shape[-2:], under.device)


def look_up(table: Tensor, luma: Tensor) -> Tensor:
    """The values of a table (N,) at lumas of any shape, from 0 to 1. They are linear between its entries.

    >>> look_up(torch.tensor([0.0, 1.0, 4.0]), torch.tensor([0.0, 0.5, 0.75]))
    tensor([0.0000, 1.0000, 2.5000])
    """
    position = luma.clamp(0, 1) * (len(table) - 1)
    left = position.floor().clamp(max=len(table) - 2)
    share, index = position - left, left.long()
    return torch.lerp(table[index], table[index + 1], share)


METHOD = Method(
    name="meflut",
    title="MEFLUT",
    paper="Jiang et al., MEFLUT, ICCV 2023",
    origin="adapted",
    summary="One look-up table for each exposure says how much a pixel counts, by its brightness alone.",
    architecture=MEFLUT,
    needs=Needs(planes=Planes.LUMA, cheap=True),
    weighs=True,
    recipe=Recipe(loss=structure_and_luminance, crop=256, batch=4, rate=1e-1, weight_decay=0.0),
)
