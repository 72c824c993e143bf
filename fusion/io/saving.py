"""How a picture is saved. The page, the command line, programs and folders all say it with a `Saving`."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from torch import Tensor

from fusion.errors import FusionError, ImageError
from fusion.io.colour_space import Gamut
from fusion.io.image import Bits, Metadata, Photo, encoded, write_picture
from fusion.io.open_exr import open_exr
from fusion.io.ultra_hdr import gain_map, ultra_hdr

Format: TypeAlias = Literal["jpeg", "png", "tiff", "ultra-hdr", "exr"]
"""A kind of file that a picture can be saved as: a JPEG, PNG or TIFF of the picture, a JPEG that is brighter on HDR
displays, or an OpenEXR file of the light of the scene instead of the picture."""

ENDINGS: dict[Format, tuple[str, ...]] = {
    "jpeg": (".jpg", ".jpeg"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "ultra-hdr": (".jpg", ".jpeg"),
    "exr": (".exr",),
}
"""Endings of each format's files; the first one is given to new files."""

_PACKAGES: dict[Format, tuple[str, str]] = {"ultra-hdr": ("pyvips", "'pyvips[binary]'"), "exr": ("OpenEXR", "OpenEXR")}
"""The module that a format needs beyond what every installation has, and what pip calls it."""


@dataclass(frozen=True, eq=False)
class Origin:
    """What a picture was made of, as far as its file may tell."""

    metadata: Metadata = field(default_factory=Metadata)
    """Those of one exposure."""
    gamut: Gamut = "srgb"
    """What its colours are in."""
    light: Tensor | None = None
    """The light of the scene (3, H, W), from 0 up, where the format needs it."""


@dataclass(frozen=True)
class Saving:
    """How a picture is saved. Raises `FusionError` for a value that cannot be chosen, and for some that exclude others.

    >>> Saving("tiff", bits=16).ending
    '.tif'
    """

    format: Format = "png"
    """The kind of file."""
    bits: Bits = 8
    """Bits of each channel of a PNG or TIFF."""
    quality: int = 95
    """Quality of a JPEG, 0 to 100."""
    keep_metadata: bool = False
    """Write the camera's data and the colour profile of the middle exposure into the file."""
    keep_location: bool = False
    """With `keep_metadata`, also write where the photograph was taken."""
    gamut: Gamut = "srgb"
    """The colours of the file: those of sRGB, or those of Display P3 if an exposure has colours that sRGB lacks."""

    def __post_init__(self) -> None:
        for choices, value, what in (
            (get_args(Format), self.format, "format"),
            (get_args(Bits), self.bits, "number of bits"),
            (get_args(Gamut), self.gamut, "gamut"),
        ):
            if value not in choices:
                raise FusionError(f"There is no {what} {value}; choose from {', '.join(map(str, choices))}.")
        if self.quality not in range(101):  # programs give anything
            raise FusionError(f"A JPEG's quality goes from 0 to 100; {self.quality} is outside.")
        if self.format in ("jpeg", "ultra-hdr") and self.bits == 16:
            raise FusionError("A JPEG has 8 bits a channel; save 16 bits as PNG or TIFF.")
        if self.format == "exr" and self.keep_metadata:
            raise FusionError(
                "An OpenEXR file of light has no camera data; save them with the picture in another format."
            )
        module, package = _PACKAGES.get(self.format, ("", ""))
        if module and find_spec(module) is None:
            raise FusionError(f"The format {self.format} needs a package that is not installed: pip install {package}.")

    @property
    def ending(self) -> str:
        """The ending of a new file's name."""
        return ENDINGS[self.format][0]

    @property
    def needs_light(self) -> bool:
        """Whether the file holds the light of the scene."""
        return self.format in ("ultra-hdr", "exr")

    def write(self, photo: Photo, path: str | PathLike[str], origin: Origin | None = None) -> None:
        """Save a photograph (3, H, W) from 0 to 1, whole or not at all, under a name with an ending of this format.

        An OpenEXR file holds the light of `origin` instead. Raises `ImageError` if the file cannot be written; its
        folder must exist.
        """
        write_picture(self._encoded(photo, origin or Origin()), Path(path))

    def _encoded(self, photo: Photo, origin: Origin) -> bytes:
        if not self.needs_light:
            return self._picture(photo, origin.metadata, origin.gamut)
        if origin.light is None:
            raise FusionError(f"The format {self.format} needs the light of the scene, which is not known here.")
        light = origin.light.permute(1, 2, 0).numpy()
        if self.format == "exr":
            return open_exr(light, origin.gamut)
        # The gain map is made for the curve of sRGB, which other profiles need not have.
        base = self._picture(photo, Metadata(origin.metadata.exif), origin.gamut)
        return ultra_hdr(base, gain_map(base, light), quality=self.quality)

    def _picture(self, photo: Photo, metadata: Metadata, gamut: Gamut) -> bytes:
        return encoded(
            photo,
            self.ending,
            bits=self.bits,
            quality=self.quality,
            metadata=metadata if self.keep_metadata else None,
            keep_location=self.keep_location,
            gamut=gamut,
        )


def format_of(path: str | PathLike[str], wanted: Format | None = None) -> Format:
    """The format that a file's name says, or the `wanted` one, whose ending the name must have then.

    Raises `ImageError` for a name with another ending.

    >>> format_of("fused.JPG")
    'jpeg'
    """
    ending = Path(path).suffix.lower()
    for name, endings in ENDINGS.items():
        if ending in endings and wanted in (None, name):
            return name
    allowed = [one for name, endings in ENDINGS.items() if wanted in (None, name) for one in endings]
    which = "picture" if wanted is None else f"{wanted} file"
    raise ImageError(f"The name of a {which} ends in {', '.join(dict.fromkeys(allowed))}; choose such a name.")
