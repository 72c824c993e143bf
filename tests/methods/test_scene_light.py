"""The light of a scene, from exposures of which nothing else is known."""

from __future__ import annotations

import math

import pytest
import torch

from fusion.methods.scene_light import linear, scene_light


def photograph(light: torch.Tensor, stops: float) -> torch.Tensor:
    """A photograph of light, `stops` brighter, in 8 bits of sRGB."""
    light = (light * 2**stops).clamp(0, 1)
    values = torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
    return (values * 255).round() / 255


@pytest.fixture
def scene() -> torch.Tensor:
    """Light with edges and texture, from 8 stops below white to 5 stops above it."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 12, generator=rng), (180, 240), mode="bicubic")[
        0
    ].clamp(0, 1)
    stops = 13 * coarse.mean(0, keepdim=True) - 8 + coarse - 0.5
    return 2 ** (stops + 0.2 * torch.rand(3, 180, 240, generator=rng))


@pytest.mark.parametrize("gap", [2, 4, 6])
def test_the_light_is_that_of_the_scene(scene: torch.Tensor, gap: int) -> None:
    frames = [photograph(scene, -gap), photograph(scene, 0)]
    found = scene_light(frames)
    assert found.shape == scene.shape
    shown = (frames[0].amax(0) < 0.99) & (scene.amin(0) > 2**-5)
    off = (found / scene).log2().abs()[:, shown]
    assert float(off.median()) < 0.05
    assert float(off.quantile(0.95)) < 0.25


def test_a_bracket_of_many_gives_the_same(scene: torch.Tensor) -> None:
    frames = [photograph(scene, stops) for stops in (-6, -4, -2, 0)]
    shown = (frames[0].amax(0) < 0.99) & (scene.amin(0) > 2**-5)
    off = (scene_light(frames) / scene).log2().abs()[:, shown]
    assert float(off.median()) < 0.03
    assert float(off.quantile(0.95)) < 0.2


def test_white_in_both_is_at_least_as_bright(scene: torch.Tensor) -> None:
    frames = [photograph(scene, -2), photograph(scene, 0)]
    white = frames[0].amin(0) == 1
    assert white.any()
    assert float(scene_light(frames)[:, white].min()) > 2**1.8


def test_twice_the_same_photograph_is_its_own_light() -> None:
    photo = torch.rand(3, 40, 60)
    assert torch.allclose(scene_light([photo, photo]), linear(photo), rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("size", [(16, 16), (16, 900), (1300, 17)])
def test_any_size_has_finite_light(size: tuple[int, int]) -> None:
    frames = [torch.zeros(3, *size), torch.rand(3, *size), torch.ones(3, *size)]
    light = scene_light(frames)
    assert light.shape == (3, *size)
    assert bool(light.isfinite().all())
    assert float(light.min()) >= 0


def test_the_curve_of_srgb_goes_on() -> None:
    values = torch.tensor([-0.1, 0.0, 0.04, 0.5, 1.0, 2.0])
    assert torch.allclose(linear(values), torch.tensor([0, 0, 0.04 / 12.92, 0.21404, 1, math.pow(2.055 / 1.055, 2.4)]))
