"""Whether the shipped weights still give what they gave: every method on the examples, against
`fusion/benchmark/baseline.json`.

The scenes are few and small, so this says nothing of how good a method is; but they are the same ones each time, and
compared one by one. A method has dropped where the whole 95 % interval of its scores' mean change is worse by more than
`TOLERANCE`, which is what other processors' rounding may cost.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
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
from fusion.runtime.workers import in_processes
from fusion.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).with_name("baseline.json")
SCENES = tuple(file.parent for file in sorted((ROOT / "examples").glob("*/under.png")))
METRICS = (mef_ssim.METRIC, qabf.METRIC, vif.METRIC)
SIDE = 256
"""Pixels of the longest side at which examples are fused, so that this takes seconds."""
TOLERANCE = 0.0005


@dataclass(frozen=True)
class Drop:
    """A method that a metric finds worse than it was."""

    method: str
    metric: str
    was: float
    """Means over the scenes."""
    now: float
    low: float
    high: float
    """The interval of the mean change, scene by scene."""


def measured(jobs: int = 1, done: Callable[[str], None] = lambda _: None) -> Scores:
    """The scores of every method on every example. Raises `FusionError` where a method fails or has no weights."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for scene, scores in in_processes(_Measurer, SCENES, jobs, _died):
        found[scene.name] = scores
        done(scene.name)
    return {method: {scene.name: found[scene.name][method] for scene in SCENES} for method in found[SCENES[0].name]}


class _Measurer:
    """Measures one example after the other; it loads each network once."""

    def __init__(self) -> None:
        self.session = Session()

    def __call__(self, scene: Path) -> tuple[Path, dict[str, dict[str, float]]]:
        """Every method's scores on one example."""
        return _measure(scene, self.session)


def _measure(scene: Path, session: Session) -> tuple[Path, dict[str, dict[str, float]]]:
    pair = load_pair(scene / "under.png", scene / "over.png", sandbox=session.sandbox)
    scale = SIDE / max(pair.size)
    under, over = (F.interpolate(photo[None], scale_factor=scale, mode="area")[0] for photo in (pair.under, pair.over))
    scores: dict[str, dict[str, float]] = {}
    names = [method.name for method in METHODS]
    settings = Settings(align=False, ghosts="ignore", mode="exact")
    for event in session.compare((under, over), names, settings, metrics=METRICS, show_corrected=False):
        if isinstance(event, Failed):
            raise FusionError(f"{event.method.name}, {scene.name}: {event.reason}")
        if isinstance(event, Scored):
            scores[event.method.name] = {name: round(value, 6) for name, value in event.scores.items()}
    return scene, scores


def _died(scene: Path) -> tuple[Path, dict[str, dict[str, float]]]:
    raise FusionError(f"The process that measured {scene.name} was ended twice, perhaps for want of memory.")


def kept() -> Scores:
    """What `keep` wrote. Raises `DatasetError` where that cannot be read."""
    try:
        return json.loads(KEPT.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{KEPT.name} cannot be read; fetch it again, or write it with --check --update.") from error


def keep(scores: Scores) -> None:
    """Make these the scores to compare with."""
    write_file(KEPT, (json.dumps(scores, indent=1) + "\n").encode())


def drops(before: Scores, now: Scores) -> list[Drop]:
    """What is worse now than before. Raises `DatasetError` where they are not of the same methods and scenes."""
    if {method: {*scenes} for method, scenes in before.items()} != {method: {*now[method]} for method in now}:
        raise DatasetError(f"{KEPT.name} is of other methods or examples; write it anew with --check --update.")
    found: list[Drop] = []
    for method, scenes in before.items():
        for metric in METRICS:
            sign = -1 if metric.better is Better.LOWER else 1
            pairs = [(row[metric.name], now[method][scene][metric.name]) for scene, row in scenes.items()]
            low, high = interval([sign * (later - earlier) for earlier, later in pairs]) or (0.0, 0.0)
            if high < -TOLERANCE:
                was, is_ = (fmean(column) for column in zip(*pairs, strict=True))
                found.append(Drop(method, metric.name, was, is_, low, high))
    return found
