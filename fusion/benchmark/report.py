"""A report as pages: `index.html`, `scenes/<scene>.html` and, since it differs from run to run, `times.html`.

They need nothing but the report's own files, no network and no server, and are the same bytes for the same report.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any
from urllib.parse import quote

from fusion.benchmark import published, results
from fusion.benchmark.results import Entrant, Facts, Mean, Scores, Summary, picture
from fusion.benchmark.templates import rendered
from fusion.exposures.brackets import shown
from fusion.io.files import write_atomically

INDEX, SCENES, TIMES = "index.html", "scenes", "times.html"
MAIN = ("mef_ssim", "ssim", "qabf", "vif", "nmi", "entropy")
"""The columns that are shown first, beside those against a reference."""
CHANCE = 0.05
"""A method counts as different from the best where its scores would be that far off by chance less often."""
_WORST = 8
"""How many of the worst cases are listed for each metric."""


@dataclass(frozen=True)
class Behind:
    """How far a method stays behind the best one in a scene."""

    scene: str
    method: Entrant
    value: float
    best: Entrant
    best_value: float

    @property
    def gap(self) -> float:
        """In the metric's unit."""
        return abs(self.best_value - self.value)


@dataclass(frozen=True)
class Bar:
    """One method's line in a plot; places are from 0, the axis's left end, to 1."""

    method: Entrant
    mean: Mean
    at: float
    low: float
    high: float
    best: bool


class View:
    """What the templates ask of a report."""

    def __init__(self, report: Path) -> None:
        self.report = report
        self.summary: Summary = results.load_summary(report)
        self.scores: Scores = results.load_scores(report)

    @cached_property
    def measured(self) -> list[Entrant]:
        """The methods but for what was published, the best mean rank first."""
        methods = [one for one in self.summary.methods if one.kind != "published"]
        return sorted(methods, key=lambda one: (one.mean_rank is None, one.mean_rank, one.name))

    @cached_property
    def published(self) -> list[Entrant]:
        """What others printed, by name."""
        return sorted((one for one in self.summary.methods if one.kind == "published"), key=lambda one: one.name)

    @cached_property
    def metrics(self) -> list[Facts]:
        """Those that some method has a mean of; the main ones first, then in the summary's order."""
        present = {name for method in self.summary.methods for name in method.means}
        order = {name: place for place, name in enumerate(MAIN)}
        metrics = [one for one in self.summary.all_metrics if one.name in present]
        return sorted(metrics, key=lambda one: order.get(one.name, len(order)))

    @cached_property
    def directed(self) -> list[Facts]:
        """The metrics of which one can be better."""
        return [one for one in self.metrics if one.better != "neither"]

    @cached_property
    def families(self) -> dict[str, list[str]]:
        """The metrics' names by what they are for; a metric may be in several."""
        against = [one.name for one in self.summary.reference_metrics]
        families = {
            "Main": [one.name for one in self.metrics if one.name in (*MAIN, *against)],
            "MEFB's": [one.name for one in self.metrics if one.mefb],
            "Against a reference": [one.name for one in self.metrics if one.name in against],
            "All": [one.name for one in self.metrics],
        }
        return {name: metrics for name, metrics in families.items() if metrics or name == "Main"}

    @cached_property
    def best(self) -> dict[str, Entrant]:
        """The method with the best mean, by the name of each metric that has a direction."""
        return {
            one.name: _best(one, {method.name: method.means[one.name].mean for method in having}, having)
            for one in self.directed
            if (having := [method for method in self.measured if one.name in method.means])
        }

    def like_best(self, method: Entrant, metric: Facts) -> bool:
        """Whether a method that is not the best cannot be told from it."""
        chance = method.p_against_best.get(metric.name)
        return chance is not None and chance >= CHANCE

    @cached_property
    def failures(self) -> list[tuple[Entrant, str, str]]:
        """Method, scene and reason."""
        return [(one, scene, why) for one in self.measured for scene, why in one.failures.items()]

    def scored(self, scene: str, metric: Facts) -> dict[str, float]:
        """A scene's values by the methods' names."""
        return {
            one.name: values[metric.name]
            for one in self.measured
            if metric.name in (values := self.scores.get(one.name, {}).get(scene, {}))
        }

    def best_in(self, scene: str, metric: Facts) -> Entrant | None:
        """The method with a scene's best value, where there are several to choose from."""
        values = self.scored(scene, metric)
        return _best(metric, values, self.measured) if len(values) > 1 and metric.better != "neither" else None

    def behind(self, scene: str, metric: Facts) -> list[Behind]:
        """The methods other than the scene's best one."""
        values = self.scored(scene, metric)
        best = self.best_in(scene, metric)
        if best is None:
            return []
        return [
            Behind(scene, one, values[one.name], best, values[best.name])
            for one in self.measured
            if one.name in values and one is not best
        ]

    @cached_property
    def worst(self) -> dict[str, list[Behind]]:
        """By the metric's name: where methods fall farthest behind the best one, the worst first."""
        return {
            one.name: _farthest(case for scene in self.summary.dataset.scenes for case in self.behind(scene, one))
            for one in self.directed
        }

    @cached_property
    def scenes(self) -> list[tuple[str, Behind | None]]:
        """Scenes and their worst case by the first metric with a direction; the worst first."""
        metric = self.directed[0] if self.directed else None
        cases = {
            scene: next(iter(_farthest(self.behind(scene, metric))), None) if metric else None
            for scene in self.summary.dataset.scenes
        }
        return sorted(cases.items(), key=lambda item: (-item[1].gap if item[1] else 0.0, item[0]))

    def bars(self, metric: Facts) -> tuple[list[Bar], float, float]:
        """A metric's plot: the methods, the best first, and the ends of the axis."""
        having = [one for one in self.measured if metric.name in one.means]
        having.sort(key=lambda one: one.means[metric.name].mean, reverse=metric.better != "lower")
        ends = {one.name: _ends(one.means[metric.name]) for one in having}
        left = min((low for low, _ in ends.values()), default=0.0)
        right = max((high for _, high in ends.values()), default=0.0)

        def place(value: float) -> float:
            return (value - left) / (right - left) if right > left else 0.5

        best = self.best.get(metric.name)
        bars = [
            Bar(one, mean := one.means[metric.name], place(mean.mean), place(low), place(high), one is best)
            for one in having
            for low, high in [ends[one.name]]
        ]
        return bars, left, right

    def pictures(self, scene: str) -> list[tuple[str, Entrant | None, str]]:
        """A scene's pictures: title, method where it is one's, and address."""
        files: list[tuple[str, Entrant | None, Path]] = [
            (kind.capitalize(), None, picture(self.report, kind, scene)) for kind in results.PREVIEWS
        ]
        files += [(one.title, one, picture(self.report, one.name, scene)) for one in self.measured]
        return [(title, method, self.address(file)) for title, method, file in files if file.is_file()]

    def preview(self, kind: str, scene: str) -> str | None:
        """The address of a photograph's preview, if it is there."""
        file = picture(self.report, kind, scene)
        return self.address(file) if file.is_file() else None

    def page(self, scene: str) -> Path:
        """Where a scene's page is."""
        return self.report / SCENES / f"{scene}.html"

    def address(self, file: Path) -> str:
        """A file of the report as a link from its index."""
        return quote(os.fsencode(file.relative_to(self.report).as_posix()))

    @cached_property
    def sha256(self) -> str:
        """Of the summary: it stands for the whole report."""
        return hashlib.sha256((self.report / results.SUMMARY).read_bytes()).hexdigest()

    @cached_property
    def bibtex(self) -> str:
        """An entry that names this very report."""
        data = self.summary.dataset
        name = re.sub(r"[^A-Za-z0-9 .-]", "-", data.name)
        what = f"{len(self.measured)} methods, {len(data.scenes)} scenes of {name}"
        hashes = f"Report {self.sha256[:16]}, data {data.sha256[:16]}, code {self.summary.code_sha256[:16]} (SHA-256)"
        return f"""\
@misc{{exposure-fusion-benchmark-{self.sha256[:8]},
  title        = {{Exposure fusion benchmark: {what}}},
  howpublished = {{Report of MambaMEF, \\texttt{{python -m fusion benchmark}}}},
  note         = {{{hashes}}}
}}"""


