"""Names of new files, which say what a picture was made of."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import count, takewhile
from os import PathLike
from pathlib import Path

_LONGEST = 60
"""Characters of what is taken from the names of photographs."""
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"/\\|?*]+')
"""Characters that some systems do not allow in a name."""
_SEPARATORS = " _-.,([{"


def result_name(photographs: Sequence[str | PathLike[str]], method: str, ending: str) -> str:
    """The name of the picture that a method makes of photographs, which are given by their names or paths.

    It has what the names share, and the first and the last number of a run. Names that share nothing are both there.

    >>> result_name(["IMG_1234.JPG", "IMG_1235.JPG", "IMG_1236.JPG"], "pyramef", ".jpg")
    'IMG_1234-1236_pyramef.jpg'
    >>> result_name(["room_under.png", "room_over.png"], "mertens", ".tif")
    'room_mertens.tif'
    >>> result_name(["under.png", "over.png"], "mertens", ".png")
    'under-over_mertens.png'
    """
    return f"{_shared([Path(photograph).stem for photograph in photographs])}_{method}{ending}"


def _shared(stems: Sequence[str]) -> str:
    """What the names of photographs have in common."""
    alike = takewhile(lambda letters: len({*letters}) == 1, zip(*stems, strict=False))
    prefix = "".join(letters[0] for letters in alike)
    if any(re.match(r"\d", stem[len(prefix) :]) for stem in stems):
        prefix = re.sub(r"\d+$", "", prefix)
    numbered = [re.fullmatch(r"(\d+)(.*)", stem[len(prefix) :]) for stem in stems]
    numbers = [match[1] for match in numbered if match]
    if len(numbers) == len(stems) and len({match[2] for match in numbered if match}) == 1:
        first, last = min(numbers, key=int), max(numbers, key=int)
        rest = next(match[2] for match in numbered if match)
        text = f"{prefix}{first}-{last}{rest}" if first != last else f"{prefix}{first}{rest}"
    else:
        text = prefix.rstrip(_SEPARATORS)
        if len(text) < 2:
            text = "-".join(stem[: _LONGEST // 2] for stem in (stems[0], stems[-1]))
    return _FORBIDDEN.sub("_", text)[:_LONGEST].strip(_SEPARATORS) or "fused"


def free_path(folder: Path, name: str) -> Path:
    """The path of a file in a folder that is not there yet: `name`, or `name` with a number before its ending.

    >>> free_path(Path("examples/desk"), "under.png").name
    'under-2.png'
    """
    path = folder / name
    numbers = count(2)
    while os.path.lexists(path):
        path = folder / f"{Path(name).stem}-{next(numbers)}{Path(name).suffix}"
    return path
