"""Encoding of pixels as PNG, TIFF or JPEG, with the camera data and the colour profile of the photograph if wanted."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.errors import ImageError

EXTENSIONS = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
"""Endings of the files that can be written."""

_EXIF, _GPS = 0x8769, 0x8825  # tags of the sub-directories of Exif
_MAIN_TAGS = (271, 272, 306, 315, 33432)
"""Make, model, time, artist and copyright, in the main directory."""
_EXPOSURE_TAGS = (33434, 33437, 34855, 36867, 36868, 36880, 36881, 36882, 37380, 37386, 41989, 42036)
"""Exposure time, aperture, sensitivity, times and their zones, exposure bias, focal lengths and lens."""


def encode(
    pixels: NDArray[Any], extension: str, *, quality: int = 95, exif: bytes = b"", profile: bytes = b""
) -> bytes:
    """Encode RGB pixels (H, W, 3) of uint8 or, for PNG and TIFF, of uint16, and return the bytes of the file.

    `extension` is one of `EXTENSIONS`, and `quality`, 0 to 100, matters for JPEG alone. `exif` is a block of Exif, of
    which a TIFF keeps the main directory only, and `profile` an ICC profile. Equal arguments give equal bytes. Raises
    `ImageError` for another extension, and for a JPEG of 16 bits.

    >>> encode(np.zeros((20, 30, 3), np.uint16), ".png")[:4]
    b'\\x89PNG'
    """
    import cv2

    if extension not in EXTENSIONS:
        raise ImageError(f"The name of a picture ends in one of {', '.join(EXTENSIONS)}; choose such a name.")
    if extension in (".tif", ".tiff"):
        return _tiff(pixels, exif, profile)
    if extension == ".png":
        options = {
            cv2.IMWRITE_PNG_COMPRESSION: 1,  # comes first, since it resets the others
            cv2.IMWRITE_PNG_FILTER: cv2.IMWRITE_PNG_FILTER_SUB,
            # Looking for repetitions takes more than half the time and gains little in photographs.
            cv2.IMWRITE_PNG_STRATEGY: cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
        }
    elif pixels.dtype == np.uint8:
        options = {cv2.IMWRITE_JPEG_QUALITY: quality}
    else:
        raise ImageError("A JPEG has 8 bits a channel; save 16 bits as PNG or TIFF.")
    kinds = {cv2.IMAGE_METADATA_EXIF: exif.removeprefix(b"Exif\0\0"), cv2.IMAGE_METADATA_ICCP: profile}
    metadata = {kind: np.frombuffer(data, np.uint8) for kind, data in kinds.items() if data}
    flat = [value for option in options.items() for value in option]
    bgr = pixels[..., ::-1]
    done, encoded = cv2.imencodeWithMetadata(extension, bgr, list(metadata), list(metadata.values()), flat)
    if not done:
        raise ImageError("The picture cannot be written in this format; save it as PNG.")
    return encoded.tobytes()


def _tiff(pixels: NDArray[Any], exif: bytes, profile: bytes) -> bytes:
    import tifffile
    from PIL.Image import Exif

    camera = Exif()
    camera.load(exif)
    texts = [(tag, "s", 0, _text_bytes(str(camera[tag])), True) for tag in _MAIN_TAGS if tag in camera]
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


def filtered_exif(exif: bytes, *, keep_location: bool = False) -> bytes:
    """Reduce a block of Exif to how the photograph was taken, and with `keep_location` also where.

    Everything else is dropped, since comments, thumbnails and maker notes may hold anything. The result is empty if the
    block cannot be read.
    """
    from PIL.Image import Exif

    camera, kept = Exif(), Exif()
    try:
        camera.load(exif)
        kept.update({tag: _text_bytes(camera[tag]) for tag in _MAIN_TAGS if tag in camera})
        exposure = camera.get_ifd(_EXIF)
        kept.get_ifd(_EXIF).update({tag: exposure[tag] for tag in _EXPOSURE_TAGS if tag in exposure})
        if keep_location:
            kept.get_ifd(_GPS).update(camera.get_ifd(_GPS))
        return kept.tobytes()
    except Exception:  # noqa: BLE001  # Pillow fails on odd data in many ways, and the picture matters more
        return b""


def _text_bytes(value: Any) -> Any:
    """The bytes that a text had in the file, mostly UTF-8: Pillow reads them as Latin-1, and would write ASCII."""
    return value.encode("latin-1") if isinstance(value, str) else value
