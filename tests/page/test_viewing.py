"""The tools above the contact sheet, in a real browser: what they show is compared with the pictures' own pixels."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

from fusion.io.image import ExposurePair, save, to_uint8
from fusion.methods import method_named
from fusion.outputs.drawings import draw_weights
from fusion.page import examples
from fusion.page.gallery import Run, follow
from fusion.page.handlers import Handlers
from fusion.page.run_cache import RunCache
from fusion.page.services import Services
from fusion.pipeline import compare
from tests.shared_session import load, weight_maps
from tests.visitor import METHODS, Open, fuse, needs_chromium, quiet_server, tile

pytestmark = quiet_server

TOOLS = ["Difference", "Histogram", "Region", "Blind vote", "Weights"]
PICTURES = [*METHODS, "under", "over"]
"""Those that are not folded, since neither method uses IAT."""
LABELS = ["Mertens", "Mertens (4-level port)", "Under-exposed", "Over-exposed"]
INFERNO = [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)]
BLUE, RED = [30, 136, 255, 255], [255, 45, 40, 255]


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two colours a photograph: 100 levels apart on the left, 215 on the right; half of each photograph is clipped."""
    folder = tmp_path_factory.mktemp("flat")
    paths = folder / "under.png", folder / "over.png"
    for path, *colours in ((paths[0], (0, 0, 0), (20, 30, 40)), (paths[1], (100, 100, 100), (200, 60, 255))):
        halves = [torch.tensor(colour).view(3, 1, 1).expand(3, 240, 160) / 255 for colour in colours]
        save(torch.cat(halves, 2), path)
    return paths


def press(page: Page, tool: str) -> None:
    page.get_by_role("button", name=tool, exact=True).click()


def keys(page: Page, *names: str) -> None:
    page.locator(".grid").focus()
    for name in names:
        page.keyboard.press(name)


def laid(page: Page, name: str, x: float, y: float) -> list[int]:
    """RGBA of what lies over a tile's picture, at a point in widths and heights of the tile."""
    return (
        tile(page, name)
        .locator(".overlay")
        .evaluate(
            """(canvas, [x, y]) => [...canvas.getContext("2d")
            .getImageData(Math.floor(canvas.width * x), Math.floor(canvas.height * y), 1, 1).data]""",
            [x, y],
        )
    )


def heat(level: int) -> object:
    """The heat map's colour for a level, worked out anew; to be met within rounding."""
    stop = min(int(level / 255 * 4), 3)
    low, high = list(pairwise(INFERNO))[stop]
    share = level / 255 * 4 - stop
    return pytest.approx([*(a + (b - a) * share for a, b in zip(low, high, strict=True)), 255], abs=1)


@needs_chromium
def test_the_heat_map_has_the_colour_of_the_difference(open_page: Open, flat: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *flat)
    measure, overlay = (tile(page, "over").locator(css) for css in (".measure", ".overlay"))
    expect(overlay).to_be_hidden()

    press(page, "Difference")
    page.get_by_label("Gain").select_option("1")
    page.get_by_label("Difference to").select_option(label="Under-exposed")
    tile(page, "over").scroll_into_view_if_needed()
    expect(measure).to_contain_text("levels apart on average, 215 at most")
    assert laid(page, "over", 0.25, 0.5) == heat(100)
    assert laid(page, "over", 0.75, 0.5) == heat(215)
    expect(page.locator(".top")).to_have_text("≥ 255")
    expect(tile(page, "under").locator(".measure")).to_have_text("All others are compared with this one")

    page.get_by_label("Gain").select_option("2")
    expect(page.locator(".top")).to_have_text("≥ 128")
    assert laid(page, "over", 0.25, 0.5) == heat(200)
    assert laid(page, "over", 0.75, 0.5) == heat(255)

    # Of the left half alone, once nothing else is in sight.
    keys(page, *"++++", *["ArrowLeft"] * 9)
    expect(measure).to_have_text("100.0 levels apart on average, 100 at most")
    assert laid(page, "over", 0.75, 0.5) == heat(200)

    # While another picture is held, that picture is seen.
    page.keyboard.down("u")
    expect(overlay).to_be_hidden()
    page.keyboard.up("u")
    expect(overlay).to_be_visible()
    page.keyboard.press("Escape")
    expect(overlay).to_be_hidden()
    expect(measure).to_be_hidden()


