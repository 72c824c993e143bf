"""What a picture's file says besides its pixels: its size, and when, how and with what it was taken (Exif).

Headers may be hostile, so no value in them is relied on. The headers of camera RAW files that are no TIFF, and small
copies of all pictures, are read in the processes of `fusion.io.sandbox`.
"""

from __future__ import annotations

import math
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fusion.errors import ImageError
from fusion.io import suffixes

if TYPE_CHECKING:
    from fusion.exposures.views import Grey
    from fusion.io.decode import Decoded
    from fusion.io.sandbox import Sandbox

AUTO, MANUAL, AUTO_BRACKET = 0, 1, 2
"""Values of Exif's ExposureMode."""
_LONGEST_EXPOSURE = 60.0
"""The longest exposure time, in seconds, that counts. A longer one is taken for this one."""
_LARGEST_FILE = 200_000_000


@dataclass(frozen=True)
class Shot:
    """One picture and what its camera recorded; None stands for what is not recorded or makes no sense."""

    file: Path
    size: tuple[int, int]
    """The longer and the shorter side in pixels, as the pixels are stored."""
    camera: tuple[str, ...] = ()
    """Maker, model and serial number; empty if none is recorded."""
    recorded: tuple[bool, ...] = ()
    """Whether exposure time, aperture and sensitivity are recorded. Exposures compare only where these agree."""
    time: datetime | None = None
    precise: bool = False
    """Whether the time has fractions of a second. Cameras that do not know them write zeros or nothing."""
    seconds: float = 0.0
    """The exposure time, or 0 if it is not recorded."""
    exposure: float | None = None
    """Stops above a level that is the same for all shots with these `recorded` values."""
    bias: float | None = None
    """How many stops the exposure deviates from what the camera metered (ExposureBiasValue)."""
    mode: int | None = None
    """The mode: `AUTO`, `MANUAL` or `AUTO_BRACKET`."""
    focal_length: float | None = None
    turned: bool = False
    """Whether the pixels are stored as upright format, or would be by the Exif orientation."""


class Pictures:
    """Reads shots and small copies, each file once. Close it at the end, since it may have started a process."""

    def __init__(self) -> None:
        self._sandbox: Sandbox | None = None
        self._shots: dict[Path, Shot | None] = {}
        self._glances: dict[Path, Decoded | None] = {}

    def __enter__(self) -> Pictures:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._sandbox:
            self._sandbox.close()

    def shot(self, file: Path) -> Shot | None:
        """What a file's header says; None if it cannot be read."""
        if file not in self._shots:
            found = _from_header(file)
            if found is None and file.suffix.lower() in suffixes.RAW and (seen := self._glance(file)):
                found = shot_of(file, seen.exif)
            self._shots[file] = found
        return self._shots[file]

    def small(self, file: Path) -> Grey | None:
        """A small copy (h, w) of a picture, 0 to 255; None if it cannot be decoded."""
        seen = self._glance(file)
        return seen.pixels if seen else None

    def shows_anything(self, file: Path) -> bool:
        """Whether a picture has edges by which it can be compared with others: it is neither black nor white."""
        from fusion.exposures.views import shows_anything

        copy = self.small(file)
        return copy is not None and shows_anything(copy)

    def same_view(self, one: Path, other: Path) -> bool | None:
        """Whether two pictures show the same view; None if that cannot be told."""
        from fusion.exposures.views import same_view

        copies = self.small(one), self.small(other)
        return None if copies[0] is None or copies[1] is None else same_view(copies[0], copies[1])

    def _glance(self, file: Path) -> Decoded | None:
        if file not in self._glances:
            self._glances[file] = None
            with suppress(OSError, ImageError):
                if 0 < file.stat().st_size <= _LARGEST_FILE:
                    self._glances[file] = self._opened().glance(file.read_bytes(), "The picture")
        return self._glances[file]

    def _opened(self) -> Sandbox:
        from fusion.io.sandbox import Sandbox

        if self._sandbox is None:
            self._sandbox = Sandbox()
        return self._sandbox


