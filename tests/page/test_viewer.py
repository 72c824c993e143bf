"""The large picture, in a real browser: what it shows, what stands beside it, and what can be taken home."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import fusion
from fusion.io.image import save, to_uint8
from fusion.methods.finish import Finish, finished
from fusion.page import modules
from fusion.page.run_cache import RunCache
from fusion.page.services import Services
from tests.shared_session import load
from tests.visitor import Open, choose, fuse, needs_chromium, quiet_server, tile

pytestmark = quiet_server


def what(page: Page) -> Locator:
    """The name of the picture on show."""
    return page.locator(".viewer .what b")


def sources(page: Page) -> list[str]:
    """The pictures that the viewer shows, from left to right."""
    return [Path(str(one.get_attribute("src"))).stem for one in page.locator(".viewer img[src]").all()]


@needs_chromium
def test_the_best_result_is_large_and_in_sight(open_page: Open, pair: tuple[Path, Path]) -> None:
    for width, height in ((1440, 900), (390, 844)):
        page = open_page(width=width, height=height)
        page.locator("#settings > button").click()  # folded again, as a visitor finds it
        choose(page, *pair)
        page.locator("#fuse").click()
        page.locator(".status.done").wait_for()
        best = page.locator(".tile[data-fused]").first.get_attribute("data-label")
        expect(what(page)).to_have_text(str(best))
        page.evaluate("scrollTo(0, 0)")
        for seen in ("#fuse", ".viewer .stage"):
            box = page.locator(seen).bounding_box()
            assert box
            assert box["y"] >= 0
            assert box["y"] + min(box["height"], 200) <= height, seen


@needs_chromium
def test_keys_and_clicks_change_the_large_picture(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *pair)
    first, second = (str(tile.get_attribute("data-label")) for tile in page.locator(".tile[data-fused]").all())
    expect(what(page)).to_have_text(first)
    page.keyboard.press("ArrowRight")  # without a click before
    expect(what(page)).to_have_text(second)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(what(page)).to_have_text("Over-exposed")
    page.keyboard.press("2")
    expect(what(page)).to_have_text(second)
    page.get_by_role("button", name="Next picture").click()
    expect(what(page)).to_have_text("Under-exposed")
    tile(page, "over").locator(".stage").click()
    expect(what(page)).to_have_text("Over-exposed")
    page.get_by_role("button", name=f"Show {first} large", exact=True).press("Enter")
    expect(what(page)).to_have_text(first)
    expect(page.locator(".viewer .what span")).to_contain_text("Score")


@needs_chromium
def test_a_divider_compares_two_pictures_under_their_names(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page()
    fuse(page, *pair)
    page.get_by_label("Compare with").select_option("over")
    shown = sources(page)
    assert shown[1] == "over"
    expect(page.locator(".viewer .badge.left")).to_have_text(str(what(page).inner_text()))
    expect(page.locator(".viewer .badge.right")).to_have_text("Over-exposed")
    divider = page.get_by_role("slider", name="Divider")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    stage = page.locator(".viewer .stage").bounding_box()
    assert stage
    divider.hover()
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] / 4, stage["y"] + 50, steps=4)
    page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "25")
    divider.press("ArrowRight")
    expect(divider).to_have_attribute("aria-valuenow", "27")
    page.get_by_label("Compare with").select_option("")
    expect(divider).to_be_hidden()
    assert sources(page) == shown[:1]


@needs_chromium
def test_a_finger_that_sweeps_asks_for_the_next_picture(open_page: Open, pair: tuple[Path, Path]) -> None:
    page = open_page(width=390, height=844, touch=True)
    fuse(page, *pair)
    before = what(page).inner_text()
    stage = page.locator(".viewer .stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box
    finger = page.context.new_cdp_session(page)
    for kind, x in (("touchStart", 300), ("touchMove", 200), ("touchMove", 120), ("touchEnd", None)):
        points = [] if x is None else [{"x": x, "y": box["y"] + box["height"] / 2}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(what(page)).not_to_have_text(before)


@needs_chromium
@pytest.mark.parametrize(("words", "ending"), [("JPEG", "jpg"), ("TIFF, 16 bits", "tif")])
def test_a_result_is_saved_named_after_the_photographs(
    open_page: Open, pair: tuple[Path, Path], tmp_path: Path, words: str, ending: str
) -> None:
    page = open_page()
    fuse(page, *pair)
    page.keyboard.press("1" if page.locator(".tile[data-fused]").first.get_attribute("data-name") == "mertens" else "2")
    expect(what(page)).to_have_text("Mertens")
    page.locator(".save summary").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=words, exact=True).click()
    assert re.fullmatch(rf"under-over_mertens\.{ending}f?", download.value.suggested_filename)
    taken = tmp_path / f"taken.{ending}"
    download.value.save_as(taken)
    save(fusion.fuse(*pair, method="mertens"), tmp_path / f"made.{ending}", bits=16 if ending == "tif" else 8)
    assert (to_uint8(load(taken).photo) == to_uint8(load(tmp_path / f"made.{ending}").photo)).all()
    assert np.isclose(load(taken).bits, 16 if ending == "tif" else 8)
    expect(page.locator(".saved")).to_contain_text("Saved: under-over_mertens")


@needs_chromium
def test_a_page_that_is_loaded_again_shows_what_it_showed(
    open_page: Open, pair: tuple[Path, Path], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "runs", RunCache())
    page = open_page()
    page.get_by_label("Align hand-held exposures").uncheck()
    fuse(page, *pair)
    expect(page).to_have_url(re.compile(r"run=run-[0-9a-f]{32}"))
    page.reload()
    page.locator(".status.done").wait_for()
    expect(page.locator("#tray .exposures img")).to_have_count(2)
    expect(page.locator(".tile[data-fused]")).to_have_count(2)
    page.locator("#settings > button").click()
    expect(page.get_by_label("Align hand-held exposures")).not_to_be_checked()
    assert {box.get_attribute("name") for box in page.locator("#methods input:checked").all()} == {
        "mertens",
        "mertens-torch",
    }


FINISHES = [
    Finish(brightness=0.5, contrast=-0.4, colour=0.6),
    Finish(brightness=-0.7, contrast=0.8, black=0.5, white=0.4),
    Finish(detail=0.8, black=-0.6, white=-0.3, colour=-1),
    Finish(detail=-0.9, colour=1),
]


@needs_chromium
def test_the_browser_finishes_a_picture_as_the_library_does(
    open_page: Open, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    page = open_page()
    fuse(page, *pair)
    page.keyboard.press("2")
    name = str(page.locator(".tile[data-shown]").get_attribute("data-name"))
    lossless = tmp_path / "fused.png"
    lossless.write_bytes(page.request.get(str(tile(page, name).locator("img").get_attribute("data-full"))).body())
    photo = load(lossless).photo
    url = f"{page.url.split('?')[0]}{modules.address()}/page/static/finish.js"
    image = base64.b64encode(lossless.read_bytes()).decode()
    for finish in FINISHES:
        made = page.evaluate(
            """async ([url, image, finish]) => {
                const { planesOf, finished } = await import(url);
                const loaded = Object.assign(new Image(), { src: `data:image/png;base64,${image}` });
                await loaded.decode();
                return [...finished(planesOf(loaded, 1600), finish).data];
            }""",
            [url, image, asdict(finish)],
        )
        pixels = np.array(made, np.int16).reshape(*photo.shape[1:], 4)[..., :3]
        assert abs(pixels - to_uint8(finished(photo, finish))).max() <= 1, finish


@needs_chromium
def test_sliders_and_looks_change_the_large_picture_and_the_saved_file(
    open_page: Open, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    page = open_page()
    fuse(page, *pair)
    page.get_by_label("Show Mertens large", exact=True).click()
    canvas = page.locator(".viewer .finished")
    expect(canvas).to_be_hidden()
    page.get_by_role("button", name="Adjust").click()
    looks = page.locator("[data-look]")
    expect(looks.first).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("[...document.querySelectorAll('[data-look] canvas')].every(one => one.width > 1)")
    page.get_by_role("button", name="Vivid").click()
    expect(page.get_by_role("button", name="Vivid")).to_have_attribute("aria-pressed", "true")
    expect(canvas).to_be_visible()
    page.get_by_role("slider", name="Brightness").fill("0.5")
    expect(page.get_by_role("button", name="Vivid")).to_have_attribute("aria-pressed", "false")
    page.locator(".save summary").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG, lossless").click()
    download.value.save_as(tmp_path / "saved.png")
    finish = Finish(brightness=0.5, contrast=0.2, colour=0.4)
    made = fusion.fuse(*pair, method="mertens", finish=finish)
    assert (to_uint8(load(tmp_path / "saved.png").photo) == to_uint8(made)).all()
    # The browser works on the preview, which is a JPEG, as it is on the screen.
    shown = canvas.evaluate("one => [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data]")
    seen = np.array(shown, np.int16).reshape(*made.shape[1:], 4)[..., :3]
    assert abs(seen - to_uint8(made)).mean() < 4
    looks.first.click()
    expect(canvas).to_be_hidden()
