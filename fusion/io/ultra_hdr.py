"""Ultra HDR: a JPEG for every display, and a gain map that tells an HDR display how much brighter each place is.

The JPEG that every program shows is byte for byte what plain JPEG gives, with three more segments before its pixels,
and the gain map follows as a second JPEG. libvips writes the gain map's numbers as ISO 21496-1 demands, and the index
of both pictures (CIPA DC-007, Multi-Picture Format). It would encode the first picture itself, so that its segments are
put into ours, and the index is adapted. Phones before Android 15 read the same numbers from XMP, which is written here
(Android, Ultra HDR Image Format v1.1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.errors import ImageError
from fusion.io.encode import encode

_OFFSET = 1 / 64
"""What is added to both renditions before they are divided, so that black has a gain."""
_SAMPLES = 1 << 16
"""About how many pixels the mean luminance is taken of."""
_LUMINANCE = 0.2126, 0.7152, 0.0722
_ISO, _INDEX, _XMP = b"urn:iso:std:iso:ts:21496:-1\0", b"MPF\0", b"http://ns.adobe.com/xap/1.0/\0"
_SOI, _APPLICATION, _APP1, _SCAN = b"\xff\xd8", range(0xE0, 0xF0), 0xE1, 0xDA
_ENTRY = struct.Struct(">IIIHH")
"""Of one picture in the index: attributes, size, place behind the index's header, and pictures that it depends on."""
_BEFORE_HEADER = 8
"""Bytes of the index's segment before its header."""
_PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"{}'
    "</rdf:RDF></x:xmpmeta>"
)
_DIRECTORY = (
    ' xmlns:Container="http://ns.google.com/photos/1.0/container/"'
    ' xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><Container:Directory><rdf:Seq>'
    '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>'
    '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg"'
    ' Item:Length="{}"/></rdf:li></rdf:Seq></Container:Directory></rdf:Description>'
)
_NUMBERS = (
    ' hdrgm:GainMapMin="{low:.6f}" hdrgm:GainMapMax="{high:.6f}" hdrgm:Gamma="1" hdrgm:OffsetSDR="{offset}"'
    ' hdrgm:OffsetHDR="{offset}" hdrgm:HDRCapacityMin="0" hdrgm:HDRCapacityMax="{high:.6f}"'
    ' hdrgm:BaseRenditionIsHDR="False"/>'
)


@dataclass(frozen=True, eq=False)
class GainMap:
    """How much brighter the HDR rendition is than the SDR one."""

    pixels: NDArray[np.uint8]
    """(H, W, 3): 0 stands for the smallest gain and 255 for the largest, and steps between are equal in stops."""
    low: float
    """The smallest gain in stops."""
    high: float
    """The largest gain in stops, more than 0: what a display must offer above white to show the whole HDR rendition."""


def gain_map(base: bytes, light: NDArray[np.float32]) -> GainMap:
    """The gain map of a JPEG with sRGB's curve, (H, W), and the light of its scene (H, W, 3), of any scale.

    The HDR rendition is the light, with the same mean luminance as the JPEG in stops: shadows that fusion has raised
    are dark again, and lights that it has lowered are bright. The gain is log2((light + o) / (SDR + o)) with o = 1/64,
    by ISO 21496-1. It has the picture's full size, and what JPEG made of the picture, so that both errors cancel out.

    >>> base = encode(np.full((16, 16, 3), 188, np.uint8), ".jpg")  # half the light of white
    >>> light = np.full((16, 16, 3), 3.0, np.float32)
    >>> light[:8] = 12
    >>> made = gain_map(base, light)
    >>> round(made.low, 1), round(made.high, 1)
    (-1.0, 1.0)
    """
    import cv2

    values = np.arange(256, dtype=np.float32) / 255
    curve = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)
    shown = curve[np.asarray(cv2.imdecode(np.frombuffer(base, np.uint8), cv2.IMREAD_COLOR_RGB))]
    gain = np.log2((light * _scale(shown, light) + _OFFSET) / (shown + _OFFSET))
    low, high = float(gain.min()), max(float(gain.max()), 1e-3)
    low = min(low, high - 1e-3)
    return GainMap(np.rint((gain - low) * (255 / (high - low))).astype(np.uint8), low, high)


