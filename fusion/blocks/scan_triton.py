"""The selective scan for CUDA in Triton, with its own backward, for machines without `mamba_ssm`.

A program takes `LANES` channels of one sequence through all its tokens and holds their states in registers. The forward
pass keeps the states at the borders of chunks. The backward pass computes the states between them again, a chunk at a
time, then runs the adjoint as `scan_kernel.py` describes. All channels share B and C, so several programs add to their
gradients. Each stores its own sums, and PyTorch adds them in one order: the same input gives the same gradients.
"""

# pyright: reportUnknownMemberType=false, reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingImports=false
# pyright: reportCallIssue=false, reportOperatorIssue=false
# ruff: noqa: ANN001, ANN202  # Triton reads its kernels' source: tensors in it are pointers and blocks of another kind

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNK = 64
_MANY = 1 << 14
"""From this number of channels, over all sequences, there are enough programs with several channels each."""


@triton.jit
def _step(raw):
    """Softplus without overflow."""
    return tl.maximum(raw, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(raw)))


@triton.jit
def _constants(A, D, bias, d, n, channels, states):
    """The masks of existing channels `d`, of states `n` and of both, and their decay, skip and bias of delta."""
    here, there = d < channels, n < states
    both = here[:, None] & there[None, :]
    decay = tl.load(A + d[:, None] * states + n[None, :], mask=both, other=0.0)
    skip, shift = tl.load(D + d, mask=here, other=0.0), tl.load(bias + d, mask=here, other=0.0)
    return here, there, both, decay, skip, shift


