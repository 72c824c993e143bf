"""Files that browsers do not show, and more than two of them: by themselves, and on the page."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

import fusion
from fusion.errors import FusionError, ImageError
from fusion.exposures.camera_data import Shot
from fusion.io.colour import luma
from fusion.io.image import Photo, save
from fusion.io.sandbox import Sandbox
from fusion.page import uploads, views
from fusion.page.run_cache import RunCache
from fusion.page.services import Services
from fusion.page.texts import LANGUAGES
from fusion.page.uploads import Exposure, Tray
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


@pytest.mark.parametrize("ending", ["tif", "png", "jpg"])
def test_an_exposure_is_shown_by_a_small_jpeg_whatever_its_file(tmp_path: Path, ending: str) -> None:
    photo = torch.nn.functional.interpolate(photographs()[1][None], (900, 1200), mode="bilinear")[0]
    save(photo, tmp_path / "a.tif", bits=16)
    named = (tmp_path / "a.tif").rename(tmp_path / f"b.{ending}")
    first, second = (uploads.read(named, "b", tmp_path / "cache", SESSION.sandbox) for _ in range(2))
    assert first.preview != second.preview
    assert first.preview.read_bytes().startswith(b"\xff\xd8\xff")
    shown = load(first.preview).photo
    assert shown.shape == (3, 360, uploads.PREVIEW_SIDE)
    assert first.size == (1200, 900)
    assert first.brightness == pytest.approx(float(luma(photo).mean()), abs=1e-4)


def test_a_heic_has_a_preview(tmp_path: Path) -> None:
    exposure = uploads.read(HEIC, HEIC.name, tmp_path, SESSION.sandbox)
    assert float((load(exposure.preview).photo - load(HEIC).photo).abs().mean()) < 0.05


def test_a_file_that_is_no_picture_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("no picture")
    with pytest.raises(ImageError, match=r"a\.tif is not a JPEG, PNG"):
        uploads.read(tmp_path / "a.tif", "a.tif", tmp_path, SESSION.sandbox)


def exposure(name: str, brightness: float, size: tuple[int, int] = (60, 40), **recorded: float) -> Exposure:
    shot = Shot(Path(name), size, recorded=(True, True, True), **recorded) if recorded else None  # pyright: ignore[reportArgumentType]
    return Exposure(name, name, Path("preview.jpg"), size, brightness, shot)


def test_the_tray_is_ordered_from_dark_to_bright() -> None:
    tray = Tray().taking(exposure("b", 0.5)).taking(exposure("a", 0.2)).taking(exposure("c", 0.9, (40, 60)))
    assert tray.files == ["a", "b", "c"]
    assert tray.without(1).files == ["a", "c"]
    assert tray.without(7).files == tray.files


def test_the_tray_says_what_it_does_not_take() -> None:
    tray = Tray().taking(exposure("a", 0.5))
    with pytest.raises(ImageError, match="a was chosen already"):
        tray.taking(exposure("a", 0.5))
    with pytest.raises(ImageError, match="b has 61 × 40 pixels and a has 60 × 40; choose equal sizes"):
        tray.taking(exposure("b", 0.5, (61, 40)))
    for number in range(8):
        tray = tray.taking(exposure(str(number), number / 10))
    with pytest.raises(ImageError, match="at most nine"):
        tray.taking(exposure("z", 0.5))


def test_an_exposures_ev_is_what_the_camera_recorded() -> None:
    biased = Tray((exposure("a", 0.2, bias=-2.0, exposure=5.0), exposure("b", 0.6, bias=1.0, exposure=5.0)))
    assert biased.stops == [-2.0, 1.0]
    manual = Tray(tuple(exposure(str(level), level / 10, bias=0.0, exposure=float(level)) for level in (3, 5, 7)))
    assert manual.stops == [-2.0, 0.0, 2.0]
    assert Tray((exposure("a", 0.2, exposure=3.0), exposure("b", 0.3))).stops == [None, None]
    shown = views.tray(Tray((exposure("a", 0.2, bias=-2.0), exposure("b", 0.6, bias=1 / 3))), LANGUAGES["de"])
    assert [one["stops"] for one in shown["exposures"]] == ["−2 EV", "+0,3 EV"]


@pytest.mark.parametrize(
    "given", [None, [], {}, [{}], [{"path": 3}], ["a"], [{"path": "a\0b"}], [{"path": "x" * 5000}]]
)
def test_what_no_browser_sends_is_no_upload(tmp_path: Path, given: object) -> None:
    if given == []:
        assert uploads.uploaded(given, tmp_path) == []
        return
    with pytest.raises(FusionError, match=r"no uploaded photograph|two to nine photographs"):
        uploads.uploaded(given, tmp_path)


def test_only_files_of_the_pages_folder_are_uploads(tmp_path: Path) -> None:
    folder, secret = tmp_path / "page", tmp_path / "secret.png"
    folder.mkdir()
    secret.touch()
    (folder / "a.png").touch()
    (folder / "link.png").symlink_to(secret)
    assert uploads.uploaded([{"path": str(folder / "a.png"), "name": "IMG\n1.png"}], folder) == [
        (str(folder / "a.png"), "IMG1.png")
    ]
    for path in (secret, folder / "../secret.png", folder / "link.png", folder, folder / "none.png"):
        with pytest.raises(FusionError, match="no uploaded photograph"):
            uploads.uploaded([{"path": str(path)}], folder)


# On the page.


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
    choose(page, HEIC)
    image = page.locator("#tray .exposures img")
    page.wait_for_function("document.querySelector('#tray .exposures img').naturalWidth === 64")
    expect(image).to_have_attribute("alt", HEIC.name)
    expect(page.locator("#tray .problems li")).to_have_count(0)


@needs_chromium
def test_a_pair_of_tiffs_is_shown_and_fused_from_its_16_bits(
    open_page: Open, tiffs: tuple[Path, Path], tmp_path: Path
) -> None:
    page = open_page()
    choose(page, *tiffs)
    page.wait_for_function("[...document.querySelectorAll('#tray .exposures img')].every(i => i.naturalWidth === 320)")
    page.locator("#fuse").click()
    made = downloaded(page)
    assert made == written(fusion.fuse(*tiffs, method="mertens"), tmp_path / "api.png")
    lower = [save_of(load(path).photo, tmp_path / f"{path.stem}.png") for path in tiffs]
    assert made != written(fusion.fuse(*lower, method="mertens"), tmp_path / "lower.png")


@needs_chromium
def test_photographs_that_come_one_after_the_other_are_all_taken(
    open_page: Open, tiffs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is read for so long that the next has been chosen before it is there."""
    original = uploads.read

    def slow(path: str | Path, name: str, folder: Path, sandbox: Sandbox) -> Exposure:
        time.sleep(1)
        return original(path, name, folder, sandbox)

    monkeypatch.setattr(uploads, "read", slow)
    page = open_page()
    for path in tiffs:
        page.locator("#tray input[type=file]").set_input_files(path)
    expect(page.locator("#tray .exposures img")).to_have_count(2)
    page.locator("#fuse").click()
    assert downloaded(page) == written(fusion.fuse(*tiffs, method="mertens"), tmp_path / "api.png")


