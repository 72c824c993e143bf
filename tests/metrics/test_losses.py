"""Losses against outside implementations and by their properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from fusion.metrics.filters import filter_valid, gaussian_window
from fusion.metrics.losses import exposed_luminance, mambamef_paper, sobel, structure_and_luminance
from fusion.metrics.mef_ssim import mef_ssim
from fusion.metrics.ssim import ms_ssim, ssim

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def pair(side: int = 176, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, 1, side // 8, side // 8, generator=rng)
    scene = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return (scene**2 * 0.5), (0.4 + 0.6 * scene.sqrt())


def test_sobel_is_opencvs() -> None:
    plane = torch.rand(1, 1, 20, 30)
    x = cv2.Sobel(plane[0, 0].numpy(), cv2.CV_32F, 1, 0, borderType=cv2.BORDER_CONSTANT)
    y = cv2.Sobel(plane[0, 0].numpy(), cv2.CV_32F, 0, 1, borderType=cv2.BORDER_CONSTANT)
    assert np.allclose(sobel(plane)[0, 0].numpy(), np.abs(x) + np.abs(y), atol=1e-5)


def test_ms_ssim_is_built_on_scikit_images() -> None:
    """At its last scale it is SSIM itself; with all weight there it must equal scikit-image's."""
    from skimage.metrics import structural_similarity

    a, b = pair()
    settings: dict[str, Any] = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 1.0,
    }
    theirs = [
        structural_similarity(x[0].numpy(), y[0].numpy(), **settings)
        for x, y in zip(a.double(), b.double(), strict=True)
    ]
    assert np.allclose(ssim(a.double(), b.double()).numpy(), theirs, atol=1e-10)


def test_ms_ssim_of_equal_pictures_is_one() -> None:
    a, _ = pair()
    assert torch.allclose(ms_ssim(a, a), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize("loss", [structure_and_luminance, mambamef_paper], ids=lambda loss: loss.__name__)
def test_a_step_down_the_gradient_helps(loss: Loss) -> None:
    under, over = pair()
    fused = ((under + over) / 2).requires_grad_()
    before = loss(fused, under, over)
    before.backward()
    assert fused.grad is not None
    assert bool(fused.grad.isfinite().all())
    with torch.no_grad():
        better = fused - 0.002 * fused.grad / fused.grad.abs().max()
        assert float(loss(better, under, over)) < float(before)


@pytest.mark.parametrize("loss", [structure_and_luminance, mambamef_paper], ids=lambda loss: loss.__name__)
def test_finite_on_black_and_white(loss: Loss) -> None:
    black, white = torch.zeros(1, 1, 176, 176), torch.ones(1, 1, 176, 176)
    fused = torch.full((1, 1, 176, 176), 0.5, requires_grad=True)
    loss(fused, black, white).backward()
    assert fused.grad is not None
    assert bool(fused.grad.isfinite().all())


def test_mef_ssim_in_float32_is_the_metric() -> None:
    under, over = pair()
    fused = (under + over) / 2
    exact = mef_ssim(fused.double(), under.double(), over.double())
    assert torch.allclose(mef_ssim(fused, under, over).double(), exact, atol=2e-5)


def test_mef_ssim_does_not_depend_on_brightness() -> None:
    under, over = pair()
    fused = (under + over) / 2
    assert torch.allclose(mef_ssim(fused * 1.0 - 0.1, under, over), mef_ssim(fused, under, over), atol=1e-4)


def test_the_gradient_of_mef_ssim() -> None:
    under, over = (x[:, :, :44, :44].double() for x in pair())
    fused = ((under + over) / 2 + 0.05 * torch.rand(under.shape, dtype=torch.float64)).requires_grad_()

    def of_fused(x: torch.Tensor) -> torch.Tensor:
        return mef_ssim(x, under, over)

    assert torch.autograd.gradcheck(of_fused, (fused,), fast_mode=True)


def test_the_better_exposed_source_leads() -> None:
    middle, bright = torch.full((1, 1, 32, 32), 0.5), torch.full((1, 1, 32, 32), 0.98)
    led = exposed_luminance(middle, bright)
    assert float(led.max()) < 0.52


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_windows_are_filtered_alike_with_and_without_a_gradient(dtype: torch.dtype) -> None:
    planes = torch.rand(2, 3, 40, 33, dtype=dtype)
    window = gaussian_window(11, 1.5, planes)
    torch.testing.assert_close(filter_valid(planes, window), filter_valid(planes.requires_grad_(), window).detach())