@triton.jit
def _forward(
    u, delta, A, B, C, D, bias, y, kept, channels, length, states, chunks,
    CHUNK: tl.constexpr, LANES: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    """Compute y (batch, D, L) and `kept` (batch, D, chunks, N). All tensors are contiguous."""
    sequence, d, n = tl.program_id(0), tl.program_id(1) * LANES + tl.arange(0, LANES), tl.arange(0, STATES)
    here, there, both, decay, skip, shift = _constants(A, D, bias, d, n, channels, states)
    row = (sequence * channels + d) * length
    gate = (sequence * states + n) * length
    state = tl.zeros((LANES, STATES), tl.float32)
    for l in range(length):
        if l % CHUNK == 0:
            border = ((sequence * channels + d) * chunks + l // CHUNK) * states
            tl.store(kept + border[:, None] + n[None, :], state, mask=both)
        x = tl.load(u + row + l, mask=here, other=0.0)
        step = _step(tl.load(delta + row + l, mask=here, other=0.0) + shift)
        enters = tl.load(B + gate + l, mask=there, other=0.0)
        reads = tl.load(C + gate + l, mask=there, other=0.0)
        state = tl.exp(step[:, None] * decay) * state + (step * x)[:, None] * enters[None, :]
        tl.store(y + row + l, tl.sum(state * reads[None, :], 1) + skip * x, mask=here)


@triton.jit
def _backward(
    u, delta, A, B, C, D, bias, kept, dy, past, d_u, d_delta, d_A, d_B, d_C, d_D, d_bias,
    channels, length, states, chunks, groups, CHUNK: tl.constexpr, LANES: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    """Compute the gradients. d_A (batch, D, N), d_B, d_C (batch, groups, N, L), d_D and d_bias (batch, D) are partial.

    `past` (batch, groups, CHUNK, LANES, STATES) holds the states before a chunk's tokens.
    """
    sequence, group = tl.program_id(0), tl.program_id(1)
    lane, n = tl.arange(0, LANES), tl.arange(0, STATES)
    d = group * LANES + lane
    here, there, both, decay, skip, shift = _constants(A, D, bias, d, n, channels, states)
    row = (sequence * channels + d) * length
    gate = (sequence * states + n) * length
    share = ((sequence * groups + group) * states + n) * length
    scratch = past + (sequence * groups + group) * CHUNK * LANES * STATES + lane[:, None] * STATES + n[None, :]
    adjoint = tl.zeros((LANES, STATES), tl.float32)
    of_decay = tl.zeros((LANES, STATES), tl.float32)
    of_skip, of_shift = tl.zeros((LANES,), tl.float32), tl.zeros((LANES,), tl.float32)
    for back in range(chunks):
        chunk = chunks - 1 - back
        start = chunk * CHUNK
        count = tl.minimum(CHUNK, length - start)
        border = ((sequence * channels + d) * chunks + chunk) * states
        state = tl.load(kept + border[:, None] + n[None, :], mask=both, other=0.0)
        for i in range(count):
            l = start + i
            tl.store(scratch + i * LANES * STATES, state)
            x = tl.load(u + row + l, mask=here, other=0.0)
            step = _step(tl.load(delta + row + l, mask=here, other=0.0) + shift)
            enters = tl.load(B + gate + l, mask=there, other=0.0)
            state = tl.exp(step[:, None] * decay) * state + (step * x)[:, None] * enters[None, :]
        tl.debug_barrier()
        for j in range(count):
            l = start + count - 1 - j
            before = tl.load(scratch + (count - 1 - j) * LANES * STATES)
            x, out = tl.load(u + row + l, mask=here, other=0.0), tl.load(dy + row + l, mask=here, other=0.0)
            raw = tl.load(delta + row + l, mask=here, other=0.0) + shift
            step = _step(raw)
            enters = tl.load(B + gate + l, mask=there, other=0.0)
            reads = tl.load(C + gate + l, mask=there, other=0.0)
            kept_share = tl.exp(step[:, None] * decay)
            state = kept_share * before + (step * x)[:, None] * enters[None, :]
            grad = adjoint + out[:, None] * reads[None, :]
            tl.store(d_C + share + l, tl.sum(out[:, None] * state, 0), mask=there)
            tl.store(d_B + share + l, tl.sum(grad * (step * x)[:, None], 0), mask=there)
            of_entering = tl.sum(grad * enters[None, :], 1)
            adjoint = grad * kept_share
            of_exponent = adjoint * before
            of_decay += of_exponent * step[:, None]
            of_raw = (tl.sum(of_exponent * decay, 1) + of_entering * x) / (1.0 + tl.exp(-raw))
            of_shift += of_raw
            of_skip += out * x
            tl.store(d_u + row + l, of_entering * step + out * skip, mask=here)
            tl.store(d_delta + row + l, of_raw, mask=here)
        tl.debug_barrier()
    tl.store(d_A + (sequence * channels + d)[:, None] * states + n[None, :], of_decay, mask=both)
    tl.store(d_D + sequence * channels + d, of_skip, mask=here)
    tl.store(d_bias + sequence * channels + d, of_shift, mask=here)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Tensor) -> Tensor:
        inputs = tuple(x.detach().contiguous() for x in arguments)
        u, A = inputs[0], inputs[2]
        batch, channels, length = u.shape
        states, chunks = A.shape[1], triton.cdiv(length, CHUNK)
        lanes = 16 if batch * channels >= _MANY else 1
        y, kept = torch.empty_like(u), u.new_empty(batch, channels, chunks, states)
        groups = triton.cdiv(channels, lanes)
        sizes = {"CHUNK": CHUNK, "LANES": lanes, "STATES": triton.next_power_of_2(states)}
        _forward[(batch, groups)](*inputs, y, kept, channels, length, states, chunks, **sizes)
        ctx.save_for_backward(*inputs, kept)
        ctx.sizes = sizes
        return y

    @staticmethod
    def backward(ctx: Any, *dy: Tensor) -> tuple[Tensor, ...]:
        *inputs, kept = ctx.saved_tensors
        u, delta, A = inputs[:3]
        batch, channels, length = u.shape
        states, chunks, sizes = A.shape[1], kept.shape[2], ctx.sizes
        groups = triton.cdiv(channels, sizes["LANES"])
        past = u.new_empty(batch, groups, CHUNK, sizes["LANES"], sizes["STATES"])
        d_u, d_delta, d_A = torch.empty_like(u), torch.empty_like(delta), u.new_empty(batch, channels, states)
        d_B, d_C = (u.new_empty(batch, groups, states, length) for _ in range(2))
        d_D, d_bias = (u.new_empty(batch, channels) for _ in range(2))
        results = (d_u, d_delta, d_A, d_B, d_C, d_D, d_bias)
        _backward[(batch, groups)](
            *inputs, kept, dy[0].contiguous(), past, *results, channels, length, states, chunks, groups, **sizes
        )
        return d_u, d_delta, d_A.sum(0), d_B.sum(1), d_C.sum(1), d_D.sum(0), d_bias.sum(0)


def scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor | None = None
) -> Tensor:
    """Compute `selective_scan` in float32 on CUDA. The result is differentiable."""
    return _Scan.apply(u, delta, A, B, C, D, torch.zeros_like(D) if delta_bias is None else delta_bias)  # pyright: ignore[reportReturnType]
