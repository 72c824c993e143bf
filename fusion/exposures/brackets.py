"""Which pictures of a folder are exposures of one scene: what their names, their cameras and their folders say.

Every folder below is looked through on its own, in this order:

- names: `x_A`, `x_B`; `x_under`, `x_middle` or `x_normal`, `x_over`; `x_dark`, `x_bright`; stops such as
  `x_-2`, `x_0`, `x_+2` or `x-1EV`;
- camera data (Exif): one camera, one size, one shot soon after the other, and every exposure another;
- the folder: 2 to 9 pictures of one size, and nothing else in it.

Names are believed before camera data, and both before the folder. Nothing is decoded but headers, and no value in them
is relied on: at worst, pictures are listed together that do not belong together.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fusion.errors import DatasetError
from fusion.runtime.workers import OURS

if TYPE_CHECKING:
    from PIL.Image import Image

_T = TypeVar("_T")

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif"})
"""What makes a file one to look at. Whether it is a picture is judged by its content, once it is read."""
RAW_SUFFIXES = frozenset({".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"})
"""Those too, but not where the camera wrote a picture of the same name beside it."""
FEWEST, MOST = 2, 9
"""Exposures of one scene."""

_STEP = 0.5
"""Stops between two exposures of a bracket, at least: a camera that meters anew wanders by a third."""
_PAUSE = timedelta(seconds=2)
"""From the end of one shot of a bracket to the next, at most; many cameras write whole seconds."""
_LONGEST = 60.0
"""Seconds of an exposure that are believed."""

_LETTER = re.compile(r"(.+)[ _-]([AB])", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"(?:(.*)[ _-])?(under|dark|middle|normal|over|bright)(?:[ _-]?exposed)?", re.IGNORECASE | re.DOTALL)
_NUMBER = r"\d{1,2}(?:[.,]\d{1,2})?"
_STOPS = re.compile(
    rf"(.*?)[ _-]??([+-]{_NUMBER}|(?:(?<=[ _-])|^)(?:0(?:[.,]0{{1,2}})?|{_NUMBER}(?= ?EV))) ?(EV)?",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_ORDER = {"a": 0.0, "b": 1.0, "under": 0.0, "dark": 0.0, "middle": 1.0, "normal": 1.0, "over": 2.0, "bright": 2.0}


@dataclass(frozen=True)
class Bracket:
    """Two to nine exposures of one scene."""

    name: str
    """Of the scene, with `/` between folders; no two are called the same, in any case of letters."""
    files: tuple[Path, ...]
    """Below the folder that was searched; the darkest first, where that is known."""
    found_by: str
    """name, camera or folder."""


@dataclass(frozen=True)
class Skipped:
    """A picture that belongs to no bracket, and why, as a sentence."""

    file: Path
    """Below the folder that was searched."""
    reason: str


def find_brackets(folder: Path) -> tuple[list[Bracket], list[Skipped]]:
    """Every bracket in `folder` and below it, and every picture that is in none; both sorted by name.

    Hidden files, folders of results and references (`*_GT`) are passed over; links to folders are not followed. A
    folder that holds one bracket and no other picture gives the scene its name. Raises `DatasetError` where `folder`
    is not one, or is one of results.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder. Give a folder of pictures, or of folders of them.")
    if _is_ours(folder):
        raise DatasetError(f"{folder} holds results. Give the folder of the pictures they were made from.")
    found: list[Bracket] = []
    skipped: list[Skipped] = []
    closed: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _is_ours(Path(place, name)))
        pictures = [file for name in sorted(names) if _is_exposure(file := Path(place, name))]
        here = Path(place).relative_to(folder)
        content = _Folder(pictures, leaf=not folders)
        content.split()
        for scene, files, how in content.scenes:
            own = len(files) == len(content.pictures)
            path = here / scene if scene and not (own and here.name) else here
            name = path.as_posix() if path.name else folder.resolve().name or "pictures"
            found.append(Bracket(name, tuple(here / file.name for file in files), how))
        skipped += [Skipped(here / file.name, reason) for file, reason in content.alone.items()]
    skipped += [Skipped(Path(error.filename).relative_to(folder), "the folder cannot be opened.") for error in closed]
    return _distinct(found, skipped)


