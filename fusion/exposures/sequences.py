"""Which shots of a camera are brackets, by its data: whole brackets or none.

1. Shots are put in the order of time, or of their numbers where the camera has no clock, and are split into runs: one
   camera, size, focal length and mode of exposure, one shot soon after the other. No bracket goes beyond a run.
2. A run is cut into brackets and single shots so that the cut is the simplest (`_cost`). What speaks for a bracket is
   that its values rise in even steps, in an order in which cameras shoot, at an even pace, and as in other brackets of
   this card. The values are those of ExposureBias where the camera changed it, else exposures.
3. What speaks against a bracket vetoes it, whatever speaks for it: snapshots in automatic mode, a value that comes
   again, exposures that do not follow the bias, different views. Then the run is cut anew without it. Exposures in no
   order need more than that nothing speaks against them: pictures that show the same view, or a like bracket.
4. A bracket that is a part of what the camera did elsewhere on the card was broken off, so it is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from fusion.exposures.camera_data import AUTO, AUTO_BRACKET, MANUAL, Pictures, Shot
from fusion.exposures.file_names import counted

FEWEST, MOST = 2, 9
"""How many exposures of one scene there may be."""
_PAUSE = timedelta(seconds=2)
"""The longest pause between two shots of a bracket, besides exposure and noise reduction, which may take as long as the
exposure. Many cameras record whole seconds."""
_PATIENT_PAUSE = {AUTO_BRACKET: timedelta(seconds=5), MANUAL: timedelta(seconds=8)}
"""The longest pause where the mode says that a bracket is being shot, or that somebody turns a dial."""
_LEAST_STEP = 0.5
"""The least step between two exposures, in stops: a camera that meters anew varies by a third."""
_LEAST_NAMED_STEP = 0.25
"""The least step where the camera says that it brackets: third stops."""
_ROUNDING = 0.2
"""How far a recorded exposure may be from the true one, in stops: cameras round to numbers on their dials."""

DIFFERENT_VIEWS = "its camera data fit a bracket, but its pictures show different views."
SNAPSHOT = "it was taken in automatic mode, in which exposures differ because light does."
NO_ORDER = (
    "its exposures are in no order in which cameras take brackets, and the pictures do not tell that they belong."
)
BROKEN_OFF = "only a part of its bracket is there: the camera took longer ones on this card."
TURNED = "its bracket cannot be fused, since one picture of it is stored turned; turn it back without loss."


@dataclass
class Sequences:
    """The brackets among shots, in the order of exposure, and why others that look like it are none."""

    brackets: list[list[Shot]] = field(default_factory=list[list[Shot]])
    reasons: dict[Path, str] = field(default_factory=dict[Path, str])


def find_sequences(shots: Iterable[Shot], pictures: Pictures) -> Sequences:
    """Find whole brackets among shots with camera data; all folders of one card may be given at once."""
    found, card = Sequences(), _Card(pictures)
    runs = list(_runs(shots))
    for run in runs:
        card.learn(card.cut(run))
    cuts = [part for run in runs for part in card.cut(run)]
    habits = Counter(map(_pattern, cuts))
    for part in cuts:
        files = [shot.file for shot in part]
        if len(part) < FEWEST:
            reason = card.reasons.get(files[0]) or (SNAPSHOT if part[0].mode == AUTO else None)
            found.reasons |= {files[0]: reason} if reason else {}
        elif _broken_off(part, habits):
            found.reasons |= dict.fromkeys(files, BROKEN_OFF)
        elif len({shot.turned for shot in part if _stored_turned(shot, part)}) > 1:
            found.reasons |= dict.fromkeys(files, TURNED)
        else:
            found.brackets.append(sorted(part, key=lambda shot: (_values(part)[part.index(shot)], shot.file)))
    return found


# 1. Runs.


def _runs(shots: Iterable[Shot]) -> Iterator[list[Shot]]:
    run: list[Shot] = []
    for shot in sorted(shots, key=_order):
        if run and not _goes_on(run[-1], shot):
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


def _goes_on(one: Shot, other: Shot) -> bool:
    """Whether the second shot can be of the same bracket as the first, by camera, mode and time."""
    same = _camera(one) == _camera(other) and (one.mode == AUTO_BRACKET) == (other.mode == AUTO_BRACKET)
    zoomed = one.focal_length and other.focal_length and abs(one.focal_length / other.focal_length - 1) > 0.02
    if not same or zoomed:
        return False
    if one.time is None or other.time is None:
        (prefix, number), (next_prefix, next_number) = counted(one.file.stem), counted(other.file.stem)
        return prefix == next_prefix and next_number - number == 1
    pause = _PATIENT_PAUSE.get(one.mode, _PAUSE) if one.mode == other.mode and one.mode is not None else _PAUSE
    return other.time - one.time <= pause + timedelta(seconds=2 * max(one.seconds, other.seconds))


# 2. The simplest cut.


class _Card:
    """What has been learned from the shots of a card: how its cameras take brackets, and which are none."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures
        self.reasons: dict[Path, str] = {}
        self._habits: Counter[object] = Counter()
        self._orders: Counter[object] = Counter()
        self._vetoed: set[tuple[Path, ...]] = set()

    def learn(self, parts: Iterable[Sequence[Shot]]) -> None:
        """Remember the brackets of a cut."""
        for part in parts:
            if len(part) >= FEWEST:
                self._habits[_pattern(part)] += 1
                self._orders[_ranks(part)] += 1

    def cut(self, run: Sequence[Shot]) -> list[Sequence[Shot]]:
        """Cut a run into brackets and single shots. Nothing that is vetoed is in it."""
        while True:
            parts = self._simplest(run)
            vetoed = [part for part in parts if len(part) >= FEWEST and not self._stands(part)]
            if not vetoed:
                return parts

    def _simplest(self, run: Sequence[Shot]) -> list[Sequence[Shot]]:
        best: list[tuple[float, list[Sequence[Shot]]]] = [(0.0, [])]
        for end in range(1, len(run) + 1):
            choices = (
                (best[start][0] + self._cost(run[start:end]), [*best[start][1], run[start:end]])
                for start in range(max(0, end - MOST), end)
            )
            best.append(min(choices, key=lambda choice: choice[0]))
        return best[-1][1]

    def _cost(self, part: Sequence[Shot]) -> float:
        """How little speaks for a bracket: a single shot costs 1, a bracket of even steps as much, whatever its length."""
        if len(part) == 1:
            return 1.0
        if not _possible(part) or tuple(shot.file for shot in part) in self._vetoed:
            return float("inf")
        if not _even(part):
            cost = 0.9 + 0.35 * len(part)
        else:
            cost = 1.0 if len(part) > FEWEST else 1.6
        if self._habits[_pattern(part)] > 1:
            cost *= 0.4
        return cost + (1.2 if _breaks_off(part) else 0.0)

    # 3. Vetoes that only the pictures, or the other brackets, can tell.

    def _stands(self, part: Sequence[Shot]) -> bool:
        """Whether a bracket stands when its pictures are looked at. If not, neither it nor its parts come again."""
        values = _values(part)
        ordered = [part[index].file for index in sorted(range(len(part)), key=values.__getitem__)]
        views = [self.pictures.same_view(one, other) for one, other in pairwise(ordered)]
        if False in views:
            self._veto(part, DIFFERENT_VIEWS)
            return False
        unproven = not (_even(part) and _prompt(part)) and not all(views)
        if unproven and self._orders[_ranks(part)] < 2 + (self._habits[_pattern(part)] == 0):
            self._veto(part, NO_ORDER)
            return False
        return True

    def _veto(self, part: Sequence[Shot], reason: str) -> None:
        """Rule out a bracket and its parts: pairs of it, or, where the camera says that it is one bracket, all parts."""
        files = tuple(shot.file for shot in part)
        self.reasons |= dict.fromkeys(files, reason)
        longest = len(files) if _told(part) else FEWEST
        self._vetoed.add(files)
        self._vetoed |= {
            files[start : start + length]
            for length in range(FEWEST, longest + 1)
            for start in range(len(files) - length + 1)
        }


