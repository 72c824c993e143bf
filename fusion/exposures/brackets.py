"""Which pictures of a folder are exposures of one scene, by their names, their camera data and their folders.

Every folder below the given one is searched on its own, in this order:

- names: `x_A`, `x_B`; `x_under`, `x_middle` or `x_normal`, `x_over`; `x_dark`, `x_bright`; stops such as
  `x_-2`, `x_0`, `x_+2` or `x-1EV`;
- camera data (Exif): one camera, one size, one shot soon after the other, and no exposure twice;
- the folder: 2 to 9 pictures of one size, and no other picture in it.

Names count before camera data, and both count before the folder. Only headers are read, and a wrong value in them can
do no more than put pictures together that do not belong together.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fusion.errors import DatasetError
from fusion.exposures.camera_data import read_shot, read_size, sequences
from fusion.exposures.file_names import exposure_name, makes_bracket
from fusion.io.results_folder import RECORDS

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif"})
"""Suffixes of files that are considered. Their content decides whether they are pictures, once they are read."""
RAW_SUFFIXES = frozenset({".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"})
"""Suffixes of camera RAW. Such a file is ignored if the camera wrote a picture of the same name beside it."""
FEWEST, MOST = 2, 9
"""How many exposures of one scene there may be."""


@dataclass(frozen=True)
class Bracket:
    """Two to nine exposures of one scene."""

    name: str
    """The name of the scene, with `/` between folders. No two scenes differ only in upper and lower case."""
    files: tuple[Path, ...]
    """Paths relative to the folder that was searched; the darkest first, if that is known."""
    found_by: str
    """What told that they belong together: name, camera or folder."""


@dataclass(frozen=True)
class Skipped:
    """A picture that belongs to no bracket, or a folder that cannot be opened."""

    file: Path
    """The path relative to the folder that was searched."""
    reason: str
    """Why it was skipped, as a sentence."""


def find_brackets(folder: Path) -> tuple[list[Bracket], list[Skipped]]:
    """Find every bracket in `folder` and below it, and every picture that is in none; both sorted by name.

    Hidden files, folders of results and references (`*_GT`) are ignored; links to folders are not followed. If a folder
    holds one bracket and no other picture, the scene is named after the folder. Raises `DatasetError` if `folder` is
    not a folder, or is a folder of results.

    >>> brackets, _ = find_brackets(Path("examples/desk"))
    >>> brackets[0].name, brackets[0].found_by, [file.name for file in brackets[0].files]
    ('desk', 'name', ['under.png', 'over.png'])
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder. Give a folder of pictures, or of folders of them.")
    if _holds_results(folder):
        raise DatasetError(f"{folder} holds results. Give the folder of the pictures they were made from.")
    found: list[Bracket] = []
    skipped: list[Skipped] = []
    closed: list[OSError] = []
    for path, folders, names in os.walk(folder, onerror=closed.append):
        visible = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in visible if not _holds_results(Path(path, name))]
        pictures = [file for name in sorted(names) if _is_exposure(file := Path(path, name))]
        here = Path(path).relative_to(folder)
        scenes, alone = _split(pictures, leaf=not folders)
        doubles = sum(reason == _DOUBLE for reason in alone.values())
        for scene in scenes:
            only = len(scene.files) == len(pictures) - doubles
            named = here / scene.name if scene.name and not (only and here.name) else here
            name = named.as_posix() if named.name else folder.resolve().name or "pictures"
            found.append(Bracket(name, tuple(here / file.name for file in scene.files), scene.found_by))
        skipped += [Skipped(here / file.name, reason) for file, reason in alone.items()]
    skipped += [Skipped(Path(error.filename).relative_to(folder), "the folder cannot be opened.") for error in closed]
    brackets, refused = _distinct(found)
    return brackets, sorted([*skipped, *refused], key=lambda one: one.file)


def shown(name: str | Path) -> str:
    """A file's name as text for terminals and pages, with `?` for each character that cannot be printed or encoded.

    >>> shown("Zoë \\x1b.jpg")
    'Zoë ?.jpg'
    """
    text = name.as_posix() if isinstance(name, Path) else name
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _holds_results(folder: Path) -> bool:
    return os.path.isdir(folder / RECORDS)  # noqa: PTH112  # Path.is_dir raises for a folder without permission


def _is_exposure(file: Path) -> bool:
    hidden, reference = file.name.startswith("."), file.stem.upper().endswith("_GT")
    named = file.suffix.lower() in SUFFIXES | RAW_SUFFIXES and not hidden and not reference
    return named and os.path.isfile(file)  # noqa: PTH113  # Path.is_file raises for a folder without permission


