"""The selective scan compiled for the CPU by numba, with a hand-written backward.

Layout: `CHUNK` tokens of `LANES` channels are copied into a small tile, whatever the strides of the arguments; in it
the innermost loops run over one vector register of channels, and nothing is summed across it but dB and dC. One
(sequence, group of channels) is a piece of work; pieces are shared out to threads by a plain pool (the kernels hold no
lock of the interpreter), safe under any number of callers.

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
from itertools import pairwise
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

# What the backward pass keeps of each token and of each state. Rows of one array: the compiler then knows that they do
# not overlap, and vectorises; with an array for each it was four times slower.
_U, _STEP, _DY, _DU, _DSTEP = range(5)
_A, _DA, _STATE, _ADJOINT = range(4)

Array: TypeAlias = NDArray[np.float32]

# Sums may be reordered and contracted; infinities and NaN keep their meaning.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"}}
_compile: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(nogil=True, cache=True, **_OPTIONS)


@intrinsic
def _float_of_bits(_context: Any, bits: Any) -> Any:  # noqa: ARG001  # numba binds it by name
    """The float32 whose bits are those of an int32."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@numba.njit(inline="always", **_OPTIONS)
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
    scale = _float_of_bits((np.int32(k) + np.int32(127)) << np.int32(23))  # pyright: ignore[reportCallIssue]
    return p * scale


@_compile
def _load(planes: Array, b: int, row: int, start: int, count: int, tile: Array) -> None:
    """tile[i, r] = planes[b, row + r, start + i] for the rows there are, else 0. planes (batch, rows, L)."""
    rows = min(tile.shape[1], planes.shape[1] - row)
    for r in range(tile.shape[1]):
        for i in range(count):
            tile[i, r] = planes[b, row + r, start + i] if r < rows else np.float32(0)


@_compile
def _store(tile: Array, b: int, row: int, start: int, count: int, planes: Array) -> None:
    """The inverse of `_load`."""
    for r in range(min(tile.shape[1], planes.shape[1] - row)):
        for i in range(count):
            planes[b, row + r, start + i] = tile[i, r]