@needs_chromium
def test_three_files_are_fused_and_one_can_be_taken_out(open_page: Open, three: list[Path], tmp_path: Path) -> None:
    page = open_page()
    fuse(page, *three)
    made = downloaded(page)
    first, second, *more = three
    assert made == written(fusion.fuse(first, second, "mertens", more=more), tmp_path / "api.png")
    expect(page.locator(".status")).to_contain_text("the darkest and the brightest of the 3 exposures")
    names = [image.get_attribute("alt") for image in page.locator("#tray .exposures img").all()]
    assert names == ["a.png", "b.png", "c.png"]
    page.get_by_role("button", name="Remove b.png").click()
    expect(page.locator("#tray .exposures img")).to_have_count(2)
    page.locator("#fuse").click()
    expect(page.locator(".status.done")).not_to_contain_text("of the 3 exposures")
    ends = fusion.fuse(three[1], three[0], "mertens")
    assert downloaded(page) == written(ends, tmp_path / "ends.png")


@needs_chromium
def test_an_example_takes_the_place_of_what_is_there(open_page: Open, three: list[Path]) -> None:
    page = open_page()
    choose(page, *three)
    page.get_by_role("button", name="Try the example Courtyard").click()
    page.locator(".status.done").wait_for()
    expect(page.locator("#tray .exposures img")).to_have_count(2)
    assert "of the 3 exposures" not in page.locator(".status").inner_text()


