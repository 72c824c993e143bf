"""Pixels to bytes: PNG and TIFF without loss, JPEG, each with what its photograph's file said where that is wanted."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.errors import ImageError

EXTENSIONS = (".png", ".tif", ".tiff", ".jpg", ".jpeg")

_EXIF, _GPS = 0x8769, 0x8825  # the directories within Exif
_MAIN = (271, 272, 306, 315, 33432)
"""Make, model, time, artist, copyright."""
_OF_EXPOSURE = (33434, 33437, 34855, 36867, 36868, 36880, 36881, 36882, 37380, 37386, 41989, 42036)
"""Exposure time, aperture, sensitivity, times and their zones, bias, focal lengths, lens."""


def encode(
    pixels: NDArray[Any], extension: str, *, quality: int = 95, exif: bytes = b"", profile: bytes = b""
) -> bytes:
    """A file of pixels (H, W, 3) of uint8, or of uint16 where it is no JPEG; the same bytes for the same pixels.

    `extension` is one of `EXTENSIONS`; `quality`, 0 to 100, is JPEG's. Of `exif`, a TIFF keeps the main directory only.
    Raises ImageError for another extension, and for a JPEG of 16 bits.
    """
    import cv2

    if extension not in EXTENSIONS:
        raise ImageError(f"A picture's file ends in one of {', '.join(EXTENSIONS)}; give it such a name.")
    if extension in (".tif", ".tiff"):
        return _tiff(pixels, exif, profile)
    if extension == ".png":
        options = {
            cv2.IMWRITE_PNG_COMPRESSION: 1,  # first: it resets the others
            cv2.IMWRITE_PNG_FILTER: cv2.IMWRITE_PNG_FILTER_SUB,
            # In photographs there is little to gain from looking for repetitions, which takes more than half the time.
            cv2.IMWRITE_PNG_STRATEGY: cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
        }
    elif pixels.dtype == np.uint8:
        options = {cv2.IMWRITE_JPEG_QUALITY: quality}
    else:
        raise ImageError("A JPEG has 8 bits a channel; save 16 bits as PNG or TIFF.")
    kinds = {cv2.IMAGE_METADATA_EXIF: exif.removeprefix(b"Exif\0\0"), cv2.IMAGE_METADATA_ICCP: profile}
    said = {kind: np.frombuffer(data, np.uint8) for kind, data in kinds.items() if data}
    flat = [value for option in options.items() for value in option]
    done, encoded = cv2.imencodeWithMetadata(extension, pixels[..., ::-1], list(said), list(said.values()), flat)
    if not done:
        raise ImageError("The picture cannot be written in this format; save it as PNG.")
    return encoded.tobytes()


def _tiff(pixels: NDArray[Any], exif: bytes, profile: bytes) -> bytes:
    import tifffile
    from PIL.Image import Exif

    said = Exif()
    said.load(exif)
    texts = [(tag, "s", 0, _bytes(str(said[tag])), True) for tag in _MAIN if tag in said]
    data = BytesIO()
    tifffile.imwrite(
        data,
        pixels,
        photometric="rgb",
        compression="zlib",
        iccprofile=profile or None,
        extratags=texts,
        metadata=None,
        software=False,
    )
    return data.getvalue()


def kept_exif(exif: bytes, *, place: bool = False) -> bytes:
    """Of a camera's data, what tells how a photograph was taken; where it was taken only with `place`.

    Everything else stays behind: comments, thumbnails and makers' notes may hold anything. Data that cannot be read
    give none.
    """
    from PIL.Image import Exif

    said, kept = Exif(), Exif()
    try:
        said.load(exif)
        kept.update({tag: _bytes(said[tag]) for tag in _MAIN if tag in said})
        taken = said.get_ifd(_EXIF)
        kept.get_ifd(_EXIF).update({tag: taken[tag] for tag in _OF_EXPOSURE if tag in taken})
        if place:
            kept.get_ifd(_GPS).update(said.get_ifd(_GPS))
        return kept.tobytes()
    except Exception:  # noqa: BLE001  # Pillow fails on odd data in many ways; a picture is worth more than its camera's name
        return b""


def _bytes(value: Any) -> Any:
    """A text's bytes as they were in the file, mostly UTF-8: Pillow reads them as Latin-1, and writes ASCII."""
    return value.encode("latin-1") if isinstance(value, str) else value