def shown(name: str | Path) -> str:
    """A file's name as text for terminals and pages: what cannot be printed or encoded becomes a question mark."""
    text = name.as_posix() if isinstance(name, Path) else name
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _is_ours(folder: Path) -> bool:
    return os.path.isdir(folder / OURS)  # noqa: PTH112  # a Path raises where nobody may look


def _is_exposure(file: Path) -> bool:
    hidden, reference = file.name.startswith("."), file.stem.upper().endswith("_GT")
    named = file.suffix.lower() in SUFFIXES | RAW_SUFFIXES and not hidden and not reference
    return named and os.path.isfile(file)  # noqa: PTH113  # the same


def _distinct(found: Iterable[Bracket], skipped: list[Skipped]) -> tuple[list[Bracket], list[Skipped]]:
    """Without brackets of too many exposures, and those that are called as another is."""
    first: dict[str, Bracket] = {}
    for bracket in sorted(found, key=lambda bracket: (bracket.name, bracket.files)):
        other = first.get(bracket.name.casefold())
        if len(bracket.files) > MOST:
            reason = f"{len(bracket.files)} exposures seem to be of one scene; give at most {MOST}."
        elif other is not None:
            reason = f"the scene would have the name of the one that {shown(other.files[0])} is of; rename one of them."
        else:
            first[bracket.name.casefold()] = bracket
            continue
        skipped += [Skipped(file, reason) for file in bracket.files]
    return list(first.values()), sorted(skipped, key=lambda one: one.file)


_Scene = tuple[str, Sequence[Path], str]
"""Name, or none where it is the folder's; files; how it was found."""


class _Folder:
    """The pictures of one folder, split into scenes and what is left."""

    def __init__(self, pictures: Sequence[Path], *, leaf: bool) -> None:
        self.pictures = pictures
        self.leaf = leaf
        self.scenes: list[_Scene] = []
        self.alone: dict[Path, str] = {}

    def split(self) -> None:
        """Find the scenes, and say why each remaining picture is in none."""
        self._once()
        self._by_name()
        self._by_camera()
        self._by_folder()
        for file in self._left():
            self.alone[file] = "neither its name, nor its camera data, nor its folder says which it belongs with."

    def _left(self) -> list[Path]:
        taken = {file for _, files, _ in self.scenes for file in files}
        return [file for file in self.pictures if file not in taken and file not in self.alone]

    def _once(self) -> None:
        """Leave out what a camera wrote twice."""
        beside = {file.stem for file in self.pictures if file.suffix.lower() in SUFFIXES}
        for file in self.pictures:
            if file.suffix.lower() in RAW_SUFFIXES and file.stem in beside:
                self.alone[file] = "the picture of the same name beside it is used; move that one away to use this."
        self.pictures = self._left()

    def _by_name(self) -> None:
        groups: dict[tuple[str, str], list[tuple[float, str, Path]]] = defaultdict(list)
        for file in self.pictures:
            if named := _named(file.stem):
                scene, kind, exposure = named
                groups[scene.casefold(), kind].append((exposure, scene, file))
        for (_, kind), group in groups.items():
            group.sort(key=lambda one: (one[0], one[2]))
            exposures, files = [exposure for exposure, _, _ in group], [file for _, _, file in group]
            if not _complete(kind, exposures):
                continue
            if len(set(exposures)) < len(exposures):
                said = "two pictures of its scene say in their names that they are the same exposure; rename one."
                self.alone |= dict.fromkeys(files, said)
            else:
                self.scenes.append((group[0][1], files, "name"))

    def _by_camera(self) -> None:
        shots = (_from_header(file, partial(_shot, file)) for file in self._left())
        for run in _runs(shot for shot in shots if shot):
            if len(run) >= FEWEST:
                files = [shot.file for shot in sorted(run, key=lambda shot: shot.exposure)]
                self.scenes.append((run[0].file.stem, files, "camera"))

    def _by_folder(self) -> None:
        left = self._left()
        if not self.leaf or len(left) != len(self.pictures) or not FEWEST <= len(left) <= MOST:
            return
        named = [name for file in left if (name := _named(file.stem))]
        if any(kind in {"letter", "word"} for _, kind, _ in named):
            return  # half of a pair, whose other half is missing
        if 1 < len({scene.casefold() for scene, _, _ in named}) <= len(left) / FEWEST:
            return  # several scenes
        sizes = {_from_header(file, lambda image: image.size) for file in left} - {None}
        if len(sizes) > 1:
            self.alone |= dict.fromkeys(left, "the pictures of its folder differ in size.")
        else:
            self.scenes.append(("", left, "folder"))


