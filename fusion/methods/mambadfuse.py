"""MambaDFuse: Mamba layers scan the whole picture row by row, in two encoders and two fusions, on luma.

Paper: Li et al., "MambaDFuse: A Mamba-based Dual-phase Model for Multi-modality Image Fusion", arXiv 2404.08406, 2024
(the authors' repository Lizhe1228/MambaDFuse has no licence; rebuilt from a description of the network, no code or
weights taken). Size: the published one for a single channel, width 60.

    luma under -> convolutions -> 8 Mamba blocks --+
                                                   +-- swap even channels, twice -> each joined with the other --+
    luma over  -> the same     -> 8 Mamba blocks --+                                                             |
                                                                                                                 |
    fused luma <- + mean of the lumas <- convolutions <- 8 Mamba blocks <- 5 blocks that scan both and their mean

| where           | the authors' code                         | here, and why                                         |
|-----------------|-------------------------------------------|-------------------------------------------------------|
| output          | the last convolution's                    | added to the mean of both lumas, which is a good      |
|                 |                                           | start                                                 |
| deep fusion     | each of its three norms is applied twice  | once: the second changes little and costs as much     |
| task            | infrared and visible, or medical pictures | two exposures                                         |
| colours         | none: it fuses grey pictures              | merged by `colour.by_colourfulness`, which            |
|                 |                                           | desaturates a colour until it fits                    |
| initial weights | PyTorch's defaults: a truncated normal is | the same, but the last convolution and its bias from  |
|                 | drawn before there are layers             | N(0, 0.05^2), about the same spread                   |
| loss            | one for infrared, one for medical         | the recipe's, as every network here                   |
| training        | Adam 2e-5 or 2e-4, halved in steps, batch | AdamW 1e-3, one cosine, norm cut at 1, batch 2, for   |
|                 | 12                                        | minutes, on a processor                               |
| resolution      | every pixel is scanned                    | a copy of at most 128 x 128 pixels; a guided filter   |
|                 |                                           | carries its fusion up, in training as well            |
| sides           | mirrored up to the next multiple of 8     | as they are: no layer needs more                      |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.blocks.mamba import GatedScan, Mamba, to_map, to_tokens
from fusion.blocks.selective_scan import initial_decay
from fusion.methods.base import Method, Needs, Planes, Recipe
from fusion.metrics.losses import structure_and_luminance

_STATES, _KERNEL, _EXPAND = 16, 4, 2


class MambaBlock(nn.Module):
    """Add x to the residual, then set x to Mamba(LN(residual)). Both are tokens (B, L, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mamba = Mamba(width, _STATES, _KERNEL, _EXPAND)

    def forward(self, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """The new x and residual."""
        residual = residual + x
        return self.mamba(self.norm(residual)), residual


class MambaBlocks(nn.ModuleList):
    """Blocks in a row. The residual before the first one is zero."""

    def __init__(self, width: int, depth: int = 8) -> None:
        super().__init__(MambaBlock(width) for _ in range(depth))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last block's x and residual, from tokens (B, L, C)."""
        residual = torch.zeros_like(x)
        for block in self:
            x, residual = block(x, residual)
        return x, residual


class SwapBlock(nn.Module):
    """A Mamba block for each exposure; the two swap their even channels between norm and Mamba."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.mambas = nn.ModuleList(Mamba(width, _STATES, _KERNEL, _EXPAND) for _ in range(2))

    def forward(self, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """The new x and residual of both exposures, (2, B, L, C) each."""
        residual = residual + x
        normed = torch.stack([norm(tokens) for norm, tokens in zip(self.norms, residual, strict=True)])
        swapped = swap_even_channels(normed)
        return torch.stack([mamba(tokens) for mamba, tokens in zip(self.mambas, swapped, strict=True)]), residual


def swap_even_channels(pair: Tensor) -> Tensor:
    """The two tensors of `pair`, (2, ..., C), with their channels 0, 2, 4 ... exchanged.

    >>> swap_even_channels(torch.tensor([[1, 2, 3], [10, 20, 30]]))
    tensor([[10,  2, 30],
            [ 1, 20,  3]])
    """
    even = torch.arange(pair.shape[-1], device=pair.device) % 2 == 0
    return torch.where(even, pair.flip(0), pair)


class FusionBlock(nn.Module):
    """M3: scans of the fused tokens and of both exposures' side by side, their sum, and a depth-wise convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.scans = nn.ModuleList(GatedScan(width, _STATES, _KERNEL, _EXPAND) for _ in range(3))
        self.fused_A_log = nn.Parameter(initial_decay(_EXPAND * width, _STATES))
        self.source_A_log = nn.Parameter(initial_decay(_EXPAND * width, _STATES))
        self.out_proj = nn.Linear(_EXPAND * width, width, bias=False)
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor, residual: Tensor, sources: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """The new x and residual (B, L, C) of the fused tokens. `sources` are both exposures' tokens, (2, B, L, C)."""
        residual = residual + x
        tokens = (residual, *sources)
        decays = (self.fused_A_log, self.source_A_log, self.source_A_log)
        scans = [
            scan(norm(t), A_log) for scan, norm, t, A_log in zip(self.scans, self.norms, tokens, decays, strict=True)
        ]
        x = to_map(self.out_proj(scans[0] + scans[1] + scans[2]), rows)
        return to_tokens(x + self.conv(x)), residual


class MambaDFuse(nn.Module):
    """Two lumas (B, 1, H, W) to the fused luma (B, 1, H, W). 1,347,271 parameters at width 60."""

    def __init__(self, width: int = 60) -> None:
        super().__init__()
        self.low = nn.Sequential(
            nn.Conv2d(1, width // 2, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width // 2, width, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.norm = nn.LayerNorm(width)
        self.encode_under = MambaBlocks(width)
        self.encode_over = MambaBlocks(width)
        self.shallow = nn.ModuleList(SwapBlock(width) for _ in range(2))
        self.join_under = nn.Conv2d(2 * width, width, 3, padding=1)
        self.join_over = nn.Conv2d(2 * width, width, 3, padding=1)
        self.deep = nn.ModuleList(FusionBlock(width) for _ in range(5))
        self.decode = MambaBlocks(width)
        self.reconstruct = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width // 2, width // 4, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width // 4, 1, 3, padding=1),
        )
        for p in self.reconstruct[-1].parameters():
            nn.init.normal_(p, std=0.05)

    def forward(self, under: Tensor, over: Tensor) -> Tensor:
        """The fused luma. It is not clamped, so that the loss sees how far it leaves the range from 0 to 1."""
        rows = under.shape[-2]
        features = self.low(torch.cat((under, over)))
        under_tokens, over_tokens = self.embed(features).chunk(2)
        encoded = (self.encode_under(under_tokens), self.encode_over(over_tokens))
        x, residual = (torch.stack(pair) for pair in zip(*encoded, strict=True))
        for block in self.shallow:
            x, residual = block(x, residual)
        a, b = (to_map(tokens, rows) for tokens in x)
        a = a + self.join_under(torch.cat((a, b), 1))
        b = b + self.join_over(torch.cat((b, a), 1))
        x, sources = self.embed((a + b) / 2), torch.stack((self.embed(b), self.embed(a)))
        residual = torch.zeros_like(x)
        for block in self.deep:
            x, residual = block(x, residual, sources, rows)
        x, _ = self.decode(self.embed(to_map(x, rows)))
        return (under + over) / 2 + self.reconstruct(to_map(x, rows))

    def embed(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to normalised tokens (B, H * W, C), in float32, since residuals are summed."""
        return self.norm(to_tokens(features).float())


METHOD = Method(
    name="mambadfuse",
    title="MambaDFuse",
    paper="Li et al., MambaDFuse, arXiv 2404.08406 (2024)",
    origin="adapted",
    summary="Mamba scans both lumas from the first pixel to the last, swaps channels between them and merges them.",
    architecture=MambaDFuse,
    needs=Needs(planes=Planes.LUMA, largest=128 * 128),
    recipe=Recipe(loss=structure_and_luminance, crop=192, batch=2, rate=1e-3, scale=0.25, zoom=4.0),
)
