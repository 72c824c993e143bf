"""Which shots of a camera are brackets, by its data and by what the pictures show: whole brackets, or none.

1. Shots are put in the order of time, or of their numbers where the camera has no clock, and are split into runs: one
   camera, size and focal length, one shot soon after the other, and no two in succession of different views. No bracket
   goes beyond a run.
2. A run is cut into brackets and single shots in the way that costs the least (`_cost`). A bracket costs little if its
   values rise in even steps and in an order in which cameras shoot, and less if the card holds others like it. The
   values are those of ExposureBias where the camera changed it from shot to shot, else exposures.
3. What speaks against a bracket vetoes it, whatever speaks for it (`_possible`, `_veto`): snapshots in automatic mode,
   values that come again or start anew, exposures that do not follow the bias, different views. Then the run is cut
   anew without it.
4. A bracket that is not whole is none (`_part_of_more`): a part of what the camera did elsewhere on the card, a number
   that is missing in it, another picture of the view beside it, a picture that is stored turned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from fusion.exposures.camera_data import AUTO, AUTO_BRACKET, MANUAL, Pictures, Shot
from fusion.exposures.file_names import counted

FEWEST, MOST = 2, 9
"""How many exposures of one scene there may be."""
_PAUSE = timedelta(seconds=2)
"""The longest pause between two shots of a bracket, besides exposure and noise reduction, which may take as long as the
exposure. Many cameras record whole seconds."""
_PATIENT_PAUSE = {AUTO_BRACKET: timedelta(seconds=5), MANUAL: timedelta(seconds=8)}
"""The longest pause where the mode says that a bracket is being shot, or that somebody turns a dial."""
_LONGEST_PAUSE = timedelta(seconds=30)
"""The longest pause between two shots of the same view."""
_LEAST_STEP = 0.5
"""The least step between two exposures, in stops: a camera that meters anew varies by a third."""
_LEAST_NAMED_STEP = 0.25
"""The least step where the camera says that it brackets: third stops."""
_ROUNDING = 0.2
"""How far a recorded exposure may be from the true one, in stops: cameras round to numbers on their dials."""
_MOST_DIGITS = 7
"""The most digits of a number by which cameras count; longer ones are dates and times."""

DIFFERENT_VIEWS = "its camera data fit a bracket, but its pictures show different views."
SNAPSHOT = "it was taken in automatic mode, in which exposures differ because light does."
NO_ORDER = "its exposures are in no order in which cameras take brackets, and its pictures show too little to tell."
BROKEN_OFF = "only a part of its bracket is there: the camera took longer ones on this card."
GAP = "a picture is missing in its bracket: a number is left out, or that picture cannot be read."
BESIDE = "its bracket may be longer: {} beside it shows the same view, and its camera data do not tell its place."
TURNED = "one picture of its bracket is stored turned, so that the bracket cannot be fused; turn it back."

_Part: TypeAlias = "Sequence[Shot]"


@dataclass
class Sequences:
    """The brackets among shots, in the order of exposure, and why others that look like it are none."""

    brackets: list[list[Shot]] = field(default_factory=list[list[Shot]])
    reasons: dict[Path, str] = field(default_factory=dict[Path, str])


def find_sequences(shots: Sequence[Shot], pictures: Pictures) -> Sequences:
    """Find the whole brackets among the shots of one card."""
    card = _Card(pictures)
    runs = list(_runs((shot for shot in shots if _tells(shot)), pictures))
    card.learn([card.cut(run, strict=True) for run in runs])
    parts = [part for run in runs for part in card.cut(run)]
    found = Sequences(reasons=card.reasons)
    brackets = [part for part in parts if len(part) >= FEWEST]
    patterns = Counter(map(_pattern, brackets))
    bracketed = {shot.file for part in brackets for shot in part}
    single = [shot for shot in shots if shot.file not in bracketed]
    for part in brackets:
        if reason := _part_of_more(part, patterns, single, pictures):
            found.reasons |= dict.fromkeys((shot.file for shot in part), reason)
        else:
            found.brackets.append([shot for _, shot in sorted(zip(_values(part), part, strict=True), key=_by_value)])
    for shot in single:
        if shot.mode == AUTO:
            found.reasons.setdefault(shot.file, SNAPSHOT)
    return found


def _by_value(one: tuple[float, Shot]) -> tuple[float, Path]:
    return one[0], one[1].file


# 1. Runs.


def _runs(shots: Iterable[Shot], pictures: Pictures) -> Iterator[list[Shot]]:
    run: list[Shot] = []
    for shot in sorted(shots, key=_order):
        if run and not _goes_on(run[-1], shot, pictures):
            yield run
            run = []
        run.append(shot)
    if run:
        yield run


def _order(shot: Shot) -> tuple[object, ...]:
    prefix, number = counted(shot.file.stem)
    when = shot.time.timestamp() if shot.time else 0.0
    return (*_camera(shot), when, shot.file.parent, prefix, number, shot.file.name)


def _camera(shot: Shot) -> tuple[object, ...]:
    return shot.camera, shot.size, shot.recorded, shot.time is None


def _goes_on(one: Shot, other: Shot, pictures: Pictures) -> bool:
    """Whether the second shot can be of the same bracket as the first, by camera, mode, time and view."""
    same = _camera(one) == _camera(other) and (one.mode == AUTO_BRACKET) == (other.mode == AUTO_BRACKET)
    zoomed = one.focal_length and other.focal_length and abs(one.focal_length / other.focal_length - 1) > 0.02
    if not same or zoomed:
        return False
    if one.time is None or other.time is None:
        (prefix, number), (next_prefix, next_number) = counted(one.file.stem), counted(other.file.stem)
        if prefix != next_prefix or next_number - number != 1:
            return False
    elif _pause(one, other) > (_PATIENT_PAUSE.get(one.mode, _PAUSE) if one.mode is not None else _PAUSE):
        if _pause(one, other) > _LONGEST_PAUSE:
            return False
        return pictures.same_view(one.file, other.file) is True
    return pictures.same_view(one.file, other.file) is not False


def _pause(one: Shot, other: Shot) -> timedelta:
    """The time between two shots, without exposure and noise reduction: cameras date either end of an exposure."""
    assert one.time is not None  # noqa: S101
    assert other.time is not None  # noqa: S101
    return other.time - one.time - timedelta(seconds=2 * max(one.seconds, other.seconds))


# 2. The cut that costs the least.


class _Card:
    """What has been learned from the shots of a card: how its cameras take brackets, and which are none."""

    def __init__(self, pictures: Pictures) -> None:
        self.reasons: dict[Path, str] = {}
        self._pictures = pictures
        self._habits: Counter[object] = Counter()
        self._vetoed: set[tuple[Path, ...]] = set()

    def learn(self, cuts: Iterable[Iterable[_Part]]) -> None:
        """Remember which brackets there are. A pair is no habit: it is a part of every longer one."""
        self._habits.update(_pattern(part) for cut in cuts for part in cut if len(part) > FEWEST)

    def cut(self, run: _Part, *, strict: bool = False) -> list[_Part]:
        """Cut a run into brackets and single shots. `strict` allows only brackets whose values tell them."""
        while True:
            parts = self._cheapest(run, strict=strict)
            vetoed = [part for part in parts if len(part) >= FEWEST and self._veto(part)]
            if not vetoed:
                return parts

    def _cheapest(self, run: _Part, *, strict: bool) -> list[_Part]:
        best: list[tuple[float, list[_Part]]] = [(0.0, [])]
        for end in range(1, len(run) + 1):
            choices = (
                (best[start][0] + self._cost(run[start:end], strict=strict), [*best[start][1], run[start:end]])
                for start in range(max(0, end - MOST), end)
            )
            best.append(min(choices, key=lambda choice: choice[0]))
        return best[-1][1]

    def _cost(self, part: _Part, *, strict: bool) -> float:
        """How little speaks for a part. A bracket costs as much as a single shot at best, whatever its length."""
        if len(part) == 1:
            return 1.0
        regular = _regular(part)
        if not _possible(part, regular) or tuple(shot.file for shot in part) in self._vetoed:
            return float("inf")
        if strict and not regular:
            return float("inf")
        cost = 1.0 if regular and len(part) > FEWEST else 1.6 if regular else 1.7
        if self._habits[_pattern(part)] > 1:
            cost *= 0.4  # so that it costs less than to leave one shot of it, or to add another
        return cost + (1.2 if _breaks_off(part) else 0.0)

    # 3. What only the pictures can tell.

    def _veto(self, part: _Part) -> bool:
        """Rule out a bracket, and pairs of its shots, if its pictures speak against it, or too little for it."""
        ordered = [shot for _, shot in sorted(zip(_values(part), part, strict=True), key=_by_value)]
        views = [self._pictures.same_view(one.file, other.file) for one, other in pairwise(ordered)]
        seen = all(views) or all(self._pictures.same_view(one.file, other.file) for one, other in pairwise(part))
        regular = _regular(part)
        surely = regular and (part[0].mode != AUTO or _told(part)) and not _breaks_off(part)
        if False not in views and (seen or surely):
            return False
        reason = DIFFERENT_VIEWS if False in views else NO_ORDER
        files = tuple(shot.file for shot in part)
        self.reasons |= dict.fromkeys(files, reason)
        self._vetoed |= {files, *pairwise(files)}
        return True


def _breaks_off(part: _Part) -> bool:
    """Whether a pause between two shots is much longer than another."""
    pauses = [
        max((other.time - one.time).total_seconds() - one.seconds, 0.0)
        for one, other in pairwise(part)
        if one.time and other.time
    ]
    rounding = 1.01 if all(shot.precise for shot in part) else 2.01  # whole seconds round both ends of a pause
    return len(pauses) > 1 and max(pauses) - min(pauses) > rounding + max(shot.seconds for shot in part)


# What the values of a bracket say.


def _tells(shot: Shot) -> bool:
    """Whether camera data say how a shot was exposed."""
    return shot.exposure is not None or shot.bias is not None


def _told(part: _Part) -> bool:
    """Whether the camera changed the bias from shot to shot."""
    biases = [shot.bias for shot in part]
    return None not in biases and len(set(biases)) > 1


def _values(part: _Part) -> list[float]:
    """What makes the exposures of a bracket different, in stops: their biases, or else the exposures themselves."""
    if _told(part):
        return [shot.bias or 0.0 for shot in part]
    return [shot.exposure or 0.0 for shot in part]


def _possible(part: _Part, regular: bool) -> bool:
    """Whether the camera data of shots allow that they are one bracket."""
    known = all(shot.exposure is not None for shot in part)
    values = sorted(_values(part))
    again = sum(high - low < _LEAST_NAMED_STEP for low, high in pairwise(values))
    if _told(part):
        return again == 0 and (not known or _follow_bias(part))
    automatic = any(shot.mode == AUTO for shot in part) and not (regular and len(part) > FEWEST)
    ranges = values[-1] - values[0] >= _LEAST_STEP
    return known and not automatic and again <= (len(part) > 3) and ranges and (regular or not _starts_anew(part))


def _follow_bias(part: _Part) -> bool:
    """Whether exposures rise with the bias: by as much, or by less where the camera reached a limit."""
    pairs = sorted((shot.bias or 0.0, shot.exposure or 0.0) for shot in part)
    steps = [(bias - last_bias, exposure - last) for (last_bias, last), (bias, exposure) in pairwise(pairs)]
    rise = all(-_ROUNDING <= exposure <= bias + 2 * _ROUNDING for bias, exposure in steps)
    return rise and pairs[-1][1] - pairs[0][1] >= _LEAST_NAMED_STEP


def _starts_anew(part: _Part) -> bool:
    """Whether shots are several brackets of three or more with the same steps, each metered anew."""
    values = _values(part)
    return any(
        len({_rounded(values[at : at + length]) for at in range(0, len(values), length)}) == 1
        for length in range(3, len(values) // 2 + 1)
        if len(values) % length == 0
    )


def _regular(part: _Part) -> bool:
    """Whether values rise in even steps and were taken in an order in which cameras take them.

    Where the camera reached a limit, the last step of four shots or more may be smaller.
    """
    values = _values(part)
    steps = [high - low for low, high in pairwise(sorted(values))]
    least = _LEAST_NAMED_STEP if _told(part) or part[0].mode == AUTO_BRACKET else _LEAST_STEP
    inner = max((steps, steps[:-1], steps[1:]), key=lambda some: (_even(some), len(some))) if len(steps) > 2 else steps
    limited = all(step <= max(inner) + 2 * _ROUNDING for step in steps)
    return min(inner) >= least and _even(inner) and limited and _in_order(values)


def _even(steps: Sequence[float]) -> bool:
    return max(steps) - min(steps) <= 2 * _ROUNDING


def _in_order(values: Sequence[float]) -> bool:
    """Whether values rise or fall, or do so after the middle one, or go away from the first one on both sides."""
    first, *rest = values
    sides = [value - first for value in rest]
    outwards = _monotonic([side for side in sides if side > 0]) and _monotonic([side for side in sides if side < 0])
    return _monotonic(values) or (min(values) < first < max(values) and (_monotonic(rest) or outwards))


def _monotonic(values: Sequence[float]) -> bool:
    return list(values) in (sorted(values), sorted(values, reverse=True))


def _pattern(part: _Part) -> tuple[object, ...]:
    """How a camera took a bracket: the values relative to the first one, in thirds of a stop."""
    return (part[0].camera, *_rounded(_values(part)))


def _rounded(values: Sequence[float]) -> tuple[int, ...]:
    return tuple(round(3 * (value - values[0])) for value in values)


# 4. Whole, or none.


def _part_of_more(part: _Part, patterns: Counter[tuple[object, ...]], single: _Part, pictures: Pictures) -> str | None:
    """Why a bracket is not whole, or cannot be fused as it is; None if nothing says so."""
    if _broken_off(part, patterns):
        return BROKEN_OFF
    if _has_gap(part):
        return GAP
    if any(shot.turned != part[0].turned for shot in part) and not all(
        pictures.same_view(one.file, other.file) for one, other in pairwise(part)
    ):
        return TURNED
    for shot in single:
        if _is_beside(shot, part) and pictures.same_view(shot.file, _nearest(shot, part).file):
            return BESIDE.format(shot.file.name)
    return None


def _broken_off(part: _Part, patterns: Counter[tuple[object, ...]]) -> bool:
    """Whether a bracket is a part of a pattern that is there at least as often."""
    own = _pattern(part)
    return any(
        count >= patterns[own] and other[0] == own[0] and len(other) > len(own) and _holds(other[1:], own[1:])
        for other, count in patterns.items()
    )


def _holds(longer: Sequence[object], shorter: Sequence[object]) -> bool:
    """Whether a pattern of thirds of a stop is a part of a longer one."""
    wanted = [int(str(value)) for value in shorter]
    values = [int(str(value)) for value in longer]
    return any(
        all(abs(values[at + index] - values[at] - value) <= 1 for index, value in enumerate(wanted))
        for at in range(len(values) - len(wanted) + 1)
    )


def _has_gap(part: _Part) -> bool:
    """Whether a number is left out in the counted names of a bracket."""
    named = sorted(counted(shot.file.stem) for shot in part)
    steps = [number - last for (last_prefix, last), (prefix, number) in pairwise(named) if last_prefix == prefix]
    counts = all(0 <= number < 10**_MOST_DIGITS for _, number in named)
    gaps = [step for step in steps if 1 < step < MOST]
    return counts and bool(gaps) and (1 in steps or len(part) == FEWEST)


def _is_beside(shot: Shot, part: _Part) -> bool:
    """Whether a single shot may belong to a bracket although its camera data do not fit in."""
    if shot.mode == AUTO and part[0].mode != AUTO:
        return False  # a test shot, or a snapshot
    near = _nearest(shot, part)
    if shot.time and near.time:
        if abs(shot.time - near.time) > _PAUSE + timedelta(seconds=2 * max(shot.seconds, near.seconds)):
            return False
    else:
        (prefix, number), (near_prefix, near_number) = counted(shot.file.stem), counted(near.file.stem)
        if prefix != near_prefix or abs(number - near_number) != 1:
            return False
    told = _told(part) and shot.bias is not None
    value, values = (shot.bias, _values(part)) if told else (shot.exposure, [one.exposure for one in part])
    alike = value is not None and any(abs(value - (one or 0.0)) < _LEAST_NAMED_STEP for one in values)
    return not (alike and shot.recorded == part[0].recorded) and not (told and alike)


def _nearest(shot: Shot, part: _Part) -> Shot:
    if shot.time and all(one.time for one in part):
        return min(part, key=lambda one: abs(one.time - shot.time) if one.time and shot.time else timedelta.max)
    number = counted(shot.file.stem)[1]
    return min(part, key=lambda one: abs(counted(one.file.stem)[1] - number))
