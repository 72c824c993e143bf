"""The selective scan (S6), the recurrence at the heart of Mamba, with one signature and four executions.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, section 3.2 and
algorithm 2, with A discretised by zero-order hold and B by Euler's rule, as every released kernel does:

    delta = softplus(raw_delta + bias)
    h_l = exp(delta_l A) h_{l-1} + delta_l u_l B_l,   h_0 = 0
    y_l = <C_l, h_l> + D u_l

Glossary: u is the input of D channels; delta is the step, one for each channel and token; A (D, N) is the decay of
each channel's N states, which is negative; B and C say, for each token, what enters the states and what is read from
them; D is the skip of each channel.

| execution      | where                                       | file                                          |
|----------------|---------------------------------------------|-----------------------------------------------|
| `reference`    | anywhere; the readable version              | here                                          |
| `compiled`     | CPU, float32, where numba imports           | `scan_kernel.py`, with its own backward       |
| `mamba_ssm`    | CUDA, where `mamba_ssm` imports             | `mamba_ssm.ops.selective_scan_interface`      |
| `triton`       | CUDA elsewhere, float32                     | `scan_triton.py`, with its own backward       |
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Scan = Callable[..., Tensor]


def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor | None = None
) -> Tensor:
    """Scan u (batch, D, L) with raw steps delta (batch, D, L), A (D, N), B and C (batch, N, L) and D (D,).

    Returns y (batch, D, L). `delta_bias` (D,) is added to the raw step before softplus. The shapes are those of
    `mamba_ssm.ops.selective_scan_interface.selective_scan_fn`. The result is differentiable with respect to every
    argument. The fastest execution that the device and the installed packages allow is chosen; `execution` names it.

    >>> u, delta = torch.rand(2, 1, 16, 64)
    >>> B, C = torch.rand(2, 1, 8, 64)
    >>> selective_scan(u, delta, -torch.ones(16, 8), B, C, torch.ones(16)).shape
    torch.Size([1, 16, 64])
    """
    if u.device.type == "meta":  # there are no values to scan when parameters and arithmetic are counted
        return torch.empty_like(u)
    return _SCANS[execution(u.device.type, u.dtype)](u, delta, A, B, C, D, delta_bias)


def scan_and_state(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The result of `selective_scan`, and the states after the last token, (batch, D, N), which carry no gradient.

    To read the states, N tokens are appended. Their steps are zero, so that they leave the states as they are, and each
    of them reads one state.
    """
    states, length = B.shape[1:]
    read = torch.eye(states, dtype=C.dtype, device=C.device).expand(len(C), -1, -1)
    still = F.pad(delta, (0, states), value=-math.inf)
    y = selective_scan(F.pad(u, (0, states)), still, A, F.pad(B, (0, states)), torch.cat((C, read), 2), D, delta_bias)
    return y[..., :length], y[..., length:].detach()


def initial_decay(channels: int, states: int) -> Tensor:
    """The logarithm (D, N) of -A with which the states of each channel decay at rates 1 to N.

    Source: Gu and Dao 2023, section 3.6.

    >>> initial_decay(1, 3).exp().round()
    tensor([[1., 2., 3.]])
    """
    return torch.log(torch.arange(1, states + 1.0)).repeat(channels, 1)


def init_step(projection: nn.Linear) -> None:
    """Draw initial weights that make steps log-uniform from 1e-3 to 0.1 after softplus, and at least 1e-4.

    Source: Gu and Dao 2023, section 3.6.
    """
    bound = projection.in_features**-0.5
    nn.init.uniform_(projection.weight, -bound, bound)
    low, high = math.log(1e-3), math.log(0.1)
    step = torch.exp(torch.rand(projection.out_features) * (high - low) + low).clamp_min(1e-4)
    with torch.no_grad():
        projection.bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus


def execution(device: str, dtype: torch.dtype = torch.float32) -> str:
    """The execution that `selective_scan` chooses on a kind of device: reference, compiled, mamba_ssm or triton.

    >>> execution("cpu", torch.float64)
    'reference'
    """
    if device == "cuda" and _mamba_ssm() is not None:
        return "mamba_ssm"
    if device == "cuda" and dtype == torch.float32 and _triton() is not None:
        return "triton"
    if device == "cpu" and dtype == torch.float32 and _compiled() is not None:
        return "compiled"
    return "reference"


def reference(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor | None = None
) -> Tensor:
    """Compute the formula token by token, in the dtype of `u`. Arguments and result are those of `selective_scan`."""
    delta = _step(delta, delta_bias)
    h = u.new_zeros(*u.shape[:2], A.shape[1])  # (batch, D, N)
    y: list[Tensor] = []
    # All tokens are unbound at once, since the gradient of one token's slice would be as large as the sequence.
    for u_l, delta_l, B_l, C_l in zip(*(x.unbind(2) for x in (u, delta, B, C)), strict=True):
        h = torch.exp(delta_l[..., None] * A) * h + (delta_l * u_l)[..., None] * B_l[:, None]
        y.append((h * C_l[:, None]).sum(2))
    return torch.stack(y, 2) + D[:, None] * u


def _step(delta: Tensor, bias: Tensor | None) -> Tensor:
    return F.softplus(delta if bias is None else delta + bias[:, None])


def _run_compiled(*arguments: Tensor | None) -> Tensor:
    scan = _compiled()
    assert scan is not None
    return scan(*arguments)


def _run_mamba_ssm(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor | None = None
) -> Tensor:
    scan = _mamba_ssm()
    assert scan is not None
    return scan(u, delta, A, B, C, D=D, delta_bias=delta_bias, delta_softplus=True)


def _run_triton(*arguments: Tensor | None) -> Tensor:
    scan = _triton()
    assert scan is not None
    return scan(*arguments)


_SCANS: dict[str, Scan] = {
    "reference": reference,
    "compiled": _run_compiled,
    "mamba_ssm": _run_mamba_ssm,
    "triton": _run_triton,
}


@cache
def _compiled() -> Scan | None:
    try:
        from fusion.blocks.scan_kernel import scan
    except Exception as error:  # noqa: BLE001  # numba may fail to import, or find no place for its cache, in many ways
        warnings.warn(
            f"The compiled scan is not available ({type(error).__name__}); the slow reference runs instead.",
            stacklevel=2,
        )
        return None
    return scan


@cache
def _mamba_ssm() -> Scan | None:
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # pyright: ignore[reportMissingImports]
    except Exception:  # noqa: BLE001  # absent, or built for another torch or CUDA: any error means "not here"
        return None
    return cast("Scan", selective_scan_fn)


@cache
def _triton() -> Scan | None:
    try:
        from fusion.blocks.scan_triton import scan
    except Exception:  # noqa: BLE001  # it comes with CUDA builds of torch alone
        return None
    return scan
