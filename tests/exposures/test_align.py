"""Registration: shakes that are known come back, and what cannot be told is left alone and said."""

from __future__ import annotations

import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fusion.benchmark.experiments.align import error, light_of, photograph, photographs
from fusion.exposures import align
from fusion.exposures.align import Motion, motion, registered
from fusion.io.image import ExposurePair, Photo, as_pair
from fusion.training.camera import Radiance
from fusion.training.datasets import PairFiles
from tests.shared_session import load_pair

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCENES = ["courtyard", "desk", "room"]
REFUSED = "The exposures could not be aligned with certainty, so they are fused as they are."


def scene(name: str) -> Radiance:
    return light_of(PairFiles(name, EXAMPLES / name / "under.png", EXAMPLES / name / "over.png"))


@pytest.fixture(scope="module")
def light() -> Radiance:
    return scene("courtyard")


def shaken(
    light: Radiance,
    right: float = 0,
    down: float = 0,
    *,
    turn: float = 0,
    scale: float = 1,
    tilt: tuple[float, float] = (0, 0),
) -> Motion:
    """A movement in pixels, in degrees about the middle, and in scale from side to side."""
    height, width, _ = light.shape
    cosine, sine = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
    centred = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    moved = np.array([[cosine, -sine, right], [sine, cosine, down], [*np.divide(tilt, max(height, width)), 1]])
    return Motion(np.linalg.inv(centred) @ moved @ centred, 0.0, 0)


def pair_of(light: Radiance, true: Motion, stops: float = 3) -> ExposurePair:
    return as_pair(*photographs(light, stops, true, np.random.default_rng(0)))


def unchanged(pair: ExposurePair) -> bool:
    """Whether registration hands on the very tensors."""
    after = registered(pair).pair
    return all(one is other for one, other in zip(after.frames, pair.frames, strict=True))


# Found.


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize(
    ("right", "down", "turn", "tilt", "stops"),
    [(20.3, -11.6, -1.7, (0.01, -0.02), 2), (-3.4, 2.2, 0.4, (0, 0), 4.5)],
)
def test_known_shakes_are_found(
    name: str, right: float, down: float, turn: float, tilt: tuple[float, float], stops: float
) -> None:
    light = scene(name)
    true = shaken(light, right, down, turn=turn, tilt=tilt)
    pair = pair_of(light, true, stops)
    found = motion(pair.over, pair.under)
    assert found
    off = error(found, true, pair.size)
    assert off < 0.5
    assert found.error < align.LARGEST_ERROR


def test_pictures_larger_than_the_copies(light: Radiance) -> None:
    large = np.asarray(cv2.resize(light, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)).clip(0)
    true = shaken(large, 40, 25, turn=1.5)
    pair = pair_of(large, true)
    assert max(pair.size) > 1.5 * align.PROXY_SIDE
    found = motion(pair.over, pair.under)
    assert found
    assert error(found, true, pair.size) < 0.5


def test_the_movement_is_taken_back(light: Radiance) -> None:
    """What was the brighter photograph of a moved camera is that of the still one, up to its rim."""
    true = shaken(light, 9.4, -6.7)
    pair = pair_of(light, true)
    after = registered(pair).pair
    still = photograph(light, 1.5, np.random.default_rng(1))
    height, width = after.size
    top, left = place_of(after.under, pair.under)
    off = (after.over - still[:, top : top + height, left : left + width]).abs().mean(0) * 255
    shaken_off = (pair.over - still).abs().mean() * 255
    rim = torch.cat((off[0], off[-1], off[:, 0], off[:, -1]))
    assert float(off.mean()) < 0.12 * float(shaken_off)  # noise alone is a tenth
    assert float(rim.mean()) < 1.3 * float(off.mean())
    assert float(rim.max()) < float(off.max())


def place_of(part: Photo, whole: Photo) -> tuple[int, int]:
    """Row and column of what was cut out of a photograph; fails unless it was not touched otherwise."""
    height, width = part.shape[1:]
    for top in range(whole.shape[1] - height + 1):
        for left in range(whole.shape[2] - width + 1):
            if torch.equal(whole[:, top, left : left + width], part[:, 0]):
                assert torch.equal(whole[:, top : top + height, left : left + width], part)
                return top, left
    raise AssertionError("the reference was changed")


