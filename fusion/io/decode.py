"""Bytes to pixels. Every file is hostile until its content, its header and its pixels have passed.

This runs in a process of its own (`fusion.io.sandbox`), which holds at most 1 GB: nothing is copied whole that need
not be.

| format                    | library            | bits read                                               |
|---------------------------|--------------------|---------------------------------------------------------|
| JPEG, WebP, BMP           | Pillow             | 8                                                       |
| PNG, TIFF                 | Pillow, OpenCV     | 8 and 16; OpenCV where Pillow would drop the lower ones |
| TIFF of floating point    | OpenCV             | all; 0 to 1, taken as encoded, not as linear light      |
| HEIC                      | pi-heif            | 8, 10 and 12                                            |
| AVIF                      | Pillow             | 8, also of 10 and 12                                    |
| DNG, NEF, CR2, CR3, ARW … | rawpy, if installed | 16, developed alike for all exposures                  |
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusion.errors import ImageError, Refusal
from fusion.io import icc

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

MAX_BYTES = 200_000_000
MAX_PIXELS = 50_000_000
MIN_SIDE, MAX_SIDE = 16, 12_000
MAX_SCANS = 100
"""Scans of one JPEG: each costs a pass over all pixels, so thousands of empty ones cost minutes."""

_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS = 254, 256, 257, 258, 259, 262, 273  # TIFF tags
_ORIENTATION, _COUNTS, _PLANAR, _SUB_IFDS, _SAMPLE_FORMAT = 274, 279, 284, 330, 339
_DNG_VERSION, _PENTAX = 50706, 65535
_FLOATING = 3
_GREY16 = {"I;16", "I;16L", "I;16B"}
_GREY = {"1", "L", "LA", *_GREY16}
_COLOUR = {"P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"}
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # a JPEG marker that carries a length, or the end (D9)
_RAW_STARTS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM")
_NO_MEMORY = -4  # what OpenCV's errors call it
_UNPACKED = re.compile("Decompressed data too large|Too much memory used in text")  # Pillow's limits, for PNG
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx"}


@dataclass(frozen=True, eq=False)
class Decoded:
    """The pixels of one file, upright; in sRGB, or so once they have gone through the table."""

    pixels: NDArray[Any]
    """(H, W) of greys or (H, W, 3), of uint8, of uint16 from 0 to 2^bits - 1, or of float32 from 0 to 1."""
    bits: int
    """Of a channel in the file, as far as they were read: 8 to 16, or 32 for floating point."""
    notes: list[str] = field(default_factory=list[str])
    """Sentences for the visitor: what was changed on the way in."""
    exif: bytes = b""
    """As it stands in the file, unread."""
    profile: bytes = b""
    """The colour profile (ICC) that the file came with."""
    table: NDArray[np.uint8] | None = None
    """What takes pixels of more than 8 bits to sRGB, by `icc.looked_up`."""


def decode(data: bytes, name: str) -> Decoded:
    """A picture of one of the formats above; `name` begins the sentences about it.

    The kind is judged by content, never by extension; size, frames and scans are judged before any pixel is
    decoded. Transparency is dropped, an embedded profile is converted to sRGB, the camera's orientation is applied.
    Raises ImageError, and nothing else, for a file that cannot be used.
    """
    if not data:
        raise ImageError(f"{name} is an empty file; choose it again.", Refusal.EMPTY)
    # Pillow warns about odd metadata, which harms nothing here; oversized pictures never reach its warning.
    with _library_errors_refused(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiff = _tiff_tags(data)
        if _is_raw(data, tiff):
            return _develop(data, name)
        if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
            return _decode_heif(data, name)
        if _is_floating(tiff):
            return _decode_floats(data, tiff, name)
        _check_canvas(data, name)
        image = _plugin(data, name)(BytesIO(data))
        check_size(*image.size, name)
        _check_frames(image, data, name)
        return _decode_with_pillow(image, data, name)


@contextmanager
def _library_errors_refused(name: str) -> Generator[None, None, None]:
    """Decoders fail on hostile bytes with almost any exception; all of them mean the same to the visitor."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise out_of_memory(name) from error
    except Exception as error:
        if getattr(error, "code", None) == _NO_MEMORY:
            raise out_of_memory(name) from error
        if _UNPACKED.search(str(error)):
            raise ImageError(
                f"{name} holds a text or a profile that unpacks to more than 1 MB, or more than 64 MB of them; "
                "save it again as PNG or JPEG without them.",
                Refusal.TOO_MANY_BYTES,
            ) from error
        raise ImageError(
            f"{name} is damaged, cut short or stored in an unusual way; save it again as PNG or JPEG.", Refusal.DAMAGED
        ) from error


