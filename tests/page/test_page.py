"""The page in a real browser: a server in this process, Debian's Chromium, a small pair of photographs."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page, expect

import fusion
from fusion.benchmark import templates
from fusion.cli import main
from fusion.io.image import save
from fusion.methods import method_named
from fusion.metrics import METRICS
from fusion.metrics.base import Metric
from fusion.page import examples, gallery, layout, modules, views
from fusion.page.gallery import Run, Stage, Tile, TileState, follow
from fusion.page.job_queue import JobQueue
from fusion.page.run_cache import RunCache
from fusion.page.services import Services, compare_with
from fusion.page.texts import ENGLISH, LANGUAGES, Texts
from fusion.pipeline import Event, Failed, Fused, Running, Scored, by_method, compare
from fusion.settings import Settings
from tests.shared_session import SESSION, load
from tests.visitor import METHODS, Open, choose, findings, fuse, needs_chromium, quiet_server, tile

pytestmark = quiet_server


@pytest.fixture
def gate(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The last method begins only once this is set."""
    gate = threading.Event()

    def events(files: list[str], methods: list[str], settings: Settings, **_: bool) -> Iterator[Event]:
        for event in SESSION.compare(files, methods, settings):
            if isinstance(event, Running) and event.method.name == methods[-1]:
                assert gate.wait(30)
            yield event

    monkeypatch.setattr(services, "compare", events)
    monkeypatch.setattr(services, "runs", RunCache())
    yield gate
    gate.set()


@needs_chromium
def test_a_metric_ticked_meanwhile_stays(open_page: Open, gate: threading.Event, pair: tuple[Path, Path]) -> None:
    page = open_page()
    page.get_by_role("button", name="Metrics").first.click()
    page.locator("#metrics").get_by_label("Cross entropy").uncheck()
    choose(page, *pair)
    page.locator("#fuse").click()
    expect(tile(page, "mertens")).to_contain_text("MEF-SSIM")
    expect(tile(page, "mertens")).not_to_contain_text("Cross entropy")
    page.locator("#metrics").get_by_label("Cross entropy").check()
    expect(tile(page, "mertens")).to_contain_text("Cross entropy")
    gate.set()
    page.locator(".status.done").wait_for()
    for name in METHODS:
        expect(tile(page, name)).to_contain_text("Cross entropy")


@needs_chromium
def test_tiles_fill_one_by_one(open_page: Open, gate: threading.Event, pair: tuple[Path, Path]) -> None:
    page = open_page()
    choose(page, *pair)
    page.locator("#fuse").click()
    expect(tile(page, "mertens").locator("img")).to_be_visible()
    expect(tile(page, "under").locator("img")).to_have_attribute("alt", "Under-exposed, photograph")
    expect(tile(page, "mertens-torch")).to_have_text("Waiting Mertens (4-level port)")
    expect(page.locator(".status")).to_have_class("status busy")
    assert page.locator(".best").count() == 0
    # Opened below one picture, the metrics are open below all, and stay so as the last tile arrives.
    numbers = tile(page, "mertens").locator(".numbers")
    expect(numbers.locator("dl")).to_be_hidden()
    numbers.locator("summary").press("Enter")
    # Zoomed in meanwhile, the sheet keeps its place as the last tile arrives.
    page.get_by_role("button", name="Zoom in").click()
    assert scale(page) == 1.25
    page.get_by_role("button", name="Difference", exact=True).click()
    page.get_by_label("Difference to").select_option(label="Over-exposed")
    gate.set()
    expect(tile(page, "mertens-torch").locator("img")).to_be_visible()
    page.locator(".status.done").wait_for()
    assert scale(page) == 1.25
    expect(tile(page, "mertens-torch").locator(".measure")).to_contain_text("levels apart on average")
    tile(page, "over").scroll_into_view_if_needed()
    expect(tile(page, "over").locator(".measure")).to_have_text("All others are compared with this one")
    assert page.locator(".best").count() >= 3
    for name in METHODS:
        expect(tile(page, name).locator("dl")).to_be_visible()
    tile(page, "mertens-torch").locator("summary").click()
    for name in METHODS:
        expect(tile(page, name).locator("dl")).to_be_hidden()
    expect(tile(page, "mertens").locator("dt").first).to_have_text("VIF ↑")


