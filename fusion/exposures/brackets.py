"""Which pictures of a folder are exposures of one scene: whole brackets, or none.

Every folder below the given one is searched on its own, except that the numbered folders of one card (`100CANON`,
`101CANON`) are searched as one, since cameras begin a new one in the middle of a bracket. In this order:

1. Files that hold the same shot twice are set aside (`fusion.exposures.twins`).
2. Names that say an exposure: `x_A`, `x_B`; `x_under`, `x`, `x_over`; `x_-2`, `x_0`, `x_+2`; `x (EV+1)`
   (`fusion.exposures.file_names`).
3. Camera data (`fusion.exposures.sequences`).
4. The folder: 2 to 9 pictures, and no other in it.

What speaks against a bracket vetoes each of 2, 3 and 4: pictures that differ in size or show different views, shots
that are far apart in time. A picture that is in no bracket is listed with the reason.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import combinations, pairwise
from pathlib import Path

from fusion.errors import DatasetError
from fusion.exposures.camera_data import Pictures
from fusion.exposures.file_names import (
    KINDS,
    ExposureName,
    exposure_name,
    makes_bracket,
    middle_of,
    plain,
    scenes_by_number,
)
from fusion.exposures.sequences import DIFFERENT_VIEWS, FEWEST, MOST, find_sequences
from fusion.exposures.twins import twins
from fusion.io import suffixes
from fusion.io.results_folder import RECORDS


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
    holds one bracket and no other shot, the scene is named after the folder. Raises `DatasetError` if `folder` is
    not a folder, or is a folder of results.

    >>> brackets, _ = find_brackets(Path("examples/desk"))
    >>> brackets[0].name, brackets[0].found_by, [file.name for file in brackets[0].files]
    ('desk', 'name', ['under.png', 'over.png'])
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder. Give a folder of pictures, or of folders of them.")
    if _holds_results(folder):
        raise DatasetError(f"{folder} holds results. Give the folder of the pictures they were made from.")
    closed: list[OSError] = []
    found: list[Bracket] = []
    skipped: list[Skipped] = []
    with Pictures() as pictures:
        for roll in _rolls(folder, closed):
            search = _Search(roll.files, pictures, leaf=roll.leaf)
            found += [_named(scene, search, folder) for scene in search.scenes]
            reasons = roll.unread | search.reasons
            skipped += [Skipped(file.relative_to(folder), reason) for file, reason in reasons.items()]
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


# The folders.

_CARD_FOLDER = re.compile(r"[1-9]\d{2}[0-9A-Z_]{5}", re.ASCII)
"""The names of a card's folders, by the Design rule for Camera File system (DCF)."""
_UNREAD = "pictures of this kind cannot be read here; save it as PNG, TIFF or JPEG."


@dataclass
class _Roll:
    """The pictures of one folder, or of the numbered folders of one card, in the order of their names."""

    leaf: bool
    """Whether this is one folder without folders in it."""
    files: list[Path] = field(default_factory=list[Path])
    unread: dict[Path, str] = field(default_factory=dict[Path, str])


def _rolls(folder: Path, closed: list[OSError]) -> Iterable[_Roll]:
    rolls: dict[Path, _Roll] = {}
    for path, folders, names in os.walk(folder, onerror=closed.append):
        here = Path(path)
        visible = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in visible if not _holds_results(here / name)]
        card = here != folder and _CARD_FOLDER.fullmatch(here.name) and not folders
        key = here.parent / "a card's numbered folders" if card else here
        roll = rolls.setdefault(key, _Roll(leaf=not folders))
        if roll.files and names:
            roll.leaf = False
        for file in (here / name for name in sorted(names)):
            if file.suffix.lower() in suffixes.UNREAD and _is_visible(file):
                roll.unread[file] = _UNREAD
            elif file.suffix.lower() in suffixes.KNOWN and _is_visible(file):
                roll.files.append(file)
    return rolls.values()


def _holds_results(folder: Path) -> bool:
    return os.path.isdir(folder / RECORDS)  # noqa: PTH112  # Path.is_dir raises for a folder without permission


