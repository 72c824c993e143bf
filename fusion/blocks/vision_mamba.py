"""Token blocks of MambaVision type, as MambaMEF uses them: a mixer (scan or attention) and an MLP.

Source: Hatamizadeh and Kautz, "MambaVision", CVPR 2025, section 3.2; the four scan orders as in VMamba (Liu et al.,
2024, section 4.2). Tokens are (B, L, C); where a picture's layout matters, L = side * side, row by row.

Glossary of the scan (see `selective_scan.py`): Delta the step, B and C what enters and leaves the states, A the
decay, D the skip, N the number of states, R the rank of the projection that Delta comes from.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.selective_scan import init_step, initial_decay, selective_scan


def four_orders(tokens: Tensor, rows: int) -> Tensor:
    """(B, rows * columns, C) read row by row, that backwards, column by column, and that backwards: (4, B, L, C)."""
    columns = transpose_window(tokens, rows)
    return torch.stack((tokens, tokens.flip(1), columns, columns.flip(1)))


def sum_orders(scans: Tensor, rows: int) -> Tensor:
    """The four scans (4, B, L, C) put back row by row and summed: (B, L, C)."""
    by_row = scans[0] + scans[1].flip(1)
    by_column = scans[2] + scans[3].flip(1)
    return by_row + transpose_window(by_column, by_column.shape[1] // rows)


def transpose_window(tokens: Tensor, rows: int) -> Tensor:
    """Rows and columns of tokens (B, rows * columns, C) exchanged: they are then read column by column."""
    return tokens.unflatten(1, (rows, -1)).transpose(1, 2).flatten(1, 2)


class ScanMixer(nn.Module):
    """Four-direction selective scan over the tokens of a window or of a whole map, with ONE set of weights.

    Tokens (B, rows * columns, C) -> the same. In each direction a projection is split into a scanned half and a plain
    one, both pass a depth-wise convolution of 3 tokens and SiLU; the halves are joined, the directions put back in
    row-major order and summed.
    """

    def __init__(self, width: int, side: int, states: int = 8) -> None:
        super().__init__()
        self.side = side
        self.inner = width // 2
        self.states = states
        self.rank = math.ceil(width / 16)
        self.in_proj = nn.Linear(width, width, bias=False)
        self.conv_x = nn.Conv1d(self.inner, self.inner, 3, padding="same", groups=self.inner, bias=False)
        self.conv_z = nn.Conv1d(self.inner, self.inner, 3, padding="same", groups=self.inner, bias=False)
        self.x_proj = nn.Linear(self.inner, self.rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(self.rank, self.inner)
        self.A_log = nn.Parameter(initial_decay(self.inner, states))
        self.D = nn.Parameter(torch.ones(self.inner))
        self.out_proj = nn.Linear(width, width, bias=False)
        init_step(self.dt_proj)

    def forward(self, tokens: Tensor, rows: int | None = None) -> Tensor:
        """Mixed tokens, (B, L, C); `rows` of them, or as many as the window has."""
        rows = rows or self.side
        directions = four_orders(self.in_proj(tokens), rows).flatten(0, 1)  # (4 B, L, C)
        x, z = directions.transpose(1, 2).split(self.inner, 1)  # (4 B, C/2, L)
        x, z = F.silu(self.conv_x(x)), F.silu(self.conv_z(z))
        step, B, C = self.x_proj(x.transpose(1, 2)).split((self.rank, self.states, self.states), -1)
        scanned = selective_scan(
            x.float(),
            F.linear(step, self.dt_proj.weight).transpose(1, 2).float(),
            -torch.exp(self.A_log),
            B.transpose(1, 2).float(),
            C.transpose(1, 2).float(),
            self.D,
            self.dt_proj.bias,
        )
        joined = torch.cat((scanned, z), 1).transpose(1, 2).unflatten(0, (4, -1))  # (4, B, L, C)
        return self.out_proj(sum_orders(joined, rows))


class AttentionMixer(nn.Module):
    """Multi-head self-attention over the tokens of a window: (B, L, C) -> the same. No position bias."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mixed tokens, (B, L, C)."""
        qkv = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, heads, L, C/heads)
        q, k, v = qkv.unbind(0)
        # Written out: the fused kernel's backward is ten times slower on thousands of windows of 64 tokens.
        attention = torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, -1)
        return self.proj((attention @ v).transpose(1, 2).flatten(2))


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
