"""The selective scan compiled for the CPU by numba, with a hand-written backward.

Layout: channels in groups of `LANES`, tokens outermost, so that the innermost loops run over one vector register of
channels and nothing is summed across it but dB and dC. One (sequence, channel group) is a piece of work; pieces are
shared out to threads by a plain pool (the kernels hold no lock of the interpreter), safe under any number of callers.

Backward: the states are computed again, `CHUNK` tokens at a time, from the states that the forward pass kept at the
chunks' borders; the adjoint g of h then runs from the last token to the first (steps are `delta`, u as in
`selective_scan.py`):

    g_l = dy_l C_l + exp(delta_{l+1} A) g_{l+1}
    dC_l = sum_d dy h,   dB_l = sum_d g delta u,   d(delta u) = <g, B>,   d(exp(delta A)) = g h_{l-1}
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeAlias

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

LANES = 16
CHUNK = 64

Array: TypeAlias = NDArray[np.float32]

# Sums may be reordered and contracted; infinities and NaN keep their meaning.
_compile: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"}
)


@intrinsic
def _float_of_bits(_context: Any, bits: Any) -> Any:
    """The float32 whose bits are those of an int32."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@numba.njit(inline="always", fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")
def _exp(x: np.float32) -> np.float32:
    """exp(x) of x <= 0 to 2e-7 relative, as arithmetic that vectorises: 2^k times a polynomial of the remainder.

    Below 2^-126 it stays at that, the smallest normal number.
    """
    t = max(x * np.float32(1.44269504), np.float32(-126))
    k = np.floor(t + np.float32(0.5))
    f = (t - k) * np.float32(0.69314718)
    p = np.float32(1 / 720) * f + np.float32(1 / 120)
    p = p * f + np.float32(1 / 24)
    p = p * f + np.float32(1 / 6)
    p = p * f + np.float32(1 / 2)
    p = p * f + np.float32(1)
    p = p * f + np.float32(1)
    return p * _float_of_bits((np.int32(k) + np.int32(127)) << np.int32(23))