@_compile
def _forward(
    u: Array, delta: Array, A: Array, B: Array, C: Array, y: Array, kept: Array, first: int, last: int
) -> None:
    """y, and the states before each chunk, of the pieces first ... last-1.

    u, delta, y (batch, D, L); A (1, D, N); B, C (batch, N, L); kept (pieces, chunks, N, LANES).
    """
    length, states = u.shape[2], A.shape[2]
    groups = (u.shape[1] + LANES - 1) // LANES
    u_tile, delta_tile, y_tile = np.empty((3, CHUNK, LANES), np.float32)
    B_tile, C_tile = np.empty((2, CHUNK, states), np.float32)
    decay = np.empty((states, LANES), np.float32)
    h = np.empty((states, LANES), np.float32)
    for piece in range(first, last):
        b, row = piece // groups, piece % groups * LANES
        _load(A, 0, row, 0, states, decay)
        h[:] = 0
        for chunk in range((length + CHUNK - 1) // CHUNK):
            start = chunk * CHUNK
            count = min(CHUNK, length - start)
            kept[piece, chunk] = h
            _load(u, b, row, start, count, u_tile)
            _load(delta, b, row, start, count, delta_tile)
            _load(B, b, 0, start, count, B_tile)
            _load(C, b, 0, start, count, C_tile)
            for i in range(count):
                for d in range(LANES):
                    y_tile[i, d] = 0
                for n in range(states):
                    Bn, Cn = B_tile[i, n], C_tile[i, n]
                    for d in range(LANES):
                        step = delta_tile[i, d]
                        state = _exp(step * decay[n, d]) * h[n, d] + step * u_tile[i, d] * Bn
                        h[n, d] = state
                        y_tile[i, d] += state * Cn
            _store(y_tile, b, row, start, count, y)


@_compile
def _backward(
    u: Array, delta: Array, A: Array, B: Array, C: Array, kept: Array, dy: Array,
    d_u: Array, d_delta: Array, d_A: Array, d_B: Array, d_C: Array, first: int, last: int,
) -> None:  # fmt: skip
    """Gradients of the pieces first ... last-1.

    d_A (batch, D, N); d_B and d_C (pieces, N, L), to be summed over the pieces of a sequence by the caller.
    """
    length, states = u.shape[2], A.shape[2]
    groups = (u.shape[1] + LANES - 1) // LANES
    tokens = np.empty((CHUNK, 5, LANES), np.float32)
    B_tile, C_tile, dB_tile, dC_tile = np.empty((4, CHUNK, states), np.float32)
    of_state = np.empty((states, 4, LANES), np.float32)
    past = np.empty((CHUNK, states, 2, LANES), np.float32)  # exp(delta A), and the state before the token
    for piece in range(first, last):
        b, row = piece // groups, piece % groups * LANES
        of_state[:] = 0
        _load(A, 0, row, 0, states, of_state[:, _A])
        for chunk in range((length - 1) // CHUNK, -1, -1):
            start = chunk * CHUNK
            count = min(CHUNK, length - start)
            _load(u, b, row, start, count, tokens[:, _U])
            _load(delta, b, row, start, count, tokens[:, _STEP])
            _load(dy, b, row, start, count, tokens[:, _DY])
            _load(B, b, 0, start, count, B_tile)
            _load(C, b, 0, start, count, C_tile)
            for n in range(states):
                for d in range(LANES):
                    of_state[n, _STATE, d] = kept[piece, chunk, n, d]
            for i in range(count):
                for n in range(states):
                    Bn = B_tile[i, n]
                    for d in range(LANES):
                        step = tokens[i, _STEP, d]
                        a = _exp(step * of_state[n, _A, d])
                        past[i, n, 0, d] = a
                        past[i, n, 1, d] = of_state[n, _STATE, d]
                        of_state[n, _STATE, d] = a * of_state[n, _STATE, d] + step * tokens[i, _U, d] * Bn
            for back in range(count):
                i = count - 1 - back
                for d in range(LANES):
                    tokens[i, _DU, d] = 0
                    tokens[i, _DSTEP, d] = 0
                for n in range(states):
                    Bn, Cn = B_tile[i, n], C_tile[i, n]
                    of_B = np.float32(0)
                    of_C = np.float32(0)
                    for d in range(LANES):
                        entering = tokens[i, _STEP, d] * tokens[i, _U, d]
                        before, a, out = past[i, n, 1, d], past[i, n, 0, d], tokens[i, _DY, d]
                        grad = of_state[n, _ADJOINT, d] + out * Cn
                        of_C += out * (a * before + entering * Bn)
                        of_B += grad * entering
                        tokens[i, _DU, d] += grad * Bn
                        carried = grad * a
                        of_state[n, _ADJOINT, d] = carried
                        of_exponent = carried * before
                        tokens[i, _DSTEP, d] += of_exponent * of_state[n, _A, d]
                        of_state[n, _DA, d] += of_exponent * tokens[i, _STEP, d]
                    dB_tile[i, n] = of_B
                    dC_tile[i, n] = of_C
                for d in range(LANES):
                    tokens[i, _DSTEP, d] += tokens[i, _DU, d] * tokens[i, _U, d]
                    tokens[i, _DU, d] *= tokens[i, _STEP, d]
            _store(tokens[:, _DU], b, row, start, count, d_u)
            _store(tokens[:, _DSTEP], b, row, start, count, d_delta)
            _store(dB_tile, piece, 0, start, count, d_B)
            _store(dC_tile, piece, 0, start, count, d_C)
        _store(of_state[:, _DA], b, row, 0, states, d_A)


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
    waiting = [_pool(threads).submit(kernel, *arrays, *span) for span in pairwise(bounds)]
    for piece in waiting:
        piece.result()


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        # A as (1, D, N), so that it loads as the sequences do: its "tokens" are the states.
        inputs = [x.detach().numpy() for x in (u, delta, A[None], B, C)]
        batch, channels, length = u.shape
        pieces, chunks = batch * -(-channels // LANES), -(-length // CHUNK)
        y = np.empty_like(inputs[0])
        kept = np.empty((pieces, chunks, A.shape[1], LANES), np.float32)
        _share_out(_forward, pieces, *inputs, y, kept)
        ctx.arrays = (*inputs, kept)
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: Any, *dy: Tensor) -> tuple[Tensor, ...]:
        u, delta, A, B, C, kept = ctx.arrays
        batch, groups = len(u), len(kept) // len(u)
        d_u, d_delta = np.empty_like(u), np.empty_like(delta)
        d_A = np.empty((batch, *A.shape[1:]), np.float32)
        d_B, d_C = (np.empty((len(kept), *B.shape[1:]), np.float32) for _ in range(2))
        arrays = (u, delta, A, B, C, kept, dy[0].numpy(), d_u, d_delta, d_A, d_B, d_C)
        _share_out(_backward, len(kept), *arrays)
        by_group = (x.reshape(batch, groups, *B.shape[1:]).sum(1) for x in (d_B, d_C))
        return tuple(torch.from_numpy(x) for x in (d_u, d_delta, d_A.sum(0), *by_group))


def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """<C_l, h_l> with h_l = exp(delta_l A) h_{l-1} + delta_l u_l B_l, for steps `delta` >= 0 and A <= 0.

    float32 on the CPU; shapes as in `selective_scan`; differentiable.
    """
    return _Scan.apply(u, delta, A, B, C)  # pyright: ignore[reportReturnType]
