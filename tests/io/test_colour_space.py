"""What the colours of files mean: each file is read as its twin in sRGB."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from fusion.errors import ImageError
from fusion.io import icc
from fusion.io.colour_space import ColourSpace, Signs, adobe_rgb, coded, meant, measured, srgb_curve
from fusion.io.decode import decode
from tests.pictures import colours, encoded

LINEAR = np.random.default_rng(5).uniform(0.05, 0.8, (24, 32, 3))  # light that every gamut below holds
TWIN = srgb_curve(LINEAR)


def values_in(space: ColourSpace, light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Encode light of sRGB in a space whose curve is inverted by search."""
    own = light @ np.linalg.inv(space.matrix).T
    grid = np.linspace(0, 1, 200_001)
    return np.interp(own, space.curves[0](grid), grid)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: NDArray[np.float64], *chunks: bytes, dtype: type = np.uint16) -> bytes:
    """A PNG with further chunks behind its header."""
    import cv2

    pixels = np.rint(values * np.iinfo(dtype).max).astype(dtype)
    data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    return data[:33] + b"".join(chunks) + data[33:]


def test_hdr_white_is_203_candelas() -> None:
    """BT.2408, table 1: 58 % of PQ and 75 % of HLG."""
    pq, hlg = coded(9, 16), coded(9, 18)
    assert float(pq.curves[0](np.array(0.5807))) == pytest.approx(1, abs=0.001)
    for space, value in ((pq, 594), (hlg, 767)):
        made, bits = space.to_srgb(np.full((16, 16, 3), value, np.uint16), 10)
        assert bits == 16
        assert made.min() >= 65535 * 0.995


