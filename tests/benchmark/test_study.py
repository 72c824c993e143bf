"""The blind study: its page hides whose picture is whose, and its votes give the model's strengths."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect
from scipy.optimize import brentq, minimize

from fusion.benchmark import bradley_terry, study
from fusion.benchmark.study import Rank
from fusion.benchmark.templates import STATIC, data_address
from fusion.cli import main
from fusion.errors import DatasetError
from tests import reports
from tests.visitor import findings, needs_chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    reports.write(folder)
    return folder


@pytest.fixture(scope="module")
def made(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study")
    assert main(["study", str(report), "-o", str(out), "--comparisons", "6"]) == 0
    return out


def cast(
    made: Path,
    file: Path,
    comparisons: list[tuple[str, str, str, str]],
    participant: str = "anna",
    change: Mapping[str, object] = MappingProxyType({}),
) -> Path:
    """A file of votes, each a scene, the methods on the left and on the right, and what was chosen."""
    key = json.loads((made / study.KEY).read_bytes())
    name = {(one["scene"], one["method"]): token for token, one in key["pictures"].items()}
    said = [
        {"left": name[s, a], "right": name[s, b], "chosen": chosen, "seconds": 1} for s, a, b, chosen in comparisons
    ]
    file.write_text(json.dumps({"study": key["study"], "participant": participant, "votes": said} | dict(change)))
    return file


# The model.


def test_two_things_have_the_odds_of_their_choices() -> None:
    ratio = np.divide(*bradley_terry.strengths(np.array([[0, 30], [10, 0.0]]), draws=0))
    assert ratio == pytest.approx(3)


def test_to_begin_with_each_has_drawn_with_an_average_one() -> None:
    """By symmetry the loser's strength is 1 / s; s then solves one equation."""
    first, second = bradley_terry.strengths(np.array([[0, 1], [0, 0.0]]))

    def slope(s: float) -> float:
        return 1.5 - s / (s + 1 / s) - s / (s + 1)

    s = float(brentq(slope, 1, 10))  # pyright: ignore[reportArgumentType]
    assert first == pytest.approx(s)
    assert second == pytest.approx(1 / s)
    assert round(100 * first / (1 + first)) == 68  # as the page's blind vote shows it for a single vote


@pytest.mark.parametrize("draws", [0, 1])
def test_strengths_have_the_greatest_likelihood(draws: float) -> None:
    won = np.random.default_rng(1).integers(1, 20, (5, 5)) * (1 - np.eye(5))

    def unlikely(logs: NDArray[np.float64]) -> float:
        likelihood = np.sum(won * (logs[:, None] - np.logaddexp(logs[:, None], logs)))
        return float(draws * np.sum(np.logaddexp(logs, 0) - logs / 2) - likelihood)

    logs = minimize(unlikely, np.zeros(5), tol=1e-12).x
    found = np.log(bradley_terry.strengths(won, draws))
    assert found - found.mean() == pytest.approx(logs - logs.mean(), abs=1e-4)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """200 studies of 60 votes between two things, one of which is better: 95 % ± 3 standard errors."""
    rng, truth, votes = np.random.default_rng(2), 0.7, 60
    inside = 0
    for seed in range(200):
        left = rng.random(votes) < truth
        won = np.zeros((votes, 2, 2))
        won[left, 0, 1] = won[~left, 1, 0] = 1
        fitted = bradley_terry.fit(won, samples=200, seed=seed)
        inside += fitted.low[0] <= (truth / (1 - truth)) ** 0.5 <= fitted.high[0]
    assert inside / 200 == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 200) ** 0.5)


def test_the_same_votes_give_the_same_intervals() -> None:
    won = np.random.default_rng(3).integers(0, 2, (9, 3, 3)) * (1 - np.eye(3))
    one, other = (bradley_terry.fit(won, samples=50) for _ in range(2))
    assert np.array_equal(one.low, other.low)
    assert np.all(one.low <= one.strengths)
    assert np.all(one.strengths <= one.high)


