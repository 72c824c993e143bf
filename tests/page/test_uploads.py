"""Files that browsers do not show, and more than two of them: by themselves, and on the page."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

import fusion
from fusion.errors import ImageError
from fusion.io.image import Photo, save
from fusion.io.sandbox import Sandbox
from fusion.page import uploads
from fusion.page.run_cache import RunCache
from fusion.page.services import Services
from tests.exposures.test_ghosts import walk
from tests.shared_session import SESSION, load
from tests.visitor import Open, choose, fuse, needs_chromium, quiet_server, tile

pytestmark = quiet_server

HEIC = Path(__file__).resolve().parents[1] / "golden" / "grid-8.heic"
COURTYARD = Path(__file__).resolve().parents[2] / "examples" / "courtyard"


@pytest.fixture(autouse=True)
def forgotten(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run is remembered from another test."""
    monkeypatch.setattr(services, "runs", RunCache())


def photographs() -> tuple[Photo, Photo]:
    """A corner of an example, with values between those that 8 bits hold."""
    under, over = (load(COURTYARD / name).photo[:, 100:340, 100:420] for name in ("under.png", "over.png"))
    return under * 0.97 + 0.0011, over * 0.97 + 0.0011


@pytest.fixture(scope="module")
def tiffs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pair of 16 bits."""
    folder = tmp_path_factory.mktemp("tiffs")
    paths = folder / "under.tif", folder / "over.tif"
    for photo, path in zip(photographs(), paths, strict=True):
        save(photo, path, bits=16)
    return paths


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three exposures, the brightest first."""
    folder = tmp_path_factory.mktemp("three")
    under, over = photographs()
    paths: list[Path] = []
    for name, photo in (("c", over), ("a", under), ("b", (under + over) / 2)):
        paths.append(folder / f"{name}.png")
        save(photo, paths[-1])
    return paths


# By themselves.


def test_what_browsers_show_has_no_preview(tmp_path: Path) -> None:
    photo = photographs()[0]
    for ending in ("png", "jpg"):
        save(photo, tmp_path / f"a.{ending}")
        assert uploads.preview_of(str(tmp_path / f"a.{ending}"), tmp_path / "cache", SESSION.sandbox) is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_a_preview_is_a_small_jpeg_of_the_file_whatever_its_name(tmp_path: Path, ending: str) -> None:
    photo = torch.nn.functional.interpolate(photographs()[1][None], (900, 1200), mode="bilinear")[0]
    save(photo, tmp_path / "a.tif", bits=16)
    named = (tmp_path / "a.tif").rename(tmp_path / f"b.{ending}")
    first, second = (uploads.preview_of(str(named), tmp_path / "cache", SESSION.sandbox) for _ in range(2))
    assert first
    assert first != second
    assert Path(first).read_bytes().startswith(b"\xff\xd8\xff")
    shown = load(first).photo
    assert shown.shape == (3, 600, uploads.PREVIEW_SIDE)
    assert float(shown.mean()) == pytest.approx(float(photo.mean()), abs=2 / 255)


def test_a_heic_has_a_preview(tmp_path: Path) -> None:
    preview = uploads.preview_of(str(HEIC), tmp_path, SESSION.sandbox)
    assert preview
    assert float((load(preview).photo - load(HEIC).photo).abs().mean()) < 0.05


def test_a_preview_of_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("no picture")
    with pytest.raises(ImageError, match="is not a JPEG, PNG"):
        uploads.preview_of(str(tmp_path / "a.tif"), tmp_path / "cache", SESSION.sandbox)


def test_what_is_chosen() -> None:
    behind = {"p.jpg": "a.heic"}
    assert uploads.chosen(None, None, None, {}) is None
    assert uploads.chosen("a", None, [], {}) is None
    assert uploads.chosen(None, "b", None, {}) is None
    assert uploads.chosen("p.jpg", "b.png", [], behind) == ["a.heic", "b.png"]
    assert uploads.chosen("b.png", "p.jpg", None, behind) == ["b.png", "a.heic"]
    assert uploads.chosen("p.jpg", "b.png", ["x", "y", "z"], behind) == ["x", "y", "z"]
    assert uploads.chosen(None, None, ["x"], {}) == ["x"]


# On the page.


def width_shown(page: Page, slot: str) -> int:
    image = page.locator(f"{slot} img")
    image.wait_for()
    page.wait_for_function("slot => document.querySelector(`${slot} img`)?.naturalWidth > 0", arg=slot)
    return int(image.evaluate("image => image.naturalWidth"))


def given(page: Page, slot: str, path: Path) -> None:
    page.locator(f"{slot} input[type=file]").set_input_files(path)


def several(page: Page, *files: Path) -> None:
    """Files in the chooser of more than two."""
    page.get_by_role("button", name="More than two exposures").click()
    page.locator("#several input[type=file]").set_input_files(files)
    expect(page.locator("#several .file")).to_have_count(len(files))


def downloaded(page: Page, name: str = "mertens") -> bytes:
    page.locator(".status.done").wait_for()
    with page.expect_download() as download:
        tile(page, name).get_by_role("link", name="Download").click()
    return Path(download.value.path()).read_bytes()


def save_of(photo: Photo, path: Path) -> Path:
    save(photo, path)
    return path


def written(photo: Photo, path: Path) -> bytes:
    return save_of(photo, path).read_bytes()


@needs_chromium
def test_a_heic_is_shown(open_page: Open) -> None:
    page = open_page()
    given(page, "#under", HEIC)
    assert width_shown(page, "#under") == 64
    assert page.locator("#under img").evaluate("image => image.naturalHeight") == 48
    assert page.locator(".status.problem").count() == 0


