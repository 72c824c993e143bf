"""Formats of phones and cameras: which values are read and written, and which metadata are dropped."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms

from fusion.benchmark.experiments.dng import negative
from fusion.errors import ImageError
from fusion.io.decode import decode
from fusion.io.image import LoadedPhoto, Metadata, as_pair, save, to_uint8
from tests.io.test_image import Put, put, refusal_of
from tests.pictures import ADOBE, colours, encoded
from tests.shared_session import load, load_pair

__all__ = ["put"]  # a fixture

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
EXTENSIONS = pytest.mark.parametrize("extension", ["png", "tif", "tiff"])


def pixels_of(picture: LoadedPhoto, bits: int) -> NDArray[Any]:
    return (picture.photo * ((1 << bits) - 1)).round().permute(1, 2, 0).numpy().astype(np.uint16)


# HEIC and AVIF


def grid() -> NDArray[np.uint16]:
    """The lossless contents of `golden/grid-*.heic`, 48 x 64: greys on the left, patches of colour on the right."""
    greys = np.linspace(0, 65535, 48 * 32).reshape(48, 32).round()
    patches = np.random.default_rng(3).integers(0, 256, (6, 4, 3)) * 257
    return np.concatenate((np.repeat(greys[..., None], 3, 2), patches.repeat(8, 0).repeat(8, 1)), 1).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 10])
def test_heic_values_are_exact(bits: int) -> None:
    picture = load(GOLDEN / f"grid-{bits}.heic")
    assert (picture.bits, picture.notes) == (8 if bits == 8 else 16, ())
    off = np.abs(pixels_of(picture, bits).astype(int) - (grid() >> (16 - bits)))
    assert off[:, :32].max() == 0
    assert off.max() <= 1  # colours: libheif goes through YCbCr


def test_heic_of_greys() -> None:
    picture = load(GOLDEN / "greys-8.heic")  # the grid's left half
    assert torch.equal(picture.photo, load(GOLDEN / "grid-8.heic").photo[..., :32])


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["grid-8.heic", "grid-10.heic"])
def test_truncated_heic_is_refused(put: Put, name: str, share: float) -> None:
    data = (GOLDEN / name).read_bytes()
    assert "is damaged, cut short" in refusal_of(put(data[: int(len(data) * share)]))


def test_avif_values(put: Put) -> None:
    pixels = cv2.GaussianBlur(colours(), (0, 0), 3)
    picture = load(put(encoded(Image.fromarray(pixels), "AVIF", quality=100, subsampling="4:4:4")))
    assert (picture.bits, picture.notes) == (8, ())
    assert np.abs(to_uint8(picture.photo).astype(int) - pixels).max() <= 2  # AVIF's best still goes through YCbCr


def test_avif_of_10_bits_is_read_whole(put: Put) -> None:
    done, data = cv2.imencode(".avif", np.full((40, 40, 3), 601, np.uint16), [cv2.IMWRITE_AVIF_DEPTH, 10])
    if not done:
        pytest.skip("this OpenCV writes no AVIF")
    picture = load(put(data.tobytes()))
    assert (picture.bits, picture.notes) == (16, ())
    assert np.abs(pixels_of(picture, 10).astype(int) - 601).max() <= 1


# TIFF of floating point


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_float_values_are_exact(put: Put, compression: str | None) -> None:
    values = np.random.default_rng(1).random((20, 30, 3), np.float32)
    data = io.BytesIO()
    tifffile.imwrite(data, values, photometric="rgb", compression=compression)
    picture = load(put(data.getvalue()))
    assert (picture.bits, picture.notes) == (16, ())
    assert torch.equal(picture.photo, torch.from_numpy(values).permute(2, 0, 1))
    assert "cut short" in refusal_of(put(data.getvalue()[:-500]))


@pytest.mark.parametrize("value", [np.nan, -0.01, 1.01, np.inf])
def test_floats_that_are_no_exposure_are_refused(put: Put, value: float) -> None:
    values = np.full((20, 30, 3), 0.5, np.float32)
    values[3, 4, 1] = value
    data = io.BytesIO()
    tifffile.imwrite(data, values, photometric="rgb")
    assert "radiance rather than an exposure" in refusal_of(put(data.getvalue()))


# Camera RAW

NEUTRAL = 0.5, 1.0, 0.6
"""What a sensor sees of grey."""


def seen(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of grey light (H, W) that each pixel of the sensor sees."""
    part = np.ones_like(light)
    part[::2, ::2], part[1::2, 1::2] = NEUTRAL[0], NEUTRAL[2]
    return part


def test_raw_is_developed_alike_for_all_exposures(put: Put) -> None:
    pytest.importorskip("rawpy")
    light = np.repeat(np.linspace(0.02, 0.9, 8), 16)[None].repeat(64, 0)
    bright, dark = (load(put(negative(light * seen(light) * exposure, NEUTRAL))) for exposure in (1.0, 0.25))
    for picture, exposure in ((bright, 1.0), (dark, 0.25)):
        assert picture.bits == 16
        assert picture.notes == ("The picture was developed from camera RAW, without automatic brightness.",)
        linear = light[32] * exposure
        expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        middles = slice(8, None, 16)  # of the steps, where no neighbour joins in
        assert picture.photo[:, 32].numpy()[:, middles] == pytest.approx(expected[None, middles].repeat(3, 0), abs=0.01)


