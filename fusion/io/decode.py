"""Decoding of files. Every file may be hostile, so its content, its header and its pixels are checked in this order.

This runs in a process of its own (`fusion.io.sandbox`) that may use at most 1 GB, so pictures are copied strip by strip
where possible.

| format                    | library            | bits read                                               |
|---------------------------|--------------------|---------------------------------------------------------|
| JPEG, WebP, BMP           | Pillow             | 8                                                       |
| PNG, TIFF                 | Pillow, OpenCV     | 8 and 16; OpenCV where Pillow would drop the lower ones |
| TIFF of floating point    | OpenCV             | all; 0 to 1, sRGB values unless a profile says otherwise |
| HEIC                      | pi-heif            | 8, 10 and 12                                            |
| AVIF                      | Pillow, OpenCV     | 8, 10 and 12; pi-heif tells what the colours mean       |
| DNG, NEF, CR2, CR3, ARW … | rawpy, if installed | 16, developed with the same settings for all exposures  |

`fusion.io.colour_space` says what the colours of a file mean. All are converted to sRGB here, but for pixels of more
than 8 bits with a profile that consists of tables.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fusion.errors import ImageError, Refusal
from fusion.io import icc
from fusion.io.colour_space import ColourSpace, Gamut, Signs, meant, uncalibrated

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

MAX_BYTES = 200_000_000
"""The largest file that is read."""
MAX_PIXELS = 50_000_000
MIN_SIDE, MAX_SIDE = 16, 12_000
"""Limits of height and width in pixels."""
MAX_SCANS = 100
"""The most scans of one JPEG. Each takes a pass over all pixels, so thousands of empty scans would take minutes."""
MAX_PAGES = 64
"""The most pages of one TIFF that are looked at. The largest is read if all others are thumbnails or masks."""

_REDUCED_OR_MASK = 1 | 4  # flags of a page's kind, NewSubfileType
_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS = 254, 256, 257, 258, 259, 262, 273  # TIFF tags
_ORIENTATION, _COUNTS, _PLANAR, _SUB_IFDS, _SAMPLE_FORMAT = 274, 279, 284, 330, 339
_PROFILE, _DNG_VERSION, _PENTAX = 34675, 50706, 65535
_FLOATING = 3
_GREY16 = {"I;16", "I;16L", "I;16B"}
_GREY = {"1", "L", "LA", *_GREY16}
_COLOUR = {"P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"}
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # a JPEG marker that carries a length, or the end (D9)
_END = b"\xff\xd9"  # the marker at the end of a JPEG
_RAW_STARTS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM")
_NO_MEMORY = -4  # the code of OpenCV's errors where memory ran out
_TOO_MUCH_TEXT = re.compile("Decompressed data too large|Too much memory used in text")  # Pillow's limits for PNG
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx"}


@dataclass(frozen=True, eq=False)
class Decoded:
    """The pixels of one file, upright, and what the file held besides. With a `table`, they are not in sRGB yet."""

    pixels: NDArray[Any]
    """Greys (H, W) or RGB (H, W, 3), of uint8, of uint16 from 0 to 2^bits - 1, or of float32 from 0 to 1."""
    bits: int
    """How many bits of each channel were read: 8 to 16, or 32 for floating point."""
    notes: list[str] = field(default_factory=list[str])
    """Sentences for the user that say what was changed when the file was read."""
    exif: bytes = b""
    """The block of Exif as it stands in the file. It has not been parsed."""
    profile: bytes = b""
    """The colour profile (ICC) of the file."""
    table: NDArray[np.uint8] | None = None
    """The table by which `icc.apply_table` converts pixels of more than 8 bits to sRGB; None if they are sRGB."""
    opaque: NDArray[np.bool_] | None = None
    """Where the picture is not transparent (H, W); None if it is nowhere or everywhere transparent."""
    orientation: int = 1
    """The Exif orientation, 1 to 8, by which the pixels were made upright."""
    gamut: Gamut = "srgb"
    """Whether the pixels are in sRGB or, because that was wanted and the file has such colours, in Display P3."""
    saturation: int = 0
    """The sensor's level that became white, where the file is camera RAW; else 0."""