def write(report: Path) -> None:
    """Write the pages of a report that holds all but them. Raises `DatasetError` where its files are missing."""
    view = View(report)
    _write(report / INDEX, "report.html", view)
    (report / SCENES).mkdir(exist_ok=True)
    order = [scene for scene, _ in view.scenes]
    for scene, before, after in zip(order, [None, *order], [*order[1:], None], strict=False):
        _write(view.page(scene), "scene.html", view, scene=scene, before=before, after=after)
    if (report / results.TIMES).is_file():
        _write(report / TIMES, "times.html", view, times=_times(report), environment=_environment(report))


def _write(path: Path, template: str, view: View, **values: Any) -> None:
    page = rendered(
        template, view=view, shown=shown, number=number, limits=limits, arrow=_ARROWS, lossy=published.LOSSY, **values
    )
    write_atomically(path, page.encode())


_ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def number(value: float) -> str:
    """Four decimals where values are small, as metrics near 1 need them; none where they are in thousands."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"


def limits(metric: Facts) -> str:
    """A metric's range in words."""
    if metric.low is None:
        return "any value" if metric.high is None else f"up to {metric.high:.4g}"
    return f"from {metric.low:.4g}" if metric.high is None else f"{metric.low:.4g} to {metric.high:.4g}"


def _best(metric: Facts, values: Mapping[str, float], methods: Iterable[Entrant]) -> Entrant:
    sign = -1 if metric.better == "lower" else 1
    return max((one for one in methods if one.name in values), key=lambda one: sign * values[one.name])


def _farthest(cases: Iterable[Behind]) -> list[Behind]:
    return sorted(cases, key=lambda case: (-case.gap, case.scene, case.method.name))[:_WORST]


def _ends(mean: Mean) -> tuple[float, float]:
    return (
        mean.mean if mean.low is None else mean.low,
        mean.mean if mean.high is None else mean.high,
    )


def _times(report: Path) -> dict[str, dict[str, float | None]]:
    """Seconds and megabytes of each method, by its name."""
    spent: dict[str, dict[str, float | None]] = {}
    for method, scenes in results.load_times(report).items():
        seconds = [time.seconds for time in scenes.values()]
        peaks = [time.peak_mb for time in scenes.values() if time.peak_mb is not None]
        spent[method] = {
            "Mean, s": fmean(seconds),
            "Median, s": median(seconds),
            "Most, s": max(seconds),
            "Most memory, MB": max(peaks, default=None),
        }
    return spent


def _environment(report: Path) -> list[tuple[str, str]]:
    """What is known of the machine, as names and values; names of nested ones are joined."""
    try:
        said = json.loads((report / results.ENVIRONMENT).read_bytes())
    except (OSError, ValueError):
        return []
    return list(_flat(said, ()))


def _flat(value: Any, path: Sequence[str]) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, (*path, str(name)))
    else:
        yield ", ".join(path), str(value)
