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

from fusion.blocks.selective_scan import selective_scan


def four_orders(tokens: Tensor, side: int) -> Tensor:
    """(B, side * side, C) read row by row, that backwards, column by column, and that backwards: (4, B, L, C)."""
    columns = transpose_window(tokens, side)
    return torch.stack((tokens, tokens.flip(1), columns, columns.flip(1)))


def sum_orders(scans: Tensor, side: int) -> Tensor:
    """The four scans (4, B, L, C) put back row by row and summed: (B, L, C)."""
    rows = scans[0] + scans[1].flip(1)
    columns = scans[2] + scans[3].flip(1)
    return rows + transpose_window(columns, side)


def transpose_window(tokens: Tensor, side: int) -> Tensor:
    """Rows and columns of a window's tokens (B, side * side, C) exchanged."""
    return tokens.unflatten(1, (side, side)).transpose(1, 2).flatten(1, 2)


class ScanMixer(nn.Module):
    """Four-direction selective scan over the side x side tokens of a window, with ONE set of weights.

    Tokens (B, side * side, C) -> the same. Each direction: a projection is split into a scanned half and a plain one,
    both pass a depth-wise convolution of 3 tokens and SiLU; the halves are joined, the directions put back in
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
        self.A_log = nn.Parameter(torch.log(torch.arange(1, states + 1.0)).repeat(self.inner, 1))
        self.D = nn.Parameter(torch.ones(self.inner))
        self.out_proj = nn.Linear(width, width, bias=False)
        _init_step(self.dt_proj)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mixed tokens, (B, L, C)."""
        directions = four_orders(self.in_proj(tokens), self.side).flatten(0, 1)  # (4 B, L, C)
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
        return self.out_proj(sum_orders(joined, self.side))


def _init_step(projection: nn.Linear) -> None:
    """Steps log-uniform in 1e-3 ... 0.1 after softplus, floored at 1e-4 (Gu and Dao 2023, section 3.6)."""
    bound = projection.in_features**-0.5
    nn.init.uniform_(projection.weight, -bound, bound)
    low, high = math.log(1e-3), math.log(0.1)
    step = torch.exp(torch.rand(projection.out_features) * (high - low) + low).clamp_min(1e-4)
    with torch.no_grad():
        projection.bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus


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