def _is_visible(file: Path) -> bool:
    hidden, reference = file.name.startswith("."), file.stem.upper().endswith("_GT")
    return not hidden and not reference and os.path.isfile(file)  # noqa: PTH113  # Path.is_file raises, as above


# The names of the scenes.


def _named(scene: _Scene, search: _Search, folder: Path) -> Bracket:
    first = scene.files[0].relative_to(folder)
    here = first.parent
    only = scene.name == "" or (len(scene.files) == len(search.shots) and here.name)
    named = here if only else here / scene.name
    name = named.as_posix() if named.name else folder.resolve().name or "pictures"
    return Bracket(name, tuple(file.relative_to(folder) for file in scene.files), scene.found_by)


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


# The search.

_LONGEST_PAUSE = timedelta(minutes=1)
"""The longest pause between two shots of one scene that only a folder, or names of pictures too dark to see, tell."""
_LEAST_DIFFERENCE = 2.0
"""How much two exposures differ at least, in levels of 255, on average."""

_UNKNOWN = "neither its name, nor its camera data, nor its folder tells which scene it belongs to."
_TWIN = "it holds the same shot as {}, which is used instead."
_SAME_NAME = "the names of two pictures of its scene stand for the same exposure; rename one of them."
_SIZES = "the pictures of its scene differ in size."
_FOLDER_SIZES = "the pictures in its folder differ in size."
_FAR_APART = "the shots of its scene are far apart in time."
_FOLDER_VIEWS = "the pictures in its folder show different views, or too little to tell."
_FOLDER_ALIKE = "the pictures in its folder are equally bright, so they are no bracket."
_FOLDER_UNREAD = "a picture in its folder cannot be read, so the folder does not tell which are of one scene."
_CAMERA_UNREAD = (
    "its camera data cannot be read, so they do not tell its scene; pip install rawpy reads most RAW files."
)


@dataclass(frozen=True)
class _Scene:
    name: str
    """Empty if the folder names the scene."""
    files: Sequence[Path]
    found_by: str


