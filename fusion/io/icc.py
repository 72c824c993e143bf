"""Colour profiles (ICC): conversion from the profile that a file embeds to sRGB, and back.

`PIL.ImageCms` converts 8-bit pixels only. Pixels with more bits are converted by the curves and the matrix of the
profile itself, as `space` reads them, and where a profile holds tables instead, through a lookup table that holds the
results of `PIL.ImageCms` for a grid of colours. The decoding process, which reads the profile, makes the table; the
process that uses the picture applies it without parsing the profile, which may be hostile.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fusion.io.colour_space import (
    DISPLAY_P3,
    ColourSpace,
    Curve,
    coded,
    display_p3_columns,
    to_srgb_light,
    to_xyz,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsProfile, ImageCmsTransform

_LEVELS = np.arange(0, 256, 3, dtype=np.uint8)  # 86 values from black to white, all of them exact in 8 bits
_D50 = 0.9642, 1.0, 0.8249
GREY_ROWS, COLOUR_ROWS = 256, len(_LEVELS) ** 3
"""Numbers of rows of the two kinds of lookup table: one for every grey, or one for every colour of a grid."""
_DARKEST = 1 + len(_LEVELS) + len(_LEVELS) ** 2
"""The row of the darkest grey in a table of colours; black is in row 0."""
_COARSE = 24
"""The most levels of 255 that the first two greys of a table may lie apart."""
_STRIP_ROWS = 256
"""How many rows of a picture are converted at once, so that a large photograph is not held twice."""


@dataclass(frozen=True)
class Conversion:
    """A conversion between two profiles, by relative colorimetry with black point compensation."""

    transform: ImageCmsTransform
    mode: str
    """Pillow's name for the kind of pixels that are converted: L, RGB or CMYK. The result is always RGB."""

    def convert_image(self, image: Image) -> NDArray[np.uint8]:
        """Convert a picture of `mode` with 8 bits a channel to RGB pixels (H, W, 3)."""
        from PIL import ImageCms

        return np.asarray(ImageCms.applyTransform(image, self.transform), np.uint8)

    def table(self) -> NDArray[np.uint8]:
        """The lookup table for `apply_table`: results for every grey, (256, 3), or for a grid of colours, (86³, 3)."""
        return self.convert_image(_image(_nodes(self.mode))).reshape(-1, 3)

    def convert_floats(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert pixels (H, W, 3) from 0 to 1; for mode L, the three channels are equal."""
        return apply_table(self.table(), pixels)

    @property
    def coarse(self) -> bool:
        """Whether the table's darkest colours are too far apart to be interpolated, as in profiles of linear light."""
        black, dark = self.table()[[0, 1 if self.mode == "L" else _DARKEST]].astype(int)
        return int(np.abs(dark - black).max()) > _COARSE

    @property
    def largest_change(self) -> int:
        """The largest change of any channel, in levels of 255, over all greys or a grid of colours."""
        nodes = _nodes(self.mode)
        change = self.convert_image(_image(nodes)).astype(int) - nodes.reshape(*nodes.shape[:2], -1)
        return int(np.abs(change).max())


def apply_table(table: NDArray[np.uint8], pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert pixels (H, W, 3) from 0 to 1 by a `Conversion.table`, and return the same shape and range.

    Values between the nodes of the table are interpolated linearly, so that fine steps are kept. Measured on Adobe RGB
    and ProPhoto: 99 values of 100 are within 1.2/255 of the transform itself; the darkest channel of colours outside
    the sRGB gamut is up to 16/255 off.

    >>> inverse = np.repeat(np.arange(255, -1, -1, dtype=np.uint8)[:, None], 3, axis=1)  # a table for greys
    >>> apply_table(inverse, np.full((1, 1, 3), 0.2, np.float32)).round(4).tolist()
    [[[0.800000011920929, 0.800000011920929, 0.800000011920929]]]
    """
    values = table.astype(np.float32) / 255
    if len(table) == GREY_ROWS:
        grey = np.interp(pixels[..., 0], np.linspace(0, 1, GREY_ROWS), values[:, 0]).astype(np.float32)
        return np.repeat(grey[..., None], 3, axis=2)
    import torch

    side = len(_LEVELS)
    cube = torch.from_numpy(values).reshape(1, side, side, side, 3).permute(0, 4, 1, 2, 3)  # (1, RGB, b, g, r)
    converted = np.empty_like(pixels)
    for top in range(0, len(pixels), _STRIP_ROWS):
        where = torch.from_numpy(pixels[top : top + _STRIP_ROWS] * 2 - 1)[None, None]  # (1, 1, rows, W, RGB), -1 to 1
        rows = torch.nn.functional.grid_sample(cube, where, align_corners=True)[0, :, 0].clamp_(0, 1)
        converted[top : top + _STRIP_ROWS] = rows.permute(1, 2, 0).numpy()
    return converted


def to_srgb(profile: bytes, mode: str) -> Conversion | None:
    """The conversion of pixels of `mode` to sRGB; None if the profile is sRGB, whatever its name.

    `profile` is an ICC profile's bytes, and `mode` is L, RGB or CMYK. Raises `ValueError` for a profile that cannot be
    used.
    """
    if mode == "L" and profile[16:20] == b"RGB ":
        mode = "RGB"
    conversion = _conversion(profile, None, mode)
    return None if mode != "CMYK" and conversion.largest_change <= 2 else conversion


def from_srgb(profile: bytes) -> Conversion:
    """The conversion of sRGB to an RGB profile. Raises `ValueError` for a profile that cannot be used."""
    return _conversion(None, profile, "RGB")


def _conversion(source: bytes | None, target: bytes | None, mode: str) -> Conversion:
    """The conversion from one profile to another; None stands for sRGB."""
    from PIL import ImageCms

    def parsed(profile: bytes | None) -> ImageCmsProfile:
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.ImageCmsProfile(srgb if profile is None else BytesIO(profile))

    try:
        transform = ImageCms.buildTransform(
            parsed(source),
            parsed(target),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError) as error:
        raise ValueError("the colour profile cannot be used") from error
    return Conversion(transform, mode)


def _nodes(mode: str) -> NDArray[np.uint8]:
    """All greys (1, 256), or a grid of colours (86 · 86, 86, 3) in which red changes fastest, then green, then blue."""
    if mode == "L":
        return np.arange(256, dtype=np.uint8)[None]
    blue, green, red = np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij")
    return np.stack((red, green, blue), axis=-1).reshape(-1, len(_LEVELS), 3)


def _image(pixels: NDArray[np.uint8]) -> Image:
    from PIL import Image

    return Image.fromarray(pixels)


# Profiles of curves and a matrix, which numpy converts exactly.


def display_p3() -> bytes:
    """A profile of Display P3: its primaries and the curve of sRGB. Source: ICC.1:2022, sections 7 to 10.

    >>> made = space(display_p3())
    >>> made is not None and made.for_display_p3().is_srgb
    True
    """

    def xyz(x: float, y: float, z: float) -> bytes:
        return struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in (x, y, z)))

    def text(words: str) -> bytes:
        return struct.pack(">4s4xII2s2sII", b"mluc", 1, 12, b"en", b"US", 2 * len(words), 28) + words.encode(
            "utf-16-be"
        )

    curve = [round(value * 65536) for value in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)]
    columns = display_p3_columns()
    # The adaptation is that of the white: from D65 to D50, by Bradford's transform.
    adaptation = columns @ np.linalg.inv(to_xyz(DISPLAY_P3))
    parts = {
        b"desc": text("Display P3"),
        b"cprt": text("Public domain"),
        b"wtpt": xyz(*_D50),
        b"rXYZ": xyz(*columns[:, 0]),
        b"gXYZ": xyz(*columns[:, 1]),
        b"bXYZ": xyz(*columns[:, 2]),
        b"chad": struct.pack(">4s4x9i", b"sf32", *(round(value * 65536) for value in adaptation.ravel())),
        b"rTRC": struct.pack(">4s4xH2x5i", b"para", 3, *curve),
    }
    names = [*parts, b"gTRC", b"bTRC"]
    at = 132 + 12 * len(names)
    entries, body = b"", b""
    for name, part in parts.items():
        for one in (name, b"gTRC", b"bTRC") if name == b"rTRC" else (name,):
            entries += struct.pack(">4sII", one, at + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    white = (round(value * 65536) for value in _D50)
    kind = b"mntr", b"RGB ", b"XYZ ", b"acsp"
    head = struct.pack(">I4xI4s4s4s12x4s28x3i48x", at + len(body), 0x04400000, *kind, *white)
    return head + struct.pack(">I", len(names)) + entries + body


def space(profile: bytes) -> ColourSpace | None:
    """The space of a profile that consists of curves and a matrix, or of code points; None for one of tables.

    Source: ICC.1:2022, sections 8.3.3 and 8.4.3 (which tags count), 9.2.17 (code points), 10.6 and 10.18 (curves).
    Raises `ValueError` for a profile that cannot be used.

    >>> from PIL import ImageCms
    >>> found = space(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    >>> found is not None and found.is_srgb
    True
    """
    try:
        tags = _tags(profile)
        if "cicp" in tags:
            primaries, transfer, _, full_range = tags["cicp"][8:12]
            return coded(primaries, transfer, full_range=bool(full_range))
        if any(name in tags for name in ("A2B0", "A2B1", "D2B0", "D2B1")):
            return None
        if profile[16:20] == b"GRAY":
            return ColourSpace("its colour profile", (_curve(tags["kTRC"]),), np.eye(3))
        if profile[16:20] != b"RGB ":
            return None
        columns = [struct.unpack(">3i", tags[name][8:20]) for name in ("rXYZ", "gXYZ", "bXYZ")]
        matrix = to_srgb_light(np.array(columns, np.float64).T / 65536)
        if not np.isfinite(matrix).all():
            raise ValueError("the colour profile has no colours")
        kinds = [tags[name] for name in ("rTRC", "gTRC", "bTRC")]
        curves = tuple(_curve(kind) for kind in (kinds[:1] if kinds[0] == kinds[1] == kinds[2] else kinds))
        return ColourSpace("its colour profile", curves, matrix)
    except (ArithmeticError, KeyError, LookupError, struct.error, np.linalg.LinAlgError) as error:
        raise ValueError("the colour profile cannot be used") from error


def _tags(profile: bytes) -> dict[str, bytes]:
    """The data of a profile's tags by their names."""
    (count,) = struct.unpack(">I", profile[128:132])
    entries = (struct.unpack(">4sII", profile[at : at + 12]) for at in range(132, 132 + 12 * min(count, 100), 12))
    return {name.decode("latin-1"): profile[start : start + size] for name, start, size in entries}


def _curve(data: bytes) -> Curve:
    """A curve of type "curv" or "para", from encoded values to light."""
    kind = data[:4]
    if kind == b"curv":
        (count,) = struct.unpack(">I", data[8:12])
        if count == 0:
            return partial(_parametric, (1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        if count == 1:
            (gamma,) = struct.unpack(">H", data[12:14])
            return partial(_parametric, (gamma / 256, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        values = np.frombuffer(data[12 : 12 + 2 * count], ">u2").astype(np.float64) / 65535
        if len(values) != count:
            raise ValueError("the colour profile is cut short")
        return partial(np.interp, xp=np.linspace(0, 1, count), fp=values)
    (function,) = struct.unpack(">H", data[8:10])
    if kind != b"para" or function > 4:
        raise ValueError("the colour profile has a curve of another kind")
    count = (1, 3, 4, 5, 7)[function]
    values = [value / 65536 for value in struct.unpack(f">{count}i", data[12 : 12 + 4 * count])]
    return partial(_parametric, _parameters(function, values))


_Parameters = tuple[float, float, float, float, float, float, float]


def _parameters(function: int, values: list[float]) -> _Parameters:
    """The parameters g, a, b, c, d, e, f of function type 4, of which types 0 to 3 are cases (table 68)."""
    g, a, b, c, d, e, f = values + [0.0] * (7 - len(values))
    if function == 0:
        return g, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if function == 1:
        return g, a, b, 0.0, -b / a, 0.0, 0.0
    if function == 2:
        return g, a, b, 0.0, -b / a, c, c
    return g, a, b, c, d, e, f


def _parametric(parameters: _Parameters, values: NDArray[np.float64]) -> NDArray[np.float64]:
    g, a, b, c, d, e, f = parameters
    return np.clip(np.where(values >= d, np.maximum(a * values + b, 0) ** g + e, c * values + f), 0, 1)