def out_of_memory(name: str) -> ImageError:
    """What is said where memory runs out, in whichever process."""
    return ImageError(f"{name} needs more memory than there is; make it smaller first.", Refusal.OUT_OF_MEMORY)


def _plugin(data: bytes, name: str) -> type[ImageFile]:
    """Pillow's reader for this content.

    Called directly, not through `Image.open`: that would look for further pictures in a phone's JPEG, would
    refuse or warn about a size before it can be named, and knows formats that run programs (EPS).
    """
    from PIL.AvifImagePlugin import AvifImageFile
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImageFile
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return TiffImageFile
    if data.startswith(b"BM"):
        return BmpImageFile
    if data[4:12] == b"ftypavif":
        return AvifImageFile
    raise ImageError(
        f"{name} is not a JPEG, PNG, WebP, TIFF, BMP, HEIC, AVIF or camera RAW picture; save it as one of these first.",
        Refusal.UNKNOWN_FORMAT,
    )


def check_size(width: int, height: int, name: str) -> None:
    """Raise ImageError for a picture with too few or too many pixels."""
    size = f"{width}×{height}"
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{name} is too small ({size}); each side needs at least {MIN_SIDE} pixels.", Refusal.TOO_SMALL
        )
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageError(
            f"{name} is too large ({size} = {width * height / 1e6:.1f} megapixels); make it smaller first: "
            f"at most {MAX_PIXELS // 10**6} megapixels, and {MAX_SIDE} pixels a side.",
            Refusal.TOO_LARGE,
        )


def _check_canvas(data: bytes, name: str) -> None:
    """Of a WebP, whose library reserves two canvases before it can be asked for their size."""
    if data[8:16] == b"WEBPVP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        if width * height > MAX_PIXELS:
            check_size(width, height, name)


def _check_frames(image: ImageFile, data: bytes, name: str) -> None:
    if getattr(image, "is_animated", False):
        raise ImageError(
            f"{name} holds several frames or pages; save one of them as a picture of its own.", Refusal.SEVERAL_FRAMES
        )
    if image.format == "JPEG" and _scans(data) > MAX_SCANS:
        raise ImageError(
            f"{name} is a JPEG of more than {MAX_SCANS} scans; save it again as PNG or JPEG.", Refusal.TOO_MANY_SCANS
        )


def _scans(jpeg: bytes) -> int:
    """How many scans a JPEG has, without decoding. Segments are skipped, thumbnails in them as well."""
    scans, at = 0, 2
    while (marker := _MARKER.search(jpeg, at)) and scans <= MAX_SCANS:
        at = marker.end()
        kind = jpeg[at - 1]
        if kind == 0xD9:
            break
        scans += kind == 0xDA
        at += int.from_bytes(jpeg[at : at + 2], "big")
    return scans


# Pillow's formats, with OpenCV's help for 16 bits.


def _decode_with_pillow(image: ImageFile, data: bytes, name: str) -> Decoded:
    notes: list[str] = []
    depth, orientation = _depth(image, data), _tag(image, _ORIENTATION)
    if depth > 8 and _tag(image, _PLANAR) == 2:  # misread by both libraries
        raise ImageError(
            f"{name} stores its colours apart, with {depth} bits each; save it again as PNG.", Refusal.UNSUPPORTED
        )
    exif, profile = image.info.get("exif") or b"", image.info.get("icc_profile") or b""
    # First, since OpenCV holds pixels twice meanwhile.
    words = _words(data) if depth == 16 and image.mode in _COLOUR else None
    image.load()
    turned = orientation is not None  # both libraries turn a TIFF, and nothing else
    if orientation is None:
        orientation = _exif_orientation(image)
    if image.mode in _GREY:
        mode = "L"
    elif image.mode in _COLOUR:
        mode = "RGB"
    elif image.mode == "CMYK":
        mode = "CMYK"
    else:
        raise ImageError(
            f"{name} is neither grey, RGB nor CMYK of 8 or 16 bits; save it as one of these first.", Refusal.UNSUPPORTED
        )
    if image.has_transparency_data:
        notes.append(f"{name} has transparency, which is ignored.")

    conversion = _conversion(profile, mode, notes, name)
    pixels = _pixels16(image, words, depth)
    if pixels is None:
        if depth > 8:
            notes.append(f"{name} is read with 8 of its {depth} bits.")
        depth = 8
        pixels = _pixels8(image, mode, conversion)
    if orientation in range(2, 9):
        notes.append(f"{name} was turned upright, as its camera data say.")
        pixels = pixels if turned else _upright(pixels, orientation)
    table = conversion.table() if conversion and depth > 8 else None
    return Decoded(pixels, depth, notes, exif, profile, table)