@needs_chromium
def test_stop_keeps_what_is_done(open_page: Open, gate: threading.Event, pair: tuple[Path, Path]) -> None:
    page = open_page()
    choose(page, *pair)
    page.locator("#fuse").click()
    expect(tile(page, "mertens").locator("img")).to_be_visible()
    page.locator("#stop").click()
    expect(tile(page, "mertens-torch")).to_have_class("tile failed")
    expect(page.locator(".status")).to_contain_text("Stopped with 1 of 2 methods done.")
    gate.set()
    expect(tile(page, "mertens").locator("img")).to_be_visible()


@needs_chromium
def test_a_stop_before_the_first_picture_leaves_the_earlier_run(
    open_page: Open, gate: threading.Event, pair: tuple[Path, Path]
) -> None:
    gate.set()
    page = open_page()
    fuse(page, *pair)
    page.get_by_role("button", name="Difference", exact=True).click()
    page.get_by_label("Difference to").select_option("mertens-torch")
    gate.clear()
    other = open_page()
    other.get_by_label("Align hand-held exposures").uncheck()  # or it would be the same run
    choose(other, *pair)
    other.locator("#fuse").click()
    expect(tile(other, "mertens").locator("img")).to_be_visible()
    page.get_by_label("Remove all ghosts").check()
    page.locator("#fuse").click()
    expect(page.locator(".status")).to_contain_text("You are number 1 in line")
    page.locator("#stop").click()
    expect(page.locator(".status")).not_to_contain_text("in line")
    assert page.locator(".row[open] .tile").count() == 4
    # A reference that has no picture in the next run gives way to one that has.
    gate.set()
    other.locator(".status.done").wait_for()
    gate.clear()
    page.locator("#fuse").click()
    expect(tile(page, "mertens-torch")).to_contain_text("Waiting")
    expect(tile(page, "mertens").locator("img")).to_be_visible()  # or it would be stopped as well
    page.locator("#stop").click()
    page.locator(".tile.failed").wait_for()
    tile(page, "under").scroll_into_view_if_needed()
    expect(tile(page, "under").locator(".measure")).not_to_be_empty()
    expect(page.get_by_label("Difference to")).to_have_value("mertens")


@needs_chromium
def test_fuse_works_right_after_stop(open_page: Open, gate: threading.Event, pair: tuple[Path, Path]) -> None:
    page = open_page()
    choose(page, *pair)
    page.locator("#fuse").click()
    expect(tile(page, "mertens").locator("img")).to_be_visible()
    page.locator("#stop").click()
    page.locator("#fuse").click()
    gate.set()
    expect(tile(page, "mertens-torch").locator("img")).to_be_visible()
    page.locator(".status.done").wait_for()
    expect(page.locator(".status")).to_contain_text("2 of 2 methods")


@needs_chromium
def test_a_failed_method_leaves_the_others(
    open_page: Open, services: Services, monkeypatch: pytest.MonkeyPatch, pair: tuple[Path, Path]
) -> None:
    sentence = "There was not enough memory for this picture; try a smaller one."

    def events(files: list[str], methods: list[str], settings: Settings, **_: bool) -> Iterator[Event]:
        for event in SESSION.compare(files, methods, settings):
            if isinstance(event, (Fused, Scored)) and event.method.name == "mertens":
                yield Failed(event.method, sentence)
            else:
                yield event

    monkeypatch.setattr(services, "compare", events)
    monkeypatch.setattr(services, "runs", RunCache())
    page = open_page()
    fuse(page, *pair)
    expect(tile(page, "mertens").locator(".place")).to_have_text(sentence)
    expect(tile(page, "mertens-torch").locator("img")).to_be_visible()
    expect(page.locator(".status")).to_contain_text("1 of 2 methods")


def where(page: Page) -> tuple[float, float, float]:
    """Zoom and offset in pixels, once they were found to be those of all tiles."""
    images = "[...document.querySelectorAll('.row[open] .tile .stage img')]"
    script = f"{images}.map(i => new DOMMatrix(getComputedStyle(i).transform))"
    found = page.evaluate(f"{script}.map(m => [m.a, m.e, m.f])")
    assert all(one == pytest.approx(found[0], abs=0.1) for one in found)
    return found[0]


def scale(page: Page) -> float:
    """The zoom of all tiles."""
    return where(page)[0]


