"""Virtual Bracket: what its rule and its shipped network must do with every picture."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from fusion.methods.spdmef import SPDMEF
from fusion.methods.virtual_bracket import METHOD, Maps, VirtualBracket, columns, look_at, response_between

TRAINED = METHOD.unavailable is None


def scene(height: int = 96, width: int = 128) -> Tensor:
    """A light (1, 3, H, W) with an even range of seven stops from left to right and some texture."""
    rng = torch.Generator().manual_seed(0)
    ramp = torch.logspace(-5, 2, width, base=2.0).expand(1, 3, height, width)
    return ramp * (1 + 0.2 * torch.rand(1, 3, height, width, generator=rng))


def photo_of(light: Tensor, stops: float) -> Tensor:
    """The light by sRGB's curve, in 8 bits."""
    x = (light * 2.0**stops).clamp(0, 1)
    return (torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055) * 255).round() / 255


@pytest.fixture(params=[False, True] if TRAINED else [False], ids=["rule", "trained"][: 1 + TRAINED])
def network(request: pytest.FixtureRequest) -> torch.nn.Module:
    return METHOD.trained() if request.param else METHOD.untrained().eval()


@torch.inference_mode()
def test_the_same_photograph_twice_comes_back(network: torch.nn.Module) -> None:
    for stops in (-3.0, 0.0, 3.0):
        photo = photo_of(scene(), stops)
        assert float((network(photo, photo) - photo).abs().max()) < 2 / 255


@torch.inference_mode()
def test_a_black_or_a_white_photograph_leaves_the_other_as_it_is(network: torch.nn.Module) -> None:
    photo = photo_of(scene(), 0)
    assert float((network(torch.zeros_like(photo), photo) - photo).abs().max()) < 2 / 255
    assert float((network(photo, torch.ones_like(photo)) - photo).abs().max()) < 2 / 255


@torch.inference_mode()
def test_where_nothing_is_known_the_surroundings_go_on(network: torch.nn.Module) -> None:
    """A square that is black in one photograph and white in the other is as bright as what is beside it."""
    dark, bright = photo_of(scene(), -4), photo_of(scene(), 1)
    dark[..., 40:60, 90:110], bright[..., 40:60, 90:110] = 0, 1
    row = network(dark, bright)[..., 45:55, :].mean((0, 1, 2))
    left, inside, right = row[80:90].mean(), row[90:110], row[110:120].mean()
    assert float(left) - 0.1 < float(inside.min()) <= float(inside.max()) < float(right) + 0.1
    assert float(inside.diff().abs().max()) < 0.03


@torch.inference_mode()
def test_more_light_is_never_much_darker(network: torch.nn.Module) -> None:
    """The ramp of the scene stays a ramp, over all seven stops."""
    columns_of = network(photo_of(scene(), -3.5), photo_of(scene(), 1.5)).mean((0, 1, 2))
    coarse = columns_of.view(16, 8).mean(1)
    assert bool((coarse.diff() > -0.02).all())
    assert float(coarse[-1] - coarse[0]) > 0.3


@torch.inference_mode()
def test_grey_stays_grey(network: torch.nn.Module) -> None:
    light = scene().mean(1, keepdim=True).expand(-1, 3, -1, -1)
    fused = network(photo_of(light, -3), photo_of(light, 2))
    assert float((fused.amax(1) - fused.amin(1)).max()) < 8 / 255


@torch.inference_mode()
@pytest.mark.parametrize("first", [-6.0, -9.0, -12.0])
def test_any_gap_gives_a_picture(network: torch.nn.Module, first: float) -> None:
    fused = network(photo_of(scene(), first), photo_of(scene(), 6))
    assert bool(fused.isfinite().all())
    assert -0.1 < float(fused.min()) <= float(fused.max()) < 1.1


@torch.inference_mode()
def test_nine_exposures_look_like_two(network: torch.nn.Module) -> None:
    few, many = (
        network(*(photo_of(scene(), float(stops)) for stops in torch.linspace(-4, 2, count))) for count in (2, 9)
    )
    assert float((few - many).abs().mean()) < 0.05