def _tag(image: ImageFile, tag: int) -> int | None:
    """A TIFF tag's (largest) value, or None. Pillow drops the orientation once the pixels are loaded."""
    from PIL.TiffImagePlugin import TiffImageFile

    value = image.tag_v2.get(tag) if isinstance(image, TiffImageFile) else None
    return None if value is None else int(np.max(value))


def _depth(image: ImageFile, data: bytes) -> int:
    """Bits a channel, at least 8. Pillow's mode does not say: it reads colour of 16 bits as 8."""
    if image.format == "AVIF":
        return _depth_of_avif(data)
    bits = data[24] if image.format == "PNG" else _tag(image, _BITS)  # a PNG begins with its IHDR
    return max(8, bits or 0)


def _depth_of_avif(data: bytes) -> int:
    """By the AV1 configuration box (AV1-ISOBMFF, section 2.3.3): high_bitdepth, then twelve_bit."""
    at = data.find(b"av1C")
    flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _exif_orientation(image: ImageFile) -> int:
    """1 to 8; 1 where the file does not say, or says it in a way that cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (ArithmeticError, AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error):
        return 1


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A view of (H, W) or (H, W, C), turned and mirrored as the Exif orientation 1 to 8 says."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _conversion(profile: bytes, mode: str, notes: list[str], name: str) -> icc.Conversion | None:
    """What takes pixels of `mode` to sRGB, if that is needed; what there is to say joins the notes."""
    if not profile:
        if mode == "CMYK":
            notes.append(f"{name} has printing colours (CMYK) and no profile, so its colours are approximate.")
        return None
    try:
        conversion = icc.to_srgb(profile, mode)
    except ValueError:
        notes.append(f"{name} has a colour profile that cannot be used, so it is ignored.")
        return None
    if conversion:
        notes.append(f"{name} was converted from its colour profile to sRGB.")
    return conversion


def _pixels8(image: Image, mode: str, conversion: icc.Conversion | None) -> NDArray[np.uint8]:
    image.info.pop("transparency", None)  # Pillow would try to keep it
    grey = conversion is None and mode == "L"
    pixels = np.empty((image.height, image.width) if grey else (image.height, image.width, 3), np.uint8)
    for top, strip in _strips(image):
        if conversion is not None:
            rows = conversion.of_bytes(strip.convert(conversion.mode))
        else:
            own = strip if strip.mode == mode else strip.convert(mode)
            rows = np.asarray(own.convert("RGB") if mode == "CMYK" else own)
        pixels[top : top + len(rows)] = rows
    return pixels


def _strips(image: Image, pixels: int = 1 << 18) -> Iterator[tuple[int, Image]]:
    """The picture from top to bottom, each strip with its first row: whole copies take memory, and more time."""
    rows = max(1, pixels // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _words(data: bytes) -> NDArray[np.uint16] | None:
    """(H, W, 3) as OpenCV reads it, not as the file's orientation says; None where that is not colour of 16 bits."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape[2:] not in {(3,), (4,)}:
        return None
    return np.ascontiguousarray(pixels[..., 2::-1], np.uint16)  # from BGR or BGRA


def _pixels16(image: ImageFile, words: NDArray[np.uint16] | None, depth: int) -> NDArray[Any] | None:
    """Grey (H, W) of `depth` bits or RGB (H, W, 3) of 16, oriented as Pillow's; None where 8 bits must do."""
    if image.mode in _GREY16:
        grey = np.asarray(image)
        # Pillow heeds a TIFF whose white is zero for 8 bits only.
        return (1 << depth) - 1 - grey if _tag(image, _PHOTOMETRIC) == 0 else grey
    if words is None or words.shape[:2] != (image.height, image.width):
        return None
    # OpenCV accepts truncated files, keeps alpha multiplied in, or misreads rarer layouts; Pillow's high bytes tell.
    alike = (
        np.array_equal(words[top : top + strip.height] >> 8, np.asarray(strip.convert("RGB")))
        for top, strip in _strips(image)
    )
    return words if all(alike) else None


# TIFF of floating point, which Pillow does not read in colour.