def test_nothing_black_comes_in(light: Radiance) -> None:
    """Of a scene that is nowhere dark."""
    bright = np.maximum(light, 0.05)
    pair = pair_of(bright, shaken(bright, -15, 12, turn=-2, tilt=(0.02, 0.02)), 2)
    after = registered(pair).pair
    assert after.size < pair.size
    assert float(after.over.min()) > 0.9 * float(pair.over.min())


def test_the_note_tells_the_movement(light: Radiance) -> None:
    pair = pair_of(light, shaken(light, 12, -5, turn=0.8, tilt=(0.02, 0)))
    after = registered(pair).pair
    (note,) = after.notes
    told = re.fullmatch(r"Aligned: moved (\d+) px, turned (\d\.\d)°, (\d+\.\d) % cropped\.", note)
    assert told
    assert (told[1], told[2]) == ("13", "0.8")
    height, width = pair.size
    assert float(told[3]) == pytest.approx(100 * (1 - after.size[0] * after.size[1] / (height * width)), abs=0.05)
    # The turn takes a wedge off every side, the perspective up to a hundredth: nothing else is lost.
    assert after.size[0] >= height * 0.99 - 5 - width * math.sin(math.radians(0.8)) - 3
    assert after.size[1] >= width * 0.99 - 12 - height * math.sin(math.radians(0.8)) - 3


def test_a_small_movement_is_told_in_tenths(light: Radiance) -> None:
    (note,) = registered(pair_of(light, shaken(light, 3.3, 0))).pair.notes
    assert note.startswith("Aligned: moved 3.3 px, ")
    assert "turned" not in note


def test_notes_of_the_files_stay(light: Radiance) -> None:
    under, over = photographs(light, 3, shaken(light, 5, 5), np.random.default_rng(0))
    first, second = registered(as_pair(over, under)).pair.notes
    assert first.startswith("The first picture was the brighter one")
    assert second.startswith("Aligned: ")


def test_the_same_twice(light: Radiance) -> None:
    pair = pair_of(light, shaken(light, 7, 3, turn=0.5))
    results: list[ExposurePair] = []
    for seed in (1, 2):
        cv2.setRNGSeed(seed)
        results.append(registered(pair).pair)
    assert all(map(torch.equal, results[0].frames, results[1].frames))
    assert results[0].notes == results[1].notes


# Left alone.


@pytest.mark.parametrize("name", SCENES)
def test_a_pair_that_did_not_move_is_handed_on(name: str) -> None:
    pair = load_pair(EXAMPLES / name / "under.png", EXAMPLES / name / "over.png")
    assert unchanged(pair)
    assert registered(pair).pair.notes == pair.notes


def test_less_than_half_a_pixel_is_no_movement(light: Radiance) -> None:
    pair = pair_of(light, shaken(light, 0.2, 0.2))
    assert unchanged(pair)
    assert not registered(pair).pair.notes


@pytest.mark.parametrize(
    "true",
    [
        {"turn": 45.0},
        {"turn": 12.0},
        {"scale": 1.08},
        {"right": 110.0},
        {"tilt": (0.1, 0.0)},
    ],
    ids=str,
)
def test_more_than_a_hand_shakes_is_refused(light: Radiance, true: dict[str, float]) -> None:
    pair = pair_of(light, shaken(light, **true), 1.5)  # pyright: ignore[reportArgumentType]
    assert motion(pair.over, pair.under) is None
    assert unchanged(pair)
    assert registered(pair).pair.notes == (REFUSED,)


def test_a_mirror_image_is_refused(light: Radiance) -> None:
    under, over = photographs(light, 2, shaken(light), np.random.default_rng(0))
    pair = as_pair(under, over.flip(2))
    assert unchanged(pair)
    assert registered(pair).pair.notes == (REFUSED,)