@needs_chromium
def test_clipped_pixels_are_counted_and_marked(open_page: Open, flat: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *flat)
    press(page, "Histogram")
    under, over = (tile(page, name).locator(".measure") for name in ("under", "over"))
    tile(page, "under").scroll_into_view_if_needed()  # what is not in sight is not measured, and has no size
    expect(under).to_have_text("50 % with a channel at 0, 0 % at 255")
    expect(over).to_have_text("0 % with a channel at 0, 50 % at 255")
    assert laid(page, "under", 0.25, 0.5) == BLUE
    assert laid(page, "under", 0.75, 0.5)[3] == 0
    assert laid(page, "over", 0.25, 0.5)[3] == 0
    assert laid(page, "over", 0.75, 0.5) == RED
    page.get_by_label("Mark clipped pixels").uncheck()
    expect(tile(page, "over").locator(".overlay")).to_have_attribute("width", "0")
    expect(page.get_by_role("img", name="Histogram of Over-exposed", exact=True)).to_be_visible()


@needs_chromium
def test_the_histogram_peaks_at_the_pictures_levels(open_page: Open, flat: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *flat)
    press(page, "Histogram")
    tile(page, "over").scroll_into_view_if_needed()
    expect(tile(page, "over").locator(".measure")).to_contain_text("%")
    painted = tile(page, "over").locator("canvas.histogram").evaluate(
        """canvas => [...Array(256).keys()].filter(x =>
            canvas.getContext("2d").getImageData(x, 8, 1, 1).data[3] > 0)"""
    )  # fmt: skip
    # 100 in all channels; 200 and 60 in red and green; the luma of (200, 60, 255) is 124. 255 does not count.
    assert {near for level in (60, 100, 124, 200) for near in painted if abs(near - level) < 2}
    assert all(min(abs(x - level) for level in (60, 100, 124, 200, 255)) <= 2 for x in painted)


@needs_chromium
def test_the_weight_maps_colour_is_that_of_the_weight(open_page: Open, flat: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *flat)
    keys(page, "w")
    measure = tile(page, "mertens").locator(".measure")
    expect(measure).to_contain_text("On average ")
    tile(page, "mertens").scroll_into_view_if_needed()
    # Grey on black: exposedness alone tells them apart, and no contrast or colour but at the edge.
    under, over = (load(path).photo for path in flat)
    maps = weight_maps(ExposurePair(under, over), "mertens")
    wanted = draw_weights(maps)
    for x in (0.25, 0.75):
        colour = [*wanted[120, round(320 * x)].tolist(), 255]
        assert laid(page, "mertens", x, 0.5) == pytest.approx(colour, abs=2)
    shares = [f"{100 * float(each.mean()):.0f} %" for each in maps]
    expect(measure).to_have_text(f"On average {', '.join(shares)}, from dark to bright")
    # While a photograph is held, it is seen; and the tool closes by its own key.
    page.locator(".grid").focus()
    page.keyboard.down("u")
    expect(tile(page, "mertens").locator(".overlay")).to_be_hidden()
    page.keyboard.up("u")
    page.keyboard.press("w")
    expect(measure).to_be_hidden()


