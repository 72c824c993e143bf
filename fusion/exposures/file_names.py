"""What the name of a picture says about its exposure: `sky_A.jpg`, `sky_under.jpg`, `sky_-2EV.jpg`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_LETTER = re.compile(r"(.+)[ _-]([AB])", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"(?:(.*)[ _-])?(under|dark|middle|normal|over|bright)(?:[ _-]?exposed)?", re.IGNORECASE | re.DOTALL)
_NUMBER = r"\d{1,2}(?:[.,]\d{1,2})?"
_STOPS = re.compile(
    rf"(.*?)[ _-]??([+-]{_NUMBER}|(?:(?<=[ _-])|^)(?:0(?:[.,]0{{1,2}})?|{_NUMBER}(?= ?EV))) ?(EV)?",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_ORDER = {"a": 0.0, "b": 1.0, "under": 0.0, "dark": 0.0, "middle": 1.0, "normal": 1.0, "over": 2.0, "bright": 2.0}


class ExposureName(NamedTuple):
    """A name that says which exposure of which scene a picture is."""

    scene: str
    kind: str
    """How the exposure is named: letter, word, EV (stops with their unit) or stops (without)."""
    exposure: float
    """Where the exposure stands among those of its scene, from dark to bright; stops for the kinds EV and stops."""


def exposure_name(stem: str) -> ExposureName | None:
    """Parse a file's name without its suffix. None if it names no exposure.

    >>> exposure_name("sky_-2EV")
    ExposureName(scene='sky', kind='EV', exposure=-2.0)
    >>> exposure_name("IMG_2041") is None
    True
    """
    for kind, pattern in (("letter", _LETTER), ("word", _WORD)):
        if match := pattern.fullmatch(stem):
            return ExposureName(match[1] or "", kind, _ORDER[match[2].lower()])
    if match := _STOPS.fullmatch(stem):
        return ExposureName(match[1], "EV" if match[3] else "stops", float(match[2].replace(",", ".")))
    return None


def makes_bracket(kind: str, exposures: Sequence[float]) -> bool:
    """Whether exposures of one scene, all named in the same kind, make a bracket.

    >>> makes_bracket("letter", [0.0, 1.0]), makes_bracket("letter", [0.0])
    (True, False)
    """
    if kind in {"letter", "word"}:
        return {0.0, float(kind == "word") + 1} <= set(exposures)
    # Without the unit, -1, -2 and -3 may just as well be picture numbers, but a plus sign is no accident.
    return len(exposures) >= 2 and (kind == "EV" or max(exposures) > 0)
