"""What a picture's header says: its size, and by its camera data (Exif) when, how and with what it was taken.

No pixel is decoded. Headers may be hostile, so no value in them is relied on.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from PIL.Image import Image

_T = TypeVar("_T")

_LEAST_STEP = 0.5
"""The least difference between two exposures of a bracket, in stops: a camera that meters anew varies by a third."""
_LONGEST_PAUSE = timedelta(seconds=2)
"""The longest time from the end of one shot of a bracket to the next. Many cameras record whole seconds."""
_LONGEST_EXPOSURE = 60.0
"""The longest exposure time, in seconds, that counts. A longer one is taken for this one."""


@dataclass(frozen=True)
class Shot:
    """One picture and what its camera recorded."""

    file: Path
    camera: tuple[str, ...]
    """Camera, orientation, size, and which values it recorded. Only shots that agree in all of them are compared."""
    time: datetime
    seconds: float
    """The exposure time."""
    exposure: float
    """Stops above a level that is the same for all shots with this `camera`."""

    def is_followed_by(self, other: Shot) -> bool:
        """Whether `other` was taken with the same camera and soon after this one."""
        pause = _LONGEST_PAUSE + timedelta(seconds=self.seconds)
        return self.camera == other.camera and other.time - self.time <= pause


def read_shot(file: Path) -> Shot | None:
    """A picture's camera data; None if it has none, too few, or none that make sense."""
    return _from_header(file, partial(_shot, file))


def read_size(file: Path) -> tuple[int, int] | None:
    """Width and height of a picture in pixels; None if it cannot be read."""
    return _from_header(file, lambda image: image.size)


def sequences(shots: Iterable[Shot]) -> list[list[Shot]]:
    """Group shots that were taken one soon after the other. A repeated exposure begins a new sequence."""
    found: list[list[Shot]] = []
    for shot in sorted(shots, key=lambda shot: (shot.camera, shot.time, shot.file)):
        last = found[-1] if found else []
        differs = all(abs(shot.exposure - one.exposure) >= _LEAST_STEP for one in last)
        if last and last[-1].is_followed_by(shot) and differs:
            last.append(shot)
        else:
            found.append([shot])
    return found


def _shot(file: Path, image: Image) -> Shot:
    """A picture's camera data. Any exception may be raised if there are none, too few, or none that make sense."""
    from PIL.ExifTags import IFD, Base

    # Without this check, Pillow would decode the whole of a PNG to look for data behind its pixels.
    if "exif" not in image.info and image.format != "TIFF":
        raise LookupError
    exif = image.getexif()
    data: dict[int, Any] = {**exif, **exif.get_ifd(IFD.Exif)}
    fraction = re.sub(r"\D", "", str(data.get(Base.SubsecTimeOriginal)), flags=re.ASCII)[:6] or "0"
    time = datetime.strptime(f"{data[Base.DateTimeOriginal]}.{fraction}+0000", "%Y:%m:%d %H:%M:%S.%f%z")
    camera = [str(data.get(tag)) for tag in (Base.Make, Base.Model, Base.BodySerialNumber, Base.Orientation)]
    seconds, aperture, speed = (
        _positive(data.get(tag)) for tag in (Base.ExposureTime, Base.FNumber, Base.ISOSpeedRatings)
    )
    if seconds:
        exposure = math.log2(seconds) - 2 * math.log2(aperture or 1) + math.log2(speed or 1)
    else:
        exposure = float(data[Base.ExposureBiasValue])
    if not math.isfinite(exposure):
        raise ValueError
    recorded = str([value is not None for value in (seconds, aperture, speed)])
    return Shot(file, (*camera, str(image.size), recorded), time, min(seconds or 0.0, _LONGEST_EXPOSURE), exposure)


def _positive(value: Any) -> float | None:
    """A positive, finite number; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return number if 0 < number < math.inf else None


def _from_header(file: Path, read: Callable[[Image], _T]) -> _T | None:
    """The result of `read` for a picture that is opened but not decoded; None if anything goes wrong."""
    from pi_heif import HeifImageFile
    from PIL import Image

    with suppress(Exception), warnings.catch_warnings():  # on hostile bytes, parsers raise almost any exception
        warnings.simplefilter("ignore")
        if file.suffix.lower() in {".heic", ".heif"}:
            with HeifImageFile(file) as image:
                return read(image)
        # Most camera RAW files begin like a TIFF.
        with Image.open(file, formats=("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF")) as image:
            return read(image)
    return None
