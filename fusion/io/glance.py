"""A small grey copy of a picture, and its camera data, at a fraction of what decoding the whole file takes.

This runs in the processes of `fusion.io.sandbox`, since every file may be hostile.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusion.errors import ImageError, Refusal
from fusion.io.decode import MIN_SIDE, Decoded, check_size, decode, is_raw, library_errors_refused, tiff_tags

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 160
"""The longer side of a small copy, in pixels, unless the picture is smaller."""

_ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}
"""LibRaw's numbers for the way in which a camera was held, and those of Exif."""


def glance(data: bytes, name: str) -> Decoded:
    """A grey copy (H, W) of at most `SIDE` pixels a side, of uint8, with the file's block of Exif.

    A JPEG and the preview in a camera RAW file are not rotated upright, other pictures are. For a RAW file, the Exif is
    that of its preview, or is made from what LibRaw knows. Raises `ImageError`, and nothing else, for a file that
    cannot be read.

    >>> from pathlib import Path
    >>> glance(Path("examples/desk/under.png").read_bytes(), "The picture").pixels.shape
    (160, 118)
    """
    with library_errors_refused(name):
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data, name)
        if is_raw(data, tiff_tags(data)):
            return _raw(data, name)
    whole = decode(data, name)
    pixels = whole.pixels if whole.pixels.ndim == 2 else whole.pixels.mean(2)
    scale = 255 if whole.bits == 32 else 255 / ((1 << whole.bits) - 1)
    return Decoded(_reduced(np.asarray(pixels * scale, np.float32)), 8, exif=whole.exif)


def _jpeg(data: bytes, name: str) -> Decoded:
    from PIL.JpegImagePlugin import JpegImageFile

    image = JpegImageFile(BytesIO(data))
    check_size(*image.size, name)
    exif = image.info.get("exif") or b""
    image.draft("L", (SIDE, SIDE))  # decode at an eighth of the size where that is large enough
    return Decoded(_reduced(_grey(image)), 8, exif=exif)


def _raw(data: bytes, name: str) -> Decoded:
    """The preview of a camera RAW file, or its sensor's values at half the size where there is no preview."""
    try:
        import rawpy
    except ImportError as error:
        raise ImageError(f"{name} needs the package rawpy here (pip install rawpy).", Refusal.UNSUPPORTED) from error
    with rawpy.imread(BytesIO(data)) as raw:
        check_size(raw.sizes.width, raw.sizes.height, name)
        exif = _exif(raw)
        try:
            preview = raw.extract_thumb()
        except rawpy.LibRawError:  # pyright: ignore[reportAttributeAccessIssue]
            preview = None
        if preview is not None and preview.format == rawpy.ThumbFormat.JPEG:  # pyright: ignore[reportAttributeAccessIssue]
            small = _jpeg(bytes(preview.data), name)
            return Decoded(small.pixels, 8, exif=small.exif or exif)
        pixels = raw.postprocess(half_size=True, use_camera_wb=True, no_auto_bright=True)
    return Decoded(_reduced(np.asarray(pixels.mean(2), np.float32)), 8, exif=exif)


def _exif(raw: Any) -> bytes:
    """A block of Exif with what LibRaw tells about a shot."""
    from PIL.ExifTags import IFD, Base
    from PIL.Image import Exif
    from PIL.TiffImagePlugin import IFDRational

    exif = Exif()
    exif[Base.Orientation] = _ORIENTATIONS.get(raw.sizes.flip, 1)
    details, told = exif.get_ifd(IFD.Exif), raw.other
    for tag, value in (
        (Base.ExposureTime, told.shutter_speed),
        (Base.FNumber, told.aperture),
        (Base.FocalLength, told.focal_length),
    ):
        if 0 < value < 1e5:
            details[tag] = IFDRational(value)
    if 0 < told.iso_speed < 1e7:
        details[Base.ISOSpeedRatings] = round(told.iso_speed)
    if told.timestamp is not None:
        details[Base.DateTimeOriginal] = told.timestamp.strftime("%Y:%m:%d %H:%M:%S")
    details[Base.ExifImageWidth], details[Base.ExifImageHeight] = raw.sizes.width, raw.sizes.height
    return exif.tobytes()


def _grey(image: Image) -> NDArray[np.float32]:
    return np.asarray(image.convert("L"), np.float32)


def _reduced(grey: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A copy of greys (H, W) from 0 to 255 with a longer side of `SIDE`, and a shorter side of `MIN_SIDE` or more."""
    import cv2

    height, width = grey.shape
    scale = SIDE / max(height, width)
    if scale < 1:
        size = max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    return grey.round().clip(0, 255).astype(np.uint8)