@needs_chromium
def test_weight_maps_are_there_again_where_the_same_is_asked_for_twice(
    open_page: Open, flat: tuple[Path, Path]
) -> None:
    page = open_page()
    fuse(page, *flat)
    keys(page, "w")
    expect(tile(page, "mertens").locator(".measure")).to_contain_text("On average ")
    ended: list[str] = []
    for end in ("requestfinished", "requestfailed"):  # the server and the browser both close the stream of events
        page.on(end, lambda request: ended.append(request.url))  # pyright: ignore[reportCallIssue, reportArgumentType]
    page.locator("#fuse").click()
    for _ in range(1200):
        if any("/queue/data" in url for url in ended):  # the same sheet has come
            break
        page.wait_for_timeout(50)
    else:
        pytest.fail("The sheet did not come within a minute.")
    tile(page, "mertens").scroll_into_view_if_needed()
    expect(tile(page, "mertens").locator(".measure")).to_contain_text("On average ")


def test_weight_maps_do_not_bring_an_earlier_run_back(
    services: Services, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    asked = gr.Request(headers={})
    page: Any = None  # neither of the two looks at a component
    handlers = Handlers(services, page, page)
    events = compare(*pair, METHODS, align=False, show_corrected=False)
    (tmp_path / "earlier").mkdir()
    run = list(follow(events, Run(tmp_path / "earlier", tuple(map(method_named, METHODS)))))[-1]
    made, said = handlers.weigh(run)
    assert made
    assert made.folder == run.folder
    assert "__type__" in said  # nothing to say
    taken, shown = handlers.take_weighed(run, made, [], asked)
    assert taken is made
    assert shown["rows"]
    later = Run(tmp_path / "later", run.methods)
    assert handlers.take_weighed(later, made, [], asked) == handlers.take_weighed(None, made, [], asked)
    assert "rows" not in handlers.take_weighed(later, made, [], asked)[1]


@needs_chromium
def test_options_and_presets_on_the_page(open_page: Open, pair: tuple[Path, Path]) -> None:
    # With a link, all methods are ticked at once, so that the sliders are drawn anew only once.
    page = open_page(query=f"&methods={','.join(METHODS)}")
    page.get_by_role("button", name="Method settings").click()
    expect(page.locator("#mertens-contrast")).to_be_visible()
    expect(page.locator("#pyramef-detail")).to_be_hidden()  # it is not ticked
    page.get_by_label("number input for Contrast").first.fill("0.5")
    page.keyboard.press("Tab")
    fuse(page, *pair)
    expect(tile(page, "mertens").locator(".changed")).to_have_text("Contrast 0.5")
    assert tile(page, "mertens-torch").locator(".changed").count() == 0

    page.get_by_label("Remove all ghosts").check()
    page.get_by_role("button", name="Crisp", exact=True).click()
    expect(page.locator("#pyramef-detail input[type=number]")).to_have_value("1.2")
    expect(page.locator("#mertens-contrast input[type=number]")).to_have_value("1")
    page.get_by_role("button", name="Quick look", exact=True).click()
    expect(page.get_by_label("Remove all ghosts")).not_to_be_checked()
    expect(page.locator("#pyramef-detail")).to_be_hidden()
    ticked = [box.get_attribute("name") for box in page.locator("#methods input:checked").all()]
    assert ticked == ["meflut", "mertens"]
    for name in ticked:
        page.locator(f"#methods input[name='{name}']").uncheck()
    expect(page.locator("#options")).to_be_hidden()


@needs_chromium
def test_a_link_sets_options(open_page: Open) -> None:
    page = open_page(query="&example=courtyard&methods=mertens&mertens.sigma=0.4")
    page.locator(".status.done").wait_for()
    expect(tile(page, "mertens").locator(".changed")).to_have_text("Sigma 0.4")
    address = page.get_by_role("link", name="Copy link").get_attribute("href")
    assert address == "?example=courtyard&methods=mertens&mertens.sigma=0.4"


def figure_of(page: Page, scale: int, tmp_path: Path) -> NDArray[np.uint8]:
    """The pixels of the downloaded figure, once it is made at this scale."""
    link = page.get_by_role("link", name="Download the figure as PNG")
    expect(link).to_have_attribute("download", re.compile(rf"^region-\d+-\d+-\d+x\d+-{scale}x\.png$"))
    with page.expect_download() as download:
        link.click()
    path = tmp_path / "figure.png"
    download.value.save_as(path)
    return pixels(path)


def pixels(path: Path) -> NDArray[np.uint8]:
    return to_uint8(load(path).photo)


def lossless(page: Page, name: str, tmp_path: Path) -> NDArray[np.uint8]:
    """The pixels of a tile's lossless file."""
    url = tile(page, name).locator("img").get_attribute("data-full")
    path = tmp_path / f"{name}.png"
    path.write_bytes(page.request.get(str(url)).body())
    return pixels(path)


def region(page: Page) -> tuple[int, int, int, int]:
    """Left, top, width and height of the chosen region, once its figure is made."""
    progress = page.locator(".progress")
    expect(progress).to_contain_text("pixels from")
    found = re.match(r"(\d+) × (\d+) pixels from \((\d+), (\d+)\)", progress.inner_text())
    assert found
    width, height, x, y = map(int, found.groups())
    return x, y, width, height


@needs_chromium
def test_a_region_of_all_pictures_becomes_a_figure(open_page: Open, pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = open_page()
    fuse(page, *pair)
    press(page, "Region")
    assert region(page) == (120, 90, 80, 60)
    page.get_by_label("Enlarged").select_option("3")
    stage = tile(page, "over").locator(".stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.5, steps=4)
    page.mouse.up()
    expect(page.locator(".progress")).to_contain_text("pixels from (80, 60)")
    x, y, width, height = region(page)
    assert (width, height) == (pytest.approx(160, abs=1), pytest.approx(60, abs=1))

    figure = figure_of(page, 3, tmp_path)
    columns, rows, across, down = 4, 1, 3 * width, 3 * height
    assert figure.shape == (8 + rows * (down + 28 + 8), 8 + columns * (across + 8), 3)
    for index, name in enumerate(PICTURES):
        left, top = 8 + index % columns * (across + 8), 8 + index // columns * (down + 28 + 8)
        crop = lossless(page, name, tmp_path)[y : y + height, x : x + width]
        assert (figure[top : top + down, left : left + across] == crop.repeat(3, 0).repeat(3, 1)).all()
        label = figure[top + down : top + down + 28, left : left + across]
        assert label.min() < 100  # there is a name
    assert (
        pixels(pair[1])[y : y + height, x : x + width]
        == lossless(page, "over", tmp_path)[y : y + height, x : x + width]
    ).all()
    expect(page.get_by_role("img", name=f"The region of {', '.join(LABELS)}")).to_be_visible()


@needs_chromium
def test_a_region_is_chosen_by_keyboard(open_page: Open, pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = open_page()
    fuse(page, *pair)
    keys(page, "r", "ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowDown")
    expect(page.locator(".progress")).to_contain_text("96 × 92 pixels from (104, 74).")
    page.get_by_label("Enlarged").select_option("1")
    figure = figure_of(page, 1, tmp_path)
    # Narrow crops stand in the middle of columns that their names fit into.
    assert figure.shape[0] == 8 + 92 + 28 + 8
    assert figure.shape[1] > 8 + 4 * (96 + 8)
    crop = pixels(pair[0])[74:166, 104:200]
    column = (figure.shape[1] - 8) // 4 - 8
    left = 8 + 2 * (column + 8) + (column - 96) // 2
    assert (figure[8:100, left : left + 96] == crop).all()


@needs_chromium
def test_a_figure_says_which_lossless_picture_is_not_there(
    open_page: Open, services: Services, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = Run.written

    def all_but_one(run: Run, files: Collection[Path]) -> Run:
        return written(run, [file for file in files if file.stem != "over"])

    monkeypatch.setattr(Run, "written", all_but_one)
    monkeypatch.setattr(services, "runs", RunCache())
    page = open_page()
    fuse(page, *pair)
    press(page, "Region")
    page.get_by_label("Enlarged").select_option("4")
    expect(page.locator(".progress")).to_contain_text("their lossless files are still being written: Over-exposed.")
    assert figure_of(page, 4, tmp_path).shape[1] == 8 + 3 * (4 * 80 + 8)


@needs_chromium
def test_a_figure_that_no_phone_could_hold_is_refused(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *pair)
    keys(page, "r", *["Shift+ArrowRight", "Shift+ArrowDown"] * 20)
    expect(page.locator(".progress")).to_contain_text("320 × 240 pixels from (0, 0).")
    page.evaluate(
        """() => {
            const grid = document.querySelector(".grid");
            grid.dataset.width = 32000;
            const wider = { key: "ArrowRight", shiftKey: true, bubbles: true };
            for (let times = 0; times < 400; times++) grid.dispatchEvent(new KeyboardEvent("keydown", wider));
        }"""
    )
    expect(page.locator(".progress")).to_have_text(re.compile("That is too large for one figure"))


def shown(page: Page) -> list[str]:
    """Whose picture each tile shows."""
    return [Path(str(tile(page, name).locator("img").get_attribute("src"))).stem for name in PICTURES]


@needs_chromium
def test_number_keys_show_a_method_everywhere_while_held(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *pair)
    page.locator(".grid").focus()
    page.keyboard.down("2")
    assert shown(page) == ["mertens-torch"] * 4
    expect(tile(page, "under").locator(".badge")).to_have_text("Fused with Mertens (4-level port)")
    page.keyboard.up("2")
    assert shown(page) == PICTURES
    page.keyboard.down("1")
    assert shown(page) == ["mertens"] * 4
    page.keyboard.up("1")
    page.keyboard.down("7")  # there are only two
    assert shown(page) == PICTURES
    page.keyboard.up("7")
    number = "getComputedStyle(document.querySelector('[data-name=mertens-torch] h3'), '::before').content"
    assert page.evaluate(number).startswith('"2"')
    page.keyboard.press("z")
    expect(page.locator(".percent")).to_have_text("100 %")
    page.keyboard.press("-")
    page.keyboard.press("f")
    assert page.locator("#sheet [data-zoomed]").count() == 0


def stored(page: Page) -> list[list[str | float]]:
    return json.loads(page.evaluate("localStorage.getItem('mambamef.votes')"))["votes"]


def ranking(page: Page) -> list[str]:
    """The rows' texts, read at once: every drawing puts new rows into the table, and old ones have no columns."""
    expect(page.locator(".ranking table")).to_be_visible()
    return page.locator(".ranking tbody").inner_text().splitlines()


def asked_about(page: Page) -> list[str]:
    """The methods behind A and B."""
    return [Path(str(image.get_attribute("src"))).stem for image in page.locator(".booth img").all()]


@needs_chromium
def test_a_blind_vote_ranks_the_methods(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *pair)
    press(page, "Blind vote")
    booth = page.locator(".booth")
    expect(booth.locator("img")).to_have_count(2)
    expect(page.locator(".grid")).to_be_hidden()
    visible = booth.inner_text() + str([image.get_attribute("alt") for image in booth.locator("img").all()])
    assert "Mertens" not in visible
    assert "Picture A" in visible

    first, second = asked_about(page)
    page.get_by_role("button", name="A is better").click()
    expect(page.locator(".tally")).to_have_text("1 comparison so far. They stay in this browser.")
    assert stored(page) == [[first, second, 1]]
    page.get_by_text("My ranking").click()
    # p = (1 + 1/2) / (1 / (p + 1/p) + 1 / (p + 1)) has the solution p = 2.130; the winner's share is p / (p + 1).
    titles = dict(zip(METHODS, LABELS[:2], strict=True))
    assert [row.split("\t") for row in ranking(page)] == [
        [titles[first], "68 %", "1"],
        [titles[second], "32 %", "1"],
    ]

    # By keyboard, and a draw; zoom is the sheet's.
    booth.focus()
    page.keyboard.press("+")
    expect(page.locator("#sheet [data-zoomed]")).to_have_count(1)
    a, b = asked_about(page)
    page.keyboard.press("b")
    assert stored(page)[1] == [a, b, 0]
    expect(page.locator(".tally")).to_contain_text("2 comparisons")
    page.keyboard.press("n")
    expect(page.locator(".tally")).to_have_text("3 comparisons so far. They stay in this browser.")
    assert stored(page)[2][2] == 0.5

    # Votes outlast the page; they are forgotten only when that is said twice.
    page = open_page(beside=page)
    fuse(page, *pair)
    press(page, "Blind vote")
    page.get_by_text("My ranking").click()
    page.get_by_role("button", name="Forget my votes").click()
    expect(page.locator(".tally")).to_contain_text("3 comparisons")
    page.get_by_role("button", name="Press again to forget them all").click()
    expect(page.locator(".tally")).to_contain_text("0 comparisons")
    assert stored(page) == []
    assert ranking(page) == []


@needs_chromium
@pytest.mark.parametrize(
    ("spoilt", "names"),
    [
        ("no json", []),
        ("[1]", []),
        ('{"votes": 1}', []),
        ('{"votes": [["<b>a", "mertens", 1], ["a", 2, 1]], "titles": {"mertens": "<i>M"}}', ["<b>a", "<i>M"]),
    ],
)
def test_spoilt_votes_are_no_votes(open_page: Open, pair: tuple[Path, Path], spoilt: str, names: list[str]) -> None:
    page = open_page()
    page.evaluate("text => localStorage.setItem('mambamef.votes', text)", spoilt)
    page = open_page(beside=page)
    fuse(page, *pair)
    press(page, "Blind vote")
    expect(page.locator(".tally")).to_contain_text(f"{len(names) // 2} comparison")
    page.get_by_text("My ranking").click()
    assert [row.split("\t")[0] for row in ranking(page)] == names


@needs_chromium
def test_a_vote_takes_two_methods(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    page.get_by_label("Mertens (4-level port)").uncheck()
    fuse(page, *pair)
    press(page, "Blind vote")
    expect(page.get_by_text("fuse with one more method")).to_be_visible()
    expect(page.get_by_role("button", name="A is better")).to_be_hidden()
    expect(tile(page, "mertens")).to_be_visible()


@needs_chromium
def test_a_link_opens_an_example_and_is_given_back(open_page: Open) -> None:
    page = open_page(query="&example=courtyard&methods=mertens-torch,mertens")
    page.locator(".status.done").wait_for()
    assert [box.get_attribute("name") for box in page.locator("#methods input:checked").all()] == METHODS
    expect(tile(page, "mertens-torch").locator("img")).to_be_visible()
    expect(page.locator("#tray .exposures img")).to_have_count(2)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="Copy link").click()
    expect(page.get_by_role("link", name="Link copied")).to_be_visible()
    copied = str(page.evaluate("navigator.clipboard.readText()"))
    assert copied == page.url.split("?")[0] + "?example=courtyard&methods=mertens,mertens-torch"


@needs_chromium
def test_what_a_link_asks_for_in_vain_is_said_and_never_repeated(open_page: Open, pair: tuple[Path, Path]) -> None:
    spiteful = "<img src=x onerror=alert(1)>${alert(2)}"
    page = open_page(query=f"&example=room&methods=mertens,{spiteful}")
    expect(page.get_by_text("The link asks for a method that is not here; it was left out.")).to_be_visible()
    page.locator(".status.done").wait_for()
    assert "alert" not in page.content().replace('role="alert"', "")
    page = open_page(query=f"&example={spiteful}")
    expect(page.get_by_text("The link asks for an example that is not here")).to_be_visible()
    assert page.locator(".tile").count() == 0
    # A pair of the visitor's own has no link.
    page = open_page()
    fuse(page, *pair)
    assert page.locator("#sheet .link").count() == 0


def drag_by_touch(page: Page, name: str) -> None:
    """Drag with one finger from a quarter to the middle of a tile; the page stays where it is."""
    stage = tile(page, name).locator(".stage")
    stage.scroll_into_view_if_needed()
    box, before = stage.bounding_box(), page.evaluate("scrollY")
    assert box
    finger = page.context.new_cdp_session(page)
    for kind, share in (("touchStart", 0.25), ("touchMove", 0.4), ("touchMove", 0.5), ("touchEnd", None)):
        points = (
            [] if share is None else [{"x": box["x"] + share * box["width"], "y": box["y"] + share * box["height"]}]
        )
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(page.locator(".progress")).to_contain_text("pixels from (80, 60)")
    assert page.evaluate("scrollY") == before


@needs_chromium
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_tools_fit_a_phone(open_page: Open, pair: tuple[Path, Path], theme: str) -> None:
    page = open_page(width=390, height=844, theme=theme, touch=True)
    fuse(page, *pair)
    for tool in TOOLS:
        page.get_by_role("button", name=tool, exact=True).tap()
        expect(page.locator(f"section[aria-label^='{tool}']")).to_be_visible()
        if tool == "Region":
            drag_by_touch(page, "under")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.locator("section.panel:visible").count() == 1
    expect(tile(page, "mertens").locator(".measure")).to_contain_text("from dark to bright")
    page.get_by_role("button", name="Blind vote").tap()
    page.get_by_role("button", name="B is better").tap()
    expect(page.locator(".tally")).to_contain_text("1 comparison")


@needs_chromium
def test_every_tool_has_a_name_and_a_visible_focus(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *pair)
    nameless = """[...document.querySelectorAll('#sheet :is(button, a, select, input, summary)')].filter(e =>
        !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.[0]?.textContent.trim())).length"""
    page.get_by_role("button", name="Zoom in").focus()
    for tool in TOOLS:
        while page.evaluate("document.activeElement.textContent") != tool:
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name=tool, exact=True)).to_have_attribute("aria-expanded", "true")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert page.evaluate(nameless) == 0
    expect(tile(page, "mertens").locator(".measure")).to_contain_text("from dark to bright")
    keys(page, "v")
    expect(page.locator(".tally")).to_contain_text("0 comparisons")
    while "No difference" not in page.evaluate("document.activeElement.textContent")[:20]:
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".tally")).to_contain_text("1 comparison")


# Without a browser.


@pytest.mark.parametrize(
    ("query", "example", "methods", "problem"),
    [
        ({}, None, (), ""),
        ({"example": "desk", "methods": "mertens,pyramef"}, "desk", ("pyramef", "mertens"), ""),
        ({"example": "desk"}, "desk", (), ""),
        ({"methods": "mertens"}, None, ("mertens",), ""),
        ({"example": "desk", "methods": "mertens,none"}, "desk", ("mertens",), "method that is not here"),
        ({"example": "../desk", "methods": "mertens"}, None, ("mertens",), "example that is not here"),
    ],
)
def test_a_link_is_read(query: dict[str, str], example: str | None, methods: tuple[str, ...], problem: str) -> None:
    found = examples.linked(query, ["pyramef", "mertens"])
    assert (found.example.name if found.example else None, found.methods) == (example, methods)
    assert bool(found.problem) == bool(problem)
    assert problem in found.problem


def test_an_example_is_known_under_any_name(tmp_path: Path) -> None:
    desk = next(example for example in examples.shipped() if example.name == "desk")
    copies = tmp_path / "a.png", tmp_path / "b.png"
    for copy, original in zip(copies, (desk.under, desk.over), strict=True):
        copy.write_bytes(original.read_bytes())
    files = [str(copy) for copy in copies]
    assert examples.name_of(files) == "desk"
    assert examples.name_of(files[::-1]) == ""
    assert examples.name_of([*files, files[0]]) == ""
    copies[0].write_bytes(b"another")
    assert examples.name_of(files) == ""
