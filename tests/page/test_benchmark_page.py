"""The page's section on the benchmark, in a real browser."""

from __future__ import annotations

from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

from app import command_line
from fusion.benchmark import report as written
from fusion.metrics import METRICS
from fusion.page import benchmark
from fusion.page.texts import LANGUAGES
from tests import reports
from tests.visitor import Open, findings, fuse, needs_chromium, quiet_server, tile

pytestmark = quiet_server


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report that the page of this file shows."""
    folder = tmp_path_factory.mktemp("served") / "report"
    folder.mkdir()
    reports.write(folder)
    written.write(folder)
    (folder.parent / "secret.html").write_text("not part of it")
    (folder / "link.html").symlink_to(folder.parent / "secret.html")
    return folder


def opened(page: Page) -> Page:
    page.locator("#benchmark button").first.click()
    page.locator("#benchmark [data-measure=vif]").wait_for()
    return page


@needs_chromium
def test_the_report_is_read_once_its_section_is_opened(open_page: Open) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    assert page.locator("#benchmark iframe").count() == 0
    opened(page)
    assert any("index.html" in url for url in asked)
    frame = page.frame_locator("#benchmark iframe")
    expect(frame.locator("h1")).to_have_text("Exposure fusion benchmark: made-up")
    frame.locator("#means th[data-metric=mef_ssim] button").click()
    frame.locator("#means th[data-metric=mef_ssim] button").click()
    expect(frame.locator("#means tbody th").first).to_contain_text("Theirs")
    frame.get_by_role("link", name="attic").first.click()
    expect(frame.locator("h1")).to_have_text("attic")
    picture = frame.locator(".stage img").last
    expect(picture).to_have_js_property("complete", value=True)
    assert picture.evaluate("image => image.naturalWidth") == 96
    assert findings(page) == []


@needs_chromium
def test_a_metrics_name_leads_to_how_it_measures(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page(width=390, height=844)
    fuse(page, *pair)
    tile(page, "mertens").locator(".numbers summary").click()
    tile(page, "mertens").get_by_role("link", name="VIF").click()
    measure = page.locator("#benchmark [data-measure=vif]")
    expect(measure).to_be_in_viewport()
    expect(measure).to_be_focused()
    vif = next(metric for metric in METRICS if metric.name == "vif")
    expect(measure).to_contain_text(vif.caution)
    expect(measure).to_contain_text("Higher is better. Range: from 0.")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.get_by_role("link", name="How we measure").click()
    expect(page.locator("#benchmark").get_by_role("heading", name="How we measure")).to_be_in_viewport()


def test_only_the_report_is_served(address: str) -> None:
    with urlopen(f"{address}benchmark/index.html") as answer:
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "sandbox allow-scripts" in answer.headers["Content-Security-Policy"]
    for elsewhere in ("benchmark/../secret.html", "benchmark/%2e%2e/secret.html", "benchmark/link.html", "benchmark/"):
        with pytest.raises(HTTPError, match="404"):
            urlopen(address + elsewhere)


# Without a browser.


def test_a_report_is_named_on_the_command_line(monkeypatch: pytest.MonkeyPatch, report: Path) -> None:
    monkeypatch.setenv("MAMBAMEF_REPORT", "elsewhere")
    assert command_line().parse_args(["--report", str(report)]).report == str(report)
    assert command_line().parse_args([]).report == "elsewhere"
    assert benchmark.find_report(str(report)) == report
    assert benchmark.find_report("elsewhere") is None


def test_without_a_report_the_section_says_so() -> None:
    assert benchmark.find_report(None) is None
    shown = benchmark.section(METRICS, shows_report=False)
    assert shown["report"] == ""
    assert [one["name"] for one in shown["metrics"]] == [metric.name for metric in METRICS]


@pytest.mark.parametrize("language", LANGUAGES)
def test_ranges_and_directions_are_told_in_every_language(language: str) -> None:
    text = LANGUAGES[language]
    facts = {one["name"]: one["facts"] for one in benchmark.section(METRICS, text, shows_report=True)["metrics"]}
    assert facts["mef_ssim"].startswith(text["benchmark"]["higher"])
    assert facts["ce"].startswith(text["benchmark"]["lower"])
