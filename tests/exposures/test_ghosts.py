"""Ghosts are found where something was moved, and removed there; nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import EllipsisType
from typing import TypeAlias

import numpy as np
import pytest
import torch

from fusion.exposures.ghosts import Handling, find_ghosts, overlay, without_ghosts
from fusion.io.image import ExposurePair, as_pair
from fusion.pipeline import Fused, Loaded, compare, fuse_pair
from tests.shared_session import SESSION, load_pair

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Box: TypeAlias = tuple[EllipsisType, slice, slice]

BOX = (..., slice(60, 130), slice(80, 150))
"""The rows and columns of the object in the under-exposed photograph."""
LATER = (..., slice(60, 130), slice(230, 300))
"""The rows and columns of the object in the over-exposed photograph."""


@pytest.fixture(scope="module")
def still() -> ExposurePair:
    """Two exposures of a scene of smooth light with fine structure."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:260, 0:400] / 260
    light = 0.3 + 0.25 * np.sin(5 * x) * np.cos(4 * y) + 0.05 * rng.random((3, 260, 400))
    under, over = (np.clip(light * gain + rng.normal(0, 0.004, light.shape), 0, 1) for gain in (0.5, 1.6))
    return as_pair(*(torch.from_numpy(frame.astype(np.float32)) for frame in (under, over)))


@pytest.fixture(scope="module")
def moved(still: ExposurePair) -> ExposurePair:
    """The same, with a bright object that moved from BOX to LATER between the exposures."""
    under, over = still.under.clone(), still.over.clone()
    under[BOX], over[LATER] = 0.42, 1.0
    return ExposurePair(under, over)


def test_what_moved_is_found_where_it_was_and_where_it_is(moved: ExposurePair) -> None:
    ghosts = find_ghosts(moved)
    assert ghosts
    for place in (BOX, LATER):
        assert float(ghosts.mask[place].mean()) > 0.95
    assert ghosts.certain
    assert ghosts.share == pytest.approx(2 * 70 * 70 / (260 * 400), rel=0.3)
    assert float(ghosts.mask[0, 170:].max()) == 0


def test_nothing_is_found_where_nothing_moved(still: ExposurePair) -> None:
    assert find_ghosts(still) is None


@pytest.mark.parametrize("name", ["courtyard", "desk", "stilllife"])
def test_nothing_is_found_in_examples_of_one_instant(name: str) -> None:
    pair = load_pair(*sorted((EXAMPLES / name).glob("*er.*")))
    ghosts = find_ghosts(pair)
    assert ghosts is None or ghosts.share < 0.002


@pytest.mark.parametrize("name", ["candleglass", "ocean"])
def test_what_is_not_certain_is_not_told_unasked(name: str) -> None:
    pair = load_pair(*sorted((EXAMPLES / name).glob("*er.*"), reverse=True))
    ghosts = find_ghosts(pair)
    assert ghosts
    assert not ghosts.certain
    first = next(compare(pair.under, pair.over, [], align=False, show_corrected=False))
    assert isinstance(first, Loaded)
    assert first.scene.ghosts is None
    assert not first.scene.pair.notes
    asked = next(compare(pair.under, pair.over, [], ghosts="remove", align=False, show_corrected=False))
    assert isinstance(asked, Loaded)
    assert asked.scene.ghosts


@pytest.mark.parametrize("method", ["mertens", "meflut"])
@pytest.mark.parametrize("count", [3, 5])
def test_of_more_exposures_what_crosses_the_scene_is_seen_once(method: str, count: int) -> None:
    frames, places = walk(count)
    standing = [walk(count, [place] * count)[0] for place in places]
    pair, plain, clean = (as_pair(*frames), *(fuse_of(frames, method, handling) for handling in ("ignore", "remove")))
    ghosts = find_ghosts(pair)
    assert ghosts
    assert ghosts.certain
    for place in places:
        assert float(ghosts.mask[place].mean()) > 0.9
    wanted = [fuse_of(one, method, "ignore") for one in standing]

    def energy(picture: torch.Tensor) -> float:
        return sum(min(float((picture - one)[place].square().mean()) for one in wanted) for place in places)

    assert energy(clean) < 0.2 * energy(plain)
    assert float((plain - clean).abs()[:, ghosts.mask[0] == 0].max()) == 0


@pytest.mark.parametrize("count", [3, 5])
def test_what_certainly_moved_in_a_bracket_goes_unasked(count: int) -> None:
    frames, places = walk(count)
    auto, removed, marked = (fuse_of(frames, "mertens", handling) for handling in ("auto", "remove", "mark"))
    assert all(float((auto - marked)[place].abs().mean()) > 0 for place in places)
    assert float((auto - removed).abs().mean()) < 0.002
    scene = SESSION.prepare(frames)
    assert "it was taken from one exposure" in " ".join(scene.notes)