def test_a_raw_that_is_no_raw_is_refused(put: Put) -> None:
    pytest.importorskip("rawpy")
    assert "is damaged, cut short" in refusal_of(put(b"FUJIFILMCCD-RAW " + bytes(3000)))


def test_raw_without_its_library_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    with pytest.raises(ImageError, match="needs the package rawpy"):
        decode(negative(np.full((64, 64), 0.5)), "The picture")


# More than two


def shades(*levels: float) -> list[torch.Tensor]:
    scene = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(2))
    return [scene * level for level in levels]


def test_exposures_are_ordered_by_brightness() -> None:
    dark, middle, light, bright = shades(0.1, 0.3, 0.6, 1.0)
    stack = as_pair(light, dark, bright, middle)
    assert all(map(torch.equal, stack.frames, (dark, middle, light, bright)))
    assert stack.notes == ("Metrics compare the result with the darkest and the brightest of the 4 exposures.",)
    assert len(as_pair(dark, bright).between) == 0


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [
        ((0.5,), "1 picture was given; choose two to nine exposures of one scene."),
        ((*np.linspace(0.1, 1, 10),), "10 pictures were given; choose two to nine exposures of one scene."),
        ((0.5, 0.5), "The two pictures are identical; "),
        ((0.5, 0.501, 0.5), "The first and the third picture are identical; "),
    ],
)
def test_stacks_that_cannot_be_used(levels: tuple[float, ...], sentence: str) -> None:
    with pytest.raises(ImageError) as refusal:
        as_pair(*shades(*levels))
    assert str(refusal.value).startswith(sentence)


def test_a_stack_with_two_frames_alike_is_told() -> None:
    assert "The first and the third picture are identical; both are used." in as_pair(*shades(0.5, 1.0, 0.5)).notes
    told = "The second and the third picture are equally bright; both are used."
    assert told in as_pair(*shades(0.2, 0.5, 0.501)).notes


def test_a_stack_of_files(tmp_path: Path) -> None:
    for index, shade in enumerate(shades(1.0, 0.2, 0.5)):
        save(shade, tmp_path / f"{index}.png")
    stack = load_pair(*(tmp_path / f"{index}.png" for index in range(3)))
    assert [round(float(frame.max()), 1) for frame in stack.frames] == [0.2, 0.5, 1.0]


# Writing


@EXTENSIONS
@pytest.mark.parametrize("bits", [8, 16])
def test_written_values_come_back_exactly(tmp_path: Path, extension: str, bits: int) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    photo = torch.from_numpy(colours(dtype).astype(np.float32) / np.float32((1 << bits) - 1)).permute(2, 0, 1)
    path = tmp_path / f"result.{extension}"
    save(photo, path, bits=bits)
    first = path.read_bytes()
    again = load(path)
    assert again.bits == bits
    assert torch.equal(again.photo, photo)
    save(photo.clone(), path, bits=bits)
    assert path.read_bytes() == first