def dropped(page: Page, kind: str, *files: Path) -> None:
    """Let files fall on the page, or paste them into it."""
    given = [{"name": file.name, "data": base64.b64encode(file.read_bytes()).decode()} for file in files]
    page.evaluate(
        """([kind, files]) => {
            const data = new DataTransfer();
            for (const { name, data: text } of files) {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
                data.items.add(new File([bytes], name, { type: name.endsWith("mp4") ? "video/mp4" : "image/png" }));
            }
            const event = kind === "paste"
                ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
                : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
            document.body.dispatchEvent(event);
        }""",
        [kind, given],
    )


@needs_chromium
@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_photographs_may_fall_anywhere_and_be_pasted(open_page: Open, three: list[Path], kind: str) -> None:
    page = open_page()
    dropped(page, kind, *three)
    expect(page.locator("#tray .exposures img")).to_have_count(3)


@needs_chromium
def test_what_cannot_be_dropped_is_said_and_changes_nothing(
    open_page: Open, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    page = open_page()
    choose(page, *pair)
    problems = page.locator("#tray .problems")
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film")
    dropped(page, "drop", film)
    expect(problems).to_have_text("film.mp4 is no photograph; choose pictures alone.")
    copies = [tmp_path / f"{index}.png" for index in range(8)]
    for copy in copies:
        copy.write_bytes(b"no picture")
    dropped(page, "drop", *copies)
    expect(problems).to_contain_text("That would be 10 exposures, and a scene has at most nine")
    dropped(page, "drop", copies[0])
    expect(problems).to_contain_text("0.png is not a JPEG")
    expect(page.locator("#tray .exposures img")).to_have_count(2)


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
def test_what_certainly_moved_is_shown_and_taken_out_and_can_be_kept(open_page: Open, tmp_path: Path) -> None:
    files = [save_of(frame, tmp_path / f"{index}.png") for index, frame in enumerate(walk(3)[0])]
    page = open_page()
    fuse(page, *files)
    expect(page.locator(".status")).to_contain_text("it was taken from one exposure")
    expect(tile(page, "moved")).to_contain_text("What moved")
    first, second, *more = files
    made = {how: fusion.fuse(first, second, "mertens", more=more, ghosts=how) for how in ("mark", "auto", "remove")}
    assert downloaded(page) == written(made["auto"], tmp_path / "auto.png")
    page.get_by_role("button", name="Keep what moved").click()
    expect(page.locator(".status.done")).to_contain_text("it may show twice")
    expect(page.get_by_label("Remove what certainly moved")).not_to_be_checked()
    assert downloaded(page) == written(made["mark"], tmp_path / "mark.png")
    page.get_by_role("button", name="Remove what moved").click()
    expect(page.locator(".status.done")).to_contain_text("it was taken from one exposure")
    expect(page.get_by_label("Remove all ghosts")).to_be_checked()
    assert downloaded(page) == written(made["remove"], tmp_path / "remove.png")


@needs_chromium
def test_a_run_is_remembered_with_its_alignment(open_page: Open, tmp_path: Path) -> None:
    under, over = (load(COURTYARD / name).photo for name in ("under.png", "over.png"))
    paths = save_of(under, tmp_path / "under.png"), save_of(over.roll(8, 2), tmp_path / "over.png")
    page = open_page()
    fuse(page, *paths)
    expect(page.locator(".status")).to_contain_text("Aligned: moved")
    page.get_by_role("button", name="Undo the alignment").click()
    expect(page.locator(".status.done")).not_to_contain_text("Aligned")
    expect(page.locator("#align input")).not_to_be_checked()


@needs_chromium
def test_a_broken_upload_is_said_at_once(open_page: Open, tmp_path: Path) -> None:
    data = HEIC.read_bytes()
    (tmp_path / "short.heic").write_bytes(data[: len(data) // 2])
    page = open_page()
    page.locator("#tray input[type=file]").set_input_files(tmp_path / "short.heic")
    expect(page.locator("#tray .problems")).to_contain_text("short.heic is damaged, cut short")