@needs_chromium
def test_a_pair_of_tiffs_is_shown_and_fused_from_its_16_bits(
    open_page: Open, tiffs: tuple[Path, Path], tmp_path: Path
) -> None:
    page = open_page()
    choose(page, *tiffs)
    assert [width_shown(page, slot) for slot in ("#under", "#over")] == [320, 320]
    page.locator("#fuse").click()
    made = downloaded(page)
    assert made == written(fusion.fuse(*tiffs, method="mertens"), tmp_path / "api.png")
    lower = [save_of(load(path).photo, tmp_path / f"{path.stem}.png") for path in tiffs]
    assert made != written(fusion.fuse(*lower, method="mertens"), tmp_path / "lower.png")


@needs_chromium
def test_two_uploads_at_once_are_both_remembered(
    open_page: Open, tiffs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each preview takes so long that the other slot's has been asked for before it is there."""
    original = uploads.preview_of

    def slow(path: str, folder: Path, sandbox: Sandbox) -> str | None:
        time.sleep(1)
        return original(path, folder, sandbox)

    monkeypatch.setattr(uploads, "preview_of", slow)
    page = open_page()
    given(page, "#under", tiffs[0])
    given(page, "#over", tiffs[1])
    for slot in ("#under", "#over"):
        width_shown(page, slot)
    page.locator("#fuse").click()
    assert downloaded(page) == written(fusion.fuse(*tiffs, method="mertens"), tmp_path / "api.png")


@needs_chromium
def test_three_files_are_fused(open_page: Open, three: list[Path], tmp_path: Path) -> None:
    page = open_page()
    several(page, *three)
    page.locator("#fuse").click()
    made = downloaded(page)
    first, second, *more = three
    assert made == written(fusion.fuse(first, second, "mertens", more=more), tmp_path / "api.png")
    expect(page.locator(".status")).to_contain_text("the darkest and the brightest of the 3 exposures")


@needs_chromium
def test_a_new_upload_empties_the_chooser(
    open_page: Open, three: list[Path], tiffs: tuple[Path, Path], tmp_path: Path
) -> None:
    page = open_page()
    several(page, *three)
    choose(page, *tiffs)
    expect(page.locator("#several .file")).to_have_count(0)
    page.locator("#fuse").click()
    assert downloaded(page) == written(fusion.fuse(*tiffs, method="mertens"), tmp_path / "api.png")


@needs_chromium
def test_an_example_empties_the_chooser(open_page: Open, three: list[Path]) -> None:
    page = open_page()
    several(page, *three)
    page.get_by_role("button", name="Try the example Courtyard").click()
    page.locator(".status.done").wait_for()
    expect(page.locator("#several .file")).to_have_count(0)
    assert "of the 3 exposures" not in page.locator(".status").inner_text()


@needs_chromium
@pytest.mark.parametrize("align", [True, False])
def test_align_is_the_visitors_choice(open_page: Open, tmp_path: Path, align: bool) -> None:
    under, over = (load(COURTYARD / name).photo for name in ("under.png", "over.png"))
    paths = save_of(under, tmp_path / "under.png"), save_of(over.roll((6, 9), (1, 2)), tmp_path / "over.png")
    page = open_page()
    page.locator("#align input").set_checked(align)
    fuse(page, *paths)
    notes = page.locator(".status").inner_text()
    assert ("Aligned: moved" in notes) == align
    assert ("align" in notes.lower()) == align
    assert downloaded(page) == written(fusion.fuse(*paths, method="mertens", align=align), tmp_path / "api.png")


@needs_chromium
def test_what_moved_is_shown_and_taken_out_on_request(open_page: Open, tmp_path: Path) -> None:
    files = [save_of(frame, tmp_path / f"{index}.png") for index, frame in enumerate(walk(3)[0])]
    page = open_page()
    several(page, *files)
    page.locator("#fuse").click()
    page.locator(".status.done").wait_for()
    expect(page.locator(".status")).to_contain_text("it may show twice")
    expect(tile(page, "moved")).to_contain_text("What moved")
    first, second, *more = files
    plain, clean = (fusion.fuse(first, second, "mertens", more=more, ghosts=how) for how in ("ignore", "remove"))
    assert downloaded(page) == written(plain, tmp_path / "plain.png")
    page.get_by_label("Remove ghosts").check()
    page.locator("#fuse").click()
    expect(page.locator(".status.done")).to_contain_text("it was taken from one exposure")
    assert downloaded(page) == written(clean, tmp_path / "clean.png")


@needs_chromium
def test_a_run_is_remembered_with_its_alignment(open_page: Open, tmp_path: Path) -> None:
    under, over = (load(COURTYARD / name).photo for name in ("under.png", "over.png"))
    paths = save_of(under, tmp_path / "under.png"), save_of(over.roll(8, 2), tmp_path / "over.png")
    page = open_page()
    fuse(page, *paths)
    expect(page.locator(".status")).to_contain_text("Aligned: moved")
    page.locator("#align input").uncheck()
    page.locator("#fuse").click()
    expect(page.locator(".status.done")).not_to_contain_text("Aligned")


@needs_chromium
def test_one_file_among_several_is_too_few(open_page: Open, three: list[Path]) -> None:
    page = open_page()
    several(page, three[0])
    page.locator("#fuse").click()
    expect(page.locator(".status.problem")).to_contain_text("choose two to nine exposures")


@needs_chromium
def test_a_broken_upload_is_said_at_once(open_page: Open, tmp_path: Path) -> None:
    data = HEIC.read_bytes()
    (tmp_path / "short.heic").write_bytes(data[: len(data) // 2])
    page = open_page()
    given(page, "#over", tmp_path / "short.heic")
    expect(page.locator(".status.problem")).to_contain_text("is damaged, cut short")