def decode(data: bytes, name: str, gamut: Gamut = "srgb", saturation: int = 0) -> Decoded:
    """Decode a file of one of the formats above; `name` begins the sentences about it.

    The content of the file decides its format, never its extension. Size, frames and scans are checked before any pixel
    is decoded. Transparency becomes a mask, and the picture is rotated as its Exif orientation says. The colours that
    the file means are converted to sRGB, or to Display P3 if that is the `gamut` and the file has colours beyond sRGB.
    The sensor's level `saturation` becomes white in camera RAW; 0 leaves it to the file.
    Raises `ImageError`, and nothing else, for a file that cannot be used.

    >>> from pathlib import Path
    >>> decoded = decode(Path("examples/desk/under.png").read_bytes(), "The picture")
    >>> decoded.pixels.shape, decoded.bits, decoded.notes
    ((874, 644, 3), 8, [])
    """
    if not data:
        raise ImageError(f"{name} is an empty file; choose it again.", Refusal.EMPTY)
    # Pillow warns about odd metadata, which do no harm here; too large pictures are refused before it warns of them.
    with library_errors_refused(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiff = tiff_tags(data)
        if is_raw(data, tiff):
            return _develop(data, name, saturation)
        if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
            return _decode_heif(data, name, gamut)
        if tiff is not None:
            data = _largest_page(data)
            tiff = tiff_tags(data)
        if _is_floating(tiff):
            return _decode_floats(data, tiff, name, gamut)
        _check_canvas(data, name)
        whole = _with_its_end(data)
        image = _plugin(data, name)(BytesIO(whole))
        check_size(*image.size, name)
        _check_frames(image, whole, name)
        decoded = _decode_with_pillow(image, whole, name, gamut)
        if whole is not data:
            decoded.notes.append(f"{name} lacks the mark at its end; all its pixels are there.")
        return decoded


@contextmanager
def library_errors_refused(name: str) -> Generator[None, None, None]:
    """Raise `ImageError` for any exception of a library: on hostile bytes, libraries raise almost every kind."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise out_of_memory(name) from error
    except Exception as error:
        if getattr(error, "code", None) == _NO_MEMORY:
            raise out_of_memory(name) from error
        if _TOO_MUCH_TEXT.search(str(error)):
            raise ImageError(
                f"{name} holds texts or colour profiles that unpack to more than 1 MB each, or 64 MB in all; "
                "save it again as PNG or JPEG without them.",
                Refusal.TOO_MANY_BYTES,
            ) from error
        raise ImageError(
            f"{name} is damaged, cut short or stored in an unusual way; save it again as PNG or JPEG.", Refusal.DAMAGED
        ) from error


def out_of_memory(name: str) -> ImageError:
    """The error for a picture that needs more memory than there is, whichever process is short of it."""
    return ImageError(f"{name} needs more memory than there is; make it smaller first.", Refusal.OUT_OF_MEMORY)


def _plugin(data: bytes, name: str) -> type[ImageFile]:
    """Pillow's reader for this content.

    It is called directly, since `Image.open` would look for further pictures in a phone's JPEG, would refuse large
    pictures before their size can be named, and knows formats that run programs (EPS).
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
    """Raise `ImageError` for a picture with too few or too many pixels.

    >>> check_size(6000, 4000, "The picture")
    """
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
    """Check the size of a WebP first: its library allocates two canvases before it can be asked for their size."""
    if data[8:16] == b"WEBPVP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        if width * height > MAX_PIXELS:
            check_size(width, height, name)


def _check_frames(image: ImageFile, data: bytes, name: str) -> None:
    """Refuse animations, several pages, and JPEGs of too many scans."""
    if getattr(image, "is_animated", False):
        raise ImageError(
            f"{name} holds several frames or pages; save one of them as a picture of its own.", Refusal.SEVERAL_FRAMES
        )
    if image.format == "JPEG" and _scans(data)[0] > MAX_SCANS:
        raise ImageError(
            f"{name} is a JPEG of more than {MAX_SCANS} scans; save it again as PNG or JPEG.", Refusal.TOO_MANY_SCANS
        )


def _scans(jpeg: bytes) -> tuple[int, bool]:
    """Count the scans of a JPEG without decoding it, and without those of thumbnails in its metadata.

    Return also whether the marker at its end is there, or is not searched because there are too many scans.
    """
    scans, at = 0, 2
    while marker := _MARKER.search(jpeg, at):
        at = marker.end()
        kind = jpeg[at - 1]
        scans += kind == 0xDA
        if kind == 0xD9 or scans > MAX_SCANS:
            return scans, True
        at += int.from_bytes(jpeg[at : at + 2], "big")
    return scans, False


def _with_its_end(data: bytes) -> bytes:
    """A JPEG that lacks nothing but the marker at its end, with that marker; any other file as it is.

    libjpeg makes up what is missing, without an error that Pillow would pass on. So the picture is decoded twice, with
    two kinds of bytes in the place of what may be missing: they are not read if nothing is.
    """
    from PIL.JpegImagePlugin import JpegImageFile

    if not data.startswith(b"\xff\xd8\xff"):
        return data
    body = data.removesuffix(b"\xff")
    scans, ended = _scans(body)
    if ended or not scans:
        return data
    pictures: list[Image] = []
    for filling in (b"", b"\x55\x2a" * 64):
        picture = JpegImageFile(BytesIO(body + filling + _END))
        if picture.width * picture.height > MAX_PIXELS:
            return data
        picture.load()
        pictures.append(picture)
    strips = zip(*map(_strips, pictures), strict=True)
    same = all(np.array_equal(np.asarray(one), np.asarray(other)) for (_, one), (_, other) in strips)
    return body + _END if same else data


# Formats that Pillow reads, with OpenCV's help for 16 bits.


def _decode_with_pillow(image: ImageFile, data: bytes, name: str, gamut: Gamut) -> Decoded:
    notes: list[str] = []
    depth, orientation = _depth(image, data), _tag(image, _ORIENTATION)
    if depth > 8 and _tag(image, _PLANAR) == 2:  # both libraries misread it
        raise ImageError(
            f"{name} stores its colour channels separately, with {depth} bits each; save it again as PNG.",
            Refusal.UNSUPPORTED,
        )
    exif, profile = image.info.get("exif") or b"", image.info.get("icc_profile") or b""
    # OpenCV goes first, since it holds the pixels twice while it decodes.
    more = depth == 16 or (depth > 8 and image.format == "AVIF")
    words = _read_words(data) if more and image.mode in _COLOUR else None
    image.load()
    rotated = orientation is not None  # both libraries rotate a TIFF, and no other format
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
    opaque = None
    if image.has_transparency_data:
        opaque, note = _mask(_alpha(image), name)
        notes.append(note)
    pixels = _pixels16(image, words, depth)
    read = 8 if pixels is None else depth
    colours = _colours(_signs(image, data, exif), profile, mode, read, name, gamut)
    if pixels is None:
        pixels = _pixels8(image, mode, colours.conversion)
        if depth > 8:
            colours.notes.append(f"{name} is read with 8 of its {depth} bits.")
    pixels, read = colours.in_srgb(pixels, read, name)
    notes += colours.notes
    if orientation in range(2, 9):
        notes.append(_rotated(name))
        if not rotated:
            pixels = upright(pixels, orientation)
            opaque = None if opaque is None else upright(opaque, orientation)
    return Decoded(pixels, read, notes, exif, profile, colours.table(read), opaque, orientation, colours.gamut)


def _alpha(image: ImageFile) -> NDArray[np.uint8] | None:
    """The opacity (H, W) of a picture that Pillow has read; None for greys of 16 bits, which it does not tell."""
    if image.mode in _GREY16:
        return None
    alpha = np.empty((image.height, image.width), np.uint8)
    for top, strip in _strips(image):
        alpha[top : top + strip.height] = np.asarray(strip.convert("RGBA").getchannel("A"))
    return alpha


def _mask(alpha: NDArray[Any] | None, name: str) -> tuple[NDArray[np.bool_] | None, str]:
    """Where a picture counts, by its opacity in uint8, uint16 or from 0 to 1, and what is said about it.

    Pixels that are at least half opaque count. A picture that is transparent everywhere is taken for an opaque one.
    """
    if alpha is not None:
        opaque = alpha > (0.5 if alpha.dtype == np.float32 else np.iinfo(alpha.dtype).max // 2)
        if opaque.any() and not opaque.all():
            return opaque, f"{name} has transparent parts, which do not count."
    return None, f"{name} has transparency, which is ignored."


def _tag(image: ImageFile, tag: int) -> int | None:
    """The largest value of a TIFF's tag, or None. Ask before pixels are loaded: Pillow drops the orientation then."""
    from PIL.TiffImagePlugin import TiffImageFile

    value = image.tag_v2.get(tag) if isinstance(image, TiffImageFile) else None
    return None if value is None else int(np.max(value))


def _depth(image: ImageFile, data: bytes) -> int:
    """Bits of each channel, at least 8. Pillow's mode does not tell, since it reads colours of 16 bits as 8."""
    if image.format == "AVIF":
        return _depth_of_avif(data)
    bits = data[24] if image.format == "PNG" else _tag(image, _BITS)  # the header of a PNG stands at its beginning
    return max(8, bits or 0)


def _depth_of_avif(data: bytes) -> int:
    """Bits of each channel by the flags high_bitdepth and twelve_bit of AV1-ISOBMFF, section 2.3.3."""
    at = data.find(b"av1C")
    flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _exif_orientation(image: ImageFile) -> int:
    """The Exif orientation, 1 to 8. It is 1, upright, where Exif has none or cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (ArithmeticError, AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error):
        return 1


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A view of pixels (H, W) or (H, W, C), rotated and mirrored as the Exif orientation 1 to 8 demands."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _rotated(name: str) -> str:
    return f"{name} was rotated upright, as its Exif orientation says."


@dataclass
class _Colours:
    """How the pixels of one file become sRGB."""

    space: ColourSpace | None
    """The space that `in_srgb` converts from; None where there is nothing to convert, or a profile does it."""
    conversion: icc.Conversion | None
    """The conversion of pixels of 8 bits, or of a table, by the file's profile."""
    notes: list[str]
    gamut: Gamut = "srgb"
    """What the pixels are in after that."""

    def in_srgb(self, pixels: NDArray[Any], bits: int, name: str) -> tuple[NDArray[Any], int]:
        """The pixels, converted from `space`, and their bits."""
        if self.space is None:
            return pixels, bits
        bright = self.space.light != "SDR" and self.space.is_bright(pixels, bits)
        compressed = "; light that is brighter than white was compressed" if bright else ""
        self.notes.append(f"{name} was converted from {self.space.name} to {self._target}{compressed}.")
        return self.space.to_srgb(pixels, bits)

    @property
    def _target(self) -> str:
        return "sRGB" if self.gamut == "srgb" else "Display P3"

    @staticmethod
    def of(space: ColourSpace | None, gamut: Gamut, notes: list[str]) -> _Colours:
        """The conversion from a space, to Display P3 if that is wanted and the space has such colours."""
        wide = space is not None and gamut == "display-p3" and space.is_wide
        target = space.for_display_p3() if space is not None and wide else space
        same = target is None or target.is_srgb
        return _Colours(None if same else target, None, notes, "display-p3" if wide else "srgb")

    def table(self, bits: int) -> NDArray[np.uint8] | None:
        """The table that whoever gets pixels of more than 8 bits must apply to them."""
        return self.conversion.table() if self.conversion and bits > 8 else None


def _colours(signs: Signs, profile: bytes, mode: str, bits: int, name: str, gamut: Gamut) -> _Colours:
    """How pixels of `mode`, read with `bits` bits, become sRGB. `mode` is L, RGB or CMYK."""
    if mode == "CMYK":
        conversion, notes = _conversion(profile, mode, name)
        unknown = f"{name} has printing colours (CMYK) and no profile, so its colours are approximate."
        return _Colours(None, conversion, notes if profile else [unknown])
    try:
        space = meant(signs, profile)
    except ValueError as error:
        if signs.codes or signs.later_codes:
            raise ImageError(
                f"{name} says that its colours have {error}, which cannot be converted; save it again in sRGB.",
                Refusal.UNSUPPORTED,
            ) from error
        return _Colours(None, None, [f"{name} says a gamma or primaries that no colours have, so they are ignored."])
    if space != "profile":
        unknown = f"{name} says that its colours are not sRGB, but not which they are; they are read as sRGB."
        return _Colours.of(space, gamut, [unknown] if space is None and uncalibrated(signs.exif) else [])
    try:
        exact = icc.space(profile)
    except ValueError:
        exact = None
    if exact and (bits > 8 or exact.light != "SDR" or (gamut == "display-p3" and exact.is_wide)):
        return _Colours.of(exact, gamut, [])
    conversion, notes = _conversion(profile, mode, name)
    if conversion and bits > 8 and conversion.coarse:
        raise ImageError(
            f"{name} has a colour profile of tables for linear light, which is too coarse in the shadows; "
            "save it again in sRGB.",
            Refusal.UNSUPPORTED,
        )
    return _Colours(None, conversion, notes)


def _conversion(profile: bytes, mode: str, name: str) -> tuple[icc.Conversion | None, list[str]]:
    """The conversion of pixels of `mode` from a profile to sRGB, None if there is none to make, and notes about it."""
    if not profile:
        return None, []
    try:
        conversion = icc.to_srgb(profile, mode)
    except ValueError:
        return None, [f"{name} has a colour profile that cannot be used, so it is ignored."]
    return conversion, [f"{name} was converted from its colour profile to sRGB."] if conversion else []


def _signs(image: ImageFile, data: bytes, exif: bytes) -> Signs:
    """What a file that Pillow reads says about its colours, besides a profile."""
    if image.format == "PNG":
        return _signs_of_png(data, exif)
    if image.format == "AVIF":
        return _signs_of_heif(data, exif)
    return Signs(exif=exif)


def _signs_of_png(data: bytes, exif: bytes) -> Signs:
    """The chunks cICP, sRGB, gAMA and cHRM, which stand before the pixels."""
    chunks: dict[bytes, bytes] = {}
    at = 8
    while (kind := data[at + 4 : at + 8]) not in (b"IDAT", b""):
        size = int.from_bytes(data[at : at + 4], "big")
        if kind in (b"cICP", b"sRGB", b"gAMA", b"cHRM"):
            chunks[kind] = data[at + 8 : at + 8 + size]
        at += 12 + size
    codes, chromaticities = None, None
    if len(chunks.get(b"cICP", b"")) == 4:
        primaries, transfer, _, full_range = chunks[b"cICP"]
        codes = primaries, transfer, bool(full_range)
    if len(chunks.get(b"cHRM", b"")) == 32:
        wx, wy, rx, ry, gx, gy, bx, by = (value / 1e5 for value in struct.unpack(">8I", chunks[b"cHRM"]))
        chromaticities = wx, wy, rx, ry, gx, gy, bx, by
    gamma = int.from_bytes(chunks[b"gAMA"], "big") / 1e5 if b"gAMA" in chunks else None
    return Signs(codes, None, b"sRGB" in chunks, gamma, chromaticities, exif)


def _signs_of_heif(data: bytes, exif: bytes) -> Signs:
    """The code points (nclx) of the main picture of a HEIC or an AVIF. libheif reads them without decoding."""
    import pi_heif

    info: dict[str, Any] = pi_heif.open_heif(BytesIO(data)).info
    nclx = info.get("nclx_profile")
    if not nclx:
        return Signs(exif=exif)
    # Full or narrow range is a matter of YCbCr here, which the libraries convert.
    codes = int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]), True
    # HEIF lets a profile overrule code points. A profile cannot say PQ or HLG, so these overrule it.
    return Signs(codes, exif=exif) if codes[1] in (16, 18) else Signs(later_codes=codes, exif=exif)


