"""Every execution of the scan against the readable reference in float64: values and every gradient."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fusion.benchmark.speed import scan_inputs
from fusion.blocks import selective_scan as module
from fusion.blocks.selective_scan import execution, reference, selective_scan

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")
SHAPES = [(1, 16, 64, 8), (3, 20, 70, 8), (2, 5, 1, 16), (1, 1, 1, 1), (1, 33, 129, 3), (4, 16, 63, 8)]


def gradients(scan: object, inputs: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    y = scan(*leaves)  # pyright: ignore[reportCallIssue]
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    (y * weight).sum().backward()
    return y.detach(), [leaf.grad for leaf in leaves if leaf.grad is not None]


def assert_close(ours: Tensor, exact: Tensor, name: str) -> None:
    """Within float32's rounding of sums of these lengths, relative to the largest value."""
    error = float((ours.double() - exact).abs().max() / exact.abs().max().clamp_min(1e-12))
    assert error < 2e-6, f"{name}: relative error {error:.1e}"


def test_the_compiled_scan_is_chosen_on_the_cpu() -> None:
    assert execution("cpu") == "compiled"
    assert execution("cpu", torch.float64) == "reference"


def test_without_mamba_ssm_a_gpu_runs_our_own() -> None:
    if importlib.util.find_spec("mamba_ssm"):
        pytest.skip("mamba_ssm is installed here")
    assert execution("cuda") == ("triton" if importlib.util.find_spec("triton") else "reference")
    assert execution("cuda", torch.float64) == "reference"


IN_TRITON = """
import torch
from fusion.blocks import scan_triton
from fusion.blocks.selective_scan import reference
from fusion.benchmark.speed import scan_inputs
from tests.blocks.test_selective_scan import NAMES, assert_close, gradients

for many in (1, 1 << 14):  # several channels a program, and one
    scan_triton._MANY = many
    for shape in ((1, 3, 70, 8), (2, 5, 1, 16), (1, 18, 20, 3)):
        inputs = scan_inputs(*shape)
        y, grads = gradients(scan_triton.scan, inputs)
        exact_y, exact_grads = gradients(reference, tuple(x.double() for x in inputs))
        assert_close(y, exact_y, "y")
        for name, ours, exact in zip(NAMES, grads, exact_grads, strict=True):
            assert_close(ours, exact, name)
"""


def test_the_triton_kernels_in_tritons_own_interpreter() -> None:
    """Values and every gradient, where there is no GPU; a fresh process, since Triton decides when it is imported."""
    pytest.importorskip("triton")
    command = [sys.executable, "-c", IN_TRITON]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_every_gradient(shape: tuple[int, int, int, int]) -> None:
    inputs = scan_inputs(*shape)
    y, grads = gradients(selective_scan, inputs)
    exact_y, exact_grads = gradients(reference, tuple(x.double() for x in inputs))
    assert_close(y, exact_y, "y")
    for name, ours, exact in zip(NAMES, grads, exact_grads, strict=True):
        assert_close(ours, exact, name)


def test_large_steps_forget_everything_and_stay_finite() -> None:
    u, delta, *rest = scan_inputs(2, 16, 40, 8)
    inputs = (u, delta + 80, *rest)
    y, grads = gradients(selective_scan, inputs)
    exact_y, exact_grads = gradients(reference, tuple(x.double() for x in inputs))
    assert_close(y, exact_y, "y")
    for name, ours, exact in zip(NAMES, grads, exact_grads, strict=True):
        assert bool(ours.isfinite().all()), name
        assert_close(ours, exact, name)


def test_without_a_bias() -> None:
    *inputs, _ = scan_inputs(2, 16, 30, 8)
    exact = reference(*(x.double() for x in inputs))
    assert_close(selective_scan(*inputs), exact, "y")


def test_arguments_of_any_memory_layout() -> None:
    inputs = scan_inputs(2, 20, 70, 8)
    strided = [x.transpose(-1, -2).contiguous().transpose(-1, -2) if x.ndim > 1 else x for x in inputs]
    assert_close(selective_scan(*strided), selective_scan(*inputs).double(), "y")


def test_the_reference_by_hand() -> None:
    """Two tokens, one channel, one state, softplus(0) = log 2: worked out on paper."""
    one = torch.ones(1, 1, 2, dtype=torch.float64)
    step = torch.log(torch.tensor(2.0, dtype=torch.float64))
    y = reference(2 * one, 0 * one, -one[0, :, :1], 3 * one, 5 * one, 7 * one[0, 0, :1])
    first = step * 2 * 3
    second = first / 2 + step * 2 * 3  # exp(-log 2) = 1/2
    assert torch.allclose(y[0, 0], torch.stack((first, second)) * 5 + 14)


def test_gradients_of_the_reference() -> None:
    inputs = tuple(x.double().requires_grad_() for x in scan_inputs(2, 3, 4, 2))
    assert torch.autograd.gradcheck(reference, inputs)


def test_many_callers_at_once() -> None:
    inputs = scan_inputs(8, 32, 64, 8)
    expected = selective_scan(*inputs)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(selective_scan, *inputs) for _ in range(16)]
        results = [one.result() for one in waiting]
    assert all(torch.equal(result, expected) for result in results)


@pytest.mark.parametrize("failure", [ImportError, RuntimeError, OSError])
def test_a_broken_numba_falls_back_and_says_so(failure: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "fusion.blocks.scan_kernel":
                raise failure("broken on purpose")

    monkeypatch.delitem(sys.modules, "fusion.blocks.scan_kernel", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    module._compiled.cache_clear()  # pyright: ignore[reportPrivateUsage]
    inputs = scan_inputs(1, 4, 8, 2)
    with pytest.warns(UserWarning, match="compiled scan is not available"):
        y = selective_scan(*inputs)
    module._compiled.cache_clear()  # pyright: ignore[reportPrivateUsage]
    assert torch.equal(y, reference(*inputs))
