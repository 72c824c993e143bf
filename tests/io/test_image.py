"""Reading and saving of photographs: exact values, orientation, profiles, and a sentence for every refusal."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fusion.errors import ImageError
from fusion.io.decode import decode
from fusion.io.image import ORDINALS, load, load_pair, save, save_preview, to_uint8
from tests.pictures import (
    ADOBE,
    SRGB,
    WINDOW,
    Array,
    colours,
    encoded,
    many_scans,
    opencv,
    png_header,
    tiff16,
    with_chunk,
)

DAMAGED = "The picture is damaged, cut short or stored in an unusual way; save it again as PNG or JPEG."
FOREIGN = (
    "The picture is not a JPEG, PNG, WebP, TIFF, BMP, HEIC, AVIF or camera RAW picture; save it as one of these first."
)


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes], Path]:
    """Write bytes to a new file whose name does not tell their format."""
    count = iter(range(1000))

    def write(data: bytes) -> Path:
        path = tmp_path / f"{next(count)}.png"
        path.write_bytes(data)
        return path

    return write


Put = Callable[[bytes], Path]


def bytes_of(path: Path) -> Array:
    return to_uint8(load(path).photo)


def words_of(path: Path) -> Array:
    return (load(path).photo * 65535).round().permute(1, 2, 0).numpy().astype(np.uint16)


# Exact values


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_8_bit_values_are_exact(put: Put, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = load(put(encoded(Image.fromarray(colours()), kind, **options)))
    assert picture.photo.dtype == torch.float32
    assert picture.photo.is_contiguous()
    assert (picture.bits, picture.notes) == (8, ())
    assert torch.equal(picture.photo, torch.from_numpy(colours()).permute(2, 0, 1) / 255)


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_16_bit_values_are_exact(put: Put, extension: str) -> None:
    pixels = colours(np.uint16)
    picture = load(put(opencv(pixels, extension)))
    assert (picture.bits, picture.notes) == (16, ())
    expected = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(65535)
    assert torch.equal(picture.photo, torch.from_numpy(expected))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_grey_is_the_same_in_all_three_channels(put: Put, dtype: type, extension: str) -> None:
    grey = colours(dtype)[..., 0]
    path = put(opencv(grey, extension))
    pixels = bytes_of(path) if dtype is np.uint8 else words_of(path)
    assert (pixels == grey[..., None]).all()


def test_16_bit_grey_tiff_whose_white_is_zero(put: Put) -> None:
    grey = colours(np.uint16)[..., 0]
    assert (words_of(put(tiff16(grey, photometric=0))) == 65535 - grey[..., None]).all()


def test_16_bit_colour_that_opencv_misreads_is_read_with_8_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    def upside_down(*_: object) -> Array:
        return colours(np.uint16)[::-1]

    monkeypatch.setattr(cv2, "imdecode", upside_down)
    read = decode(tiff16(colours(np.uint16)), "The picture")
    assert read.bits == 8
    assert read.notes == ["The picture is read with 8 of its 16 bits."]
    assert (read.pixels == colours(np.uint16) >> 8).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_a_mask(put: Put, mode: str) -> None:
    pixels = colours(channels=len(mode))
    path = put(encoded(Image.fromarray(pixels, mode), "PNG"))
    assert (bytes_of(path) == pixels[..., :-1]).all()
    picture = load(path)
    assert picture.notes == ("The picture has transparent parts, which do not count.",)
    assert picture.opaque is not None
    assert (picture.opaque.numpy() == (pixels[..., -1] > 127)).all()


def test_alpha_of_16_bits_is_a_mask(put: Put) -> None:
    pixels = colours(np.uint16, 4)
    path = put(cv2.imencode(".png", pixels[..., [2, 1, 0, 3]])[1].tobytes())
    assert (words_of(path) == pixels[..., :3]).all()
    picture = load(path)
    assert picture.notes == ("The picture has transparent parts, which do not count.",)
    assert picture.opaque is not None
    assert (picture.opaque.numpy() == (pixels[..., 3] >> 15 == 1)).all()


def test_palette_becomes_its_colours(put: Put) -> None:
    indices = colours()[..., 0] % 4
    image = Image.fromarray(indices, "P")
    palette = np.array([[0, 0, 0], [255, 0, 10], [20, 255, 30], [1, 2, 3]], np.uint8)
    image.putpalette(palette.tobytes())
    assert (bytes_of(put(encoded(image, "PNG"))) == palette[indices]).all()
    path = put(encoded(image, "PNG", transparency=bytes([0, 255, 128, 255])))
    assert (bytes_of(path) == palette[indices]).all()
    picture = load(path)
    assert picture.notes == ("The picture has transparent parts, which do not count.",)
    assert picture.opaque is not None
    assert (picture.opaque.numpy() == (indices != 0)).all()


def test_1_bit_is_black_and_white(put: Put) -> None:
    ink = colours()[..., 0] > 127
    assert (bytes_of(put(encoded(Image.fromarray(ink), "PNG"))) == ink[..., None] * 255).all()


def test_cmyk_jpeg_is_not_inverted(put: Put) -> None:
    image = Image.new("CMYK", (32, 32), (0, 255, 255, 0))  # red ink, which encoders store inverted
    path = put(encoded(image, "JPEG", quality=100))
    assert np.abs(bytes_of(path).astype(int) - [255, 0, 0]).max() <= 3
    assert load(path).notes == (
        "The picture has printing colours (CMYK) and no profile, so its colours are approximate.",
    )


# Orientation: what a viewer shows, given the stored picture


UPRIGHT: dict[int, Callable[[Array], Array]] = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: np.fliplr(np.rot90(p, -1)),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.fliplr(np.rot90(p, 1)),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PNG 16", "WEBP", "AVIF", "TIFF", "TIFF lzw", "TIFF 16"])
def test_orientation(put: Put, kind: str, orientation: int) -> None:
    tag = Image.Exif()
    tag[274] = orientation
    dtype = np.uint16 if kind.endswith("16") else np.uint8
    # Large flat areas survive JPEG: one brighter corner and one reddish side tell all eight apart.
    stored = np.zeros((32, 48, 3), dtype)
    stored[:16, :16] = np.iinfo(dtype).max
    stored[:, 32:, 0] = np.iinfo(dtype).max // 2
    if kind == "TIFF 16":
        data = tiff16(stored, orientation=orientation)
    elif kind == "PNG 16":
        data = with_chunk(opencv(stored, ".png"), b"eXIf", tag.tobytes().removeprefix(b"Exif\0\0"))
    else:
        options: dict[str, Any] = {
            "JPEG": {"quality": 100, "subsampling": 0},
            "WEBP": {"lossless": True},
            "AVIF": {"quality": 100, "subsampling": "4:4:4"},
        }.get(kind, {})
        if kind == "TIFF lzw":
            options = {"compression": "tiff_lzw"}
        data = encoded(Image.fromarray(stored), kind.split(maxsplit=1)[0], exif=tag, **options)
    picture = load(put(data))
    expected = UPRIGHT[orientation](stored).astype(float) / np.iinfo(dtype).max
    assert picture.photo.shape[1:] == expected.shape[:2]
    lossy = kind in ("JPEG", "AVIF")
    assert np.abs(picture.photo.permute(1, 2, 0).numpy() - expected).max() < (0.02 if lossy else 1e-6)
    assert picture.bits == (16 if dtype is np.uint16 else 8)
    upright = () if orientation == 1 else ("The picture was rotated upright, as its Exif orientation says.",)
    assert picture.notes == upright


def test_unreadable_camera_data_do_no_harm(put: Put) -> None:
    jpeg = encoded(Image.fromarray(colours()), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40)
    assert load(put(jpeg)).notes == ()


# Profiles


def test_profile_is_converted_to_srgb(put: Put) -> None:
    image = Image.new("RGB", (20, 20), (100, 180, 60))
    path = put(encoded(image, "PNG", icc_profile=ADOBE))
    assert load(path).notes == ("The picture was converted from its colour profile to sRGB.",)
    # Adobe RGB to sRGB by the two standards: decode 2.2, matrix, encode.
    linear = (np.array([100, 180, 60]) / 255) ** 2.2
    linear = np.array([[1.39836, -0.39836, 0], [0, 1, 0], [0, -0.04293, 1.04293]]) @ linear
    expected = np.where(linear > 0.0031308, 1.055 * linear.clip(1e-9) ** (1 / 2.4) - 0.055, 12.92 * linear).clip(0)
    assert np.abs(bytes_of(path)[0, 0] - 255 * expected).max() < 2


def test_profile_of_srgb_changes_nothing(put: Put) -> None:
    path = put(encoded(Image.fromarray(colours()), "PNG", icc_profile=SRGB))
    assert load(path).notes == ()
    assert (bytes_of(path) == colours()).all()


def test_profile_of_16_bits_keeps_fine_steps(put: Put) -> None:
    ramp = np.linspace(12000, 14000, 600).astype(np.uint16).reshape(WINDOW)
    pixels = np.stack((ramp + 9000, ramp + 12000, ramp + 7000), axis=-1)
    wide = with_chunk(opencv(pixels, ".png"), b"iCCP", b"a\0\0" + zlib.compress(ADOBE))
    picture = load(put(wide))
    assert picture.bits == 16
    assert picture.notes == ("The picture was converted from its colour profile to sRGB.",)
    narrow = encoded(Image.fromarray((pixels / 257).round().astype(np.uint8)), "PNG", icc_profile=ADOBE)
    assert (picture.photo - load(put(narrow)).photo).abs().max() < 1.5 / 255  # the narrow one is rounded
    assert len(picture.photo[1].unique()) > 500  # 8 bits would leave about 8


@pytest.mark.parametrize("broken", [b"no profile at all", ADOBE[:200], SRGB[:128] + bytes(400)])
def test_broken_profile_is_ignored_and_said(put: Put, broken: bytes) -> None:
    path = put(encoded(Image.fromarray(colours()), "PNG", icc_profile=broken))
    assert (bytes_of(path) == colours()).all()
    assert load(path).notes == ("The picture has a colour profile that cannot be used, so it is ignored.",)


# Pairs


def shade(level: int, size: tuple[int, int] = (20, 20)) -> bytes:
    return encoded(Image.new("RGB", size, (level, level, level)), "PNG")


def test_pair_is_ordered_by_brightness(put: Put) -> None:
    dark, bright = put(shade(50)), put(shade(200))
    pair, swapped = load_pair(dark, bright), load_pair(str(bright), str(dark))
    assert pair.notes == ()
    assert swapped.notes == ("The first picture is brighter than the second, so it was used as the over-exposed one.",)
    for each in (pair, swapped):
        assert torch.equal(each.under, torch.full((3, 20, 20), 50 / 255))
        assert torch.equal(each.over, torch.full((3, 20, 20), 200 / 255))
        assert (each.bits, each.size) == (8, (20, 20))


def test_pair_has_the_greater_depth_and_all_notes(put: Put) -> None:
    deep = put(opencv(np.full((20, 20, 3), 9000, np.uint16), ".png"))
    clear = put(encoded(Image.new("RGBA", (20, 20), (200, 200, 200, 0)), "PNG"))
    pair = load_pair(deep, clear)
    assert pair.bits == 16
    assert pair.notes == ("The second picture has transparency, which is ignored.",)


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (
            shade(50, (20, 30)),
            shade(200, (40, 30)),
            "The two pictures differ in size (20×30 and 40×30); choose two pictures of the same size.",
        ),
        (
            shade(50),
            shade(50),
            "The two pictures are identical; choose a darker and a brighter picture of one scene.",
        ),
        (
            encoded(Image.new("RGB", (20, 20), (90, 80, 70)), "PNG"),
            encoded(Image.new("RGB", (20, 20), (90, 80, 71)), "PNG"),
            "The two pictures are equally bright; choose a darker and a brighter picture of one scene.",
        ),
        (shade(50), b"text", FOREIGN.replace("The picture", "The second picture")),
    ],
)
def test_pair_refusals(put: Put, first: bytes, second: bytes, sentence: str) -> None:
    with pytest.raises(ImageError) as refusal:
        load_pair(put(first), put(second))
    assert str(refusal.value) == sentence


# Files that are not pictures, or not such as can be used


def refusal_of(path: Path) -> str:
    with pytest.raises(ImageError) as refusal:
        load(path)
    return str(refusal.value)


def frames(kind: str) -> bytes:
    return encoded(Image.new("RGB", (20, 20)), kind, save_all=True, append_images=[Image.new("RGB", (20, 20), "red")])


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"
TOO_LARGE = "The picture is too large ({}); make it smaller first: at most 50 megapixels, and 12000 pixels a side."


@pytest.mark.parametrize("first", ["picture", "thumbnail"])
def test_a_tiff_with_a_thumbnail_gives_its_picture(first: str) -> None:
    picture = Image.fromarray(np.arange(80 * 60 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 80, 3))
    pages = [picture, picture.resize((40, 30))]
    if first == "thumbnail":
        pages.reverse()
    file = BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    assert np.array_equal(decode(file.getvalue(), "The picture").pixels, np.asarray(picture))


SEVERAL = "The picture holds several frames or pages; save one of them as a picture of its own."
RADIANCE = (
    "The picture holds floating-point values outside 0 to 1, so it is radiance rather than an exposure; "
    "export it with 16 bits for display."
)
UNUSUAL = "The picture is neither grey, RGB nor CMYK of 8 or 16 bits; save it as one of these first."


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The picture is an empty file; choose it again."),
        (b"just text", FOREIGN),
        (POSTSCRIPT, FOREIGN),
        (encoded(Image.new("P", (20, 20)), "GIF"), FOREIGN),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', FOREIGN),
        (shade(9, (15, 40)), "The picture is too small (15×40); each side needs at least 16 pixels."),
        (png_header(50000, 50000), TOO_LARGE.format("50000×50000 = 2500.0 megapixels")),
        (png_header(13377, 13377), TOO_LARGE.format("13377×13377 = 178.9 megapixels")),
        (png_header(10000, 9000), TOO_LARGE.format("10000×9000 = 90.0 megapixels")),
        (png_header(12001, 100), TOO_LARGE.format("12001×100 = 1.2 megapixels")),
        (png_header(7000, 7000), DAMAGED),
        (frames("PNG"), SEVERAL),
        (frames("TIFF"), SEVERAL),
        (frames("WEBP"), SEVERAL),
        (many_scans(101), "The picture is a JPEG of more than 100 scans; save it again as PNG or JPEG."),
        (
            encoded(Image.new("F", (20, 20), 1.5), "TIFF"),
            RADIANCE,
        ),
        (encoded(Image.new("LAB", (20, 20)), "TIFF"), UNUSUAL),
        (
            tiff16(colours(np.uint16), planar=True),
            "The picture stores its colour channels separately, with 16 bits each; save it again as PNG.",
        ),
        (b"\xff\xd8\xff\xe0 and nothing of the kind", DAMAGED),
        (b"II*\0" + bytes(100), DAMAGED),
    ],
)
def test_refusals(put: Put, data: bytes, sentence: str) -> None:
    assert refusal_of(put(data)) == sentence


def test_few_scans_are_read(put: Put) -> None:
    assert load(put(many_scans(50))).bits == 8


def test_scans_of_thumbnails_and_attachments_do_not_count(put: Put) -> None:
    plain = encoded(Image.fromarray(colours()), "JPEG")
    thumbnails = plain[:2] + b"\xff\xe5" + struct.pack(">H", 402) + b"\xff\xda" * 200 + plain[2:]
    assert load(put(thumbnails + b"\xff\xda" * 200)).bits == 8


def test_a_second_picture_inside_a_jpeg_is_left_alone(put: Put) -> None:
    first, second = Image.new("RGB", (20, 20), "red"), Image.new("RGB", (16, 16), "blue")
    path = put(encoded(first, "MPO", save_all=True, append_images=[second]))
    assert load(path).photo.shape == (3, 20, 20)


def test_no_other_decoder_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Image, "open", forbidden)
    monkeypatch.setattr("PIL.EpsImagePlugin.EpsImageFile.__init__", forbidden)
    for data, sentence in ((POSTSCRIPT, FOREIGN), (b"\x89PNG\r\n\x1a\n" + POSTSCRIPT, DAMAGED)):
        with pytest.raises(ImageError) as refusal:
            decode(data, "The picture")
        assert str(refusal.value) == sentence


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    "whole",
    [
        encoded(Image.fromarray(colours()), "JPEG", quality=95),
        encoded(Image.fromarray(colours()), "PNG"),
        encoded(Image.fromarray(colours()), "WEBP"),
        encoded(Image.fromarray(colours()), "BMP"),
        encoded(Image.fromarray(colours()), "TIFF"),
        opencv(colours(np.uint16), ".png"),
        opencv(colours(np.uint16), ".tiff"),
        tiff16(colours(np.uint16)),
    ],
    ids=["jpeg", "png", "webp", "bmp", "tiff", "png 16", "tiff 16 lzw", "tiff 16"],
)
def test_truncated_files_are_refused(put: Put, whole: bytes, share: float) -> None:
    assert load(put(whole)).photo.shape == (3, *WINDOW)
    assert refusal_of(put(whole[: int(len(whole) * share)])) == DAMAGED


def test_files_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal_of(tmp_path / "none.png") == "The picture does not exist; choose it again."
    assert refusal_of(tmp_path) == "The picture is a folder; choose a picture file."
    assert refusal_of(tmp_path / ("x" * 300)) == "The picture cannot be opened; choose it again."
    assert refusal_of(Path("a\0b")) == "The picture does not exist; choose it again."
    large = tmp_path / "large.png"
    large.write_bytes(bytes(2_100_000))
    monkeypatch.setattr("fusion.io.image.MAX_BYTES", 2_000_000)
    assert refusal_of(large) == "The picture is a file of 2.1 MB; make it smaller first: at most 2 MB."


def test_memory_that_runs_out_is_a_refusal(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("fusion.io.image._photo", exhausted)
    assert refusal_of(put(shade(9))) == "The picture needs more memory than there is; make it smaller first."


# Saving


def stored(path: Path) -> Array:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels


@pytest.mark.parametrize("bits", [8, 16])
def test_saved_values_come_back_exactly(tmp_path: Path, bits: int) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    photo = torch.from_numpy(colours(dtype).astype(np.float32) / np.float32((1 << bits) - 1)).permute(2, 0, 1)
    path = tmp_path / "result.png"
    save(photo, path, bits=bits)
    again = load(path)
    assert again.bits == bits
    assert torch.equal(again.photo, photo)
    first = path.read_bytes()
    save(photo.clone(), path, bits=bits)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["result.png"]


def test_saved_values_are_rounded_and_clamped(tmp_path: Path) -> None:
    photo = torch.tensor([-0.5, 0.4, 99.4, 99.6, 254.6, 300]).repeat(16, 16).expand(3, -1, -1) / 255
    save(photo, tmp_path / "8.png")
    assert stored(tmp_path / "8.png")[0, :6, 0].tolist() == [0, 0, 99, 100, 255, 255]
    save(photo * 255 / 65535, tmp_path / "16.png", bits=16)
    assert stored(tmp_path / "16.png")[0, :6, 0].tolist() == [0, 0, 99, 100, 255, 300]


def test_a_failing_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "The picture cannot be saved; check that its folder exists and has room."
    photo = torch.zeros(3, 20, 20)
    with pytest.raises(ImageError) as refusal:
        save(photo, tmp_path / "missing" / "result.png")
    assert str(refusal.value) == sentence
    path = tmp_path / "result.png"
    path.write_bytes(b"earlier")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ImageError) as refusal:
        save(photo, path)
    assert str(refusal.value) == sentence
    assert path.read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["result.png"]


def test_preview_is_a_reduced_jpeg(tmp_path: Path) -> None:
    photo = torch.zeros(3, 60, 200)
    photo[0] = 1
    save_preview(photo, tmp_path / "preview", side=100)
    with Image.open(tmp_path / "preview") as image:
        assert (image.format, image.size) == ("JPEG", (100, 30))
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - [255, 0, 0]).max() <= 8
    save_preview(photo, tmp_path / "preview", side=1600)
    with Image.open(tmp_path / "preview") as image:
        assert image.size == (200, 60)


# JPEGs without an end, and exposures that the camera turned


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_that_lacks_only_its_end_is_read(put: Put, options: dict[str, bool]) -> None:
    whole = encoded(Image.fromarray(cv2.GaussianBlur(colours(), (0, 0), 2)), "JPEG", quality=90, **options)
    assert whole.endswith(b"\xff\xd9")
    for lacking in (1, 2):
        picture = load(put(whole[:-lacking]))
        assert picture.notes == ("The picture lacks the mark at its end; all its pixels are there.",)
        assert torch.equal(picture.photo, load(put(whole)).photo)
    for lacking in (4, 8, 40):
        assert "is damaged, cut short" in refusal_of(put(whole[:-lacking]))


def turned_bracket(tmp_path: Path, turns: Sequence[int]) -> list[Path]:
    """JPEGs of one bracket, whose pixels agree as they are stored, with an Exif orientation each."""
    scene = cv2.GaussianBlur(colours(), (0, 0), 3)
    files = [tmp_path / f"{index}.jpg" for index in range(len(turns))]
    for file, turn, gain in zip(files, turns, np.linspace(0.3, 1, len(turns)), strict=True):
        said = Image.Exif()
        said[0x0112] = turn
        pixels = np.rint(scene * gain).astype(np.uint8)
        file.write_bytes(encoded(Image.fromarray(pixels), "JPEG", quality=98, exif=said.tobytes()))
    return files


@pytest.mark.parametrize(
    ("turns", "upright"),
    [((1, 1, 6), 1), ((6, 1, 6), 6), ((8, 8, 1), 8), ((1, 3, 1), 1), ((3, 3, 1), 3), ((6, 1), 6), ((1, 6), 1)],
)
def test_the_orientation_of_most_exposures_counts(tmp_path: Path, turns: tuple[int, ...], upright: int) -> None:
    pair = load_pair(*turned_bracket(tmp_path, turns))
    (tmp_path / "alike").mkdir()
    alike = load_pair(*turned_bracket(tmp_path / "alike", [upright] * len(turns)))
    assert all(map(torch.equal, pair.frames, alike.frames))
    odd = next(index for index, turn in enumerate(turns) if turn != upright)
    told = f"The {ORDINALS[odd]} picture has another Exif orientation than the others; it was turned as they are."
    assert told in pair.notes


def test_exposures_that_agree_upright_stay_upright(tmp_path: Path) -> None:
    """One of them was turned by a program, which set its orientation to 1."""
    files = turned_bracket(tmp_path, (6, 6, 1))
    upright = Image.fromarray(np.ascontiguousarray(np.rot90(cv2.GaussianBlur(colours(), (0, 0), 3), -1)))
    files[2].write_bytes(encoded(upright, "JPEG", quality=98))
    pair = load_pair(*files)
    assert pair.size == (30, 20)
    assert not [note for note in pair.notes if "than the others" in note]
