"""Scans of a map in four directions, each with its own weights, and the states that one scan hands to the next.

Sources: SS2D of VMamba (Liu et al., "VMamba: Visual State Space Model", NeurIPS 2024, section 4.2); the state sharing
of LE-Mamba (Cao et al., "A Novel State Space Model with Local Enhancement and State Sharing for Image Fusion",
ACM Multimedia 2024). Tokens are (B, L, C), L = rows * columns, row by row; D channels are scanned, with N states each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.mamba import S6, to_map, to_tokens
from fusion.blocks.selective_scan import initial_decay, scan_and_state
from fusion.blocks.vision_mamba import four_orders, sum_orders


class _Directions(nn.Module):
    """The layers before and after the scans in four directions, and the scans themselves."""

    def __init__(self, width: int, inner: int, states: int, kernel: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.in_norm = nn.LayerNorm(inner)
        self.conv = nn.Conv2d(inner, inner, kernel, padding=kernel // 2, groups=inner)
        self.scans = nn.ModuleList(S6(inner, states, math.ceil(width / 16)) for _ in range(4))
        self.A_log = nn.Parameter(initial_decay(inner, states).repeat(4, 1, 1))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def enter(self, tokens: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """The tokens in the order of each direction, (4, B, L, D), and the gate (B, L, D)."""
        x, z = self.in_proj(tokens).chunk(2, -1)
        x = F.silu(self.conv(to_map(self.in_norm(x), rows)))
        return four_orders(to_tokens(x), rows), F.silu(z)

    def leave(self, scans: Sequence[Tensor], gate: Tensor, rows: int) -> Tensor:
        """Put the four scans, (B, L, D) each, back row by row; sum, normalise, gate and project them: (B, L, C)."""
        return self.out_proj(self.out_norm(sum_orders(torch.stack(tuple(scans)), rows)) * gate)


class CrossScan(_Directions):
    """Tokens (B, L, C) -> the same: a depth-wise convolution, a scan in each direction, and a gate on their sum.

    >>> CrossScan(8, 16, states=4, kernel=3)(torch.rand(2, 12, 8), rows=3).shape
    torch.Size([2, 12, 8])
    """

    def forward(self, tokens: Tensor, rows: int) -> Tensor:
        """Mixed tokens, (B, L, C)."""
        directions, gate = self.enter(tokens, rows)
        scans = [scan(u, A_log) for scan, u, A_log in zip(self.scans, directions, self.A_log, strict=True)]
        return self.leave(scans, gate, rows)


class SharingCrossScan(_Directions):
    """A `CrossScan` whose scans read the last states of other scans and hand on their own.

    `sources` are the numbers of channels of the other scans' states. Without any, no states are read.
    """

    def __init__(self, width: int, inner: int, states: int, kernel: int, sources: Sequence[int] = ()) -> None:
        super().__init__(width, inner, states, kernel)
        self.readers = nn.ModuleList(StateReader(inner, states, sources) for _ in range(4 if sources else 0))

    def forward(self, tokens: Tensor, rows: int, states: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor]:
        """Mixed tokens (B, L, C) and last states (4, B, D, N), which carry no gradient.

        `states` are the last states of the sources, (4, B, channels, N) each. Steps, B and C do not depend on them.
        """
        directions, gate = self.enter(tokens, rows)
        read = directions
        if self.readers:
            read = [reader(x, *s) for reader, x, *s in zip(self.readers, directions, *states, strict=True)]
        results: list[tuple[Tensor, Tensor]] = []
        for scan, u, A_log, x in zip(self.scans, read, self.A_log, directions, strict=True):
            assert isinstance(scan, S6)
            results.append(scan_and_state(*scan.arguments(u, A_log, gates=x)))
        scans, last = zip(*results, strict=True)
        return self.leave([y.transpose(1, 2) for y in scans], gate, rows), torch.stack(last)


class StateReader(nn.Module):
    """Adds to u (B, L, D) what each of its tokens reads from the last states of other scans.

    The initial weights have a variance of one over the number of values that are summed with them.
    """

    def __init__(self, channels: int, states: int, sources: Sequence[int]) -> None:
        super().__init__()
        self.project = nn.Linear(sum(sources), channels, bias=False)
        self.gate = nn.Linear(channels, states, bias=False)
        self.scale = nn.Parameter(nn.init.normal_(torch.empty(channels), std=states**-0.5))
        for linear in (self.project, self.gate):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def forward(self, u: Tensor, *states: Tensor) -> Tensor:
        """(B, L, D) from u (B, L, D) and, for each source, states (B, channels, N)."""
        offered = self.project(torch.cat(states, 1).transpose(1, 2))  # (B, N, D)
        return u + self.scale * (self.gate(u) @ offered)
