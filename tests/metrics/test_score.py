"""The score: what it rewards, and that it cannot be fooled by a slider or by a mere copy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fusion.io.image import to_uint8
from fusion.metrics import score
from fusion.metrics.picture import Picture, Pixels, Sources
from fusion.settings import Settings
from tests.shared_session import SESSION

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(folder.name for folder in (ROOT / "examples").iterdir() if folder.is_dir())
GOOD = "pyramef", "mambadfuse", "mertens"
"""The best of these by the score is the good result of an example."""


@cache
def exposures(name: str) -> Sources:
    return Sources(*map(reduced, prepared(name).pair.frames))


@cache
def prepared(name: str):  # noqa: ANN201
    files = sorted(file for file in (ROOT / "examples" / name).iterdir() if file.suffix in (".png", ".jpg"))
    return SESSION.prepare(files, Settings(align=False, ghosts="ignore"))


@cache
def good(name: str) -> Pixels:
    pictures = [reduced(SESSION.fuse(prepared(name), method).photo) for method in GOOD]
    return max(pictures, key=lambda pixels: of(name, pixels))


def reduced(photo: object) -> Pixels:
    pixels = to_uint8(photo)  # pyright: ignore[reportArgumentType]
    scale = 512 / max(pixels.shape)
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def of(name: str, pixels: Pixels) -> float:
    return score.METRIC.measure(pixels, exposures(name))


Light: TypeAlias = NDArray[Any]
"""(H, W, 3), about 0 to 1."""


def rounded(light: Light) -> Pixels:
    return np.clip(np.round(light * 255), 0, 255).astype(np.uint8)


def sharpened(x: Light) -> Light:
    return x + 2 * (x - np.asarray(cv2.GaussianBlur(x, (0, 0), 1.5), np.float32))


def saturated(x: Light, gain: float) -> Light:
    grey = x.mean(-1, keepdims=True)
    return grey + gain * (x - grey)


def more_saturated(x: Light) -> Light:
    return saturated(x, 1.4)


DAMAGES: dict[str, Callable[[Light], Light]] = {
    "over-sharpened": sharpened,
    "over-saturated": lambda x: saturated(x, 2.5),
    "grey": lambda x: saturated(x, 0),
    "pale": lambda x: saturated(x, 0.5),
    "noisy": lambda x: x + np.random.default_rng(1).normal(0, 0.04, x.shape).astype(np.float32),
    "hazy": lambda x: 0.7 * x + 0.27,
    "warm": lambda x: x * np.array([1.2, 1, 0.8], np.float32),
    "green": lambda x: x * np.array([0.85, 1.05, 0.85], np.float32),
    "flat": lambda x: 0.5 + 0.6 * (x - 0.5),
    "dark": lambda x: 0.6 * x,
}


# The exposures of StillLife are reddish and much more colourful than any fusion of them, so that a warm cast brings the
# picture nearer to them: it gains more by the colour that it keeps than it loses by the cast.
FOOLED = {"stilllife": {"warm"}}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_damaged_result_scores_less(name: str) -> None:
    light, best = good(name).astype(np.float32) / 255, of(name, good(name))
    scores = {damage: of(name, rounded(make(light))) for damage, make in DAMAGES.items()}
    assert {damage for damage, value in scores.items() if value >= best} == FOOLED.get(name, set())


@pytest.mark.parametrize("name", EXAMPLES)
def test_neither_a_copy_nor_the_mean_scores_as_a_result_does(name: str) -> None:
    under, over = (picture.pixels for picture in exposures(name))
    mean = ((under.astype(np.uint16) + over + 1) // 2).astype(np.uint8)
    best = of(name, good(name))
    assert [
        kind for kind, pixels in (("under", under), ("over", over), ("mean", mean)) if of(name, pixels) >= best
    ] == []


@pytest.mark.parametrize("slider", [sharpened, more_saturated])
def test_no_slider_raises_it_without_limit(slider: Callable[[Light], Light]) -> None:
    light = good("courtyard").astype(np.float32) / 255
    scores = [of("courtyard", rounded(light))]
    for _ in range(4):
        light = slider(light).clip(0, 1)
        scores.append(of("courtyard", rounded(light)))
    assert scores[-1] < scores[0] - 5


@pytest.mark.parametrize("levels", [(0, 0), (255, 255), (90, 90), (0, 255), (3, 250)])
def test_flat_pictures_have_a_score(levels: tuple[int, int]) -> None:
    under, over = (np.full((16, 17, 3), level, np.uint8) for level in levels)
    for picture in (under, over):
        assert 0 <= score.METRIC.measure(picture, Sources(under, over)) <= 100


def test_equal_pictures_have_the_full_score() -> None:
    picture = good("desk")
    assert score.METRIC.measure(picture, Sources(picture, picture)) == pytest.approx(100, abs=1e-6)


def test_it_belongs_to_the_picture_and_its_exposures_alone() -> None:
    picture, sources = Picture(good("desk")), exposures("desk")
    first = score.METRIC.measure(picture, sources)
    score.METRIC.measure(Picture(good("room")), exposures("room"))
    assert score.METRIC.measure(Picture(good("desk")), Sources(*(one.pixels for one in sources))) == first


def test_every_term_lies_between_0_and_1() -> None:
    for name in EXAMPLES[:3]:
        for pixels in (good(name), *(picture.pixels for picture in exposures(name))):
            assert all(0 <= term <= 1 for term in score.terms(Picture(pixels), exposures(name)))
