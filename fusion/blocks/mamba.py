"""Mamba's layer, and the selective scan with its projections that other layers are built around.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, section 3.4 and figure 3.
The letters are those of `selective_scan.py`; R is the rank of the projection that the step comes from.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.selective_scan import init_step, initial_decay, selective_scan


def to_tokens(features: Tensor) -> Tensor:
    """(B, C, H, W) to tokens (B, H * W, C), row by row.

    >>> to_tokens(torch.zeros(2, 8, 3, 4)).shape
    torch.Size([2, 12, 8])
    """
    return rearrange(features, "b c h w -> b (h w) c")


def to_map(tokens: Tensor, rows: int) -> Tensor:
    """The inverse of `to_tokens` for a map of `rows` rows, stored channels last.

    >>> to_map(torch.zeros(2, 12, 8), 3).shape
    torch.Size([2, 8, 3, 4])
    """
    return rearrange(tokens, "b (h w) c -> b c h w", h=rows)


def scan_arguments(
    u: Tensor, A_log: Tensor, gates: Tensor, x_proj: nn.Linear, dt_proj: nn.Linear, D: Tensor
) -> tuple[Tensor, ...]:
    """The arguments of `selective_scan` for u (B, L, D), with step, B and C projected from `gates` (B, L, D).

    `x_proj` gives a step of R values, B and C of N values each; `dt_proj` takes the step from R values to D. A_log is
    (D, N) and the skip D is (D,). All results are float32.
    """
    states = A_log.shape[-1]
    step, B, C = x_proj(gates).transpose(1, 2).float().split((dt_proj.in_features, states, states), 1)
    delta = (dt_proj.weight @ step).float()
    return u.transpose(1, 2).float(), delta, -torch.exp(A_log), B, C, D, dt_proj.bias


class S6(nn.Module):
    """A selective scan whose step, B and C are projected from what it scans. A comes from outside."""

    def __init__(self, channels: int, states: int, rank: int) -> None:
        super().__init__()
        self.x_proj = nn.Linear(channels, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, channels)
        self.D = nn.Parameter(torch.ones(channels))
        init_step(self.dt_proj)

    def forward(self, u: Tensor, A_log: Tensor) -> Tensor:
        """u (B, L, D) and A_log (D, N) to y (B, L, D), in float32."""
        return selective_scan(*self.arguments(u, A_log, u)).transpose(1, 2)

    def arguments(self, u: Tensor, A_log: Tensor, gates: Tensor) -> tuple[Tensor, ...]:
        """The arguments of `selective_scan` for u (B, L, D), with the step, B and C of `gates` (B, L, D)."""
        return scan_arguments(u, A_log, gates, self.x_proj, self.dt_proj, self.D)


class GatedScan(nn.Module):
    """Mamba's layer without its last projection: tokens (B, L, C) and A_log (D, N) -> (B, L, D), D = expand * C."""

    def __init__(self, width: int, states: int, kernel: int, expand: int) -> None:
        super().__init__()
        inner = expand * width
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        # A two-dimensional convolution over a map of one row reads the tokens as they lie in memory.
        self.conv = nn.Conv2d(inner, inner, (1, kernel), padding=(0, kernel - 1), groups=inner)
        self.scan = S6(inner, states, math.ceil(width / 16))

    def forward(self, tokens: Tensor, A_log: Tensor) -> Tensor:
        """The gated scan, (B, L, D)."""
        x, z = self.in_proj(tokens).chunk(2, -1)
        causal = self.conv(to_map(x, 1))[..., : x.shape[1]]
        return self.scan(to_tokens(F.silu(causal)), A_log) * F.silu(z)


class Mamba(nn.Module):
    """Tokens (B, L, C) -> the same: a causal convolution and a scan, gated. Each token sees itself and those before it.

    >>> Mamba(8)(torch.rand(2, 12, 8)).shape
    torch.Size([2, 12, 8])
    """

    def __init__(self, width: int, states: int = 16, kernel: int = 4, expand: int = 2) -> None:
        super().__init__()
        self.gated = GatedScan(width, states, kernel, expand)
        self.A_log = nn.Parameter(initial_decay(expand * width, states))
        self.out_proj = nn.Linear(expand * width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mixed tokens, (B, L, C)."""
        return self.out_proj(self.gated(tokens, self.A_log))
