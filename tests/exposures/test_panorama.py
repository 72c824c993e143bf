"""Panoramas of a full turn: no seam where their sides meet, and a turned camera is wrapped."""

from __future__ import annotations

import pytest
import torch

from fusion.exposures.panorama import goes_round, turned_back, wrapped
from fusion.io.image import ExposurePair, Photo
from fusion.pipeline import Session
from fusion.settings import Settings


def panorama(height: int = 96) -> Photo:
    """A scene (3, H, 2 H) that goes on from its last column to its first."""
    noise = torch.rand(1, 3, height // 8, height // 4, generator=torch.Generator().manual_seed(6))
    tripled = torch.cat((noise, noise, noise), -1)
    large = torch.nn.functional.interpolate(tripled, (height, 6 * height), mode="bicubic")[0]
    return large[..., 2 * height : 4 * height].clamp(0, 1)


def seam(photo: Photo) -> float:
    """The step from the last column to the first, relative to the median step between columns."""
    steps = (photo - photo.roll(1, 2)).abs().mean((0, 1))
    return float(steps[0] / steps.median())


def bracket(turn: int = 0) -> ExposurePair:
    scene = panorama()
    return ExposurePair(scene * 0.3, (scene * 1.4).clamp(0, 1).roll(turn, 2))


def test_sides_that_agree_tell_a_full_turn() -> None:
    assert goes_round(bracket())
    cut = bracket().under[..., 20:148].roll(0, 2)[:, :64]
    assert cut.shape[2] == 2 * cut.shape[1]
    assert not goes_round(ExposurePair(cut, cut * 2))
    assert not goes_round(ExposurePair(bracket().under[:, :80], bracket().over[:, :80]))


@pytest.mark.parametrize("turn", [0, 1, 7, -30, 96])
def test_a_turned_camera_is_wrapped(turn: int) -> None:
    found = turned_back(bracket(turn))
    assert torch.equal(found.over, bracket().over)
    assert torch.equal(found.under, bracket().under)
    assert bool(found.notes) == (turn != 0)


def test_a_turn_that_is_not_certain_is_left_alone() -> None:
    flat = ExposurePair(torch.full((3, 32, 64), 0.2), torch.full((3, 32, 64), 0.6))
    assert turned_back(flat) is flat


def test_what_lies_beyond_the_sides() -> None:
    pair = bracket()
    wide = wrapped(pair).under
    width = pair.size[1]
    beyond = (wide.shape[2] - width) // 2
    assert torch.equal(wide[..., beyond:-beyond], pair.under)
    assert torch.equal(wide[..., :beyond], pair.under[..., -beyond:])
    assert torch.equal(wide[..., -beyond:], pair.under[..., :beyond])


@pytest.mark.parametrize("method", ["mertens", "pyramef"])
def test_methods_leave_no_seam(method: str) -> None:
    with Session("cpu") as session:
        made = {
            kind: session.fuse(session.prepare(bracket(), Settings(panorama=kind)), method) for kind in ("auto", "no")
        }
    assert made["auto"].photo.shape == (3, 96, 192)
    assert made["auto"].seen == (96, 192)
    assert seam(made["auto"].photo) < 1.3 * seam(bracket().under)
    assert seam(made["auto"].photo) < seam(made["no"].photo)