@_compile
def _forward(u: Array, delta: Array, A: Array, B: Array, C: Array, y: Array, kept: Array, first: int, last: int) -> None:
    """y, and the states before each chunk, of the pieces first ... last-1.

    u, delta, y (batch, groups, L, LANES); A (groups, N, LANES); B, C (batch, L, N);
    kept (batch, groups, chunks, N, LANES).
    """
    groups, length, states = u.shape[1], u.shape[2], A.shape[1]
    h = np.empty((states, LANES), np.float32)
    du = np.empty(LANES, np.float32)
    out = np.empty(LANES, np.float32)
    for piece in range(first, last):
        b, g = piece // groups, piece % groups
        h[:] = 0
        for l in range(length):
            if l % CHUNK == 0:
                kept[b, g, l // CHUNK] = h
            for d in range(LANES):
                du[d] = delta[b, g, l, d] * u[b, g, l, d]
                out[d] = 0
            for n in range(states):
                Bn, Cn = B[b, l, n], C[b, l, n]
                for d in range(LANES):
                    state = _exp(delta[b, g, l, d] * A[g, n, d]) * h[n, d] + du[d] * Bn
                    h[n, d] = state
                    out[d] += state * Cn
            for d in range(LANES):
                y[b, g, l, d] = out[d]


@_compile
def _backward(
    u: Array, delta: Array, A: Array, B: Array, C: Array, kept: Array, dy: Array,
    d_u: Array, d_delta: Array, d_A: Array, d_B: Array, d_C: Array, first: int, last: int,
) -> None:  # fmt: skip
    """Gradients of the pieces first ... last-1; d_A (batch, groups, N, LANES), d_B, d_C (batch, groups, L, N)."""
    groups, length, states = u.shape[1], u.shape[2], A.shape[1]
    h = np.empty((CHUNK + 1, states, LANES), np.float32)  # before each token of a chunk, and after the last
    decay = np.empty((CHUNK, states, LANES), np.float32)
    adjoint = np.empty((states, LANES), np.float32)
    of_du = np.empty(LANES, np.float32)
    of_delta = np.empty(LANES, np.float32)
    for piece in range(first, last):
        b, g = piece // groups, piece % groups
        adjoint[:] = 0
        d_A[b, g] = 0
        for chunk in range((length - 1) // CHUNK, -1, -1):
            start = chunk * CHUNK
            count = min(CHUNK, length - start)
            h[0] = kept[b, g, chunk]
            for i in range(count):
                l = start + i
                for n in range(states):
                    Bn = B[b, l, n]
                    for d in range(LANES):
                        step = delta[b, g, l, d]
                        a = _exp(step * A[g, n, d])
                        decay[i, n, d] = a
                        h[i + 1, n, d] = a * h[i, n, d] + step * u[b, g, l, d] * Bn
            for i in range(count - 1, -1, -1):
                l = start + i
                of_du[:] = 0
                of_delta[:] = 0
                for n in range(states):
                    Bn, Cn = B[b, l, n], C[b, l, n]
                    of_B = np.float32(0)
                    of_C = np.float32(0)
                    for d in range(LANES):
                        upstream, step, a = dy[b, g, l, d], delta[b, g, l, d], decay[i, n, d]
                        grad = adjoint[n, d] + upstream * Cn
                        of_C += upstream * h[i + 1, n, d]
                        of_B += grad * step * u[b, g, l, d]
                        of_du[d] += grad * Bn
                        of_exponent = grad * h[i, n, d] * a
                        of_delta[d] += of_exponent * A[g, n, d]
                        d_A[b, g, n, d] += of_exponent * step
                        adjoint[n, d] = grad * a
                    d_B[b, g, l, n] = of_B
                    d_C[b, g, l, n] = of_C
                for d in range(LANES):
                    d_u[b, g, l, d] = of_du[d] * delta[b, g, l, d]
                    d_delta[b, g, l, d] = of_delta[d] + of_du[d] * u[b, g, l, d]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="scan")


def _share_out(kernel: Callable[..., None], pieces: int, *arrays: Array) -> None:
    """The kernel over all pieces, in about equal ranges, one for each of torch's threads."""
    threads = min(torch.get_num_threads(), pieces)
    bounds = [pieces * i // threads for i in range(threads + 1)]
    if threads == 1:
        kernel(*arrays, 0, pieces)
        return
    waiting = [_pool(threads).submit(kernel, *arrays, *span) for span in zip(bounds, bounds[1:], strict=False)]
    for piece in waiting:
        piece.result()


def _in_groups(x: Tensor) -> Array:
    """(batch, D, L) -> (batch, groups, L, LANES), the last group filled with zeros."""
    batch, channels, length = x.shape
    x = torch.nn.functional.pad(x, (0, 0, 0, -channels % LANES))
    return x.view(batch, -1, LANES, length).transpose(2, 3).contiguous().numpy()


def _out_of_groups(x: Array, channels: int) -> Tensor:
    """The inverse of `_in_groups`."""
    return torch.from_numpy(x).transpose(2, 3).flatten(1, 2)[:, :channels]


def _tokens_first(x: Tensor) -> Array:
    """(batch, N, L) -> (batch, L, N)."""
    return x.transpose(1, 2).contiguous().numpy()


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        channels, length, states = u.shape[1], u.shape[2], A.shape[1]
        inputs = (_in_groups(u), _in_groups(delta), _in_groups(A[None])[0], _tokens_first(B), _tokens_first(C))
        batch, groups = inputs[0].shape[:2]
        y = np.empty_like(inputs[0])
        kept = np.empty((batch, groups, -(-length // CHUNK), states, LANES), np.float32)
        _share_out(_forward, batch * groups, *inputs, y, kept)
        ctx.arrays, ctx.channels = (*inputs, kept), channels
        return _out_of_groups(y, channels)

    @staticmethod
    def backward(ctx: Any, *dy: Tensor) -> tuple[Tensor, ...]:
        u, delta, A, B, C, kept = ctx.arrays
        batch, groups, length, _ = u.shape
        states = A.shape[1]
        d_u, d_delta = np.empty_like(u), np.empty_like(u)
        d_A = np.empty((batch, groups, states, LANES), np.float32)
        d_B, d_C = np.empty((2, batch, groups, length, states), np.float32)
        arrays = (u, delta, A, B, C, kept, _in_groups(dy[0]), d_u, d_delta, d_A, d_B, d_C)
        _share_out(_backward, batch * groups, *arrays)
        return (
            _out_of_groups(d_u, ctx.channels),
            _out_of_groups(d_delta, ctx.channels),
            _out_of_groups(d_A.sum(0)[None], ctx.channels)[0],
            torch.from_numpy(d_B.sum(1)).transpose(1, 2),
            torch.from_numpy(d_C.sum(1)).transpose(1, 2),
        )


def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """<C_l, h_l> with h_l = exp(delta_l A) h_{l-1} + delta_l u_l B_l, for steps `delta` >= 0 and A <= 0.

    float32 on the CPU; shapes as in `selective_scan`; differentiable.
    """
    return _Scan.apply(u, delta, A, B, C)  # pyright: ignore[reportReturnType]