def test_jpeg_has_its_quality(tmp_path: Path) -> None:
    photo = torch.from_numpy(cv2.GaussianBlur(colours(), (0, 0), 2)).permute(2, 0, 1) / 255
    sizes: list[int] = []
    for quality in (50, 95):
        save(photo, tmp_path / "result.jpg", quality=quality)
        sizes.append((tmp_path / "result.jpg").stat().st_size)
        assert (tmp_path / "result.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert sizes[0] < sizes[1]
    with pytest.raises(ImageError, match="8 bits a channel"):
        save(photo, tmp_path / "result.jpg", bits=16)
    with pytest.raises(ImageError, match="ends in one of"):
        save(photo, tmp_path / "result.gif")


CANARY = "canary-7f3a"


def camera_data() -> bytes:
    said = Image.Exif()
    said[271], said[270], said[274] = "Maker", CANARY, 6  # the description and the orientation stay behind
    said.get_ifd(0x8769).update({33434: 0.25, 37510: CANARY.encode(), 37500: CANARY.encode()})  # comment, maker's note
    said.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    return said.tobytes()


def exif_of(path: Path) -> Image.Exif:
    with Image.open(path) as image:
        return image.getexif()


@pytest.mark.parametrize("extension", ["png", "tif", "jpg"])
def test_names_keep_their_letters(tmp_path: Path, extension: str) -> None:
    said, source = Image.Exif(), tmp_path / "source.jpg"
    said[315], said[33432] = "Jörg Müller".encode(), "© 2024 渚".encode()
    source.write_bytes(encoded(Image.fromarray(colours()), "JPEG", exif=said.tobytes()))
    picture = load(source)
    path = tmp_path / f"result.{extension}"
    save(picture.photo, path, metadata=picture.metadata)
    kept = exif_of(path)
    assert [kept[tag].encode("latin-1").decode() for tag in (315, 33432)] == ["Jörg Müller", "© 2024 渚"]


@pytest.mark.parametrize("extension", ["png", "tif", "jpg"])
def test_nothing_of_the_source_is_written_unless_asked_for(tmp_path: Path, extension: str) -> None:
    source = tmp_path / "source.jpg"
    source.write_bytes(encoded(Image.fromarray(colours()), "JPEG", exif=camera_data(), comment=CANARY.encode()))
    picture = load(source)
    assert CANARY.encode() in picture.metadata.exif
    path = tmp_path / f"result.{extension}"
    save(picture.photo, path)
    assert not {271, 0x8769, 0x8825} & set(exif_of(path))
    save(picture.photo, path, metadata=picture.metadata)
    assert exif_of(path)[271] == "Maker"
    assert CANARY.encode() not in path.read_bytes()
    assert 274 not in exif_of(path) or exif_of(path)[274] == 1
    assert not exif_of(path).get_ifd(0x8825)
    if extension != "tif":
        assert exif_of(path).get_ifd(0x8769)[33434] == 0.25
        save(picture.photo, path, metadata=picture.metadata, keep_location=True)
        assert exif_of(path).get_ifd(0x8825)[2] == (52, 31, 12)


def test_unreadable_camera_data_are_left_out(tmp_path: Path) -> None:
    save(
        torch.zeros(3, 20, 20),
        tmp_path / "a.png",
        metadata=Metadata(exif=b"Exif\0\0II*\0\xff\xff\xff\xff", profile=b"no profile"),
    )
    assert not exif_of(tmp_path / "a.png")


@EXTENSIONS
@pytest.mark.parametrize("bits", [8, 16])
def test_a_profile_is_left_and_taken_again(tmp_path: Path, put: Put, extension: str, bits: int) -> None:
    smooth = cv2.GaussianBlur(colours(), (0, 0), 3)
    picture = load(put(encoded(Image.fromarray(smooth), "PNG", icc_profile=ADOBE)))
    path = tmp_path / f"result.{extension}"
    save(picture.photo, path, bits=bits, metadata=picture.metadata)
    if bits == 8:
        with Image.open(path) as image:
            assert image.info["icc_profile"] == ADOBE
            assert np.abs(np.asarray(image).astype(int) - smooth).max() <= 3
    assert float((load(path).photo - picture.photo).abs().max()) < 5 / 255  # through two tables


def test_grey_profiles_are_not_written(tmp_path: Path) -> None:
    """A fused picture has colours; a profile of greys would lose them."""
    save(torch.rand(3, 20, 20), tmp_path / "a.png", metadata=Metadata(profile=grey_profile()))
    with Image.open(tmp_path / "a.png") as image:
        assert "icc_profile" not in image.info


def grey_profile() -> bytes:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return lab.tobytes()


def sensor(exposure: float, saturation: float) -> bytes:
    """A DNG of greys up to 3 times white, by a sensor that saturates at this part of the white that the file states."""
    rng = np.random.default_rng(1)
    light = np.linspace(0.02, 3, 320)[None].repeat(240, 0) * exposure
    electrons = rng.poisson(light * seen(light) * 20_000) / 20_000
    levels = np.minimum(electrons, 1) * saturation + rng.normal(0, 5e-4, light.shape)
    levels[7, 9] = 1  # a hot pixel reaches the stated white
    return negative(levels.clip(0, 1), NEUTRAL)


@pytest.mark.parametrize("saturation", [0.97, 0.85, 0.78])
def test_white_of_a_sensor_that_saturates_early_is_white(saturation: float, tmp_path: Path) -> None:
    """In all exposures of a bracket, the level at which the bright ones saturate is white."""
    pytest.importorskip("rawpy")
    files = [tmp_path / f"{name}.dng" for name in ("bright", "dark", "darkest")]
    for file, exposure in zip(files, (1.0, 1 / 4, 1 / 16), strict=True):
        file.write_bytes(sensor(exposure, saturation))
    bright, dark = load(files[0]), load(files[1])
    assert bright.saturation == pytest.approx(saturation * 65535, rel=0.01)
    assert dark.saturation == 65535  # nothing tells it
    assert float(bright.photo[:, 100:140, -100:].min()) > 0.99
    pair = load_pair(*files)
    for photo, exposure in zip(pair.frames, (1 / 16, 1 / 4, 1.0), strict=True):
        column = 60
        light = np.linspace(0.02, 3, 320)[column] * exposure
        encoded_light = 1.055 * max(light, 0.0031308) ** (1 / 2.4) - 0.055
        assert photo[:, 100:140, column].mean(1).numpy() == pytest.approx([encoded_light] * 3, abs=0.012)


@pytest.mark.parametrize("exposure", [0.25, 0.3, 1.0])
def test_a_sensor_that_saturates_at_its_white_is_taken_at_its_word(exposure: float, put: Put) -> None:
    """So is a scene whose brightest part is a little below white."""
    pytest.importorskip("rawpy")
    assert load(put(sensor(exposure, 1.0))).saturation == 65535