def test_of_two_exposures_nothing_is_taken_out_unasked(moved: ExposurePair) -> None:
    scene = SESSION.prepare(moved)
    assert scene.still is None
    assert "it may show twice" in " ".join(scene.notes)


def test_leaves_that_move_stay() -> None:
    """Small things all over a part of the scene are elsewhere in each exposure."""
    rng = np.random.default_rng(5)
    frames, _ = walk(3, [(..., slice(0, 0), slice(0, 0))] * 3)
    for frame in frames:
        for y, x in zip(rng.integers(20, 120, 60), rng.integers(20, 200, 60), strict=True):
            frame[:, y : y + 5, x : x + 5] *= 0.5
    ghosts = find_ghosts(as_pair(*frames))
    assert ghosts
    assert ghosts.certainly() is None
    assert SESSION.prepare(as_pair(*frames)).still is None


def walk(count: int, places: Sequence[Box] | None = None) -> tuple[list[torch.Tensor], Sequence[Box]]:
    """Exposures of a scene of smooth light, a stop apart, and the place of a dark object in each."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:260, 0:400] / 260
    light = 0.4 + 0.1 * np.sin(5 * x) * np.cos(4 * y) + 0.03 * rng.random((3, 260, 400))
    light[:, 200:] *= np.linspace(1, 0, 60)[:, None]  # all levels occur
    places = places or [(..., slice(100, 150), slice(20 + 80 * k, 70 + 80 * k)) for k in range(count)]
    frames: list[torch.Tensor] = []
    for k, place in enumerate(places):
        with_thing = light.copy()
        with_thing[place] = 0.02
        shot = with_thing * 2.0 ** (k - count // 2) + rng.normal(0, 0.002, light.shape)
        frames.append(torch.from_numpy(shot.clip(0, 1).astype(np.float32)) ** (1 / 2.2))
    return frames, places


def fuse_of(frames: Sequence[torch.Tensor], method: str, handling: Handling) -> torch.Tensor:
    return fuse_pair(as_pair(*frames), method, ghosts=handling)


@pytest.mark.parametrize("method", ["mertens", "meflut"])
def test_the_better_exposed_one_wins_and_the_rest_stays(moved: ExposurePair, still: ExposurePair, method: str) -> None:
    ghosts = find_ghosts(moved)
    assert ghosts
    plain, clean = (fuse_pair(moved, method, ghosts=handling) for handling in ("ignore", "remove"))
    elsewhere = ghosts.mask[0] == 0
    assert float((plain - clean).abs()[:, elsewhere].max()) == 0
    # The thing is overexposed in the later photograph: the scene without it wins there.
    gone = fuse_pair(still, method)
    before, after = ((picture - gone)[LATER].square().mean() for picture in (plain, clean))
    assert float(after) < 0.2 * float(before)


def test_a_pair_without_ghosts_shows_one_scene(moved: ExposurePair) -> None:
    ghosts = find_ghosts(moved)
    assert ghosts
    again = find_ghosts(without_ghosts(moved, ghosts))
    assert again is None or again.share < ghosts.share / 5


def test_the_overlay_is_red_there_alone(moved: ExposurePair) -> None:
    ghosts = find_ghosts(moved)
    assert ghosts
    picture = overlay(moved, ghosts)
    inside, outside = picture[:, 95, 115], picture[:, 200, 200]
    assert inside[0] > inside[1] + 0.3
    assert outside[0] == outside[1] == outside[2]


def test_it_is_told_and_taken_out_on_request(moved: ExposurePair) -> None:
    said: dict[str, str] = {}
    pictures: dict[str, torch.Tensor] = {}
    for handling in ("mark", "remove", "ignore"):
        for event in compare(moved.under, moved.over, ["mertens"], ghosts=handling, align=False):
            if isinstance(event, Loaded):
                said[handling] = " ".join(event.scene.pair.notes)
                assert (event.scene.ghosts is None) == (handling == "ignore")
            elif isinstance(event, Fused):
                pictures[handling] = event.photo
    assert "it may show twice" in said["mark"]
    assert "it was taken from one exposure" in said["remove"]
    assert not said["ignore"]
    assert torch.equal(pictures["mark"], pictures["ignore"])
    assert torch.equal(pictures["remove"], fuse_pair(moved, "mertens", ghosts="remove"))