def test_brighter_light_than_white_is_compressed_in_order() -> None:
    ramp = np.repeat(np.linspace(0, 1, 256)[None, :, None], 16, 0).repeat(3, 2)
    codes = np.rint(ramp * 1023).astype(np.uint16)
    space = coded(9, 16)
    assert space.is_bright(codes, 10)
    made, _ = space.to_srgb(codes.copy(), 10)
    row = made[0, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert row[0] == 0
    assert row[-1] >= 65500
    assert len(set(row[150:])) > 90  # nothing above white is cut off but its end
    dim = codes // 2  # all of it below white
    assert not space.is_bright(dim, 10)


@pytest.mark.parametrize("codes", [(12, 13), (9, 14), (1, 8), (1, 4), (1, 1), (11, 17), (9, 16)])
def test_code_points_of_png(codes: tuple[int, int]) -> None:
    space = coded(*codes)
    data = png(values_in(space, LINEAR * 0.9), chunk(b"cICP", bytes([*codes, 0, 1])), chunk(b"gAMA", bytes(4)))
    read = decode(data, "The picture")
    assert read.notes == [f"The picture was converted from {space.name} to sRGB."]
    assert np.abs(read.pixels / 65535 - srgb_curve(LINEAR * 0.9)).max() < 0.002


def test_code_points_of_srgb_change_nothing() -> None:
    read = decode(png(TWIN, chunk(b"cICP", bytes([1, 13, 0, 1]))), "The picture")
    assert read.notes == []
    assert (read.pixels == np.rint(TWIN * 65535)).all()


def test_unknown_code_points_are_refused() -> None:
    with pytest.raises(ImageError, match="primaries 3 and transfer 200"):
        decode(png(TWIN, chunk(b"cICP", bytes([3, 200, 0, 1]))), "The picture")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("gamma", [1.0, 0.55556, 0.45455])
def test_gamma_and_chromaticities_of_png(gamma: float, dtype: type) -> None:
    adobe = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    space = measured(gamma, adobe)
    chunks = (
        chunk(b"gAMA", struct.pack(">I", round(gamma * 1e5))),
        chunk(b"cHRM", struct.pack(">8I", *(round(value * 1e5) for value in adobe))),
    )
    read = decode(png(values_in(space, LINEAR), *chunks, dtype=dtype), "The picture")
    off = np.abs(read.pixels / np.iinfo(dtype).max - TWIN)
    assert read.bits == np.iinfo(dtype).bits
    assert off.max() < (0.02 if dtype == np.uint8 else 0.001)
    assert decode(png(TWIN, *chunks, chunk(b"sRGB", b"\0")), "The picture").notes == []


def test_adobe_rgb_by_exif() -> None:
    said = Image.Exif()
    said.get_ifd(0x8769)[0xA001] = 65535
    said.get_ifd(0x8769)[0xA005] = {1: "R03"}
    pixels = np.rint(values_in(adobe_rgb(), LINEAR) * 255).astype(np.uint8)
    read = decode(encoded(Image.fromarray(pixels), "PNG", exif=said.tobytes()), "The picture")
    assert read.notes == ["The picture was converted from Adobe RGB to sRGB."]
    assert np.abs(read.pixels / 255 - TWIN).max() < 0.012
    unknown = Image.Exif()
    unknown.get_ifd(0x8769)[0xA001] = 65535
    notes = decode(encoded(Image.fromarray(pixels), "PNG", exif=unknown.tobytes()), "The picture").notes
    assert notes == ["The picture says that its colours are not sRGB, but not which they are; they are read as sRGB."]


def profile(curve: bytes, matrix: NDArray[np.float64] | None = None) -> bytes:
    """The sRGB profile of Pillow with another curve, and its columns multiplied."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    entries = [struct.unpack(">4sII", data[at : at + 12]) for at in range(132, 132 + 12 * count, 12)]
    tags = {name: bytes(data[start : start + size]) for name, start, size in entries}
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        tags[name] = curve
    if matrix is not None:
        columns = np.array([struct.unpack(">3i", tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T @ matrix
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True):
            tags[name] = tags[name][:8] + struct.pack(">3i", *(round(value) for value in column))
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I", start + len(body)) + bytes(data[4:128])
    return head + struct.pack(">I", len(tags)) + table + body


GAMMA_1 = b"curv" + bytes(4) + struct.pack(">I", 0)
GAMMA_18 = b"curv" + bytes(4) + struct.pack(">IH", 1, round(1.8 * 256)) + bytes(2)
PARAMETRIC = b"para" + bytes(4) + struct.pack(">HHi", 0, 0, round(1.8 * 65536))


@pytest.mark.parametrize("curve", [GAMMA_1, GAMMA_18, PARAMETRIC])
def test_profiles_of_floating_point_are_exact_in_the_dark(curve: bytes) -> None:
    exponent = 1.0 if curve == GAMMA_1 else 1.8
    light = np.geomspace(1e-5, 1, 24 * 32 * 3).reshape(24, 32, 3)
    data = io.BytesIO()
    values = (light ** (1 / exponent)).astype(np.float32)
    tifffile.imwrite(data, values, photometric="rgb", iccprofile=profile(curve))
    read = decode(data.getvalue(), "The picture")
    assert read.bits == 32
    assert read.table is None
    assert read.notes == ["The picture was converted from its colour profile to sRGB."]
    assert np.abs(read.pixels - srgb_curve(light)).max() < 0.005
    assert np.abs(read.pixels - srgb_curve(light))[light < 0.001].max() < 0.0005


def test_a_profile_agrees_with_little_cms() -> None:
    mixed = np.array([[0.8, 0.15, 0.05], [0.1, 0.85, 0.05], [0.1, 0.0, 0.9]])
    data = profile(GAMMA_18, mixed)
    pixels = colours()
    conversion, space = icc.to_srgb(data, "RGB"), icc.space(data)
    assert conversion is not None
    assert space is not None
    made, bits = space.to_srgb(pixels.copy(), 8)
    assert bits == 8
    assert np.abs(made.astype(int) - conversion.convert_image(Image.fromarray(pixels))).max() <= 2


def test_a_profile_that_lies_is_refused() -> None:
    for damage in (b"", bytes(200), profile(b"para" + bytes(4) + struct.pack(">HH", 9, 0))):
        with pytest.raises(ValueError, match=r"profile"):
            icc.space(damage if len(damage) > 300 else damage[:20])


def test_what_counts_more() -> None:
    p3, srgb = (12, 13, True), (1, 13, True)
    assert meant(Signs(codes=p3, srgb=True), b"profile") != "profile"
    assert meant(Signs(later_codes=p3), b"profile") == "profile"
    found = meant(Signs(later_codes=p3, gamma=1.0), b"")
    assert isinstance(found, ColourSpace)
    assert found.name == "Display P3"
    assert meant(Signs(srgb=True, gamma=1.0), b"") is None
    assert meant(Signs(codes=srgb, gamma=1.0), b"") is None
    assert meant(Signs(), b"") is None
