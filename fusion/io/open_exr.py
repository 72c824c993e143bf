"""OpenEXR files of light, written by the OpenEXR project's own library."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.io.colour_space import DISPLAY_P3, Gamut

_LARGEST = 65504.0
"""The largest number of half precision."""


def open_exr(light: NDArray[np.float32], gamut: Gamut = "srgb") -> bytes:
    """The bytes of an OpenEXR file of light (H, W, 3), from 0 up, with the primaries of a gamut.

    Numbers have half precision, whose steps are at most a thousandth of the number. Equal light gives equal bytes.
    """
    openexr: Any = import_module("OpenEXR")  # optional
    header: dict[str, Any] = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    if gamut == "display-p3":  # the primaries of sRGB need not be said
        header["chromaticities"] = (*DISPLAY_P3[2:], *DISPLAY_P3[:2])
    pixels = np.minimum(light, _LARGEST).astype(np.float16, order="C")  # the library ignores strides
    with tempfile.TemporaryDirectory() as folder:  # the library writes to files alone
        path = Path(folder) / "light.exr"
        with openexr.File(header, {"RGB": pixels}) as file:
            file.write(str(path))
        return path.read_bytes()
