"""The selective scan compiled for the CPU by numba, with a hand-written backward.

Layout: `CHUNK` tokens of `LANES` channels are copied into a small tile, whatever the strides of the arguments. In the
tile the innermost loops run over one vector register of channels, and only dB and dC are summed across it. A group of
channels of one sequence is a piece of work. The pieces are divided among threads, which run at the same time because
the kernels do not hold the interpreter's lock. Any number of callers may run at once.

Backward: the states are computed again, `CHUNK` tokens at a time, from the states that the forward pass kept at the
borders of the chunks. The adjoint g of h then runs from the last token to the first (delta are the steps after
softplus, as in `selective_scan.py`):

    g_l = dy_l C_l + exp(delta_{l+1} A) g_{l+1}
    dC_l = sum_d dy h,   dB_l = sum_d g delta u,   d(delta u) = <g, B>,   d(exp(delta A)) = g h_{l-1}
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
UNROLLED = 4
"""The number of states that are computed together: their exponentials need not wait for each other, and y is updated
once for all of them."""

# The rows in which the kernels keep the values of each token and of each state. They are rows of one array because the
# compiler then knows that they do not overlap, and vectorises; with an array for each it was four times slower.
_U, _STEP, _DY, _DU, _DSTEP, _RAW = range(6)
_Y = _DY  # the forward pass has no gradients and keeps y there
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
    """exp(x) for x <= 0, with a relative error of 2e-7: 2^k times a polynomial of the remainder, which vectorises.

    Results below 2^-126, the smallest normal number, are replaced by it.
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


@numba.njit(inline="always", **_OPTIONS)
def _softplus(x: np.float32) -> np.float32:
    """log(1 + exp(x)); the logarithm is the series of 2 artanh(s), with s = e / (2 + e) <= 1/3."""
    e = _exp(-abs(x))
    s = e / (np.float32(2) + e)
    q = s * s
    p = np.float32(1 / 13) * q + np.float32(1 / 11)
    p = p * q + np.float32(1 / 9)
    p = p * q + np.float32(1 / 7)
    p = p * q + np.float32(1 / 5)
    p = p * q + np.float32(1 / 3)
    p = p * q + np.float32(1)
    return max(x, np.float32(0)) + np.float32(2) * s * p


@numba.njit(inline="always", **_OPTIONS)
def _sigmoid(x: np.float32) -> np.float32:
    """1 / (1 + exp(-x)), the slope of softplus."""
    e = _exp(-abs(x))
    return (np.float32(1) if x >= 0 else e) / (np.float32(1) + e)


@_compile
def _load(planes: Array, b: int, row: int, start: int, count: int, tile: Array) -> None:
    """Set tile[i, r] to planes[b, row + r, start + i], or to 0 beyond the last row of planes (batch, rows, L)."""
    rows = min(tile.shape[1], planes.shape[1] - row)
    if rows == LANES:
        # Four values at a time are written by hand. The compiler would scatter, which is slower than scalar code.
        for i in range(count):
            for r in range(0, LANES, 4):
                x0, x1 = planes[b, row + r, start + i], planes[b, row + r + 1, start + i]
                x2, x3 = planes[b, row + r + 2, start + i], planes[b, row + r + 3, start + i]
                tile[i, r], tile[i, r + 1], tile[i, r + 2], tile[i, r + 3] = x0, x1, x2, x3
        return
    for r in range(tile.shape[1]):
        for i in range(count):
            tile[i, r] = planes[b, row + r, start + i] if r < rows else np.float32(0)


@_compile
def _copy(planes: Array, b: int, start: int, count: int, rows: Array) -> None:
    """Set rows[r, i] to planes[b, r, start + i]."""
    for r in range(planes.shape[1]):
        for i in range(count):
            rows[r, i] = planes[b, r, start + i]


@_compile
def _store(tile: Array, b: int, row: int, start: int, count: int, planes: Array) -> None:
    """The inverse of `_load`."""
    for r in range(min(tile.shape[1], planes.shape[1] - row)):
        for i in range(count):
            planes[b, row + r, start + i] = tile[i, r]


