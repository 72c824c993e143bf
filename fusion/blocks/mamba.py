"""Mamba's layer, and the selective scan with its projections that other layers are built around.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, section 3.4 and figure 3.
The letters are those of `selective_scan.py`; R is the rank of the projection that the step comes from.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.selective_scan import init_step, initial_decay, selective_scan


def to_tokens(features: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H * W, C), row by row."""
    return features.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, rows: int) -> Tensor:
    """The inverse of `to_tokens`, stored channels last."""
    return tokens.unflatten(1, (rows, -1)).permute(0, 3, 1, 2)


class S6(nn.Module):
    """A selective scan whose step, B and C are projected from what it scans; A comes from outside."""

    def __init__(self, channels: int, states: int, rank: int) -> None:
        super().__init__()
        self.sizes = (rank, states, states)
        self.x_proj = nn.Linear(channels, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(rank, channels)
        self.D = nn.Parameter(torch.ones(channels))
        init_step(self.dt_proj)

    def forward(self, u: Tensor, A_log: Tensor) -> Tensor:
        """u (B, L, D) and A_log (D, N) to y (B, L, D), in float32."""
        return selective_scan(*self.arguments(u, A_log, u)).transpose(1, 2)

    def arguments(self, u: Tensor, A_log: Tensor, gates: Tensor) -> tuple[Tensor, ...]:
        """What `selective_scan` takes to scan u (B, L, D) with the step, B and C of `gates` (B, L, D)."""
        step, B, C = self.x_proj(gates).transpose(1, 2).float().split(self.sizes, 1)
        delta = (self.dt_proj.weight @ step).float()
        return u.transpose(1, 2).float(), delta, -torch.exp(A_log), B, C, self.D, self.dt_proj.bias


class GatedScan(nn.Module):
    """Mamba's layer without its last projection: tokens (B, L, C) and A_log (D, N) -> (B, L, D), D = expand * C."""

    def __init__(self, width: int, states: int, kernel: int, expand: int) -> None:
        super().__init__()
        inner = expand * width
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        # In two dimensions, a picture of one row, so that tokens are read as they lie.
        self.conv = nn.Conv2d(inner, inner, (1, kernel), padding=(0, kernel - 1), groups=inner)
        self.scan = S6(inner, states, math.ceil(width / 16))

    def forward(self, tokens: Tensor, A_log: Tensor) -> Tensor:
        """The gated scan, (B, L, D)."""
        x, z = self.in_proj(tokens).chunk(2, -1)
        causal = self.conv(to_map(x, 1))[..., : x.shape[1]]
        return self.scan(to_tokens(F.silu(causal)), A_log) * F.silu(z)


class Mamba(nn.Module):
    """Tokens (B, L, C) -> the same: a causal convolution and a scan, gated. Each token sees those before it."""

    def __init__(self, width: int, states: int = 16, kernel: int = 4, expand: int = 2) -> None:
        super().__init__()
        self.gated = GatedScan(width, states, kernel, expand)
        self.A_log = nn.Parameter(initial_decay(expand * width, states))
        self.out_proj = nn.Linear(expand * width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mixed tokens, (B, L, C)."""
        return self.out_proj(self.gated(tokens, self.A_log))