@needs_chromium
def test_zoom_and_pan_move_all_tiles(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *pair)
    stage = tile(page, "mertens").locator(".stage")
    stage.scroll_into_view_if_needed()
    assert scale(page) == 1
    box = stage.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.wheel(0, 1)
    assert scale(page) == 1  # without a key, the page scrolls
    page.mouse.wheel(0, -1)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    page.wait_for_function("document.querySelector('#sheet [data-zoomed]')")
    zoomed, x, y = where(page)
    assert zoomed > 1.5
    # The point under the pointer stayed: a quarter of the enlargement lies to the left and above.
    assert x == pytest.approx(box["width"] / 4 * (1 - zoomed), abs=2)
    assert y == pytest.approx(box["height"] / 4 * (1 - zoomed), abs=2)

    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4 - 30, box["y"] + box["height"] / 4, steps=3)
    page.mouse.up()
    assert where(page)[1] == pytest.approx(x - 30, abs=2)

    stage.dblclick()
    assert scale(page) == 1
    stage.dblclick()
    expect(page.locator(".percent")).to_have_text("100 %")
    page.locator(".grid").focus()
    page.keyboard.press("+")
    expect(page.locator(".percent")).to_have_text("125 %")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("-")
    page.keyboard.press("f")
    assert scale(page) == 1
    page.get_by_role("button", name="One picture pixel").click()
    expect(page.locator(".percent")).to_have_text("100 %")


@needs_chromium
def test_the_lossless_picture_is_shown_where_the_preview_is_too_small(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *pair)
    image = tile(page, "mertens").locator("img")
    image.scroll_into_view_if_needed()
    page.locator(".grid").press("+")
    page.locator(".grid").press("+")
    assert (image.get_attribute("src") or "").endswith("mertens.png")


@needs_chromium
def test_hold_shows_a_source_in_that_tile(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *pair)

    def shown() -> list[str]:
        return [Path(str(tile(page, name).locator("img").get_attribute("src"))).stem for name in METHODS]

    button = tile(page, "mertens").get_by_role("button", name="Hold to see the under-exposed")
    button.hover()
    page.mouse.down()
    assert shown() == ["under", "mertens-torch"]
    expect(button).to_have_attribute("aria-pressed", "true")
    page.mouse.up()
    assert shown() == METHODS
    tile(page, "mertens-torch").get_by_role("button", name="Hold to see the over-exposed").hover()
    page.mouse.down()  # the focus leaves the other tile's button
    assert shown() == ["mertens", "over"]
    page.mouse.up()
    assert shown() == METHODS
    button.focus()
    page.keyboard.down(" ")
    assert shown() == ["under", "mertens-torch"]
    page.keyboard.up(" ")
    assert shown() == METHODS
    page.locator(".grid").focus()
    page.keyboard.down("o")
    assert shown() == ["over", "over"]
    page.keyboard.up("o")
    assert shown() == METHODS


@needs_chromium
def test_the_table_sorts(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *pair)
    table = page.locator("#table")
    for metric in METRICS:
        expect(table.get_by_text(metric.titled).first).to_be_attached()
    methods = table.locator(".body-cell.first-column")
    titles = ["Mertens", "Mertens (4-level port)"]
    for direction, order in (("ascending", titles), ("descending", titles[::-1])):
        table.locator("th[title='Method']").first.hover()
        table.locator("th[title='Method'] button").first.click()
        page.get_by_role("menuitem", name=f"Sort {direction}").click()
        expect(methods).to_have_text(order)