def _distinct(found: Iterable[Bracket]) -> tuple[list[Bracket], list[Skipped]]:
    """The brackets that can be used, and the pictures of those with too many exposures or another's name."""
    first: dict[str, Bracket] = {}
    refused: list[Skipped] = []
    for bracket in sorted(found, key=lambda bracket: (bracket.name, bracket.files)):
        other = first.get(bracket.name.casefold())
        if len(bracket.files) > MOST:
            reason = f"{len(bracket.files)} exposures seem to be of one scene; give at most {MOST}."
        elif other is not None:
            reason = f"its scene would have the same name as the scene of {shown(other.files[0])}; rename one of them."
        else:
            first[bracket.name.casefold()] = bracket
            continue
        refused += [Skipped(file, reason) for file in bracket.files]
    return list(first.values()), refused


class _Scene(NamedTuple):
    name: str
    """Empty if the folder names the scene."""
    files: Sequence[Path]
    found_by: str


_DOUBLE = "the picture of the same name beside it is used instead; move that picture away to use the RAW file."
_UNKNOWN = "neither its name, nor its camera data, nor its folder tells which scene it belongs to."


def _split(files: Sequence[Path], *, leaf: bool) -> tuple[list[_Scene], dict[Path, str]]:
    """Split the pictures of one folder into scenes and pictures that are in none, with the reason for each of these.

    `leaf` says that there is no other folder to search in this one.
    """
    alone = _doubles(files)
    pictures = [file for file in files if file not in alone]
    scenes, ambiguous = _by_name(pictures)
    alone |= ambiguous
    scenes += _by_camera(_left(pictures, scenes, alone))
    if leaf and not scenes and not ambiguous:
        by_folder, unequal = _by_folder(pictures)
        scenes += by_folder
        alone |= unequal
    return scenes, alone | dict.fromkeys(_left(pictures, scenes, alone), _UNKNOWN)


def _left(pictures: Sequence[Path], scenes: Iterable[_Scene], alone: Mapping[Path, str]) -> list[Path]:
    taken = {file for scene in scenes for file in scene.files}
    return [file for file in pictures if file not in taken and file not in alone]


def _doubles(files: Sequence[Path]) -> dict[Path, str]:
    """RAW files of which the camera wrote a picture as well."""
    beside = {file.stem for file in files if file.suffix.lower() in SUFFIXES}
    return {file: _DOUBLE for file in files if file.suffix.lower() in RAW_SUFFIXES and file.stem in beside}


def _by_name(pictures: Sequence[Path]) -> tuple[list[_Scene], dict[Path, str]]:
    """Scenes whose pictures are named after exposures, and pictures whose names contradict each other."""
    scenes: list[_Scene] = []
    ambiguous: dict[Path, str] = {}
    groups: dict[tuple[str, str], list[tuple[float, str, Path]]] = defaultdict(list)
    for file in pictures:
        if named := exposure_name(file.stem):
            groups[named.scene.casefold(), named.kind].append((named.exposure, named.scene, file))
    for (_, kind), group in groups.items():
        group.sort(key=lambda one: (one[0], one[2]))
        exposures, files = [exposure for exposure, _, _ in group], [file for _, _, file in group]
        if not makes_bracket(kind, exposures):
            continue
        if len(set(exposures)) < len(exposures):
            reason = "the names of two pictures of its scene stand for the same exposure; rename one of them."
            ambiguous |= dict.fromkeys(files, reason)
        else:
            scenes.append(_Scene(group[0][1], files, "name"))
    return scenes, ambiguous


def _by_camera(pictures: Iterable[Path]) -> list[_Scene]:
    """Scenes that one camera took in one sequence."""
    shots = [shot for file in pictures if (shot := read_shot(file))]
    return [
        _Scene(taken[0].file.stem, [shot.file for shot in sorted(taken, key=lambda shot: shot.exposure)], "camera")
        for taken in sequences(shots)
        if len(taken) >= FEWEST
    ]


def _by_folder(pictures: Sequence[Path]) -> tuple[list[_Scene], dict[Path, str]]:
    """One scene of all pictures of a folder, or the reason why they are none, if their sizes tell it."""
    if not FEWEST <= len(pictures) <= MOST:
        return [], {}
    names = [name for file in pictures if (name := exposure_name(file.stem))]
    if any(name.kind in {"letter", "word"} for name in names):
        return [], {}  # half of a pair, whose other half is missing
    if 1 < len({name.scene.casefold() for name in names}) <= len(pictures) / FEWEST:
        return [], {}  # several scenes
    if len({read_size(file) for file in pictures} - {None}) > 1:
        return [], dict.fromkeys(pictures, "the pictures in its folder differ in size.")
    return [_Scene("", pictures, "folder")], {}