# What the values of a bracket say.


def _told(part: Sequence[Shot]) -> bool:
    """Whether the camera changed the bias from shot to shot."""
    biases = [shot.bias for shot in part]
    return None not in biases and len(set(biases)) > 1


def _values(part: Sequence[Shot]) -> list[float]:
    """What makes the exposures of a bracket different, in stops: their biases, or else the exposures themselves."""
    if _told(part):
        return [shot.bias or 0.0 for shot in part]
    return [shot.exposure or 0.0 for shot in part]


def _possible(part: Sequence[Shot]) -> bool:
    """Whether the camera data of shots allow that they are one bracket."""
    known = all(shot.exposure is not None for shot in part)
    values = sorted(_values(part))
    if _told(part):
        again = any(high - low < _LEAST_NAMED_STEP for low, high in pairwise(values))
        return not again and (not known or _follow_bias(part))
    automatic = any(shot.mode == AUTO for shot in part)
    again = sum(high - low < _LEAST_NAMED_STEP for low, high in pairwise(values))
    return known and not automatic and again <= (len(part) > 3) and values[-1] - values[0] >= _LEAST_STEP


def _follow_bias(part: Sequence[Shot]) -> bool:
    """Whether exposures rise with the bias: by as much, or by less where the camera reached a limit."""
    pairs = sorted((shot.bias or 0.0, shot.exposure or 0.0) for shot in part)
    steps = [(bias - last_bias, exposure - last) for (last_bias, last), (bias, exposure) in pairwise(pairs)]
    rise = all(-_ROUNDING <= exposure <= bias + 2 * _ROUNDING for bias, exposure in steps)
    return rise and pairs[-1][1] - pairs[0][1] >= _LEAST_NAMED_STEP


