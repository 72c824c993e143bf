"""Ultra HDR and OpenEXR: what is written is read again by other programs than those that wrote it."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.MpoImagePlugin import MpoImageFile

from fusion.errors import FusionError
from fusion.io import saving, ultra_hdr
from fusion.io.image import Metadata, encoded, load
from fusion.io.saving import Origin, Saving
from fusion.methods.scene_light import linear

HEIGHT, WIDTH = 120, 161
OFFSET = 1 / 64


@pytest.fixture
def light() -> torch.Tensor:
    """Smooth light of a little colour over 12 stops."""
    down, along = torch.meshgrid(torch.linspace(-1, 1, HEIGHT), torch.linspace(-5, 5, WIDTH), indexing="ij")
    return torch.stack((2 ** (along + 0.3 * down), 2**along, 2 ** (along - down)))


@pytest.fixture
def photo(light: torch.Tensor) -> torch.Tensor:
    """A picture of that light that a display can show."""
    return (light / (1 + light)) ** (1 / 2.2)


def camera() -> Metadata:
    said = Image.Exif()
    said[271] = "Maker"
    return Metadata(exif=said.tobytes())


def rendition(path: Path) -> NDArray[np.float32]:
    """The HDR rendition (H, W, 3) as OpenImageIO reads it, by the numbers of ISO 21496-1."""
    picture = OpenImageIO.ImageBuf(str(path))
    assert str(picture.spec().format) == "half"
    return np.asarray(picture.get_pixels(OpenImageIO.FLOAT))[..., :3]


def by_hand(data: bytes) -> NDArray[np.float32]:
    """The HDR rendition by the formula of Ultra HDR, with both pictures from Pillow and the numbers from XMP."""
    pictures = MpoImageFile(BytesIO(data))
    assert pictures.n_frames == 2
    base = torch.from_numpy(np.array(pictures.convert("RGB"))) / 255
    start = len(data) - int(re.findall(rb'Item:Length="(\d+)"', data)[0])
    gain = np.asarray(JpegImageFile(BytesIO(data[start:])), np.float32) / 255
    pictures.seek(1)
    assert np.array_equal(np.asarray(pictures, np.float32) / 255, gain)
    said = {key.decode(): value.decode() for key, value in re.findall(rb'hdrgm:(\w+)="([^"]*)"', data[start:])}
    low, high = float(said["GainMapMin"]), float(said["GainMapMax"])
    assert (said["Version"], said["Gamma"], said["BaseRenditionIsHDR"]) == ("1.0", "1", "False")
    assert (float(said["HDRCapacityMin"]), float(said["HDRCapacityMax"])) == (0, high)
    offsets = float(said["OffsetSDR"]), float(said["OffsetHDR"])
    brighter = np.exp2(np.float32(low) + gain * np.float32(high - low))
    return (linear(base).numpy() + np.float32(offsets[0])) * brighter - np.float32(offsets[1])


def without_gain_map(data: bytes) -> bytes:
    """The first picture of an Ultra HDR file without the segments that tell of the second one."""
    length = int(re.findall(rb'Item:Length="(\d+)"', data)[0])
    data = data[:-length]
    for start in (b"http://ns.adobe.com/xap", b"urn:iso:std:iso:ts:21496", b"MPF\0"):
        at = data.index(start) - 4
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    return data


@pytest.mark.parametrize("kept", [False, True], ids=["without metadata", "with metadata"])
def test_the_picture_is_byte_for_byte_plain_jpeg(
    photo: torch.Tensor, light: torch.Tensor, kept: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    Saving("ultra-hdr", quality=90, keep_metadata=kept).write(photo, path, Origin(camera(), light=light))
    data = path.read_bytes()
    assert without_gain_map(data) == encoded(photo, ".jpg", quality=90, metadata=camera() if kept else None)
    plain = load(path)  # by this program, which reads the first picture
    assert plain.notes == ()
    assert plain.photo.shape == photo.shape
    Saving("ultra-hdr", quality=90, keep_metadata=kept).write(photo, path, Origin(camera(), light=light))
    assert path.read_bytes() == data


def test_other_programs_read_the_light(photo: torch.Tensor, light: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Saving("ultra-hdr").write(photo, path, Origin(light=light))
    read = rendition(path)
    again = by_hand(path.read_bytes())
    off = np.abs(read / np.maximum(again, OFFSET) - 1)[again > 1 / 16]  # below, a level of 255 matters
    assert np.quantile(off, 0.95) < 0.01  # half precision, and a table of 1,024 gains
    assert off.max() < 0.1  # each program enlarges the halved chroma in its own way
    true = light.permute(1, 2, 0).numpy()
    bright = true.min(-1) > 1 / 8
    ratio = (read / true)[bright]
    assert np.abs(ratio / np.median(ratio) - 1).mean() < 0.03
    # As bright as the picture is, in the mean of stops.
    luminance = np.array([0.2126, 0.7152, 0.0722])
    shown = linear(torch.from_numpy(np.array(Image.open(path).convert("RGB"))) / 255).numpy()
    means = [np.log2(one @ luminance + OFFSET).mean() for one in (shown, read)]
    assert abs(means[0] - means[1]) < 0.02


def test_flat_light_has_a_gain_map(tmp_path: Path) -> None:
    """Of one gain, which is 1."""
    path, grey = tmp_path / "a.jpg", torch.full((3, 32, 48), 0.5)
    Saving("ultra-hdr").write(grey, path, Origin(light=linear(grey) * 7))
    assert np.abs(rendition(path) - float(linear(torch.tensor(0.5)))).max() < 0.005


def test_openexr_holds_the_light(photo: torch.Tensor, light: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "light.exr"
    light = light.clone()
    light[0, 0, 0], light[1, 0, 0] = 1e6, 0  # beyond half precision, and none
    for _ in range(2):
        Saving("exr").write(photo, path, Origin(light=light))
        read = OpenImageIO.ImageBuf(str(path))
        assert [read.spec().channelnames[at] for at in range(3)] == ["R", "G", "B"]
        held = np.asarray(read.get_pixels(OpenImageIO.FLOAT))
        assert np.allclose(held, light.clamp_max(65504).permute(1, 2, 0), rtol=2**-11)


def test_what_light_cannot_be_saved_with() -> None:
    with pytest.raises(FusionError, match="has no camera data"):
        Saving("exr", keep_metadata=True)
    with pytest.raises(FusionError, match="A JPEG has 8 bits a channel"):
        Saving("ultra-hdr", bits=16)
    with pytest.raises(FusionError, match="needs the light of the scene"):
        Saving("exr").write(torch.zeros(3, 20, 20), "never.exr")


@pytest.mark.parametrize(("kind", "package"), [("ultra-hdr", r"pyvips\[binary\]"), ("exr", "OpenEXR")])
def test_a_missing_package_is_named_before_anything_is_done(
    kind: saving.Format, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr(saving, "find_spec", nothing)
    with pytest.raises(FusionError, match=f"not installed: pip install '?{package}"):
        Saving(kind)


def test_a_vips_without_ultra_hdr_is_told(
    photo: torch.Tensor, light: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyvips

    def refused(*_: object, **__: object) -> bytes:
        raise pyvips.Error('VipsOperation: class "uhdrsave_buffer" not found')

    base = encoded(photo, ".jpg")
    gain = ultra_hdr.gain_map(base, light.permute(1, 2, 0).numpy())
    monkeypatch.setattr(pyvips.Image, "uhdrsave_buffer", refused, raising=False)
    with pytest.raises(FusionError, match="cannot write Ultra HDR; install a newer one"):
        ultra_hdr.ultra_hdr(base, gain)


def test_a_large_picture_is_written(tmp_path: Path) -> None:
    """24 megapixels, with sides that no block of a JPEG divides."""
    down, along = torch.meshgrid(torch.linspace(0.1, 1, 4001), torch.linspace(0.1, 1, 6003), indexing="ij")
    photo = torch.stack((down, along, down * along))
    Saving("ultra-hdr").write(photo, tmp_path / "a.jpg", Origin(light=linear(photo) * (1 + 3 * along)))
    data = (tmp_path / "a.jpg").read_bytes()
    assert MpoImageFile(BytesIO(data)).n_frames == 2
    assert load(tmp_path / "a.jpg").photo.shape == photo.shape
