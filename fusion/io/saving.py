"""How a picture is saved. The page, the command line, programs and folders all say it with a `Saving`."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from fusion.errors import FusionError, ImageError
from fusion.io.image import Bits, Metadata, Photo, save

Format: TypeAlias = Literal["jpeg", "png", "tiff"]
"""A kind of file that a picture can be saved as."""

ENDINGS: dict[Format, tuple[str, ...]] = {
    "jpeg": (".jpg", ".jpeg"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
}
"""Endings of each format's files; the first one is given to new files."""


@dataclass(frozen=True, eq=False)
class Origin:
    """What a picture was made of, as far as its file may tell."""

    metadata: Metadata = field(default_factory=Metadata)
    """Those of one exposure."""


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

    def __post_init__(self) -> None:
        for choices, value, what in (
            (get_args(Format), self.format, "format"),
            (get_args(Bits), self.bits, "number of bits"),
        ):
            if value not in choices:
                raise FusionError(f"There is no {what} {value}; choose from {', '.join(map(str, choices))}.")
        if self.quality not in range(101):  # programs give anything
            raise FusionError(f"A JPEG's quality goes from 0 to 100; {self.quality} is outside.")
        if self.format == "jpeg" and self.bits == 16:
            raise FusionError("A JPEG has 8 bits a channel; save 16 bits as PNG or TIFF.")

    @property
    def ending(self) -> str:
        """The ending of a new file's name."""
        return ENDINGS[self.format][0]

    def write(self, photo: Photo, path: str | PathLike[str], origin: Origin | None = None) -> None:
        """Save a photograph (3, H, W) from 0 to 1, whole or not at all, under a name with an ending of this format.

        Raises `ImageError` if the file cannot be written; its folder must exist.
        """
        save(
            photo,
            path,
            bits=self.bits,
            quality=self.quality,
            metadata=origin.metadata if origin and self.keep_metadata else None,
            keep_location=self.keep_location,
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