def _from_header(file: Path) -> Shot | None:
    """Read a header without decoding pixels; None if anything goes wrong."""
    from pi_heif import HeifImageFile
    from PIL import Image

    with suppress(Exception), warnings.catch_warnings():  # on hostile bytes, parsers raise almost any exception
        warnings.simplefilter("ignore")
        with file.open("rb") as stream:
            start = stream.read(12)
            if file.suffix.lower() in suffixes.RAW and start.startswith((b"II*\0", b"MM\0*")):
                exif = Image.Exif()
                stream.seek(0)
                exif.load_from_fp(stream)
                return _shot(file, _first_size(exif), exif)
        if start[4:8] == b"ftyp" and not start.endswith(b"avif"):
            with HeifImageFile(file) as image:
                return _shot(file, image.size, image.getexif())
        with Image.open(file, formats=("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF")) as image:
            # Without this check, Pillow would decode the whole of a PNG to look for data behind its pixels.
            exif = image.getexif() if "exif" in image.info or image.format == "TIFF" else Image.Exif()
            return _shot(file, image.size, exif)
    return None


def shot_of(file: Path, block: bytes) -> Shot | None:
    """What a file's block of Exif says; None if it cannot be read.

    >>> shot_of(Path("a.jpg"), b"") is None
    True
    """
    from PIL import Image

    with suppress(Exception):
        exif = Image.Exif()
        exif.load(block)
        return _shot(file, _first_size(exif), exif)
    return None


def _first_size(exif: Any) -> tuple[int, int]:
    from PIL.ExifTags import IFD, Base

    details = exif.get_ifd(IFD.Exif)
    width = details.get(Base.ExifImageWidth) or exif.get(Base.ImageWidth)
    height = details.get(Base.ExifImageHeight) or exif.get(Base.ImageLength)
    return int(width), int(height)


def _shot(file: Path, size: tuple[int, int], exif: Any) -> Shot:
    from PIL.ExifTags import IFD, Base

    longer, shorter = max(size), min(size)
    try:
        data: dict[int, Any] = {**exif, **exif.get_ifd(IFD.Exif)}
    except Exception:  # noqa: BLE001  # the picture may be sound although its camera data are not
        return Shot(file, (longer, shorter))
    seconds = _positive(data.get(Base.ExposureTime)) or _power(data.get(Base.ShutterSpeedValue), -1)
    aperture = _positive(data.get(Base.FNumber)) or _power(data.get(Base.ApertureValue), 0.5)
    speed = _positive(data.get(Base.ISOSpeedRatings)) or _positive(data.get(Base.RecommendedExposureIndex))
    level = math.log2(seconds) - 2 * math.log2(aperture or 1) + math.log2(speed or 1) if seconds else None
    camera = tuple(_text(data.get(tag)) for tag in (Base.Make, Base.Model, Base.BodySerialNumber))
    time, precise = _time(data)
    return Shot(
        file,
        (longer, shorter),
        camera if any(camera) else (),
        (seconds is not None, aperture is not None, speed is not None),
        time,
        precise,
        min(seconds or 0.0, _LONGEST_EXPOSURE),
        level,
        _number(data.get(Base.ExposureBiasValue)),
        mode if (mode := data.get(Base.ExposureMode)) in (AUTO, MANUAL, AUTO_BRACKET) else None,
        _positive(data.get(Base.FocalLength)),
        turned=(size[1] > size[0]) != (data.get(Base.Orientation) in range(5, 9)),
    )


def _time(data: dict[int, Any]) -> tuple[datetime | None, bool]:
    """When a shot was taken, and whether that is known to fractions of a second."""
    from PIL.ExifTags import Base

    for tag, fraction_tag in (
        (Base.DateTimeOriginal, Base.SubsecTimeOriginal),
        (Base.DateTimeDigitized, Base.SubsecTimeDigitized),
    ):
        with suppress(ValueError):
            fraction = re.sub(r"\D", "", str(data.get(fraction_tag) or ""), flags=re.ASCII)[:6]
            text = f"{_text(data.get(tag))}.{fraction or 0}+0000"
            return datetime.strptime(text, "%Y:%m:%d %H:%M:%S.%f%z"), int(fraction or 0) > 0
    return None, False


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip("\0 ")


def _number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    try:
        number = float(value[0] if isinstance(value, tuple) else value)
    except (TypeError, ValueError, ArithmeticError, LookupError):
        return None
    return number if math.isfinite(number) else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _power(value: Any, factor: float) -> float | None:
    """2 to the power of an APEX value times `factor`; None for values that no camera has."""
    number = _number(value)
    return 2 ** (number * factor) if number is not None and abs(number) < 30 else None
