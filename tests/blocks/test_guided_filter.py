"""Maps carried from low to full resolution: exact where the model is, bounded, of any size."""

from __future__ import annotations

import pytest
import torch

from fusion.blocks.guided_filter import affine_of_guides, apply_affine, fast_guided_filter, shrink


def smooth(channels: int, height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(1, channels, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


def test_shrink_keeps_means_and_never_enlarges() -> None:
    planes = smooth(2, 96, 64)
    half = shrink(planes, 0.5)
    assert half.shape == (1, 2, 48, 32)
    assert torch.allclose(half.mean((2, 3)), planes.mean((2, 3)), atol=1e-6)
    assert shrink(planes, 1.5) is planes


def test_a_linear_map_of_its_guide_is_carried_exactly() -> None:
    guide = smooth(1, 96, 64)
    low_guide = shrink(guide, 0.5)
    carried = fast_guided_filter(0.5 * low_guide + 0.2, low_guide, guide, epsilon=1e-12)
    assert float((carried - (0.5 * guide + 0.2)).abs().max()) < 2e-3


def test_a_linear_map_of_two_guides_is_carried_exactly() -> None:
    guides = smooth(2, 90, 66)
    low_guides = shrink(guides, 0.4)
    low = 0.7 * low_guides[:, :1] - 0.3 * low_guides[:, 1:] + 0.25
    carried = apply_affine(affine_of_guides(low, low_guides, epsilon=1e-9), guides)
    assert float((carried - (0.7 * guides[:, :1] - 0.3 * guides[:, 1:] + 0.25)).abs().max()) < 2e-3


def test_the_least_squares_of_many_guides_are_those_of_a_solver() -> None:
    guides, low = smooth(4, 64, 80), smooth(5, 64, 80)[:, 4:]
    a = affine_of_guides(low, guides, radius=32, epsilon=1e-5)[..., 32, 40]  # the window holds rows 0 to 63, all but 15
    samples = torch.cat((guides, low), 1)[..., :65, 8:73].flatten(2)[0].double()
    covariance = torch.cov(samples, correction=0)
    wanted = torch.linalg.solve(covariance[:4, :4] + 1e-5 * torch.eye(4), covariance[:4, 4])
    assert torch.allclose(a[0, :4].double(), wanted, atol=1e-3)
    assert float(a[0, 4]) == pytest.approx(float(samples[4].mean() - wanted @ samples[:4].mean(1)), abs=1e-3)


def test_detail_that_only_the_guide_has_is_carried() -> None:
    """A step that the small copy blurs is as sharp in the result as in the guide."""
    guide = torch.zeros(1, 1, 64, 64)
    guide[..., 31:] = 1.0
    low_guide = shrink(guide, 0.25)
    carried = fast_guided_filter(1 - low_guide, low_guide, guide)
    assert float((carried - (1 - guide))[..., 28:36].abs().max()) < 0.01


def test_flat_guides_give_the_smoothed_map() -> None:
    flat = torch.full((1, 2, 40, 40), 0.5)
    low = torch.full((1, 1, 10, 10), 0.3)
    assert torch.allclose(apply_affine(affine_of_guides(low, shrink(flat, 0.25)), flat), torch.tensor(0.3), atol=1e-5)
