"""Files that hold the same shot: a JPEG beside a RAW file, an export, a copy, an edit, or a result made of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from fusion.exposures.camera_data import Pictures, Shot
from fusion.exposures.file_names import exposure_name, original, plain
from fusion.io import suffixes

_LEAST_STEP = 0.15
"""Exposures that differ by less, in stops, are the same: programs round exposure times."""
_LIKE = 4.0
"""The mean difference, in levels of 255, below which two small copies show equal pictures."""


def twins(files: Sequence[Path], pictures: Pictures) -> dict[Path, Path]:
    """Files of one folder that need not be used, each with the file that is used instead of it.

    Of a shot in several formats, the format is used in which most shots of the folder are there; a picture is preferred
    to a RAW file, and a file with a plain name to its copies and edits.
    """
    found = _marked(files, pictures)
    rest = [file for file in files if file not in found]
    found |= _chosen(_same_names(rest, pictures), rest)
    rest = [file for file in rest if file not in found]
    return found | _chosen(_same_shots(rest, pictures), rest)


def _marked(files: Iterable[Path], pictures: Pictures) -> dict[Path, Path]:
    """Copies, edits and results by their names, where the original lies beside them and nothing speaks against it."""
    beside: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        beside[plain(file.stem).casefold()].append(file)
    found: dict[Path, Path] = {}
    for file in files:
        if (of := original(file.stem)) and not exposure_name(file.stem):
            name, result = of
            for candidate in beside.get(name.casefold(), ()):
                if _may_be_twins(file, candidate, pictures, alike=not result):
                    found[file] = candidate
                    break
    return found


def _may_be_twins(file: Path, other: Path, pictures: Pictures, *, alike: bool) -> bool:
    """Whether camera data agree, or, where there are none, the pictures do if they must be `alike`."""
    one, two = pictures.shot(file), pictures.shot(other)
    if one and two and one.time and two.time:
        return one.time.replace(microsecond=0) == two.time.replace(microsecond=0) and not _differ(one, two)
    if not alike:
        return True
    copies = pictures.small(file), pictures.small(other)
    if copies[0] is None or copies[1] is None or copies[0].shape != copies[1].shape:
        return False
    return float(abs(copies[0].astype(float) - copies[1].astype(float)).mean()) < _LIKE


def _same_names(files: Iterable[Path], pictures: Pictures) -> Iterable[list[Path]]:
    """Files of one name in several formats, unless their camera data say that they are different shots."""
    named: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        named[plain(file.stem).casefold()].append(file)
    for group in named.values():
        shots = [shot for file in group if (shot := pictures.shot(file)) and shot.time]
        times = {shot.time.replace(microsecond=0) for shot in shots if shot.time}
        if len(group) > 1 and len(times) <= 1 and not any(_differ(one, shots[0]) for one in shots):
            yield group


def _same_shots(files: Iterable[Path], pictures: Pictures) -> Iterable[list[Path]]:
    """Files whose camera data are equal: the times to the second, and the exposures.

    Shots of a burst may be equal in these, too. So files of one format count as one shot only if their times are known
    to fractions of a second; else the first of one format belongs to the first of another, and so on.
    """
    at: dict[object, list[Shot]] = defaultdict(list)
    for file in files:
        shot = pictures.shot(file)
        if shot and shot.time and shot.exposure is not None:
            at[shot.time.replace(microsecond=0)].append(shot)
    for shots in at.values():
        while shots:
            first = shots[0]
            equal = [shot for shot in shots if not _differ(shot, first)]
            shots[:] = [shot for shot in shots if shot not in equal]
            yield from _by_format(equal)


def _by_format(equal: Sequence[Shot]) -> Iterable[list[Path]]:
    if all(shot.precise for shot in equal):
        yield [shot.file for shot in equal]
        return
    formats: dict[str, list[Path]] = defaultdict(list)
    for shot in equal:
        formats[_format(shot.file)].append(shot.file)
    for at in range(max(map(len, formats.values()))):
        yield [files[at] for files in formats.values() if at < len(files)]


def _differ(one: Shot, other: Shot) -> bool:
    """Whether camera data say that two files are different shots."""
    cameras = one.camera and other.camera and one.camera[:2] != other.camera[:2]
    times = one.precise and other.precise and one.time != other.time
    known = one.exposure is not None and other.exposure is not None and one.recorded == other.recorded
    exposures = known and abs((one.exposure or 0) - (other.exposure or 0)) >= _LEAST_STEP
    biases = one.bias is not None and other.bias is not None and abs(one.bias - other.bias) >= _LEAST_STEP
    return bool(cameras or times or exposures or biases)


def _chosen(groups: Iterable[Sequence[Path]], files: Iterable[Path]) -> dict[Path, Path]:
    groups = list(groups)
    common = Counter(_format(file) for group in groups for file in {_format(one): one for one in group}.values())
    common.update(_format(file) for file in files)
    order = [*suffixes.PICTURES, *suffixes.RAW]

    def rank(file: Path) -> tuple[object, ...]:
        raw = file.suffix.lower() in suffixes.RAW
        return raw, -common[_format(file)], order.index(file.suffix.lower()), len(file.name), file.name

    found: dict[Path, Path] = {}
    for group in groups:
        used, *others = sorted(group, key=rank)
        found |= dict.fromkeys(others, used)
    return found


def _format(file: Path) -> str:
    ending = file.suffix.lower()
    for kind in (suffixes.JPEG, suffixes.HEIF, (".tif", ".tiff")):
        if ending in kind:
            return kind[0]
    return ending