def test_unrelated_photographs_are_refused(light: Radiance) -> None:
    other = scene("interior")
    assert other.shape == light.shape
    rng = np.random.default_rng(0)
    pair = as_pair(photograph(light, -1, rng), photograph(other, 1, rng))
    assert unchanged(pair)
    assert registered(pair).pair.notes == (REFUSED,)


def test_nothing_to_see_is_refused() -> None:
    pair = as_pair(torch.full((3, 200, 300), 0.2), torch.full((3, 200, 300), 0.7))
    assert unchanged(pair)
    assert registered(pair).pair.notes == (REFUSED,)


@pytest.mark.parametrize(("limit", "value"), [("LARGEST_ERROR", 0.0), ("_FEWEST", 10**6)])
def test_what_is_not_certain_enough_is_refused(
    light: Radiance, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    pair = pair_of(light, shaken(light, 9, 5))
    monkeypatch.setattr(align, limit, value)
    assert motion(pair.over, pair.under) is None


def test_features_that_moved_where_edges_did_not_are_not_believed(
    light: Radiance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bloom(*_: object) -> Motion:
        return shaken(light, 2, 1)

    pair = pair_of(light, shaken(light))
    monkeypatch.setattr(align, "_registered", bloom)
    assert motion(pair.over, pair.under) == align.STILL
    assert unchanged(pair)


def test_too_little_in_common(light: Radiance, monkeypatch: pytest.MonkeyPatch) -> None:
    def far(*_: Photo) -> Motion:
        return shaken(light, 0, light.shape[0] * 0.6)

    pair = pair_of(light, shaken(light))
    monkeypatch.setattr(align, "motion", far)
    assert unchanged(pair)
    assert registered(pair).pair.notes == (
        "The exposures overlap too little to be aligned; they are fused as they are.",
    )


# More than two.


def stack_of(light: Radiance, *movements: tuple[float, Motion]) -> ExposurePair:
    """Exposures of a scene, by stops, each by a camera that has moved."""
    rng = np.random.default_rng(0)
    return as_pair(*(photographs(light, 2 * stops, true, rng)[1] for stops, true in movements))


def test_three_align_to_the_middle_one(light: Radiance) -> None:
    dark, bright = shaken(light, -6, 4, turn=0.7), shaken(light, 10, 3)
    pair = stack_of(light, (2, bright), (0, shaken(light)), (-2, dark))
    done = registered(pair)
    place_of(done.pair.between[0], pair.between[0])
    assert done.motions[1] is None
    for found, true in zip(done.motions[::2], (dark, bright), strict=True):
        assert found
        assert error(found, true, pair.size) < 0.5
    *_, note = done.pair.notes
    assert note.startswith("Aligned: moved 10 px, ")  # the farther one


def test_a_chain_of_steps(light: Radiance) -> None:
    """Of four, the brightest is found by way of the next darker one."""
    movements = [shaken(light, 8, 0), shaken(light), shaken(light, 5, 5, turn=3), shaken(light, -30, 20, turn=-3)]
    pair = stack_of(light, *zip((-2.0, -0.5, 1.0, 2.5), movements, strict=True))
    done = registered(pair)
    assert done.motions[1] is None
    for index in (0, 2, 3):
        found = done.motions[index]
        assert found
        assert error(found, movements[index], pair.size) < 0.5


def test_one_that_did_not_move_is_only_cropped(light: Radiance) -> None:
    pair = stack_of(light, (-2, shaken(light)), (0, shaken(light)), (2, shaken(light, 6, 6)))
    done = registered(pair)
    assert [found is not None for found in done.motions] == [False, False, True]
    assert place_of(done.pair.under, pair.under) == place_of(done.pair.between[0], pair.between[0])


def test_one_that_cannot_be_aligned_leaves_all_alone(light: Radiance) -> None:
    pair = stack_of(light, (-2, shaken(light, turn=30)), (0, shaken(light)), (2, shaken(light, 6, 6)))
    assert unchanged(pair)
    *_, note = registered(pair).pair.notes
    assert note == "1 of the 3 exposures could not be aligned with certainty, so they are fused as they are."