def _pixels8(image: Image, mode: str, conversion: icc.Conversion | None) -> NDArray[np.uint8]:
    """The pixels in 8 bits: RGB (H, W, 3) after a conversion and for colours, else greys (H, W)."""
    image.info.pop("transparency", None)  # Pillow would try to preserve it
    grey = conversion is None and mode == "L"
    pixels = np.empty((image.height, image.width) if grey else (image.height, image.width, 3), np.uint8)
    for top, strip in _strips(image):
        if conversion is not None:
            rows = conversion.convert_image(strip.convert(conversion.mode))
        else:
            own = strip if strip.mode == mode else strip.convert(mode)
            rows = np.asarray(own.convert("RGB") if mode == "CMYK" else own)
        pixels[top : top + len(rows)] = rows
    return pixels


def _strips(image: Image, pixels: int = 1 << 18) -> Iterator[tuple[int, Image]]:
    """Cut the picture into strips, each with the number of its first row: whole copies take more memory and time."""
    rows = max(1, pixels // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _read_words(data: bytes) -> NDArray[np.uint16] | None:
    """RGB pixels (H, W, 3) of uint16 as OpenCV reads them, not rotated by Exif; None for any other kind of pixels."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape[2:] not in {(3,), (4,)}:
        return None
    return np.ascontiguousarray(pixels[..., 2::-1], np.uint16)  # from BGR or BGRA


def _pixels16(image: ImageFile, words: NDArray[np.uint16] | None, depth: int) -> NDArray[Any] | None:
    """Greys (H, W) or RGB (H, W, 3) of `depth` bits, in the orientation of `image`; None if only 8 can be read.

    `words` are the pixels that OpenCV read.
    """
    if image.mode in _GREY16:
        grey = np.asarray(image)
        # Pillow inverts a TIFF in which zero is white with 8 bits, but not with more.
        return (1 << depth) - 1 - grey if _tag(image, _PHOTOMETRIC) == 0 else grey
    if words is None or words.shape[:2] != (image.height, image.width):
        return None
    # OpenCV accepts truncated files, leaves alpha multiplied in, and misreads rare layouts, so the upper bits must be
    # what Pillow read. From YCbCr (AVIF), both round on their own.
    off = 2 if image.format == "AVIF" else 0
    for top, strip in _strips(image):
        upper = (words[top : top + strip.height] >> (depth - 8)).astype(np.int16)
        if np.abs(upper - np.asarray(strip.convert("RGB"))).max() > off:
            return None
    return words


# TIFF of floating point, which Pillow cannot read in colour.


def tiff_tags(data: bytes) -> ImageFileDirectory_v2 | None:
    """The tags of the first picture of a TIFF; None for other files."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    if not data.startswith((b"II*\0", b"MM\0*")):
        return None
    tags = ImageFileDirectory_v2(data[:8])
    stream = BytesIO(data)
    stream.seek(tags.next)
    tags.load(stream)
    return tags


def _largest_page(data: bytes) -> bytes:
    """A TIFF that holds only its largest page, if the others are thumbnails or masks of it; else the file as it is."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    order: Literal["little", "big"] = "little" if data.startswith(b"II") else "big"
    pages: list[tuple[int, int, int, int, int]] = []
    at = int.from_bytes(data[4:8], order)
    while 0 < at < len(data) - 2 and len(pages) <= MAX_PAGES and at not in (page[0] for page in pages):
        tags, stream = ImageFileDirectory_v2(data[:8]), BytesIO(data)
        stream.seek(at)
        tags.load(stream)
        end = at + 2 + 12 * int.from_bytes(data[at : at + 2], order)
        pages.append((at, end, int(tags.get(_WIDTH, 0)), int(tags.get(_HEIGHT, 0)), int(tags.get(_KIND, 0))))
        at = int.from_bytes(data[end : end + 4], order)
    if not 1 < len(pages) <= MAX_PAGES:
        return data
    largest = max(pages, key=lambda page: page[2] * page[3])
    start, end, width, height, _ = largest
    others = (page for page in pages if page is not largest)
    if not all(kind & _REDUCED_OR_MASK or (2 * w <= width and 2 * h <= height) for _, _, w, h, kind in others):
        return data
    alone = bytearray(data)
    alone[4:8] = start.to_bytes(4, order)
    alone[end : end + 4] = bytes(4)
    return bytes(alone)


def _is_floating(tags: ImageFileDirectory_v2 | None) -> bool:
    return tags is not None and np.max(tags.get(_SAMPLE_FORMAT, 1)) == _FLOATING


def _decode_floats(data: bytes, tags: ImageFileDirectory_v2 | None, name: str, gamut: Gamut) -> Decoded:
    import cv2

    assert tags is not None  # noqa: S101
    check_size(int(tags[_WIDTH]), int(tags[_HEIGHT]), name)
    ends = np.add(tags.get(_OFFSETS, 0), tags.get(_COUNTS, 0), dtype=np.int64)
    if np.max(ends) > len(data):
        raise ImageError(f"{name} is cut short; copy it again.", Refusal.DAMAGED)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.float32:
        raise ImageError(
            f"{name} is a floating-point TIFF that cannot be read; save it again with 16 bits.", Refusal.UNSUPPORTED
        )
    notes: list[str] = []
    opaque = None
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        opaque, note = _mask(np.asarray(pixels[..., 3]), name)
        notes.append(note)
    pixels = pixels if pixels.ndim == 2 else pixels[..., 2::-1]  # from BGR or BGRA
    if not (float(np.min(pixels)) >= 0 and float(np.max(pixels)) <= 1):  # so that NaN is refused too
        raise ImageError(
            f"{name} holds floating-point values outside 0 to 1, so it is radiance rather than an exposure; "
            "export it with 16 bits for display.",
            Refusal.UNSUPPORTED,
        )
    profile = bytes(tags.get(_PROFILE, b""))
    colours = _colours(Signs(), profile, "L" if pixels.ndim == 2 else "RGB", 32, name, gamut)
    pixels, _ = colours.in_srgb(np.array(pixels, np.float32), 32, name)
    notes += colours.notes
    orientation = int(tags.get(_ORIENTATION, 1))
    if orientation in range(2, 9):
        notes.append(_rotated(name))
    return Decoded(pixels, 32, notes, b"", profile, colours.table(32), opaque, orientation, colours.gamut)


# HEIC.


def _decode_heif(data: bytes, name: str, gamut: Gamut) -> Decoded:
    """Decode a HEIC. libheif rotates and mirrors it, so that the Exif orientation must not be applied again."""
    import pi_heif
    from PIL import Image

    file = pi_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False)
    check_size(*file.size, name)
    notes: list[str] = []
    if len(file) > 1:
        notes.append(f"{name} holds several pictures; the main one is used.")
    info: dict[str, Any] = file.info
    depth = int(info.get("bit_depth", 8))
    pixels = np.array(file)  # a copy, since the memory is freed with `file`
    mode = "L" if file.mode.startswith("L") else "RGB"
    opaque = None
    if file.has_alpha:
        opaque, note = _mask(pixels[..., -1], name)
        notes.append(note)
    if pixels.ndim == 3:  # the last channel may be transparency
        pixels = pixels[..., 0] if mode == "L" else pixels[..., :3]
    exif, profile = info.get("exif") or b"", info.get("icc_profile") or b""
    colours = _colours(_signs_of_heif(data, exif), profile, mode, depth, name, gamut)
    if depth > 8:
        pixels >>= 16 - depth  # libheif scales them to 16 bits
    elif colours.conversion:
        pixels = _pixels8(Image.fromarray(pixels), mode, colours.conversion)
    pixels, depth = colours.in_srgb(pixels, depth, name)
    notes += colours.notes
    return Decoded(pixels, depth, notes, exif, profile, colours.table(depth), opaque, gamut=colours.gamut)


# Camera RAW.


def is_raw(data: bytes, tags: ImageFileDirectory_v2 | None) -> bool:
    """Whether a file is camera RAW. Many such files are TIFFs that begin with a thumbnail."""
    if data.startswith(_RAW_STARTS) or data[4:12] == b"ftypcrx ":
        return True
    if tags is None:
        return False
    begins_with_thumbnail = tags.get(_KIND) == 1 and _SUB_IFDS in tags
    return _DNG_VERSION in tags or data[8:10] == b"CR" or begins_with_thumbnail or tags.get(_COMPRESSION) == _PENTAX


def _develop(data: bytes, name: str, saturation: int) -> Decoded:
    """Develop camera RAW with the camera's white balance. Automatic brightness would make all exposures look alike."""
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
        saturation = saturation or _saturation(raw)
        pixels = raw.postprocess(
            user_sat=saturation,
            use_camera_wb=True,
            no_auto_bright=True,
            adjust_maximum_thr=0,  # else the brightest value of each exposure would become white
            output_bps=16,
            output_color=rawpy.ColorSpace.sRGB,  # pyright: ignore[reportAttributeAccessIssue]
            gamma=(2.4, 12.92),  # the curve of sRGB
        )
    notes = [f"{name} was developed from camera RAW, without automatic brightness."]
    return Decoded(pixels, 16, notes, saturation=saturation)


_BINS = 512
"""Into how many levels the range of a sensor is divided to find the one at which it saturates."""
_EACH_ROW = 5
"""Every so many rows are looked at: among them are all rows of a pattern of colour filters, which has 2 or 6."""
_LEAST_SATURATION = 0.75
"""The part of the stated range below which no sensor is taken for saturated."""


def _saturation(raw: Any) -> int:
    """The level at which the sensor saturates, which may lie below the white that the file states.

    White would have a cast then, since the channels are multiplied for the white balance after that. A sensor that
    saturates holds the same level for all its colours, with far fewer pixels just below it and next to none above it.
    Where nothing is saturated, this is the stated white.
    """
    stated, black = int(raw.white_level), int(min(raw.black_level_per_channel))
    levels = raw.raw_image_visible
    if levels is None or levels.ndim != 2 or stated <= black:
        return stated
    levels, colours = levels[::_EACH_ROW], raw.raw_colors_visible[::_EACH_ROW]
    bins = (np.arange(1 << 16) - black) * _BINS // (stated - black)
    place = bins.clip(0, _BINS).astype(np.int16)[levels]  # the last one is of the stated white and above
    each = [place[colours == at] for at in range(int(colours.max()) + 1)]
    counts = np.stack([np.bincount(one, minlength=_BINS + 1) for one in each])
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    full = np.flatnonzero(counts.sum(0) > 5e-4 * levels.size)
    top = int(full[-1]) if full.size else _BINS
    if not _LEAST_SATURATION * _BINS < top < _BINS:
        return stated
    piled, below = share[:, top - 2 : top + 1].sum(1), share[:, top - 5 : top - 2].sum(1)
    if (piled < 1e-4).any() or piled.sum() < 5 * below.sum():
        return stated
    full_ones = levels[(top - 2 <= place) & (place <= top)]
    lowest = len(full_ones) // 100
    return int(np.partition(full_ones, lowest)[lowest])