def _tiff_tags(data: bytes) -> ImageFileDirectory_v2 | None:
    """The first directory of a TIFF; None for other files."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    if not data.startswith((b"II*\0", b"MM\0*")):
        return None
    tags = ImageFileDirectory_v2(data[:8])
    stream = BytesIO(data)
    stream.seek(tags.next)
    tags.load(stream)
    return tags


def _is_floating(tags: ImageFileDirectory_v2 | None) -> bool:
    return tags is not None and np.max(tags.get(_SAMPLE_FORMAT, 1)) == _FLOATING


def _decode_floats(data: bytes, tags: ImageFileDirectory_v2 | None, name: str) -> Decoded:
    import cv2

    assert tags is not None  # noqa: S101
    check_size(int(tags[_WIDTH]), int(tags[_HEIGHT]), name)
    ends = np.add(tags.get(_OFFSETS, 0), tags.get(_COUNTS, 0), dtype=np.int64)
    if np.max(ends) > len(data):
        raise ImageError(f"{name} is cut short; copy it again.", Refusal.DAMAGED)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.float32:
        raise ImageError(
            f"{name} is a TIFF of floating point that cannot be read; save it again with 16 bits.", Refusal.UNSUPPORTED
        )
    notes: list[str] = []
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        notes.append(f"{name} has transparency, which is ignored.")
    pixels = pixels if pixels.ndim == 2 else pixels[..., 2::-1]  # from BGR or BGRA
    if not (float(np.min(pixels)) >= 0 and float(np.max(pixels)) <= 1):  # NaN as well
        raise ImageError(
            f"{name} holds floating point beyond 0 to 1, so it is radiance rather than an exposure; "
            "save it with 16 bits, as it is to be seen.",
            Refusal.UNSUPPORTED,
        )
    if int(tags.get(_ORIENTATION, 1)) in range(2, 9):
        notes.append(f"{name} was turned upright, as its camera data say.")
    return Decoded(np.asarray(pixels, np.float32), 32, notes)


# HEIC.


def _decode_heif(data: bytes, name: str) -> Decoded:
    """libheif turns and mirrors as the file says, so that the camera's orientation is not applied again."""
    import pi_heif
    from PIL import Image

    file = pi_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False)
    check_size(*file.size, name)
    notes: list[str] = []
    if len(file) > 1:
        notes.append(f"{name} holds several pictures; the main one is used.")
    if file.has_alpha:
        notes.append(f"{name} has transparency, which is ignored.")
    said: dict[str, Any] = file.info
    depth = int(said.get("bit_depth", 8))
    pixels, mode = np.array(file), "L" if file.mode.startswith("L") else "RGB"  # a copy: the file's memory goes with it
    if pixels.ndim == 3:  # what may come last is transparency
        pixels = pixels[..., 0] if mode == "L" else pixels[..., :3]
    profile = said.get("icc_profile") or b""
    conversion = _conversion(profile, mode, notes, name)
    table = None
    if depth > 8:
        pixels >>= 16 - depth  # libheif shifts them up
        table = conversion.table() if conversion else None
    elif conversion:
        pixels = _pixels8(Image.fromarray(pixels), mode, conversion)
    return Decoded(pixels, depth, notes, said.get("exif") or b"", profile, table)


# Camera RAW.


def _is_raw(data: bytes, tags: ImageFileDirectory_v2 | None) -> bool:
    """A camera's own file; many of them are TIFFs that begin with a small picture."""
    if data.startswith(_RAW_STARTS) or data[4:12] == b"ftypcrx ":
        return True
    if tags is None:
        return False
    begins_with_thumbnail = tags.get(_KIND) == 1 and _SUB_IFDS in tags
    return _DNG_VERSION in tags or data[8:10] == b"CR" or begins_with_thumbnail or tags.get(_COMPRESSION) == _PENTAX


def _develop(data: bytes, name: str) -> Decoded:
    """By the camera's white balance, without automatic brightness, which would make all exposures alike."""
    try:
        import rawpy
    except ImportError as error:
        raise ImageError(
            f"{name} is a camera RAW file, which needs the package rawpy here (pip install rawpy); "
            "save it as TIFF or JPEG first.",
            Refusal.UNSUPPORTED,
        ) from error
    with rawpy.imread(BytesIO(data)) as raw:
        check_size(raw.sizes.width, raw.sizes.height, name)
        pixels = raw.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            adjust_maximum_thr=0,  # else white is where this exposure has its brightest value
            output_bps=16,
            output_color=rawpy.ColorSpace.sRGB,  # pyright: ignore[reportAttributeAccessIssue]
            gamma=(2.4, 12.92),  # of sRGB
        )
    return Decoded(pixels, 16, [f"{name} was developed from camera RAW, without automatic brightness."])
