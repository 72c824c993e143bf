"""Small pictures as files, with what encoders do not offer."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Array: TypeAlias = NDArray[Any]
Colorant: TypeAlias = tuple[float, float, float]
WINDOW = (20, 30)


def colours(dtype: type = np.uint8, channels: int = 3) -> Array:
    """(20, 30, channels), over the whole range and different in every corner."""
    top = np.iinfo(dtype).max
    values = np.random.default_rng(5).integers(0, top + 1, (*WINDOW, channels))
    values[0, 0], values[0, 1] = 0, top
    return values.astype(dtype)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def opencv(pixels: Array, extension: str) -> bytes:
    return cv2.imencode(extension, pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    return png[:33] + chunk(kind, body) + png[33:]


def png_header(width: int, height: int) -> bytes:
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return start + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def tiff16(pixels: Array, *, orientation: int = 1, photometric: int = 2, planar: bool = False) -> bytes:
    """An uncompressed little-endian TIFF of uint16 (H, W) or (H, W, 3), with tags that encoders do not offer."""
    height, width = pixels.shape[:2]
    samples = pixels[..., None] if pixels.ndim == 2 else pixels
    channels = samples.shape[2]
    body = (samples.transpose(2, 0, 1) if planar else samples).astype("<u2").tobytes()
    end = 8 + len(body)
    strips = channels if planar else 1
    arrays = [[16] * channels, [8 + i * len(body) // strips for i in range(strips)], [len(body) // strips] * strips]
    tags = [(256, [width]), (257, [height]), (258, arrays[0]), (259, [1]), (262, [photometric]), (273, arrays[1])]
    tags += [(274, [orientation]), (277, [channels]), (278, [height]), (279, arrays[2]), (284, [1 + planar])]
    extra, entries = b"", b""
    after = end + 2 + 12 * len(tags) + 4
    for tag, values in tags:
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            extra, packed = extra + packed, struct.pack("<I", after + len(extra))
        entries += struct.pack("<HHI", tag, 4, len(values)) + packed
    return b"II*\0" + struct.pack("<I", end) + body + struct.pack("<H", len(tags)) + entries + bytes(4) + extra


def many_scans(count: int, picture: Array | None = None) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    jpeg = encoded(Image.fromarray(colours() if picture is None else picture), "JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * count + jpeg[-2:]


def profile(red: Colorant, green: Colorant, blue: Colorant) -> bytes:
    """An ICC version 2 RGB profile of gamma 2.2 with these D50 colorants."""

    def xyz(*values: float) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"wide\0" + bytes(79)
    bodies = {b"desc": name, b"cprt": b"text" + bytes(8), b"wtpt": xyz(0.9642, 1, 0.8249)}
    bodies |= {b"rXYZ": xyz(*red), b"gXYZ": xyz(*green), b"bXYZ": xyz(*blue)}
    bodies |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    start, table, data = 132 + 12 * len(bodies), b"", b""
    for tag, body in bodies.items():
        table += tag + struct.pack(">II", start + len(data), len(body))
        data += body
    header = struct.pack(">I4sI4s4s4s", start + len(data), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(bodies)) + table + data


ADOBE = profile((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
