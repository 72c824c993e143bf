"""What the name of a picture says: its exposure (`sky_-2EV.jpg`, `sky under.jpg`), its number, what it is a copy of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

_File = TypeVar("_File")

_SIGNS = str.maketrans("‐‑‒–—―−±", "-------+")
_NUMBER = r"\d{1,2}(?:[.,]\d{1,3})?"
_ZERO = r"0(?:[.,]0{1,3})?"
_START = r"(?:(?<=[ _(\[-])|^)"  # a separator stands before it, or nothing
_WORDS = {
    **dict.fromkeys(("under", "dark", "low"), -1.0),
    **dict.fromkeys(("mid", "middle", "normal", "medium"), 0.0),
    **dict.fromkeys(("over", "bright", "high"), 1.0),
}
_TOKENS = {
    "EV": rf"(?:{_START}EV[ _]?(?P<a>[+-]?{_NUMBER})|(?P<b>[+-]{_NUMBER}|{_START}{_NUMBER})[ _]?(?:EV|stops?))",
    "stops": rf"(?P<a>[+-]{_NUMBER}|{_START}{_ZERO})",
    "m or p": rf"{_START}(?P<a>(?:m|p|minus|plus)[ _]?{_NUMBER})",
    "word": rf"{_START}(?P<a>{'|'.join(_WORDS)})(?:[ _-]?exposed)?(?:[ _-]?(?P<number>\d{{1,2}}))?",
    "letter": r"(?<=[ _-])(?P<a>[A-I])",
}
"""How people write an exposure, tried in this order."""


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL | re.ASCII)


_LAST = {
    kind: _compiled(rf"(?P<scene>.*?)(?:[ _-]*[(\[] ?{token} ?[)\]]|[ _-]*?{token.replace('?P<', '?P<bare_')})")
    for kind, token in _TOKENS.items()
}
_FIRST = {kind: _compiled(rf"{_TOKENS[kind]}[ _-]+(?P<scene>.+)") for kind in ("EV", "stops")}
_NO_EXPOSURE = _compiled(
    r".*\d{4}-?\d\d-?\d\d[T _-]?\d\d[-:.h]?\d\d(?:[-:.m]?\d\d)?(?:\.\d+)?[ _]?"  # a time, before its zone
    r"|.*(?:GMT|UTC|grade|class|level|zone|floor|temp(?:erature)?|version|part|take)[ _-]*"
)
"""What stands before a signed number that is no exposure."""
_RESULT = _compiled(r"(?P<base>.+?)[ _-]+(?:HDR(?:[ _-]?\d+)?|fused|merged|blended|edit(?:ed)?|enhanced(?:-nr)?|final)")
_COPY = _compiled(r"(?P<base>.+?)(?:[ _-]*\(\d{1,2}\)|[ _-]+copy(?:[ _-]?\d+)?|[ _-]+Kopie|~\d{1,2})")
_COUNTED = re.compile(r"(\d{1,18})\D*$", re.ASCII)


KINDS = tuple(_TOKENS)


class ExposureName(NamedTuple):
    """A name that says which exposure of which scene a picture is."""

    scene: str
    kind: str
    """How the exposure is named: EV (stops with their unit), stops (without), m or p, word or letter."""
    exposure: float
    """Where the exposure stands among those of its scene, from dark to bright; in stops where the name says stops."""
    number: int | None = None
    """The number behind a word, as in `under1`."""

    @property
    def family(self) -> str:
        """Names of one family are compared: all those of stops are one, since `0` often stands beside `+2EV`."""
        return self.kind if self.kind in {"word", "letter"} else "stops"


def plain(stem: str) -> str:
    """A name in one spelling: letters composed, characters of full width made plain, and every dash a minus sign.

    >>> plain("sky_−2"), plain("sky（＋１）")
    ('sky_-2', 'sky(+1)')
    """
    return unicodedata.normalize("NFKC", stem).translate(_SIGNS)


def exposure_name(stem: str) -> ExposureName | None:
    """Parse a file's name without its suffix. None if it names no exposure.

    >>> exposure_name("sky_-2EV")
    ExposureName(scene='sky', kind='EV', exposure=-2.0, number=None)
    >>> exposure_name("under1")
    ExposureName(scene='', kind='word', exposure=-1.0, number=1)
    >>> exposure_name("IMG_2041") is None
    True
    """
    name = plain(stem)
    if (result := re.fullmatch(r"(.+?)[ _-]+HDR", name, re.IGNORECASE | re.DOTALL)) and (inner := _parse(result[1])):
        return inner  # `sky_-2EV_HDR`: a program added its mark to the names of all exposures
    return _parse(name)


def _parse(name: str) -> ExposureName | None:
    for patterns in (_LAST, _FIRST):
        for kind, pattern in patterns.items():
            if match := pattern.fullmatch(name):
                groups = {
                    key.removeprefix("bare_"): text for key, text in match.groupdict().items() if text is not None
                }
                if kind in {"EV", "word"} or not _NO_EXPOSURE.fullmatch(groups.get("scene", "")):
                    number = int(groups["number"]) if "number" in groups else None
                    return ExposureName(groups.get("scene", ""), kind, _value(groups), number)
    return None


def _value(groups: Mapping[str, str]) -> float:
    text = (groups.get("a") or groups["b"]).lower().replace(",", ".")
    if text in _WORDS:
        return _WORDS[text]
    if text.isalpha():
        return float(ord(text) - ord("a"))
    sign = -1 if text.startswith(("-", "m")) else 1
    return sign * float(text.lstrip("+-minuspl_ "))


def makes_bracket(kind: str, exposures: Collection[float]) -> bool:
    """Whether exposures of one scene, all named in the same kind, make a bracket.

    >>> makes_bracket("letter", [0.0, 1.0]), makes_bracket("letter", [0.0])
    (True, False)
    """
    if kind == "letter":
        return len(exposures) >= 2 and set(exposures) == {float(at) for at in range(len(set(exposures)))}
    if kind == "EV":
        return len(exposures) >= 2
    if kind == "stops":  # -1, -2 and -3 may just as well be picture numbers, but a plus sign is no accident
        return len(exposures) >= 2 and max(exposures) > 0
    return bool(exposures) and min(exposures) < 0 < max(exposures)  # p1 and p2 are pages, under and middle a part


def scenes_by_number(group: Sequence[tuple[ExposureName, _File]]) -> list[list[tuple[ExposureName, _File]]]:
    """Split files of one scene, with their names, by the numbers behind the words.

    `under1`, `over1`, `under2` and `over2` are two scenes. With one `mid` among them they are exposures of one.

    >>> names = [(exposure_name(stem), stem) for stem in ("under1", "under2", "over1", "over2")]
    >>> [[stem for _, stem in part] for part in scenes_by_number(names)]
    [['under1', 'over1'], ['under2', 'over2']]
    >>> [part] = scenes_by_number([*names, (exposure_name("mid"), "mid")])
    >>> [name.exposure for name, _ in part]
    [-1.0, -2.0, 1.0, 2.0, 0.0]
    """
    numbers = sorted({name.number for name, _ in group if name.number is not None})
    if len(numbers) < 2:
        return [list(group)]
    if sum(name.exposure == 0 for name, _ in group) == 1:
        return [[(name._replace(exposure=name.exposure * (name.number or 1)), file) for name, file in group]]
    return [[(name, file) for name, file in group if name.number == number] for number in numbers]


def middle_of(kind: str, exposures: Collection[float]) -> float | None:
    """The exposure of a picture whose name is the scene's alone, beside others that name theirs; None if it has none.

    >>> middle_of("EV", [-2.0, 2.0]), middle_of("EV", [-2.0, 0.0]), middle_of("letter", [0.0, 1.0])
    (0.0, None, None)
    """
    both = min(exposures) < 0 < max(exposures)
    return 0.0 if kind != "letter" and 0.0 not in exposures and (both or kind != "word") else None


def original(stem: str) -> tuple[str, bool] | None:
    """The name of what a picture seems to be a copy or a result of, and whether it is a result; else None.

    >>> original("DSCF2208 (1)"), original("DSCF2208_HDR"), original("DSCF2208")
    (('DSCF2208', False), ('DSCF2208', True), None)
    """
    name, result, found = plain(stem), False, False
    while match := _RESULT.fullmatch(name) or _COPY.fullmatch(name):
        result |= match.re is _RESULT
        name, found = match["base"], True
    return (name, result) if found else None


def counted(stem: str) -> tuple[str, int]:
    """A name's beginning and its last number, by which cameras count; -1 if it has none.

    >>> counted("IMG_2041"), counted("sky")
    (('IMG_', 2041), ('sky', -1))
    """
    match = _COUNTED.search(stem)
    return (stem[: match.start()], int(match[1])) if match else (stem, -1)