@_compile
def _forward(
    u: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    of_channel: Array,
    y: Array,
    kept: Array,
    first: int,
    last: int,
) -> None:
    """Compute y, and the states before each chunk, for the pieces from `first` to before `last`.

    u, raw delta, y (batch, D, L); A (1, D, N); B, C (batch, N, L); of_channel (1, D, 2): delta's bias and the skip;
    kept (pieces, chunks, N, LANES).
    """
    length, states = u.shape[2], A.shape[2]
    padded = (states + UNROLLED - 1) // UNROLLED * UNROLLED  # nothing enters the states that are added
    groups = (u.shape[1] + LANES - 1) // LANES
    tokens = np.empty((CHUNK, 3, LANES), np.float32)
    B_tile = np.zeros((padded, CHUNK), np.float32)
    C_tile = np.zeros((padded, CHUNK), np.float32)
    bias_and_skip = np.empty((2, LANES), np.float32)
    of_state = np.empty((padded, 3, LANES), np.float32)
    for piece in range(first, last):
        b, row = piece // groups, piece % groups * LANES
        of_state[:] = 0
        _load(A, 0, row, 0, states, of_state[:, _A])
        _load(of_channel, 0, row, 0, 2, bias_and_skip)
        for chunk in range((length + CHUNK - 1) // CHUNK):
            start = chunk * CHUNK
            count = min(CHUNK, length - start)
            for n in range(states):
                for d in range(LANES):
                    kept[piece, chunk, n, d] = of_state[n, _STATE, d]
            _load(u, b, row, start, count, tokens[:, _U])
            _load(delta, b, row, start, count, tokens[:, _STEP])
            _copy(B, b, start, count, B_tile)
            _copy(C, b, start, count, C_tile)
            for i in range(count):
                for d in range(LANES):
                    tokens[i, _STEP, d] += bias_and_skip[0, d]
                    tokens[i, _Y, d] = tokens[i, _U, d] * bias_and_skip[1, d]
            for i in range(count):  # a loop of its own, since only a loop over one array vectorises as a whole
                for d in range(LANES):
                    step = _softplus(tokens[i, _STEP, d])
                    tokens[i, _STEP, d] = step
                    tokens[i, _U, d] *= step
            for i in range(count):
                for m in range(padded // UNROLLED):
                    n = m * UNROLLED
                    B0, B1, B2, B3 = B_tile[n, i], B_tile[n + 1, i], B_tile[n + 2, i], B_tile[n + 3, i]
                    C0, C1, C2, C3 = C_tile[n, i], C_tile[n + 1, i], C_tile[n + 2, i], C_tile[n + 3, i]
                    for d in range(LANES):
                        step, entering = tokens[i, _STEP, d], tokens[i, _U, d]
                        h0 = _exp(step * of_state[n, _A, d]) * of_state[n, _STATE, d] + entering * B0
                        h1 = _exp(step * of_state[n + 1, _A, d]) * of_state[n + 1, _STATE, d] + entering * B1
                        h2 = _exp(step * of_state[n + 2, _A, d]) * of_state[n + 2, _STATE, d] + entering * B2
                        h3 = _exp(step * of_state[n + 3, _A, d]) * of_state[n + 3, _STATE, d] + entering * B3
                        of_state[n, _STATE, d], of_state[n + 1, _STATE, d] = h0, h1
                        of_state[n + 2, _STATE, d], of_state[n + 3, _STATE, d] = h2, h3
                        tokens[i, _Y, d] += h0 * C0 + h1 * C1 + h2 * C2 + h3 * C3
            _store(tokens[:, _Y], b, row, start, count, y)


@_compile
def _backward(
    u: Array, delta: Array, A: Array, B: Array, C: Array, of_channel: Array, kept: Array, dy: Array,
    d_u: Array, d_delta: Array, d_A: Array, d_B: Array, d_C: Array, d_of_channel: Array, first: int, last: int,
) -> None:  # fmt: skip
    """Compute the gradients for the pieces from `first` to before `last`.

    The caller sums d_A (batch, D, N), d_B and d_C (pieces, N, L) and d_of_channel (batch, D, 2).
    """
    length, states = u.shape[2], A.shape[2]
    groups = (u.shape[1] + LANES - 1) // LANES
    tokens = np.empty((CHUNK, 6, LANES), np.float32)
    B_tile = np.empty((states, CHUNK), np.float32)
    C_tile = np.empty((states, CHUNK), np.float32)
    dB_tile = np.empty((CHUNK, states), np.float32)
    dC_tile = np.empty((CHUNK, states), np.float32)
    bias_and_skip = np.empty((2, LANES), np.float32)
    d_bias_and_skip = np.empty((2, LANES), np.float32)
    of_state = np.empty((states, 4, LANES), np.float32)
    past = np.empty((CHUNK, states, 2, LANES), np.float32)  # exp(delta A), and the state before the token
    for piece in range(first, last):
        b, row = piece // groups, piece % groups * LANES
        of_state[:] = 0
        d_bias_and_skip[:] = 0
        _load(A, 0, row, 0, states, of_state[:, _A])
        _load(of_channel, 0, row, 0, 2, bias_and_skip)
        for chunk in range((length - 1) // CHUNK, -1, -1):
            start = chunk * CHUNK
            count = min(CHUNK, length - start)
            _load(u, b, row, start, count, tokens[:, _U])
            _load(delta, b, row, start, count, tokens[:, _RAW])
            _load(dy, b, row, start, count, tokens[:, _DY])
            _copy(B, b, start, count, B_tile)
            _copy(C, b, start, count, C_tile)
            for n in range(states):
                for d in range(LANES):
                    of_state[n, _STATE, d] = kept[piece, chunk, n, d]
            for i in range(count):
                for d in range(LANES):
                    raw = tokens[i, _RAW, d] + bias_and_skip[0, d]
                    tokens[i, _RAW, d] = raw
                    tokens[i, _STEP, d] = _softplus(raw)
                for n in range(states):
                    Bn = B_tile[n, i]
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
                    Bn, Cn = B_tile[n, i], C_tile[n, i]
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
                    of_step = tokens[i, _DSTEP, d] + tokens[i, _DU, d] * tokens[i, _U, d]
                    of_raw = of_step * _sigmoid(tokens[i, _RAW, d])
                    tokens[i, _DSTEP, d] = of_raw
                    d_bias_and_skip[0, d] += of_raw
                    d_bias_and_skip[1, d] += tokens[i, _DY, d] * tokens[i, _U, d]
                    skipped = tokens[i, _DY, d] * bias_and_skip[1, d]
                    tokens[i, _DU, d] = tokens[i, _DU, d] * tokens[i, _STEP, d] + skipped
            _store(tokens[:, _DU], b, row, start, count, d_u)
            _store(tokens[:, _DSTEP], b, row, start, count, d_delta)
            _store(dB_tile, piece, 0, start, count, d_B)
            _store(dC_tile, piece, 0, start, count, d_C)
        _store(of_state[:, _DA], b, row, 0, states, d_A)
        _store(d_bias_and_skip, b, row, 0, 2, d_of_channel)


@_compile
def only_exponentials(x: Array, sums: Array, first: int, last: int) -> None:
    """Sum exp(x) a hundred times over each row from `first` to before `last`, to time a scan that does nothing else."""
    for row in range(first, last):
        total = np.float32(0)
        for _ in range(100):
            for i in range(x.shape[1]):
                total += _exp(x[row, i])
        sums[row] = total


def share_out(kernel: Callable[..., None], pieces: int, *arrays: Array) -> None:
    """Run the kernel over all pieces, in about equal ranges, one for each of torch's threads."""
    threads = min(torch.get_num_threads(), pieces)
    own, *others = pairwise(pieces * i // threads for i in range(threads + 1))
    if not others:
        kernel(*arrays, *own)
        return
    with ThreadPoolExecutor(len(others), thread_name_prefix="scan") as pool:
        waiting = [pool.submit(kernel, *arrays, *span) for span in others]
        kernel(*arrays, *own)
        for piece in waiting:
            piece.result()


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor
    ) -> Tensor:
        # A, and the bias and skip of each channel, get the shape (1, D, n), so that they load as the sequences do.
        of_channel = torch.stack((delta_bias, D), 1)
        inputs = [x.detach().numpy() for x in (u, delta, A[None], B, C, of_channel[None])]
        batch, channels, length = u.shape
        pieces, chunks = batch * -(-channels // LANES), -(-length // CHUNK)
        y = np.empty_like(inputs[0])
        kept = np.empty((pieces, chunks, A.shape[1], LANES), np.float32)
        share_out(_forward, pieces, *inputs, y, kept)
        ctx.arrays = (*inputs, kept)
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: Any, *dy: Tensor) -> tuple[Tensor, ...]:
        u, delta, A, B, C, of_channel, kept = ctx.arrays
        batch, groups = len(u), len(kept) // len(u)
        d_u, d_delta = np.empty_like(u), np.empty_like(delta)
        d_A = np.empty((batch, *A.shape[1:]), np.float32)
        d_of_channel = np.empty((batch, *of_channel.shape[1:]), np.float32)
        d_B, d_C = (np.empty((len(kept), *B.shape[1:]), np.float32) for _ in range(2))
        arrays = (u, delta, A, B, C, of_channel, kept, dy[0].numpy(), d_u, d_delta, d_A, d_B, d_C, d_of_channel)
        share_out(_backward, len(kept), *arrays)
        by_group = (x.reshape(batch, groups, *B.shape[1:]).sum(1) for x in (d_B, d_C))
        of_bias, of_skip = d_of_channel.sum(0).T
        return tuple(torch.from_numpy(x) for x in (d_u, d_delta, d_A.sum(0), *by_group, of_skip, of_bias))


def scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor | None = None
) -> Tensor:
    """Compute `selective_scan` for A <= 0, in float32 on the CPU. The result is differentiable."""
    return _Scan.apply(u, delta, A, B, C, D, torch.zeros_like(D) if delta_bias is None else delta_bias)  # pyright: ignore[reportReturnType]
