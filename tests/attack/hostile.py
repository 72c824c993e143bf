"""Files that attack a decoder, made here: mutants of small pictures, and bombs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image

from fusion.benchmark.experiments.dng import negative
from fusion.io.ultra_hdr import gain_map, ultra_hdr
from tests.pictures import ADOBE, chunk, colours, encoded, many_scans, opencv, png_header, tiff16, with_chunk

GOLDEN = Path(__file__).parents[1] / "golden"


def seeds() -> dict[str, bytes]:
    """Small pictures of every format that is read, and of the ways to store them."""
    rgb, smooth = Image.fromarray(colours()), Image.fromarray(cv2.GaussianBlur(colours(), (0, 0), 3))
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Maker"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    pictures = {
        "jpeg": encoded(rgb, "JPEG", exif=exif, icc_profile=ADOBE),
        "jpeg progressive": encoded(rgb, "JPEG", progressive=True),
        "jpeg grey": encoded(rgb.convert("L"), "JPEG"),
        "jpeg cmyk": encoded(rgb.convert("CMYK"), "JPEG"),
        "png": encoded(rgb, "PNG", icc_profile=ADOBE, exif=exif),
        "png palette": encoded(rgb.quantize(16), "PNG", transparency=3),
        "png alpha": encoded(Image.fromarray(colours(channels=4)), "PNG"),
        "png 1": encoded(rgb.convert("1"), "PNG"),
        "png 16": with_chunk(opencv(colours(np.uint16), ".png"), b"iCCP", b"a\0\0" + zlib.compress(ADOBE)),
        "png grey 16": opencv(colours(np.uint16)[..., 0], ".png"),
        "webp": encoded(smooth, "WEBP", exif=exif),
        "webp lossless": encoded(rgb, "WEBP", lossless=True),
        "tiff": encoded(rgb, "TIFF"),
        "tiff lzw": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "tiff deflate": encoded(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": encoded(smooth, "TIFF", compression="jpeg"),
        "tiff 16": tiff16(colours(np.uint16), orientation=6),
        "tiff 16 lzw": opencv(colours(np.uint16), ".tiff"),
        "tiff float": tiff_of(np.random.default_rng(1).random((20, 30, 3), np.float32)),
        "tiff tiles": tiff_of(np.pad(colours(), ((0, 12), (0, 2), (0, 0))), tile=(16, 16), compression="zlib"),
        "bmp": encoded(rgb, "BMP"),
        "bmp palette": encoded(rgb.quantize(16), "BMP"),
        "avif": encoded(smooth, "AVIF"),
        "dng": negative(np.full((64, 64), 0.5)),
        "dng that saturates": negative(np.minimum(np.linspace(0, 2, 4096).reshape(64, 64), 0.9), (0.5, 1, 0.6)),
        "jpeg gain map": gain_map_of(smooth),
        "png cicp": with_chunk(opencv(colours(np.uint16), ".png"), b"cICP", bytes((9, 16, 0, 1))),
        "png chrm": with_chunk(with_chunk(encoded(rgb, "PNG"), b"gAMA", struct.pack(">I", 100_000)), b"cHRM", P3),
        "tiff alpha": tiff_of(colours(channels=4), extrasamples=("unassalpha",)),
        "tiff alpha 16": tiff_of(colours(np.uint16, channels=4), extrasamples=("assocalpha",)),
        "tiff alpha float": tiff_of(np.random.default_rng(1).random((20, 30, 4), np.float32), extrasamples=(2,)),
        "avif nclx": _after(encoded(smooth, "AVIF"), b"nclx", struct.pack(">HHH", 9, 16, 9)),
    }
    raw = pictures["dng"]
    for name, start in (("cr2", b"II*\0\x10\0\0\0CR\2\0"), ("raf", b"FUJIFILMCCD-RAW 0201"), ("orf", b"IIRO")):
        pictures[f"header of {name}"] = start + raw[len(start) :]
    return {**pictures, **{path.stem: path.read_bytes() for path in sorted(GOLDEN.glob("*.heic"))}}


P3 = struct.pack(">8I", 31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000)
"""White, red, green and blue of Display P3, as the chunk cHRM holds them."""


def gain_map_of(picture: Image.Image) -> bytes:
    """The picture as Ultra HDR."""
    base = encoded(picture, "JPEG")
    return ultra_hdr(base, gain_map(base, np.random.default_rng(1).random((20, 30, 3), np.float32) * 8))


def mutants(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Named, the same ones for the same seed: every way to spoil a file, upon every kind of file in turn."""
    rng = np.random.default_rng(seed)
    kinds = list(seeds().items())
    for index in range(count):
        name, data = kinds[index % len(kinds)]
        spoil = WAYS[index // len(kinds) % len(WAYS)]
        other = kinds[int(rng.integers(len(kinds)))][1]
        spoilt = spoil(bytearray(data), other, rng)
        yield f"{index} {name} {spoil.__name__}", mended(spoilt) if rng.integers(2) else spoilt


def mended(data: bytes) -> bytes:
    """Correct the checksums of a PNG; otherwise little more than the check of the checksums would be tested."""
    if not data.startswith(b"\x89PNG"):
        return data
    mended, at = bytearray(data), 8
    while at + 12 <= len(mended):
        end = at + 8 + int.from_bytes(mended[at : at + 4], "big")
        mended[end : end + 4] = zlib.crc32(mended[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(mended)


def flipped(data: bytearray, _: bytes, rng: np.random.Generator) -> bytes:
    """Flip some bits."""
    for at in rng.integers(0, len(data), rng.integers(1, 20)):
        data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)


def cut(data: bytearray, _: bytes, rng: np.random.Generator) -> bytes:
    """Cut off the end."""
    return bytes(data[: rng.integers(1, len(data))])


def spliced(data: bytearray, other: bytes, rng: np.random.Generator) -> bytes:
    """Join the beginning of one file to the end of another."""
    return bytes(data[: rng.integers(1, len(data))]) + other[rng.integers(0, len(other)) :]


def edited(data: bytearray, _: bytes, rng: np.random.Generator) -> bytes:
    """Make numbers extreme in the first 128 bytes, where most headers are."""
    for at in rng.integers(0, min(128, len(data) - 4), rng.integers(1, 4)):
        size = int(rng.choice([1, 2, 4]))
        value = int(rng.choice([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])) & ((1 << 8 * size) - 1)
        data[at : at + size] = value.to_bytes(size, "big" if rng.integers(2) else "little")
    return bytes(data)


def repeated(data: bytearray, _: bytes, rng: np.random.Generator) -> bytes:
    """Repeat a piece up to 200 times."""
    start, end = sorted(int(at) for at in rng.integers(0, len(data), 2))
    return bytes(data[:end] + data[start:end] * int(rng.integers(1, 200)) + data[end:])


def removed(data: bytearray, _: bytes, rng: np.random.Generator) -> bytes:
    """Remove a piece."""
    start, end = sorted(int(at) for at in rng.integers(0, len(data), 2))
    return bytes(data[:start] + data[end:])


WAYS: tuple[Callable[[bytearray, bytes, np.random.Generator], bytes], ...] = (
    flipped,
    cut,
    spliced,
    edited,
    repeated,
    removed,
)


def tiff_of(pixels: Any, **options: Any) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, pixels, photometric="rgb", metadata=None, **options)
    return data.getvalue()


def bombs() -> dict[str, tuple[bytes, str]]:
    """28 files that are small and ask for much, each with what is to become of it: `decoded`, or a refusal's code."""
    zeros = zlib.compress(bytes(100_000_000), 9)
    megabyte = zlib.compress(bytes(1_000_000), 9)
    png = encoded(Image.fromarray(colours()), "PNG")
    jpeg = encoded(Image.fromarray(colours()), "JPEG")
    sixteen = np.zeros((4000, 4000, 3), np.uint8)
    avif, heic = (seeds()[name] for name in ("avif", "grid-8"))
    tiff, dng = encoded(Image.fromarray(colours()), "TIFF"), negative(np.full((64, 64), 0.5))
    return {
        "png of 2500 megapixels": (png_header(50_000, 50_000), "too_large"),
        "png of 179 megapixels in 22 KB": (encoded(Image.new("1", (13_377, 13_377)), "PNG"), "too_large"),
        "png of 89 megapixels in 11 KB": (encoded(Image.new("1", (9459, 9459)), "PNG"), "too_large"),
        "png of 1 × 2 000 000 000": (png_header(1, 2_000_000_000), "too_small"),
        "png of 2 147 483 647 × 20": (png_header(2_147_483_647, 20), "too_large"),
        "png with 100 MB of compressed text": (with_chunk(png, b"zTXt", b"a\0\0" + zeros), "too_many_bytes"),
        "png with 100 MB of international text": (with_chunk(png, b"iTXt", b"a\0\1\0\0\0" + zeros), "too_many_bytes"),
        "png with a profile of 100 MB": (with_chunk(png, b"iCCP", b"a\0\0" + zeros), "too_many_bytes"),
        "png with 100 texts of 1 MB": (
            png[:33] + chunk(b"zTXt", b"a\0\0" + megabyte) * 100 + png[33:],
            "too_many_bytes",
        ),
        "png with 20 000 texts": (png[:33] + chunk(b"tEXt", b"a\0b") * 20_000 + png[33:], "decoded"),
        "png of 1000 frames": (_frames("PNG", 1000), "several_frames"),
        "gif of 1000 frames": (_frames("GIF", 1000), "unknown_format"),
        "gif of 65 535 × 65 535": (b"GIF89a" + b"\xff" * 4 + bytes(3), "unknown_format"),
        "webp of 100 frames": (_frames("WEBP", 100), "several_frames"),
        "webp of 16 777 216 × 16 777 216": (
            b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6,
            "too_large",
        ),
        "jpeg of 65 500 × 65 500": (_with_size(jpeg, 65_500, 65_500), "too_large"),
        "jpeg of 13 377 × 13 377": (_with_size(jpeg, 13_377, 13_377), "too_large"),
        "jpeg of 2000 scans, 16 megapixels": (many_scans(2000, sixteen), "too_many_scans"),
        "jpeg of 20 000 scans": (many_scans(20_000), "too_many_scans"),
        "tiff of 4 294 967 295 × 4 294 967 295": (
            _with_tag(_with_tag(tiff, 256, 2**32 - 1), 257, 2**32 - 1),
            "too_large",
        ),
        "tiff of 100 pages": (_frames("TIFF", 100), "several_frames"),
        "tiff whose directory is its next": (_looped(tiff), "decoded"),
        "tiff of floats, 13 000 × 13 000": (
            _sized(tiff_of(np.zeros((20, 30, 3), np.float32)), 13_000),
            "too_large",
        ),
        "dng of 40 000 × 40 000": (_sized(dng, 40_000), "too_large"),
        "bmp of 2 147 483 647 × 2 147 483 647": (
            b"BM"
            + struct.pack("<IHHI", 54, 0, 0, 54)
            + struct.pack("<IiiHH", 40, 2**31 - 1, 2**31 - 1, 1, 24)
            + bytes(24),
            "too_large",
        ),
        "heic of 60 000 × 60 000": (_after(heic, b"ispe\0\0\0\0", struct.pack(">II", 60_000, 60_000)), "damaged"),
        "avif of 16 000 × 16 000": (_after(avif, b"ispe\0\0\0\0", struct.pack(">II", 16_000, 16_000)), "too_large"),
        "svg of a billion laughs": (
            b'<!DOCTYPE svg [<!ENTITY a "ha">' + b'<!ENTITY b "&a;&a;&a;">' * 9 + b"]><svg>&b;</svg>",
            "unknown_format",
        ),
    }


def _frames(kind: str, count: int) -> bytes:
    pictures = [Image.new("RGB", (20, 20), (index % 256, index // 256, 0)) for index in range(count)]
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:])


def _after(data: bytes, mark: bytes, value: bytes) -> bytes:
    at = data.index(mark) + len(mark)
    return data[:at] + value + data[at + len(value) :]


def _with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """Where the frame begins: its length, 8 bits, then its size."""
    return _after(jpeg, b"\xff\xc0\0\x11\x08", struct.pack(">HH", height, width))


def _with_tag(tiff: bytes, tag: int, value: int) -> bytes:
    """Set a tag in the first directory of a little-endian TIFF, as four bytes whatever its type was."""
    at = int.from_bytes(tiff[4:8], "little") + 2
    while int.from_bytes(tiff[at : at + 2], "little") != tag:
        at += 12
    return tiff[: at + 2] + struct.pack("<HII", 4, 1, value) + tiff[at + 12 :]


def _sized(tiff: bytes, side: int) -> bytes:
    return _with_tag(_with_tag(tiff, 256, side), 257, side)


def _looped(tiff: bytes) -> bytes:
    start = int.from_bytes(tiff[4:8], "little")
    at = start + 2 + 12 * int.from_bytes(tiff[start : start + 2], "little")
    return tiff[:at] + tiff[4:8] + tiff[at + 4 :]
