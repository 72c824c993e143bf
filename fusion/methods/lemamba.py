"""LE-Mamba: a U-Net of scans in four directions, in windows and over the whole map, which share their states; on luma.

Paper: Cao et al., "A Novel State Space Model with Local Enhancement and State Sharing for Image Fusion", ACM
Multimedia 2024 (the authors' repository 294coder/Efficient-MIF has no licence; rebuilt from a description of the
network, no code or weights taken). Size: the published tiny one, width 32.

    mean of the lumas -> 3x3 -> 2 blocks --- / 2 --- 1 block --- / 2 --- 1 block --- / 2 --- 1 block
                                   |                    |                   |                   |
    fused luma <- + mean <- 3x3 <- 2 blocks --- x 2 --- 1 block --- x 2 --- 1 block --- x 2 ----+

    block: + both lumas -> scans within 8 x 8 windows (the two larger sizes) -> scans of the whole map -> last states;
    An encoder's block reads the last states of the block before, a decoder's block those of the level below, and
    the decoder's first block those of the encoder too.

| where         | the authors' code                           | here, and why                                       |
|---------------|---------------------------------------------|-----------------------------------------------------|
| task          | pan-sharpening: a picture of many bands,    | two exposures: the mean of both lumas is corrected, |
|               | guided by a sharper one of a single band    | guided by both                                      |
| colours       | none are merged: the bands are the result   | merged by `colour.by_colourfulness`, which          |
|               |                                             | desaturates a colour until it fits                  |
| later blocks  | each block of a decoder's level adds the    | only the first reads them: the weights were trained |
| of a decoder  | encoder's states as they are                | so, lose by the change, and did not make up for it  |
|               |                                             | in 25 minutes of further training                   |
| drop path     | up to 0.1                                   | none: few steps, each sees the exact loss           |
| state weights | drawn from N(0, 1); gradients cut at 0.03   | variance one over what each sums, so that the       |
|               |                                             | recipe's clipping will do                           |
| other weights | truncated normal, Kaiming by fan-out        | PyTorch's defaults, the last convolution small:     |
|               |                                             | untrained it returns about the mean of the lumas    |
| loss          | L1 and SSIM against the true picture        | the recipe's: there is no true picture              |
| training      | AdamW 1e-3, warm restarts, 800 epochs of    | AdamW 1e-3, one cosine, norm cut at 1, for minutes, |
|               | batches of 32                               | on a processor                                      |
| resolution    | every pixel is scanned                      | a copy of at most 128 x 128 pixels; a guided filter |
|               |                                             | carries its fusion up, in training as well          |
| sides         | fails unless they are multiples of 16       | mirrored up to them                                 |
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.cross_scan import CrossScan, SharingCrossScan
from fusion.blocks.mamba import to_map, to_tokens
from fusion.blocks.window import from_windows, to_windows
from fusion.methods.base import Method, Needs, Planes, Recipe
from fusion.metrics.losses import structure_and_luminance

_WINDOW = 8


class GatedMLP(nn.Module):
    """Tokens (B, L, C) -> the same: one half of a projection, gated by GELU of the other half."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, 2 * ratio * width)
        self.leave = nn.Linear(ratio * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mixed channels, (B, L, C)."""
        a, b = self.enter(tokens).chunk(2, -1)
        return self.leave(a * F.gelu(b))


class LocalScan(nn.Module):
    """x plus a share of its 8 x 8 windows after x + scan(LN(x)) and x + MLP(LN(x)): (B, C, H, W) -> the same.

    The share is learned, one for each channel.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.scan = CrossScan(width, inner, states=16, kernel=7)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = GatedMLP(width, 1)
        self.share = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        """The new map, (B, C, H, W)."""
        tokens = to_windows(x, _WINDOW)
        tokens = tokens + self.scan(self.norm1(tokens), _WINDOW)
        tokens = tokens + self.mlp(self.norm2(tokens))
        return x + from_windows(self.share * tokens, _WINDOW, *x.shape[-2:])


class GlobalScan(nn.Module):
    """x + scan(LN(x)), then x + MLP(LN(x)) over the whole map: (B, C, H, W) -> the same, and the scan's last states."""

    def __init__(self, width: int, inner: int, sources: Sequence[int]) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.scan = SharingCrossScan(width, inner, states=32, kernel=11, sources=sources)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = GatedMLP(width, 4)

    def forward(self, x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The new map (B, C, H, W) and the last states (4, B, D, N). `states` are those of the sources."""
        tokens, rows = to_tokens(x), x.shape[-2]
        mixed, last = self.scan(self.norm1(tokens), rows, states)
        tokens = tokens + mixed
        return to_map(tokens + self.mlp(self.norm2(tokens)), rows), last


class Block(nn.Module):
    """The paper's LEVM: add the guide, scan windows where `local`, then scan the whole map."""

    def __init__(
        self, width: int, guides: int, inner: int, sources: Sequence[int] = (), *, local: bool = False
    ) -> None:
        super().__init__()
        self.guide = nn.Sequential(nn.Conv2d(guides, width, 1), nn.Conv2d(width, width, 3, padding=1, groups=width))
        self.local_scan = LocalScan(width, inner) if local else nn.Identity()
        self.global_scan = GlobalScan(width, inner, sources)

    def forward(self, x: Tensor, guide: Tensor, *states: Tensor) -> tuple[Tensor, Tensor]:
        """The new map (B, C, H, W) and last states (4, B, D, N). The guide has any size; `states` are the sources'."""
        guide = F.interpolate(guide, x.shape[-2:], mode="bilinear", align_corners=True)
        return self.global_scan(self.local_scan(x + self.guide(guide)), states)


class Encoder(nn.Module):
    """Blocks, each of which reads the last states of the block before, then a convolution to half the size."""

    def __init__(self, width: int, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.halve = nn.Conv2d(width, width, 2, stride=2)

    def forward(self, x: Tensor, guide: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The map for the next level (B, C, H/2, W/2), and the last block's map (B, C, H, W) and states."""
        first, *others = self.blocks
        x, states = first(x, guide)
        for block in others:
            x, states = block(x, guide, states)
        return self.halve(x), x, states


class Decoder(nn.Module):
    """Twice the size, joined with the encoder's map, then blocks that read the states of the level below."""

    def __init__(self, width: int, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, width, 1, bias=False)
        self.strength = nn.Parameter(torch.zeros(width))
        self.join = nn.Conv2d(2 * width, width, 1)
        self.blocks = nn.ModuleList(blocks)

    def forward(
        self, x: Tensor, below: Tensor, skip: Tensor, skip_states: Tensor, guide: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The map (B, C, H, W) and the last block's states. The first block reads the encoder's states too."""
        x = F.interpolate(self.enter(x), scale_factor=2, mode="bilinear")
        joined = self.join(torch.cat((x, self.strength[:, None, None] * skip), 1))
        first, *others = self.blocks
        x, states = first(joined, guide, below, skip_states)
        for block in others:
            x, states = block(x, guide, below)
        return x, states


class LEMamba(nn.Module):
    """Two exposures' lumas, (B, 1, H, W) each, sides multiples of 16, to the fused one. 739,713 parameters.

    `planes` and `guides` are the channels of the picture that is corrected and of its guide; `depths` are the numbers
    of blocks at each size.
    """

    def __init__(self, planes: int = 1, guides: int = 2, width: int = 32, depths: Sequence[int] = (2, 1, 1)) -> None:
        super().__init__()
        inner = (
            2 * width,
            2 * width,
            width,
            width,
        )  # channels of the scans at each size; where they are twice the width, windows are scanned too
        self.enter = nn.Conv2d(planes, width, 3, padding=1)
        self.encoders = nn.ModuleList()
        self.decoders = nn.ModuleList()
        for depth, own, below in zip(depths, inner[:-1], inner[1:], strict=True):
            block = partial(Block, width, guides, own, local=own > width)
            self.encoders.append(Encoder(width, [block(sources=(own,) if i else ()) for i in range(depth)]))
            self.decoders.append(Decoder(width, [block(sources=(below,) if i else (below, own)) for i in range(depth)]))
        self.middle = Block(width, guides, inner[-1])
        self.leave = nn.Conv2d(width, planes, 3, padding=1)
        for p in self.leave.parameters():
            nn.init.normal_(p, std=1e-3)

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """The fused luma. It is not clamped, so that the loss sees how far it leaves the range from 0 to 1."""
        return self.correct((under + over) / 2, torch.cat((under, over), 1))

    def correct(self, picture: Tensor, guide: Tensor) -> Tensor:
        """A picture (B, planes, H, W) and its guide (B, guides, H, W) -> the corrected picture."""
        x = self.enter(picture)
        skips: list[tuple[Tensor, Tensor]] = []
        for encoder in self.encoders:
            x, skip, states = encoder(x, guide)
            skips.append((skip, states))
        x, states = self.middle(x, guide)
        for decoder, skip in zip(reversed(self.decoders), reversed(skips), strict=True):
            x, states = decoder(x, states, *skip, guide)
        return picture + self.leave(x)


METHOD = Method(
    name="lemamba",
    title="LE-Mamba",
    paper="Cao et al., LE-Mamba, ACM Multimedia 2024",
    origin="adapted",
    summary="A U-Net scans both lumas in four directions, in windows and as a whole, and corrects their mean.",
    architecture=LEMamba,
    needs=Needs(planes=Planes.LUMA, multiple_of=16, largest=128 * 128),
    recipe=Recipe(loss=structure_and_luminance, crop=192, batch=2, rate=1e-3, scale=0.25, zoom=4.0),
)