def _even(part: Sequence[Shot]) -> bool:
    """Whether values rise in even steps and were taken in an order in which cameras take them."""
    values = _values(part)
    steps = [high - low for low, high in pairwise(sorted(values))]
    named = _told(part) or part[0].mode == AUTO_BRACKET
    least = _LEAST_NAMED_STEP if named else _LEAST_STEP
    return min(steps) >= least and max(steps) - min(steps) <= 2 * _ROUNDING and _in_order(values)


def _in_order(values: Sequence[float]) -> bool:
    """Whether values rise or fall, all or all but the first, or go away from the first in turns: 0, -1, 1, -2, 2."""
    first, *rest = values
    sides = [value - first for value in rest]
    turns = all(abs(far) >= abs(near) - _ROUNDING for near, far in pairwise(sides))
    middle = sorted(values)[len(values) // 2] == first and len(values) % 2 == 1
    return _monotonic(values) or (middle and (_monotonic(rest) or turns))


def _monotonic(values: Sequence[float]) -> bool:
    return values in (sorted(values), sorted(values, reverse=True))


def _pauses(part: Sequence[Shot]) -> list[float]:
    """Seconds from the end of each shot to the next."""
    return [
        max((other.time - one.time).total_seconds() - one.seconds, 0.0)
        for one, other in pairwise(part)
        if one.time and other.time
    ]


def _breaks_off(part: Sequence[Shot]) -> bool:
    """Whether a pause between two shots is much longer than another."""
    pauses = _pauses(part)
    return len(pauses) > 1 and max(pauses) - min(pauses) > 1.01 + max(shot.seconds for shot in part)


def _prompt(part: Sequence[Shot]) -> bool:
    return part[0].mode == AUTO_BRACKET or max(_pauses(part), default=0) <= _PAUSE.total_seconds() + part[0].seconds


def _pattern(part: Sequence[Shot]) -> tuple[object, ...]:
    """How a camera took a bracket: the values relative to the first one, in thirds of a stop."""
    values = _values(part)
    return (part[0].camera, *(round(3 * (value - values[0])) for value in values))


def _ranks(part: Sequence[Shot]) -> tuple[object, ...]:
    """In which order a camera took a bracket, whatever the steps."""
    values = _values(part)
    return (part[0].camera, *(sorted(values).index(value) for value in values))


# 4. Broken off, or turned.


def _broken_off(part: Sequence[Shot], habits: Counter[tuple[object, ...]]) -> bool:
    """Whether a bracket is a part of a pattern that is there more often."""
    camera, *values = _pattern(part)
    own = habits[camera, *values]
    return any(
        count > own and len(other) > len(values) and _holds(other, values)
        for (maker, *other), count in habits.items()
        if maker == camera
    )


def _holds(longer: Sequence[object], shorter: Sequence[object]) -> bool:
    return any(
        all(abs((longer[at + i] - longer[at]) - shorter[i]) <= 1 for i in range(len(shorter)))  # type: ignore[operator]
        for at in range(len(longer) - len(shorter) + 1)
    )


def _stored_turned(shot: Shot, part: Sequence[Shot]) -> bool:
    return False