def _named(stem: str) -> tuple[str, str, float] | None:
    """Scene, kind of name, and place among its exposures, where the name says so."""
    for kind, pattern in (("letter", _LETTER), ("word", _WORD)):
        if match := pattern.fullmatch(stem):
            return match[1] or "", kind, _ORDER[match[2].lower()]
    if match := _STOPS.fullmatch(stem):
        return match[1], "EV" if match[3] else "stops", float(match[2].replace(",", "."))
    return None


def _complete(kind: str, exposures: Sequence[float]) -> bool:
    """Whether exposures of one kind of name make a bracket."""
    if kind in {"letter", "word"}:
        return {0.0, float(kind == "word") + 1} <= set(exposures)
    # Without the unit, -1, -2 and -3 may just as well be numbers of pictures; a plus is no accident.
    return len(exposures) >= FEWEST and (kind == "EV" or max(exposures) > 0)


@dataclass(frozen=True)
class _Shot:
    """What a camera wrote into a picture."""

    file: Path
    alike: tuple[str, ...]
    """Camera, size and kinds of data: only shots that share them are compared."""
    time: datetime
    seconds: float
    """The exposure's own."""
    exposure: float
    """Stops above some level, the same for shots that are alike."""

    def starts(self, other: _Shot) -> bool:
        """Whether `other` was taken soon after."""
        return self.alike == other.alike and other.time - self.time <= _PAUSE + timedelta(seconds=self.seconds)


def _runs(shots: Iterable[_Shot]) -> list[list[_Shot]]:
    """Shots in the order of time, cut where one comes late or repeats an exposure."""
    runs: list[list[_Shot]] = []
    for shot in sorted(shots, key=lambda shot: (shot.alike, shot.time, shot.file)):
        last = runs[-1] if runs else []
        if last and last[-1].starts(shot) and all(abs(shot.exposure - one.exposure) >= _STEP for one in last):
            last.append(shot)
        else:
            runs.append([shot])
    return runs


def _shot(file: Path, image: Image) -> _Shot:
    """The picture's camera data. Raises anything where there are none, or not enough, or none that make sense."""
    from PIL.ExifTags import IFD, Base

    # Without this, Pillow would decode the whole of a PNG to look behind its pixels.
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
    known = str([value is not None for value in (seconds, aperture, speed)])
    return _Shot(file, (*camera, str(image.size), known), time, min(seconds or 0.0, _LONGEST), exposure)


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return number if 0 < number < math.inf else None


def _from_header(file: Path, read: Callable[[Image], _T]) -> _T | None:
    """What `read` makes of the picture, opened but not decoded; None where anything goes wrong with it."""
    from pi_heif import HeifImageFile
    from PIL import Image

    with suppress(Exception), warnings.catch_warnings():  # hostile bytes: the parsers raise almost anything
        warnings.simplefilter("ignore")
        if file.suffix.lower() in {".heic", ".heif"}:
            with HeifImageFile(file) as image:
                return read(image)
        # A camera's RAW file begins as a TIFF, mostly.
        with Image.open(file, formats=("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF")) as image:
            return read(image)
    return None
