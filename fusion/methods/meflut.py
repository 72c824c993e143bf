"""A learned 1-D look-up table in the manner of MEFLUT: a pixel's weight is a function of its luma, and nothing else.

Paper: Jiang, Wang, Li, Li, Fan, Liu, "MEFLUT: Unsupervised 1D Lookup Tables for Multi-exposure Image Fusion", ICCV
2023, section 3. (The authors' code is MIT; nothing of it was copied.)

    luma -> its frame's table -> weight map; lumas blended by the weights, band by band -> + merged chroma

| where    | the paper                                  | here, and why                                              |
|----------|--------------------------------------------|------------------------------------------------------------|
| tables   | read off an attention network              | trained themselves, through the fusion: simpler, and the   |
|          |                                            | loss sees what the table does                              |
| entries  | 256 a frame                                | 64, between them linear: every level is met in training    |
| blending | a sum, weights smoothed by a guided filter | Mertens' Laplacian pyramid, which keeps more structure     |
|          | at low resolution                          |                                                            |
| loss     | MEF-SSIM                                   | as every network here, see `losses`                        |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.methods.base import Method, Needs, Planes, Recipe
from fusion.methods.mertens import blend
from fusion.metrics.losses import structure_and_luminance
from fusion.runtime.tiles import by_strips

_ENTRIES = 64


class MEFLUT(nn.Module):
    """Two lumas (B, 1, H, W) to the fused luma (B, 1, H, W). 128 parameters."""

    def __init__(self) -> None:
        super().__init__()
        luma = torch.linspace(0, 1, _ENTRIES)
        # Logarithms of the weights; at first Mertens' exposedness, in his words.
        self.tables = nn.Parameter(-((luma - 0.5) ** 2).repeat(2, 1) / (2 * 0.2**2))

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """The fused luma; not clamped, so that the loss sees how far it leaves 0 ... 1."""
        return blend((under, over), self.weight_maps(under, over))

    def weight_maps(self, under: Tensor, over: Tensor) -> Tensor:
        """What each exposure counts: (2, B, 1, H, W)."""

        def shares(rows: slice, _: slice) -> Tensor:
            frames = zip(self.tables, (under, over), strict=True)
            return torch.softmax(torch.stack([look_up(table, luma[..., rows, :]) for table, luma in frames]), 0)

        return by_strips(shares, under.shape[-2:], under.device)


def look_up(table: Tensor, luma: Tensor) -> Tensor:
    """The table's values (N,) at lumas (any shape) from 0 to 1, linear between its entries."""
    position = luma.clamp(0, 1) * (len(table) - 1)
    left = position.floor().clamp(max=len(table) - 2)
    share, index = position - left, left.long()
    return torch.lerp(table[index], table[index + 1], share)


METHOD = Method(
    name="meflut",
    title="MEFLUT",
    paper="Jiang et al., MEFLUT, ICCV 2023",
    faithful=False,
    summary="One look-up table for each exposure says how much a pixel counts, by its brightness alone.",
    architecture=MEFLUT,
    needs=Needs(planes=Planes.LUMA, cheap=True),
    weighs=True,
    recipe=Recipe(loss=structure_and_luminance, crop=256, batch=4, rate=1e-1, weight_decay=0.0),
)