def _scale(shown: NDArray[np.float32], light: NDArray[np.float32]) -> np.float32:
    """By what light is multiplied, so that the mean of its luminance in stops is that of the SDR picture's light."""
    step = max(1, round((light.size / 3 / _SAMPLES) ** 0.5))
    wanted, given = (one[::step, ::step] @ np.array(_LUMINANCE, np.float32) for one in (shown, light))
    mean, stops = np.log2(wanted + _OFFSET).mean(), np.float32(0)
    for _ in range(40):  # what is added makes a step too short, but never too long
        stops += mean - np.log2(given * 2**stops + _OFFSET).mean()
    return np.exp2(stops)


def ultra_hdr(base: bytes, gain: GainMap, *, quality: int = 95) -> bytes:
    """Put a JPEG and its gain map, which is encoded with `quality`, into one file. Equal arguments give equal bytes.

    Raises `ImageError` where pyvips is not installed or cannot write Ultra HDR.
    """
    second = encode(gain.pixels, ".jpg", quality=quality)
    numbers = _NUMBERS.format(low=gain.low, high=gain.high, offset=_OFFSET)
    second = _SOI + _segment(_APP1, _XMP + _PACKET.format(numbers).encode()) + second[len(_SOI) :]
    written = _by_vips(second, gain)
    segments = [data for _, data in _segments(written)]
    iso, index = (next(one for one in segments if one.startswith(start, 4)) for start in (_ISO, _INDEX))
    second = written[_sizes(index)[0] :]
    directory = _segment(_APP1, _XMP + _PACKET.format(_DIRECTORY.format(len(second))).encode())
    place = next(at for at, data in _segments(base) if data[1] not in _APPLICATION)
    before = base[:place] + directory + iso
    index = _with_sizes(index, len(before) + len(index) + len(base) - place, len(second), len(before))
    return before + index + base[place:] + second


def _by_vips(second: bytes, gain: GainMap) -> bytes:
    """The Ultra HDR file of a black picture and an encoded gain map, as libvips writes it."""
    try:
        vips: Any = import_module("pyvips")  # optional
    except (ImportError, OSError) as error:
        raise ImageError("Ultra HDR needs a package that is not installed: pip install 'pyvips[binary]'.") from error
    height, width = gain.pixels.shape[:2]
    black = vips.Image.black(width, height, bands=3).copy(interpretation="srgb")
    three, one = vips.GValue.array_double_type, vips.GValue.gdouble_type
    for kind, name, value in (
        (vips.GValue.blob_type, "data", second),
        (three, "min-content-boost", [2**gain.low] * 3),
        (three, "max-content-boost", [2**gain.high] * 3),
        (three, "gamma", [1.0] * 3),
        (three, "offset-sdr", [_OFFSET] * 3),
        (three, "offset-hdr", [_OFFSET] * 3),
        (one, "hdr-capacity-min", 1.0),
        (one, "hdr-capacity-max", 2**gain.high),
        (vips.GValue.gint_type, "use-base-cg", 1),
    ):
        black.set_type(kind, f"gainmap-{name}", value)
    try:
        return black.uhdrsave_buffer()
    except (vips.Error, AttributeError) as error:
        raise ImageError("The pyvips that is installed cannot write Ultra HDR; install a newer one.") from error


# Segments of a JPEG, and the index of its pictures.


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """The segments before the pixels, each with its place."""
    at = len(_SOI)
    while jpeg[at + 1] != _SCAN:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        yield at, jpeg[at:end]
        at = end


def _sizes(index: bytes) -> tuple[int, int]:
    """The bytes of the first and of the second picture, by the entries at the end of the index."""
    (_, first, *_), (_, second, *_) = _ENTRY.iter_unpack(index[-2 * _ENTRY.size :])
    return first, second


def _with_sizes(index: bytes, first: int, second: int, place: int) -> bytes:
    """The index, which stands at `place` in the file, for pictures of other sizes that follow each other."""
    one, two = _ENTRY.iter_unpack(index[-2 * _ENTRY.size :])
    entries = (one[0], first, *one[2:]), (two[0], second, first - place - _BEFORE_HEADER, *two[3:])
    return index[: -2 * _ENTRY.size] + b"".join(_ENTRY.pack(*entry) for entry in entries)
