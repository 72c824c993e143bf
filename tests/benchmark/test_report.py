"""A report's pages: whole without a network, the same bytes twice, and what a reader does with them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Page, expect

from fusion.benchmark import report as written
from fusion.benchmark import results
from fusion.benchmark.results import MetricInfo
from fusion.errors import DatasetError
from tests import reports
from tests.visitor import findings, needs_chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    reports.write(folder)
    written.write(folder)
    return folder


def pages(report: Path) -> list[Path]:
    return [report / written.INDEX, report / written.TIMES, *(report / written.SCENES).iterdir()]


class Parsed(HTMLParser):
    """Tags that are opened and closed in order, and every address."""

    VOID = ("meta", "link", "img", "input", "br")

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(page.read_text("utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_pages_are_whole_and_lead_only_to_the_reports_own_files(report: Path) -> None:
    assert len(pages(report)) == 2 + len(reports.SCENES)
    for page in pages(report):
        parsed = Parsed(page)
        assert parsed.handlers == []
        assert "img" not in parsed.open
        for address in parsed.addresses:
            file = unquote(address.split("#")[0])
            # table.tex is written with the figures, not with the pages.
            assert (page.parent / file).exists() or file == "table.tex", address
        assert not re.search(r"https?:|@import|url\(", page.read_text("utf-8"))


def test_hostile_names_stay_names(report: Path) -> None:
    for page in pages(report):
        text = page.read_text("utf-8")
        assert "<img src=x" not in text
        assert "<missing>" not in text
        assert "<b>likes</b>" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in (report / written.INDEX).read_text("utf-8")


def test_the_same_report_gives_the_same_bytes_but_for_its_times(report: Path, tmp_path: Path) -> None:
    shutil.copytree(report, tmp_path / "again")
    again = tmp_path / "again"
    (again / results.TIMES).write_text("method,scene,seconds,peak_mb\nmertens,attic,9,\n")
    (again / results.ENVIRONMENT).write_text('{"python": "3.99"}')
    written.write(again)
    different = {
        page.name for page in pages(report) if page.read_bytes() != (again / page.relative_to(report)).read_bytes()
    }
    assert different == {written.TIMES}
    assert "3.99" in (again / written.TIMES).read_text()


def test_the_view_finds_best_worst_and_what_is_like_the_best(report: Path) -> None:
    view = written.ReportView(report)
    assert [one.name for one in view.measured] == list(reports.METHODS)
    assert [one.name for one in view.published] == ["published-dem"]
    better, lower, neither = reports.FACTS
    assert view.best["mef_ssim"].name == "mertens"
    assert view.best["ce"].name == "theirs"  # lower is better
    assert neither.name not in view.best
    assert [view.like_best(one, better) for one in view.measured] == [False, True, False]
    scores = results.load_scores(report)
    for metric in (better, lower):
        sign = 1 if metric is better else -1
        gaps = [
            sign * (max(values, key=lambda value: sign * value) - value)
            for scene in reports.SCENES
            for values in [[scores[m][scene][metric.name] for m in scores if scene in scores[m]]]
            for value in values
        ]
        worst = view.worst[metric.name]
        assert [case.gap for case in worst] == pytest.approx(sorted(gaps, reverse=True)[: len(worst)])
        assert worst[0].best_value == view.scored(worst[0].scene, metric)[worst[0].best.name]
    assert len(view.scenes) == len(reports.SCENES)


def test_bars_lie_where_their_figures_are(report: Path) -> None:
    view = written.ReportView(report)
    bars, left, right = view.bars(reports.FACTS[1])
    assert [bar.method.name for bar in bars] == ["theirs", "meflut", "mertens"]
    for bar in bars:
        assert left + bar.at * (right - left) == pytest.approx(bar.mean.mean)
        assert left + bar.high * (right - left) == pytest.approx(bar.mean.high)
    assert bars[0].low == 0
    assert bars[-1].high == 1


def test_a_citation_names_the_report(report: Path, tmp_path: Path) -> None:
    view = written.ReportView(report)
    assert view.bibtex.startswith(f"@misc{{exposure-fusion-benchmark-{view.sha256[:8]},\n")
    assert "doi" not in view.bibtex.lower()
    shutil.copytree(report, tmp_path / "odd")
    summary = json.loads((report / results.SUMMARY).read_text())
    summary["dataset"]["name"] = "a}b\\input{x}%"
    (tmp_path / "odd" / results.SUMMARY).write_text(json.dumps(summary))
    assert "scenes of a-b-input-x--" in written.ReportView(tmp_path / "odd").bibtex


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 1, "0 to 1"),
        (0, None, "from 0"),
        (None, 1, "up to 1"),
        (None, None, "any value"),
        (-0.530738, 2, "-0.5307 to 2"),
    ],
)
def test_a_range_in_words(low: float | None, high: float | None, words: str) -> None:
    assert written.limits(MetricInfo("m", "M", "higher", "", "", "", low, high)) == words


@pytest.mark.parametrize(
    ("value", "text"), [(0.98942, "0.9894"), (56.508, "56.51"), (58906.234, "58906"), (-0.5, "-0.5000")]
)
def test_a_number_has_the_decimals_that_count(value: float, text: str) -> None:
    assert written.number(value) == text


def test_where_everything_failed_there_are_still_pages(report: Path, tmp_path: Path) -> None:
    shutil.copytree(report, tmp_path / "failed")
    summary = json.loads((report / results.SUMMARY).read_text())
    for method in summary["methods"][:3]:
        failed = {"scenes": 0, "means": {}, "ranks": {}, "mean_rank": None, "p_against_best": {}}
        method.update(failed | {"failures": dict.fromkeys(reports.SCENES, "It stopped.")})
    (tmp_path / "failed" / results.SUMMARY).write_text(json.dumps(summary))
    (tmp_path / "failed" / results.SCORES).write_text("method,scene,mef_ssim,ce,te,reference_psnr\n")
    written.write(tmp_path / "failed")
    for page in pages(tmp_path / "failed"):
        Parsed(page)
    assert (tmp_path / "failed" / written.INDEX).read_text().count("It stopped.") == 12


def test_no_report_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no benchmark's report"):
        written.write(tmp_path)


# In a browser, from the disk.


@pytest.fixture
def read(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A page of the report; errors in the console fail the test."""
    complaints: list[str] = []
    opened: list[Page] = []

    def read(file: Path, width: int = 1440, height: int = 900, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(file.as_uri())
        opened.append(page)
        return page

    yield read
    for page in opened:
        page.context.close()
    assert complaints == []


def names(page: Page) -> list[str]:
    return page.locator("#means tbody tr[data-name] th").all_inner_texts()


@needs_chromium
def test_the_table_is_sorted_filtered_and_chosen_from(report: Path, read: Callable[..., Page]) -> None:
    page = read(report / written.INDEX)
    ranked = ["Mertens\nmertens", "Meflut\nmeflut", "Theirs\ngiven pictures", "DEM"]
    assert names(page) == ranked
    heading = page.locator("#means th[data-metric=mef_ssim]")
    expect(heading).to_have_attribute("title", "Structure kept")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert names(page) == ranked
    heading.get_by_role("button").press("Enter")
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert names(page) == [*ranked[2::-1], ranked[3]]  # what was published stays apart
    page.locator("#means th").first.get_by_role("button").click()
    assert names(page) == sorted(ranked[:3]) + ranked[3:]

    column = page.locator("[data-metric=ce]")
    assert not any(one.is_visible() for one in column.all())  # not a main one
    page.get_by_role("button", name="All", exact=True).click()
    assert all(one.is_visible() for one in column.all())
    page.get_by_text("Choose columns").click()
    page.get_by_label("CE", exact=True).uncheck()
    assert not any(one.is_visible() for one in column.all())
    page.get_by_role("searchbox").fill("FLUT")
    expect(page.locator("#means tbody tr[data-name]:visible")).to_have_count(1)

    expect(page.locator("[data-worst]:visible")).to_have_count(1)
    page.get_by_role("combobox").select_option("ce")
    expect(page.locator("[data-worst=ce]")).to_be_visible()


@needs_chromium
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_pictures_zoom_and_move_together(report: Path, read: Callable[..., Page], width: int, height: int) -> None:
    page = read(report / written.INDEX, width, height)
    page.get_by_role("link", name=reports.HOSTILE).last.click()
    expect(page.locator("h1")).to_have_text(reports.HOSTILE)
    images = page.locator(".stage img")
    expect(images).to_have_count(3 + len(reports.METHODS))
    assert page.evaluate("[...document.querySelectorAll('.stage img')].every(i => i.complete && i.naturalWidth > 0)")

    def where() -> list[float]:
        found: list[list[float]] = page.evaluate(
            "[...document.querySelectorAll('.stage img')].map(i => new DOMMatrix(getComputedStyle(i).transform))"
            ".map(m => [m.a, m.e, m.f])"
        )
        assert all(one == pytest.approx(found[0], abs=0.1) for one in found)
        return found[0]

    box = page.locator(".stage").first.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    expect(page.locator("[data-zoomed]")).to_have_count(1)
    zoom, left, top = where()
    assert zoom > 1.5
    assert left == pytest.approx(box["width"] / 4 * (1 - zoom), abs=2)  # what is under the pointer stays there
    page.mouse.down()
    page.mouse.move(x - 20, y, steps=3)
    page.mouse.up()
    assert where() == pytest.approx([zoom, left - 20, top], abs=2)
    page.locator(".pictures").press("f")
    assert where() == [1, 0, 0]
    page.get_by_role("button", name="Zoom in").click()
    assert where()[0] == 1.25
    page.locator(".pictures").press("ArrowRight")
    assert where()[1] < 0


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_in_the_report(report: Path, read: Callable[..., Page], width: int, scheme: str) -> None:
    for file in (report / written.INDEX, report / written.TIMES, report / written.SCENES / "attic.html"):
        page = read(file, width, 844, scheme)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert findings(page) == []