@torch.inference_mode()
@pytest.mark.parametrize(("count", "gap"), [(3, 0.7), (3, 1.5), (3, 2.0), (5, 1.0), (9, 0.75)])
def test_a_bracket_with_small_gaps_is_fused_patch_by_patch(network: torch.nn.Module, count: int, gap: float) -> None:
    """Nothing is missing between such exposures, so that it is SPD-MEF of them."""
    frames = [photo_of(scene(), gap * (k - count // 2) - 0.5) for k in range(count)]
    assert torch.equal(network(*frames), SPDMEF()(*frames))


@torch.inference_mode()
def test_wider_gaps_lead_to_rendered_exposures(network: torch.nn.Module) -> None:
    """The nearer the exposures, the nearer to SPD-MEF, without a jump; far exposures have nothing of it."""

    def distance(gap: float) -> float:
        frames = [photo_of(scene(), gap * k) for k in (-1, 0, 1)]
        return float((network(*frames) - SPDMEF()(*frames)).abs().mean())

    distances = [distance(gap) for gap in (3.0, 3.5, 4.0, 4.25, 4.5)]
    assert distances == sorted(distances)
    assert distances[0] == 0 < distances[-1]
    assert max(b - a for a, b in pairwise(distances)) < 0.04
    frames = [photo_of(scene(), 4.7 * k) for k in (-1, 0, 1)]
    assert torch.equal(network(*frames), rendered(network, frames))


@torch.inference_mode()
@pytest.mark.parametrize("gap", [2.0, 5.0])
def test_a_white_and_a_black_exposure_hide_nothing(network: torch.nn.Module, gap: float) -> None:
    """Between them, the others are fused as they are alone."""
    frames = [photo_of(scene(), gap * k) for k in (-1, 0, 1)]
    black, white = torch.zeros_like(frames[0]), torch.ones_like(frames[0])
    alone, together = network(*frames), network(black, *frames, white)
    assert float((alone - together).abs().mean()) < 0.02


def rendered(network: torch.nn.Module, frames: list[Tensor]) -> Tensor:
    """What the method makes of rendered exposures alone."""
    assert isinstance(network, VirtualBracket)
    copies = [torch.nn.functional.adaptive_avg_pool2d(frame, 128) for frame in frames]
    return network.rendered(frames, copies, look_at(copies))


@torch.inference_mode()
def test_brackets_of_a_batch_do_not_affect_each_other(network: torch.nn.Module) -> None:
    close, far = ([photo_of(scene(), gap * k) for k in (-1, 0, 1)] for gap in (1.5, 4.7))
    together = network(*(torch.cat(frames) for frames in zip(close, far, strict=True)))
    assert torch.allclose(together, torch.cat((network(*close), network(*far))), atol=1e-4)


def test_brackets_can_be_trained_on() -> None:
    network = METHOD.untrained().train()
    network(*(photo_of(scene(), 1.5 * k) for k in (-1, 0, 1))).mean().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_the_response_is_found_though_things_moved() -> None:
    dark = photo_of(scene(), -2)
    bright = photo_of(scene(), 1)
    bright[..., :20, :] = 0.4
    slope, _, step = response_between(dark, bright)
    assert float(slope) == pytest.approx(1, abs=0.1)
    assert float(step) == pytest.approx(3 / 2.4, abs=0.05)


def test_rows_of_maps_are_those_of_a_bilinear_enlargement() -> None:
    maps = torch.rand(2, sum(Maps.COUNTS), 8, 8)
    whole = torch.nn.functional.interpolate(maps, (50, 70), mode="bilinear")[..., 13:37, :]
    rows = Maps(Maps.groups(columns(maps, 70)), slice(13, 37), 50)
    assert torch.allclose(rows.weight(3), whole[:, 3:4], atol=1e-5)
    assert torch.allclose(rows.bounded(), whole[:, 7:13], atol=1e-5)
    assert torch.allclose(rows.affine(9), whole[:, 40:43], atol=1e-5)
    assert torch.allclose(rows.detail(), whole[:, 43:], atol=1e-5)