class _Search:
    """Splits the pictures of one roll into scenes and pictures that are in none, with the reason for each of these."""

    def __init__(self, files: Sequence[Path], pictures: Pictures, *, leaf: bool) -> None:
        self.scenes: list[_Scene] = []
        self.reasons: dict[Path, str] = {}
        self._pictures = pictures
        same = twins(files, pictures)
        self.reasons |= {file: _TWIN.format(shown(used.name)) for file, used in same.items()}
        self.shots = [file for file in files if file not in same]
        self._by_name()
        self._by_camera()
        if leaf and not self.scenes and len(self._left()) == len(self.shots):
            self._by_folder()
        self._refuse((file for file in self._left() if _is_unread_raw(file, pictures)), _CAMERA_UNREAD)
        self._refuse(self._left(), _UNKNOWN)

    def _left(self) -> list[Path]:
        """The shots that are in no scene so far, and not refused."""
        taken = {file for scene in self.scenes for file in scene.files}
        return [file for file in self.shots if file not in taken and file not in self.reasons]

    def _refuse(self, files: Iterable[Path], reason: str) -> None:
        self.reasons |= dict.fromkeys(files, reason)

    def _by_name(self) -> None:
        """Find scenes whose pictures are named after exposures."""
        for name, kind, group in _same_scene_names(self.shots):
            exposures, files = [exposure for exposure, _ in group], [file for _, file in group]
            if not makes_bracket(kind, exposures):
                continue
            if len(set(exposures)) < len(exposures):
                self._refuse(files, _SAME_NAME)
            elif veto := self._veto(files):
                self._refuse(files, veto)
            else:
                self.scenes.append(_Scene(name, files, "name"))

    def _veto(self, files: Sequence[Path]) -> str | None:
        """What speaks against a scene of these pictures, the darkest first."""
        shots = [self._pictures.shot(file) for file in files]
        if len({shot.size for shot in shots if shot}) > 1:
            return _SIZES
        views = [self._pictures.same_view(one, other) for one, other in pairwise(files)]
        if False in views:
            return DIFFERENT_VIEWS
        times = sorted(shot.time for shot in shots if shot and shot.time)
        if not all(views) and any(late - soon > _LONGEST_PAUSE for soon, late in pairwise(times)):
            return _FAR_APART
        return None

    def _by_camera(self) -> None:
        """Find scenes that one camera took in one sequence."""
        left = [shot for file in self._left() if (shot := self._pictures.shot(file))]
        found = find_sequences(left, self._pictures)
        self.reasons |= found.reasons
        self.scenes += [
            _Scene(min(shot.file for shot in taken).stem, [shot.file for shot in taken], "camera")
            for taken in found.brackets
        ]

    def _by_folder(self) -> None:
        """Take all pictures of a folder for one scene, if all of them can be read and nothing speaks against it."""
        if not FEWEST <= len(self.shots) <= MOST or _names_several(self.shots):
            return None
        shots = [self._pictures.shot(file) for file in self.shots]
        copies = {file: copy for file in self.shots if (copy := self._pictures.small(file)) is not None}
        if None in shots or len(copies) < len(self.shots):
            return self._refuse(self.shots, _FOLDER_UNREAD)
        if len({shot.size for shot in shots if shot}) > 1:
            return self._refuse(self.shots, _FOLDER_SIZES)
        times = sorted(shot.time for shot in shots if shot and shot.time)
        if any(late - soon > _LONGEST_PAUSE for soon, late in pairwise(times)):
            return self._refuse(self.shots, _FAR_APART)
        if not self._one_view(self.shots):
            return self._refuse(self.shots, _FOLDER_VIEWS)
        levels = {file: float(copy.mean()) for file, copy in copies.items()}
        if max(levels.values()) - min(levels.values()) < _LEAST_DIFFERENCE:
            return self._refuse(self.shots, _FOLDER_ALIKE)
        self.scenes.append(_Scene("", sorted(self.shots, key=levels.__getitem__), "folder"))
        return None

    def _one_view(self, files: Sequence[Path]) -> bool:
        """Whether pictures show one view: each that shows anything shows the same as another, and none another view."""
        seen = {file for file in files if self._pictures.shows_anything(file)}
        groups = [{file} for file in seen]
        for one, other in combinations(sorted(seen), 2):
            same = self._pictures.same_view(one, other)
            if same is False:
                return False
            if same:
                joined = [group for group in groups if one in group or other in group]
                groups = [*(group for group in groups if group not in joined), set.union(*joined)]
        return len(groups) == 1


def _same_scene_names(files: Iterable[Path]) -> Iterator[tuple[str, str, list[tuple[float, Path]]]]:
    """Pictures of one folder and one scene by their names: its name, how the names say exposures, and the exposures."""
    groups: dict[tuple[Path, str, str], list[tuple[ExposureName, Path]]] = defaultdict(list)
    unnamed: dict[tuple[Path, str], Path] = {}
    for file in files:
        if named := exposure_name(file.stem):
            groups[file.parent, named.scene.casefold(), named.family].append((named, file))
        else:
            unnamed[file.parent, plain(file.stem).casefold()] = file
    for (folder, scene, _), group in groups.items():
        for part in scenes_by_number(group):
            kind = min((named.kind for named, _ in part), key=KINDS.index)
            exposures = [(named.exposure, file) for named, file in part]
            middle = middle_of(kind, [exposure for exposure, _ in exposures])
            if middle is not None and (file := unnamed.get((folder, scene))):
                exposures.append((middle, file))
            yield part[0][0].scene, kind, sorted(exposures)


def _names_several(files: Iterable[Path]) -> bool:
    """Whether names tell that pictures are of several scenes, or that a part of a scene is missing."""
    names = [name for file in files if (name := exposure_name(file.stem))]
    halves = any(name.kind in {"letter", "word"} for name in names)
    return halves or 1 < len({name.scene.casefold() for name in names}) <= len(list(files)) / FEWEST


def _is_unread_raw(file: Path, pictures: Pictures) -> bool:
    return file.suffix.lower() in suffixes.RAW and pictures.shot(file) is None
