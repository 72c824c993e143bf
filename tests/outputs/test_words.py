"""Each word is said where it is true and only there, and no picture has more than three."""

from __future__ import annotations

from pathlib import Path

import pytest

import fusion
from fusion.metrics.artefacts import HALO
from fusion.metrics.base import Scorer
from fusion.outputs.words import GRAIN, LOST, MARGIN, MOST, NATURAL, PALE, RIMS, words
from tests.shared_session import load_pair

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*/under.png"))

PLAIN = {
    "mef_ssim": 0.9,
    "colour_kept": 0.8,
    "halo": 0.0,
    "lost_shadows": 0.0,
    "lost_highlights": 0.0,
    "added_grain": 0.0,
}
"""A picture of which nothing is to be said."""


def said(picture: dict[str, float], *others: dict[str, float]) -> list[str]:
    return [word.name for word in words(PLAIN | picture, [PLAIN | other for other in others])]


def test_nothing_is_said_of_a_plain_picture() -> None:
    assert said({}, {}) == []


@pytest.mark.parametrize(
    ("word", "metric", "from_here", "not_here"),
    [
        ("clipped", "lost_highlights", LOST, LOST - 1e-4),
        ("black", "lost_shadows", LOST, LOST - 1e-4),
        ("rims", "halo", RIMS, RIMS - 1e-4),
        ("grainy", "added_grain", GRAIN, GRAIN - 1e-4),
        ("pale", "colour_kept", PALE - 1e-4, PALE),
        ("natural", "colour_kept", NATURAL, NATURAL - 1e-4),
    ],
)
def test_a_word_is_said_from_its_threshold_on(word: str, metric: str, from_here: float, not_here: float) -> None:
    assert said({metric: from_here}) == [word]
    assert said({metric: not_here}) == []


def test_the_most_detail_is_kept_by_one_and_clearly() -> None:
    best, second = {"mef_ssim": 0.95}, {"mef_ssim": 0.95 - 2 * MARGIN}
    assert said(best, second, {}) == ["detail"]
    assert said(second, best, {}) == []
    assert said(best, {"mef_ssim": 0.95 - MARGIN / 2}) == []
    assert said(best) == []  # there is nothing to compare with


def test_a_share_of_the_area_is_told_in_percent() -> None:
    clipped, black = words(PLAIN | {"lost_highlights": 0.04, "lost_shadows": 0.03})
    assert (clipped.percent, black.percent) == (pytest.approx(4), pytest.approx(3))


def test_faults_come_first_and_three_are_the_most() -> None:
    praised = {"mef_ssim": 0.97, "colour_kept": 0.95}
    assert said(praised, {}) == ["detail", "natural"]
    assert said(praised | {"added_grain": 0.2}, {}) == ["grainy", "detail", "natural"]
    assert said(praised | {"added_grain": 0.2, "halo": 0.2}, {}) == ["rims", "grainy", "detail"]
    worst = {"lost_highlights": 0.1, "lost_shadows": 0.1, "halo": 0.2, "added_grain": 0.2, "colour_kept": 0.1}
    assert said(worst) == ["clipped", "black", "rims"]
    assert len(said(worst)) == MOST
    assert all(word.fault for word in words(PLAIN | worst))


@pytest.mark.parametrize("under", EXAMPLES, ids=[path.parent.name for path in EXAMPLES])
def test_the_good_methods_have_no_rims(under: Path) -> None:
    files = under, under.with_name("over.png")
    measure = Scorer(load_pair(*files), [HALO])
    for method in ("pyramef", "mertens"):
        assert measure(fusion.fuse(*files, method=method))["halo"] < RIMS / 5
