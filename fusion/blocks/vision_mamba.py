"""Token blocks of MambaVision's kind, as MambaMEF uses them: a mixer (scan or attention) and an MLP.

Source: Hatamizadeh and Kautz, "MambaVision", CVPR 2025, section 3.2; the four scan orders are those of VMamba (Liu et
al., 2024, section 4.2). Tokens are (B, L, C), L = rows * columns, row by row. The letters of the scan are those of
`selective_scan.py`.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.mamba import scan_arguments
from fusion.blocks.selective_scan import init_step, initial_decay, selective_scan


def four_orders(tokens: Tensor, rows: int) -> Tensor:
    """Tokens (B, rows * columns, C) in four orders, (4, B, L, C).

    They are read row by row, backwards, column by column, and that backwards.

    >>> four_orders(torch.arange(4.0).view(1, 4, 1), 2)[:, 0, :, 0]
    tensor([[0., 1., 2., 3.],
            [3., 2., 1., 0.],
            [0., 2., 1., 3.],
            [3., 1., 2., 0.]])
    """
    columns = by_column(tokens, rows)
    return torch.stack((tokens, tokens.flip(1), columns, columns.flip(1)))


def sum_orders(scans: Tensor, rows: int) -> Tensor:
    """The sum (B, L, C) of four scans (4, B, L, C) in the orders of `four_orders`, each put back row by row."""
    forth = scans[0] + scans[1].flip(1)
    down = scans[2] + scans[3].flip(1)
    return forth + by_column(down, down.shape[1] // rows)


def by_column(tokens: Tensor, rows: int) -> Tensor:
    """Tokens (B, rows * columns, C), given row by row, in the order column by column."""
    return rearrange(tokens, "b (h w) c -> b (w h) c", h=rows)


class ScanMixer(nn.Module):
    """A selective scan in four directions over the tokens of a window or of a whole map, with one set of weights.

    Tokens (B, rows * columns, C) -> the same. In each direction a projection is split into a scanned half and a plain
    one; both pass a depth-wise convolution over 3 tokens and SiLU, and are joined again. The directions are put back
    row by row and summed.
    """

    def __init__(self, width: int, side: int, states: int = 8) -> None:
        super().__init__()
        inner, rank = width // 2, math.ceil(width / 16)
        self.side = side
        self.in_proj = nn.Linear(width, width, bias=False)
        self.conv_x = nn.Conv1d(inner, inner, 3, padding="same", groups=inner, bias=False)
        self.conv_z = nn.Conv1d(inner, inner, 3, padding="same", groups=inner, bias=False)
        # The parameters of an S6 lie here and not in one, since the shipped weights have these names.
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(initial_decay(inner, states))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(width, width, bias=False)
        init_step(self.dt_proj)

    def forward(self, tokens: Tensor, rows: int | None = None) -> Tensor:
        """Mixed tokens, (B, L, C). They lie in `rows` rows, or in as many as the window has."""
        rows = rows or self.side
        directions = rearrange(four_orders(self.in_proj(tokens), rows), "four b l c -> (four b) c l")
        x, z = directions.chunk(2, 1)  # (4 B, C/2, L)
        x, z = F.silu(self.conv_x(x)), F.silu(self.conv_z(z))
        u = x.transpose(1, 2)  # (4 B, L, C/2)
        scanned = selective_scan(*scan_arguments(u, self.A_log, u, self.x_proj, self.dt_proj, self.D))
        joined = rearrange(torch.cat((scanned, z), 1), "(four b) c l -> four b l c", four=4)
        return self.out_proj(sum_orders(joined, rows))


class AttentionMixer(nn.Module):
    """Multi-head self-attention over the tokens of a window: (B, L, C) -> the same. There is no position bias."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mixed tokens, (B, L, C)."""
        q, k, v = rearrange(self.qkv(tokens), "b l (three heads c) -> three b heads l c", three=3, heads=self.heads)
        # Written out: the fused kernel's backward is ten times slower on thousands of windows of 64 tokens.
        attention = torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, -1)
        return self.proj(rearrange(attention @ v, "b heads l c -> b l (heads c)"))


class TokenBlock(nn.Module):
    """x + mixer(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, width: int, mixer: nn.Module) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        tokens = tokens + self.mixer(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))
