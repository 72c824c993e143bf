"""The regression check: whether the shipped weights still score on the examples what `baseline.json` says.

Every method fuses every example, and three metrics score the results. The examples are few and small, so this does not
say how good a method is; but they are the same each time and are compared scene by scene. A method has become worse
where the whole 95 % interval of its mean change is a loss of more than `TOLERANCE`, which allows for the rounding of
other processors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import torch.nn.functional as F

from fusion.benchmark.results import Scores
from fusion.benchmark.statistics import interval
from fusion.errors import DatasetError, FusionError
from fusion.io.image import load_pair
from fusion.io.results_folder import write_file
from fusion.methods import METHODS
from fusion.metrics import mef_ssim, qabf, vif
from fusion.metrics.base import Better
from fusion.pipeline import Failed, Scored, Session
from fusion.runtime.package_data import data_folder
from fusion.runtime.workers import in_processes
from fusion.settings import Settings

BASELINE = Path(__file__).with_name("baseline.json")
METRICS = (mef_ssim.METRIC, qabf.METRIC, vif.METRIC)
SIDE = 256
"""Pixels of the longest side at which examples are fused, so that the check takes seconds."""
TOLERANCE = 0.0005


@dataclass(frozen=True)
class Drop:
    """A method that a metric scores lower than the baseline."""

    method: str
    metric: str
    was: float
    """Mean over the scenes in the baseline."""
    now: float
    """Mean over the scenes today."""
    low: float
    high: float
    """The ends of the 95 % interval of the mean change over the scenes; negative changes are losses."""


def scenes() -> list[Path]:
    """The folders of the examples, sorted by name."""
    return [file.parent for file in sorted(data_folder("examples").glob("*/under.png"))]


def measured(methods: Sequence[str], jobs: int = 1, done: Callable[[str], None] = lambda _: None) -> Scores:
    """The scores of methods on every example, with six decimals; all of them take about half a minute on two cores.

    `jobs` scenes are measured at once, and `done` is called with the name of each that is finished. Raises
    `FusionError` where a method fails or has no usable weights.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for scene, scores in in_processes(partial(_Measurer, methods), scenes(), jobs, _died):
        found[scene.name] = scores
        done(scene.name)
    return {method: {scene: found[scene][method] for scene in sorted(found)} for method in methods}


class _Measurer:
    """Measures one example after the other; it loads each network once."""

    def __init__(self, methods: Sequence[str]) -> None:
        self.methods = methods
        self.session = Session()

    def __call__(self, scene: Path) -> tuple[Path, dict[str, dict[str, float]]]:
        """The scores of all methods on one example."""
        return _measure(scene, self.methods, self.session)


def _measure(scene: Path, methods: Sequence[str], session: Session) -> tuple[Path, dict[str, dict[str, float]]]:
    pair = load_pair(scene / "under.png", scene / "over.png", sandbox=session.sandbox)
    scale = SIDE / max(pair.size)
    under, over = (F.interpolate(photo[None], scale_factor=scale, mode="area")[0] for photo in (pair.under, pair.over))
    scores: dict[str, dict[str, float]] = {}
    settings = Settings(align=False, repair=False, ghosts="ignore", mode="exact", colour="published")
    for event in session.compare((under, over), methods, settings, metrics=METRICS, show_corrected=False):
        if isinstance(event, Failed):
            raise FusionError(f"{event.method.name}, {scene.name}: {event.reason}")
        if isinstance(event, Scored):
            scores[event.method.name] = {name: round(value, 6) for name, value in event.scores.items()}
    return scene, scores


def _died(scene: Path) -> tuple[Path, dict[str, dict[str, float]]]:
    raise FusionError(f"The process that measured {scene.name} was ended twice, perhaps because memory ran out.")


def baseline() -> Scores:
    """The scores in `baseline.json`. Raises `DatasetError` where the file cannot be read.

    >>> baseline()["mertens"]["desk"].keys() == {metric.name for metric in METRICS}
    True
    """
    try:
        return json.loads(BASELINE.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{BASELINE.name} cannot be read; restore it, or write it anew with --check --update."
        ) from error


def check_names(before: Scores) -> None:
    """Raise `DatasetError` where a baseline has other methods, examples or metrics than this program.

    >>> check_names(baseline())
    """
    now = {(method.name, scene.name, metric.name) for method in METHODS for scene in scenes() for metric in METRICS}
    if differing := now ^ _values(before).keys():
        method, scene, metric = min(differing)
        lacks = "lacks" if (method, scene, metric) in now else "also has"
        raise DatasetError(
            f"{BASELINE.name} has other methods, examples or metrics than this program: "
            f"it {lacks} {metric} of {method} on {scene}. Write it anew with --check --update."
        )


def update(now: Scores) -> int:
    """Write to `baseline.json` what changed by more than `TOLERANCE`, and return how many values changed.

    Values within the tolerance stay as they are, so that another computer's rounding changes nothing. Methods, examples
    and metrics that the program no longer has are removed. Where nothing changed, the file is not written.
    """
    before = baseline() if BASELINE.exists() else {}
    merged = merge(before, now)
    if merged != before:
        write_file(BASELINE, (json.dumps(merged, indent=1) + "\n").encode())
    old, new = _values(before), _values(merged)
    return sum(old.get(key) != new.get(key) for key in old | new)


def merge(before: Scores, now: Scores) -> Scores:
    """The scores `now`, but the value of `before` wherever the two differ by at most `TOLERANCE`.

    >>> merge({"a": {"desk": {"vif": 0.5}}}, {"a": {"desk": {"vif": 0.500001}, "room": {"vif": 0.7}}})
    {'a': {'desk': {'vif': 0.5}, 'room': {'vif': 0.7}}}
    """
    old = _values(before)
    merged: Scores = {}
    for (method, scene, metric), value in _values(now).items():
        was = old.get((method, scene, metric), value)
        row = merged.setdefault(method, {}).setdefault(scene, {})
        row[metric] = was if abs(value - was) <= TOLERANCE else value
    return merged


def _values(scores: Scores) -> dict[tuple[str, str, str], float]:
    """The values by method, scene and metric at once."""
    return {
        (method, scene, metric): value
        for method, rows in scores.items()
        for scene, row in rows.items()
        for metric, value in row.items()
    }


def drops(before: Scores, now: Scores) -> list[Drop]:
    """The methods and metrics that score worse now than before. Both must have the same methods, scenes and metrics."""
    found: list[Drop] = []
    for method, rows in before.items():
        for metric in METRICS:
            sign = -1 if metric.better is Better.LOWER else 1
            pairs = [(row[metric.name], now[method][scene][metric.name]) for scene, row in rows.items()]
            low, high = interval([sign * (later - earlier) for earlier, later in pairs]) or (0.0, 0.0)
            if high < -TOLERANCE:
                was, is_ = (fmean(column) for column in zip(*pairs, strict=True))
                found.append(Drop(method, metric.name, was, is_, low, high))
    return found