@needs_chromium
def test_downloads(open_page: Open, pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = open_page()
    fuse(page, *pair)
    with page.expect_download() as download:
        tile(page, "mertens").get_by_role("link", name="Download Fused with Mertens").click()
    assert download.value.suggested_filename == "mertens.png"
    downloaded = Path(download.value.path()).read_bytes()

    save(fusion.fuse(*pair, method="mertens"), tmp_path / "api.png", bits=8)
    assert downloaded == (tmp_path / "api.png").read_bytes()
    assert main(["fuse", *map(str, pair), "-m", "mertens", "-o", str(tmp_path / "cli.png")]) == 0
    assert downloaded == (tmp_path / "cli.png").read_bytes()

    expect(page.locator("#csv")).to_be_enabled()
    with page.expect_download() as download:
        page.locator("#csv").click()
    csv = Path(download.value.path()).read_text()
    assert csv.startswith("method,seconds,score,")

    with page.expect_download() as download:
        page.locator("#zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        members = set(archive.namelist())
        assert members >= {"under.png", "over.png", "mertens.png", "mertens-torch.png", "metrics.csv", "settings.json"}
        assert members <= {*(f"{name}.png" for name in ("under-iat", "over-iat")), *members}
        assert archive.read("mertens.png") == downloaded
        assert archive.read("metrics.csv").decode() == csv
        told = json.loads(archive.read("settings.json"))
        assert told["methods"] == METHODS
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in pair]
        assert told["sources"] == [{"name": path.name, "sha256": one} for path, one in zip(pair, hashes, strict=True)]
        assert told["settings"]["align"] is True
        assert told["size"] == told["measured_at"] == told["seen_at"]["mertens"] == {"width": 320, "height": 240}


@needs_chromium
def test_a_swapped_pair_is_put_right(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, pair[1], pair[0])
    assert [image.get_attribute("alt") for image in page.locator("#tray img").all()] == ["under.png", "over.png"]
    means = page.evaluate(
        """() => ["under", "over"].map(name => {
            const canvas = document.createElement("canvas").getContext("2d");
            canvas.drawImage(document.querySelector(`[data-name=${name}] img`), 0, 0, 1, 1);
            return canvas.getImageData(0, 0, 1, 1).data[0];
        })"""
    )
    assert means[0] < means[1]


@needs_chromium
def test_bad_pairs_give_sentences(open_page: Open, pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = open_page()
    page.locator("#fuse").click()
    expect(page.locator(".status.problem")).to_contain_text("Choose two photographs first")

    save(load(pair[0]).photo[:, :-8], tmp_path / "shorter.png")
    (tmp_path / "text.png").write_text("no picture")
    choose(page, pair[0])
    page.locator("#fuse").click()
    expect(page.locator(".status.problem")).to_contain_text("Add at least one more exposure")
    for second, sentence in (
        (pair[0], "under.png was chosen already."),
        (tmp_path / "shorter.png", "shorter.png has 320 × 232 pixels and under.png has 320 × 240; choose equal sizes."),
        (tmp_path / "text.png", "text.png is not a JPEG, PNG, WebP, TIFF, BMP, HEIC, AVIF"),
    ):
        page.locator("#tray input[type=file]").set_input_files(second)
        expect(page.locator("#tray .problems")).to_contain_text(sentence)
        expect(page.locator("#tray .exposures img")).to_have_count(1)  # what was there stays
        assert page.locator(".tile").count() == 0


@needs_chromium
def test_an_example_takes_one_click_and_is_remembered(
    open_page: Open, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "runs", RunCache())
    page = open_page(theme="dark")
    page.get_by_label("Mertens (4-level port)").uncheck()
    page.get_by_role("button", name="Try the example Courtyard").click()
    page.locator(".status.done").wait_for()
    expect(tile(page, "mertens").locator("img")).to_be_visible()

    def never(*_: object) -> Iterator[Event]:
        raise AssertionError("the run was made a second time")
        yield

    monkeypatch.setattr(services, "compare", never)
    page = open_page()
    page.get_by_label("Mertens (4-level port)").uncheck()
    page.get_by_role("button", name="Try the example Courtyard").click()
    expect(tile(page, "mertens").locator("img")).to_be_visible()


@needs_chromium
def test_a_phone_has_no_sideways_scroll_and_everything_has_a_name(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page(width=390, height=844)
    wider = "document.documentElement.scrollWidth - innerWidth"
    assert page.evaluate(wider) <= 0
    fuse(page, *pair)
    page.locator("#about button").click()
    assert page.evaluate(wider) <= 0
    nameless = """[...document.querySelectorAll('#sheet button, #sheet a, #strip button')]
        .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim())).length"""
    assert page.evaluate(nameless) == 0
    assert page.evaluate("[...document.querySelectorAll('#sheet img[src]')].filter(i => !i.alt).length") == 0


@needs_chromium
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_axe_finds_nothing(
    open_page: Open, gate: threading.Event, pair: tuple[Path, Path], width: int, theme: str
) -> None:
    def opened() -> Page:
        page = open_page(width=width, theme=theme)
        page.add_style_tag(content="* { transition: none !important }")  # or colours between two are looked at
        for closed in ("Metrics", "Method settings", "About"):
            page.get_by_role("button", name=closed).first.click()
        page.locator(".described summary").click()
        return page

    page = opened()
    page.locator("#fuse").click()
    page.locator(".status.problem").wait_for()
    assert findings(page) == []

    choose(page, *pair)
    page.locator("#fuse").click()
    expect(tile(page, "mertens").locator("img")).to_be_visible()
    expect(page.locator("#zip")).to_be_visible()
    assert findings(page) == []  # one tile done, one waiting
    page.locator("#stop").click()
    page.locator(".tile.failed").wait_for()
    assert findings(page) == []

    gate.set()
    page = opened()
    fuse(page, *pair)
    expect(page.locator("#zip")).to_be_enabled()
    assert findings(page) == []
    page.locator(".numbers summary").first.click()
    expect(page.locator(".numbers dl").last).to_be_visible()
    assert findings(page) == []
    for tool in ("Difference", "Histogram", "Region", "Blind vote", "Weights"):
        page.get_by_role("button", name=tool, exact=True).click()
        assert findings(page) == []


# Without a browser.


def scored(name: str, seen: tuple[int, int] = (10, 10), **scores: float) -> Scored:
    fused = Fused(method_named(name), torch.empty(0), 0.5, seen)
    return Scored(fused, {m.name: scores.get(m.name, 1.0) for m in METRICS}, 0.1)


def run_of(*outcomes: Scored, folder: Path = Path()) -> Run:
    tiles = tuple(
        Tile(one.method.name, one.method.title, state=TileState.DONE, fused=one.fused, scored=one) for one in outcomes
    )
    return Run(folder, tuple(one.method for one in outcomes), tiles, (2000, 3000), stage=Stage.DONE)


def results(run: Run, metrics: Sequence[Metric], text: Texts = ENGLISH) -> list[dict[str, Any]]:
    """The tiles of the methods' results."""
    return views.sheet(run, metrics, text)["rows"][0]["tiles"]


def test_the_best_is_marked_in_the_metrics_own_direction() -> None:
    run = run_of(scored("mertens", ssim=0.9, ce=1.5), scored("mertens-torch", ssim=0.8, ce=0.5))
    chosen = [metric for metric in METRICS if metric.name in ("ssim", "ce", "vif")]
    marks = [{score["name"]: score["best"] for score in one["scores"]} for one in results(run, chosen)]
    assert marks == [{"ssim": True, "ce": False, "vif": False}, {"ssim": False, "ce": True, "vif": False}]


def test_nothing_is_best_alone() -> None:
    tile = results(run_of(scored("mertens")), METRICS)[0]
    assert not any(score["best"] for score in tile["scores"])
    assert "standing" not in tile


def test_what_looks_equal_is_not_called_better() -> None:
    run = run_of(scored("mertens", ssim=0.9001, vif=0.7), scored("mertens-torch", ssim=0.8999, vif=0.6))
    chosen = [metric for metric in METRICS if metric.name in ("ssim", "vif")]
    best = [score["name"] for tile in results(run, chosen) for score in tile["scores"] if score["best"]]
    assert best == ["vif"]


def test_the_best_score_stands_first_once_the_run_is_done_and_ties_are_told() -> None:
    points = {"mertens": 70.0, "mertens-torch": 88.4, "pyramef": 88.5, "meflut": 86.5}
    run = run_of(*(scored(name, score=value) for name, value in points.items()))
    run = replace(run, tiles=(Tile("under"), Tile("deepfuse", "DeepFuse", state=TileState.FAILED), *run.tiles))
    run = replace(run, methods=(method_named("deepfuse"), *run.methods))

    def shown(stage: Stage) -> list[tuple[str, str, str, str]]:
        rows = views.sheet(replace(run, stage=stage), METRICS)["rows"]
        tiles = [tile for row in rows for tile in row["tiles"]]
        return [(one["name"], one["key"], one.get("score", ""), one.get("standing", "")) for one in tiles]

    for stage in (Stage.DONE, Stage.STOPPED):
        assert shown(stage) == [
            ("pyramef", "1", "Score 88", "Best score"),
            ("mertens-torch", "2", "Score 88", "Equal to the best"),
            ("meflut", "3", "Score 86", ""),  # 2 points are no tie
            ("mertens", "4", "Score 70", ""),
            ("deepfuse", "5", "", ""),
            ("under", "", "", ""),
        ]
    # Meanwhile nothing jumps, and nothing is called the best before all are there.
    assert [name for name, *_ in shown(Stage.FUSING)] == ["deepfuse", *points, "under"]
    assert {standing for *_, standing in shown(Stage.FUSING)} == {""}


def test_words_that_compare_wait_for_the_end_of_the_run() -> None:
    def outcome(name: str, mef_ssim: float) -> Scored:
        return scored(name, mef_ssim=mef_ssim, lost_highlights=0.0051, lost_shadows=0, halo=0, added_grain=0)

    run = run_of(outcome("mertens", 0.9), outcome("mertens-torch", 0.8))

    def said(stage: Stage, text: Texts = ENGLISH) -> list[str]:
        return [word["text"] for word in results(replace(run, stage=stage), METRICS, text)[0]["words"]]

    assert said(Stage.FUSING) == ["0.5 % clipped", "natural colour"]
    assert said(Stage.DONE) == ["0.5 % clipped", "keeps the most detail", "natural colour"]
    assert said(Stage.DONE, LANGUAGES["de"]) == ["0.5 % ausgebrannt", "zeigt am meisten Details", "natürliche Farben"]


def test_metrics_stand_in_the_order_of_their_agreement_with_people() -> None:
    run = run_of(scored("mertens"))
    shown = results(run, METRICS)[0]["scores"]
    agreement = {metric.name: metric.agreement for metric in METRICS}
    order = [agreement[score["name"]] or -1 for score in shown]
    assert order == sorted(order, reverse=True)
    assert [score["against"] for score in shown] == [value < 0 for value in order]
    assert [score["title"] for score in shown] == views.table_headers(METRICS)[2:]
    unknown = replace(METRICS[0], agreement=None)
    assert views.by_agreement([unknown, *METRICS])[-1] is unknown


def test_the_sheet_holds_plain_values_only() -> None:
    assert json.loads(json.dumps(views.sheet(run_of(scored("mertens")), METRICS)))


def test_a_tile_says_what_its_network_saw() -> None:
    whole, part = scored("mertens"), scored("pyramef", seen=(4, 5))
    run = replace(run_of(whole, part), size=(10, 10))
    tiles = results(run, METRICS)
    assert [tile["reduced"] for tile in tiles] == ["", "computed at 5 × 4, upscaled"]


def test_a_picture_is_shown_before_it_is_measured() -> None:
    run = run_of(scored("mertens"))
    run = replace(run, tiles=(replace(run.tiles[0], scored=None),))
    assert {score["value"] for score in results(run, METRICS)[0]["scores"]} == {"…"}
    assert not views.table(run, METRICS)


def test_lossless_pictures_of_large_photographs_come_behind_and_all_of_them(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "AT_ONCE", 0)
    run = Run(tmp_path, (method_named("mertens"), method_named("meflut")))
    runs = list(follow(compare(*pair, ["mertens", "meflut"]), run))
    assert len(runs[0].finished) == 2  # both photographs are shown as soon as they are read
    last = runs[-1]
    assert [tile.name for tile in last.finished] == ["under", "over", "under-iat", "over-iat", "mertens", "meflut"]
    assert (tmp_path / "mertens-view.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    for shown in last.finished:
        assert shown.picture
        assert shown.picture.read_bytes().startswith(b"\x89PNG")


def test_a_reduced_copy_for_the_metrics_is_said() -> None:
    run = run_of(scored("mertens"))
    assert any("1 megapixel." in note for note in views.status(run)["notes"])
    assert not views.status(replace(run, size=(200, 300)))["notes"]


def test_a_run_whose_files_are_gone_is_forgotten(tmp_path: Path) -> None:
    picture = tmp_path / "mertens.png"
    picture.touch()
    run = run_of(scored("mertens"), folder=tmp_path)
    run = replace(run, tiles=(replace(run.tiles[0], picture=picture, preview=picture),))
    asked = [method_named("mertens")], Settings()
    cache = RunCache(limit=1)
    cache.put(("a",), run)
    cache.show(run)
    assert cache.recall(("a",), *asked) == ({"mertens": run.tiles[0]}, run)
    assert cache.shown(tmp_path.name) is run
    picture.unlink()
    assert cache.recall(("a",), *asked) == ({}, None)
    assert cache.shown(tmp_path.name) is None
    picture.touch()
    cache.put(("b",), run)
    cache.put(("c",), run)
    assert cache.recall(("b",), *asked) == ({}, None)


def test_what_failed_is_made_again_and_nothing_else(tmp_path: Path) -> None:
    picture = tmp_path / "mertens.png"
    picture.touch()
    run = run_of(scored("mertens"), folder=tmp_path)
    done, failed = replace(run.tiles[0], picture=picture), Tile("meflut", "1-D LUT", state=TileState.FAILED)
    both = method_named("mertens"), method_named("meflut")
    cache = RunCache()
    cache.put(("a",), replace(run, methods=both, tiles=(done, failed)))
    assert cache.recall(("a",), both, Settings()) == ({"mertens": done}, None)
    kept, whole = cache.recall(("a",), both[:1], Settings())
    assert kept == {"mertens": done}
    assert whole
    assert whole.tiles == (done,)
    assert cache.recall(("a",), both, Settings(options={"mertens": {"contrast": 0.5}})) == ({}, None)


def test_one_more_method_is_the_only_one_that_is_made(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    def noted(files: list[str], methods: list[str], settings: Settings, **_: bool) -> Iterator[Event]:
        made.append(methods)
        return SESSION.compare(files, methods, settings)

    monkeypatch.setattr(services, "compare", noted)
    monkeypatch.setattr(services, "runs", RunCache())
    files = [str(path) for path in (examples.shipped()[0].under, examples.shipped()[0].over)]

    def last(methods: list[str]) -> Run:
        run = list(services.run(files, methods, Settings(align=False), wanted=lambda: True))[-1]
        assert isinstance(run, Run)
        return run

    first = last(["mertens"])
    second = last(["mertens", "meflut"])
    assert made == [["mertens"], ["meflut"]]
    assert second.stage is Stage.DONE
    assert [tile.name for tile in second.tiles if tile.scored] == ["mertens", "meflut"]
    assert second.tile("mertens") == first.tile("mertens")
    third = last(["meflut"])
    assert made == [["mertens"], ["meflut"]]
    assert [tile.name for tile in third.tiles if tile.scored] == ["meflut"]


def test_runs_with_other_options_are_other_runs(pair: tuple[Path, Path], tmp_path: Path) -> None:
    services = Services(SESSION, compare_with(SESSION), JobQueue(tmp_path))

    def last(contrast: float) -> Run:
        options = by_method([("mertens.contrast", contrast), ("pyramef.detail", 1.3)])
        files = [str(path) for path in pair]
        made = services.run(files, ["mertens"], Settings(align=False, options=options), wanted=lambda: True)
        run = list(made)[-1]
        assert isinstance(run, Run)
        return run

    half, plain = last(0.5), last(1)
    assert last(0.5).tile("mertens") == half.tile("mertens")
    assert plain is not half
    assert half.settings.options == {"mertens": {"contrast": 0.5}}
    assert plain.settings.options == {}  # of methods that are not among the chosen, options do not count


def test_nobody_waits_for_the_weights_to_be_checked_again(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = {handler.name: handler.fn for handler in layout.build(services).fns.values()}

    def checked_again(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("fusion.runtime.weights.unusable", checked_again)
    show_options = handlers["show_options"]
    assert callable(show_options)
    assert show_options(["mertens"])


def test_programs_are_offered_four_endpoints_which_share_the_visitors_limit(services: Services) -> None:
    handlers = {handler.api_name: handler for handler in layout.build(services).fns.values()}
    public = {name: one.concurrency_id for name, one in handlers.items() if one.api_visibility == "public"}
    assert set(public) == {"fuse", "compare", "metrics", "methods"}
    assert public["fuse"] == public["compare"] == public["metrics"] == handlers["fuse_1"].concurrency_id
    assert public["methods"] != public["fuse"]


@pytest.mark.parametrize(
    "path",
    [
        path
        for folder in (modules.PAGE, modules.SHARED, templates.STATIC)
        for path in sorted(folder.iterdir())
        if path.suffix in {".html", ".css", ".js"}
    ],
)
def test_no_part_of_the_page_comes_from_elsewhere(path: Path) -> None:
    assert not re.search(r"(?:https?:|url\(|@import|src=\"/)", path.read_text())


def test_no_sentence_can_become_a_program() -> None:
    """Gradio evaluates a filled template as JavaScript's template literal."""
    sentence = "It is called ${alert(1)}; rename it."
    run = replace(run_of(scored("mertens")), notes=(sentence,))
    failed = replace(run.tiles[0], state=TileState.FAILED, reason=sentence)
    for shown in (
        views.problem(sentence),
        views.status(run),
        views.sheet(replace(run, tiles=(failed,)), METRICS),
    ):
        assert "$" not in json.dumps(shown)