# Votes.


def test_votes_rank_the_methods(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = reports.SCENES[1:]
    votes = [(scene, "mertens", "theirs", "left") for scene in scenes]
    votes += [(scene, "theirs", "meflut", "right") for scene in scenes]
    votes += [(scenes[0], "mertens", "meflut", "left"), (scenes[1], "mertens", "meflut", "neither")]
    file = cast(made, tmp_path / "anna.json", votes)
    assert main(["study", str(made), "--analyse", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [rank["method"] for rank in said["ranking"]] == ["mertens", "meflut", "theirs"]
    first = Rank(**said["ranking"][0])
    assert (first.chosen, first.draws, first.comparisons) == (4, 1, 5)
    assert 0.5 < first.low < first.share < first.high < 1
    assert said["notes"] == [
        "8 votes of 1 participant; the intervals come from a bootstrap over the votes.",
        "With fewer than 10 participants, the intervals hold for these people alone.",
        "The picture on the left was chosen in 57% of 7 decisions.",
        "theirs was never chosen, so its interval is too narrow; collect more votes.",
    ]


def test_what_no_comparison_links_is_said(tmp_path: Path) -> None:
    key = {"study": "s", "pictures": {n: {"scene": "one", "method": n} for n in "abcd"}}
    (tmp_path / study.KEY).write_text(json.dumps(key))
    votes = [("one", "a", "b", "left"), ("one", "d", "c", "neither")]
    files = [cast(tmp_path, tmp_path / f"{n}.json", votes, participant=str(n)) for n in range(study.PARTICIPANTS)]
    _, notes = study.ranking(tmp_path, files)
    assert notes[0] == "20 votes of 10 participants; the intervals come from a bootstrap over the participants."
    assert "No comparison links these groups, so nothing is known between them: a, b; c, d." in notes


@pytest.mark.parametrize(
    "change",
    [
        {"study": "another"},
        {"votes": [{"left": "nobody", "right": "nobody", "chosen": "left"}]},
        {"votes": [1]},
        {"votes": 1},
        {"votes": []},
    ],
)
def test_other_files_are_refused(
    made: Path, tmp_path: Path, change: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    file = cast(made, tmp_path / "votes.json", [], change=change)
    assert main(["study", str(made), "--analyse", str(file)]) == 2
    assert re.search(r"another study|is not a file of votes|not one vote", capsys.readouterr().err)


def test_a_picture_against_itself_or_of_another_scene_is_no_vote(made: Path, tmp_path: Path) -> None:
    key = json.loads((made / study.KEY).read_bytes())
    of_mertens = [name for name, one in key["pictures"].items() if one["method"] == "mertens"]
    for right in of_mertens[:2]:
        vote = {"left": of_mertens[0], "right": right, "chosen": "left"}
        with pytest.raises(DatasetError, match="not a file of votes"):
            study.ranking(made, [cast(made, tmp_path / "votes.json", [], change={"votes": [vote]})])


def test_hostile_votes_are_no_votes(made: Path, tmp_path: Path) -> None:
    for content in (
        "[" * 100_000,
        "null",
        '{"votes": {}}',
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ):
        (tmp_path / "votes.json").write_text(content, "latin-1")
        with pytest.raises(DatasetError, match="not a file of votes"):
            study.read(made, [tmp_path / "votes.json"])


def test_a_participant_counts_once(made: Path, tmp_path: Path) -> None:
    votes = [("bridge", "mertens", "theirs", "left")]
    files = [cast(made, tmp_path / name, votes) for name in ("one.json", "other.json")]
    with pytest.raises(DatasetError, match="second file of participant anna"):
        study.ranking(made, files)


# The page.


def test_nothing_that_participants_get_tells_a_method(made: Path) -> None:
    key = json.loads((made / study.KEY).read_bytes())["pictures"]
    assert len(key) == 11  # `theirs` has failed once
    page = made / study.PAGE
    assert {path.name for path in (page / "pictures").iterdir()} == {f"{name}.png" for name in key}
    told = (page / "index.html").read_text()
    assert not re.search("|".join((*reports.METHODS, *reports.SCENES[:3])), told, re.IGNORECASE)
    assert not re.search(r"https?:|@import|url\(", told)
    data = json.loads(told.split('id="data">')[1].split("</script>")[0])
    assert data["comparisons"] == 6
    for place in zip(*data["scenes"], strict=True):
        assert len({key[name]["method"] for name in place if name}) == 1


def test_a_study_is_not_written_over(report: Path, made: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not empty"):
        study.make(report, made)
    with pytest.raises(DatasetError, match="holds no benchmark's report"):
        study.make(tmp_path, tmp_path / "study")


def opened(browser: Browser, made: Path, width: int = 1440, height: int = 900) -> Page:
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.goto((made / study.PAGE / "index.html").as_uri())
    return page


def shown(page: Page) -> None:
    """Wait until both pictures are shown."""
    expect(page.locator("#booth")).to_have_attribute("aria-busy", "false", timeout=20_000)


def begin(page: Page, participant: str) -> None:
    page.get_by_label("A code for you").fill(participant)
    page.get_by_role("button", name="Begin").click()
    shown(page)


def choose(page: Page, key: str) -> None:
    shown(page)
    page.keyboard.press(key)


@needs_chromium
def test_votes_by_keyboard_are_exported_and_analysed(browser: Browser, made: Path, tmp_path: Path) -> None:
    page = opened(browser, made)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    begin(page, "Änne <1>")
    expect(page.locator("#place")).to_have_text("1 of 6")
    page.keyboard.press("+")
    expect(page.locator("#booth[data-zoomed]")).to_have_count(1)
    where = "[...document.querySelectorAll('.stage img')].map(i => getComputedStyle(i).transform)"
    one, other = page.evaluate(where)
    assert one == other != "none"
    for key in "abnb":
        choose(page, key)
    shown(page)
    page.keyboard.press("Backspace")
    expect(page.locator("#place")).to_have_text("4 of 6")
    page.reload()  # and on where it stopped
    begin(page, "Änne <1>")
    expect(page.locator("#place")).to_have_text("4 of 6")
    for key in "aan":
        choose(page, key)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download my choices").click()
    assert download.value.suggested_filename == "votes-Änne-1-.json"
    votes = json.loads(Path(download.value.path()).read_bytes())
    assert [vote["chosen"] for vote in votes["votes"]] == ["left", "right", "neither", "left", "left", "neither"]
    download.value.save_as(tmp_path / "votes.json")
    (ballot,) = study.read(made, [tmp_path / "votes.json"])
    assert [vote.points for vote in ballot] == [1, 0, 0.5, 1, 1, 0.5]
    # Six votes are two rounds, in each of which any two methods meet once.
    for votes_of_round in (ballot[:3], ballot[3:]):
        assert len({frozenset((vote.one, vote.other)) for vote in votes_of_round}) == 3
    assert complaints == []
    page.context.close()


@needs_chromium
def test_the_code_decides_the_order(browser: Browser, made: Path) -> None:
    page = opened(browser, made)
    ask = """async ([module, code]) => {
        const { questionsFor } = await import(module);
        return questionsFor(JSON.parse(document.getElementById("data").textContent), code);
    }"""
    module = data_address(STATIC / "questions.js")
    orders = [page.evaluate(ask, [module, code]) for code in ("anna", "bert", "anna")]
    assert orders[0] == orders[2] != orders[1]
    page.context.close()


@needs_chromium
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_axe_finds_nothing_in_the_study(browser: Browser, made: Path, width: int, height: int) -> None:
    page = opened(browser, made, width, height)
    assert findings(page) == []
    begin(page, "anna")
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    expect(page.locator("[data-chosen=neither]")).to_be_in_viewport(ratio=1)
    page.context.close()
