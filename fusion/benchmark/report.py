"""The report's pages: `index.html`, `scenes/<scene>.html` and `times.html`, which differs from run to run.

The pages need only the report's own files, without a network or a server. The same report gives the same bytes.
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
from fusion.benchmark.results import Mean, MethodResult, MetricInfo, Scores, Summary, picture
from fusion.benchmark.templates import rendered
from fusion.exposures.brackets import shown
from fusion.io.files import write_atomically
from fusion.metrics.base import Better

INDEX, SCENES, TIMES = "index.html", "scenes", "times.html"
MAIN = ("score", "mef_ssim", "vif", "colour_kept", "qabf", "ssim")
"""The metrics that are shown first, together with those against a reference."""
CHANCE = 0.05
"""The significance level: with a smaller p value, a method counts as different from the best."""
_WORST = 8
"""The number of worst cases that are listed for each metric."""


@dataclass(frozen=True)
class Shortfall:
    """By how much a method's score for a scene is worse than the best method's."""

    scene: str
    method: MethodResult
    value: float
    best: MethodResult
    best_value: float

    @property
    def gap(self) -> float:
        """The difference of both scores, in the metric's unit."""
        return abs(self.best_value - self.value)


@dataclass(frozen=True)
class Bar:
    """One method's row in a plot. Positions go from 0, at the left end of the axis, to 1."""

    method: MethodResult
    mean: Mean
    at: float
    low: float
    high: float
    best: bool


class ReportView:
    """Everything that the templates read from a report.

    Raises `DatasetError` where `summary.json` or `scores.csv` is missing or damaged.
    """

    def __init__(self, report: Path) -> None:
        self.report = report
        self.summary: Summary = results.load_summary(report)
        self.scores: Scores = results.load_scores(report)

    @cached_property
    def measured(self) -> list[MethodResult]:
        """The methods except for published ones, the best mean rank first."""
        methods = [one for one in self.summary.methods if one.kind != "published"]
        return sorted(methods, key=lambda one: (one.mean_rank is None, one.mean_rank, one.name))

    @cached_property
    def published(self) -> list[MethodResult]:
        """The published methods, sorted by name."""
        return sorted((one for one in self.summary.methods if one.kind == "published"), key=lambda one: one.name)

    @cached_property
    def metrics(self) -> list[MetricInfo]:
        """The metrics that some method has a mean of: first the main ones, then the others in the summary's order."""
        present = {name for method in self.summary.methods for name in method.means}
        order = {name: place for place, name in enumerate(MAIN)}
        metrics = [one for one in self.summary.all_metrics if one.name in present]
        return sorted(metrics, key=lambda one: order.get(one.name, len(order)))

    @cached_property
    def directed(self) -> list[MetricInfo]:
        """The metrics with a direction, by which a method can be better than another."""
        return [one for one in self.metrics if one.better != "neither"]

    @cached_property
    def families(self) -> dict[str, list[str]]:
        """The groups of metrics that a reader can choose: names by group; a metric may be in several groups."""
        against = [one.name for one in self.summary.reference_metrics]
        families = {
            "Main": [one.name for one in self.metrics if one.name in (*MAIN, *against)],
            "MEFB's": [one.name for one in self.metrics if one.mefb],
            "Against a reference": [one.name for one in self.metrics if one.name in against],
            "All": [one.name for one in self.metrics],
        }
        return {name: metrics for name, metrics in families.items() if metrics or name == "Main"}

    @cached_property
    def best(self) -> dict[str, MethodResult]:
        """The method with the best mean, by the name of each metric that has a direction."""
        return {
            one.name: _best(one, {method.name: method.means[one.name].mean for method in having}, having)
            for one in self.directed
            if (having := [method for method in self.measured if one.name in method.means])
        }

    def like_best(self, method: MethodResult, metric: MetricInfo) -> bool:
        """Whether a method that is not the best does not differ significantly from the best."""
        chance = method.p_against_best.get(metric.name)
        return chance is not None and chance >= CHANCE

    @cached_property
    def failures(self) -> list[tuple[MethodResult, str, str]]:
        """Every failure as method, scene and reason."""
        return [(one, scene, why) for one in self.measured for scene, why in one.failures.items()]

    def scored(self, scene: str, metric: MetricInfo) -> dict[str, float]:
        """A metric's values for a scene, by the methods' names."""
        return {
            one.name: values[metric.name]
            for one in self.measured
            if metric.name in (values := self.scores.get(one.name, {}).get(scene, {}))
        }

    def best_in(self, scene: str, metric: MetricInfo) -> MethodResult | None:
        """The method with the best value for a scene; None for a single method and for a metric without direction."""
        values = self.scored(scene, metric)
        return _best(metric, values, self.measured) if len(values) > 1 and metric.better != "neither" else None

    def behind(self, scene: str, metric: MetricInfo) -> list[Shortfall]:
        """The shortfalls of all methods but the best for a scene."""
        values = self.scored(scene, metric)
        best = self.best_in(scene, metric)
        if best is None:
            return []
        return [
            Shortfall(scene, one, values[one.name], best, values[best.name])
            for one in self.measured
            if one.name in values and one is not best
        ]

    @cached_property
    def worst(self) -> dict[str, list[Shortfall]]:
        """The largest shortfalls of any method in any scene by the metric's name, the worst first."""
        return {
            one.name: _farthest(case for scene in self.summary.dataset.scenes for case in self.behind(scene, one))
            for one in self.directed
        }

    @cached_property
    def scenes(self) -> list[tuple[str, Shortfall | None]]:
        """The scenes with their largest shortfall by the first metric that has a direction, the worst scene first."""
        metric = self.directed[0] if self.directed else None
        cases = {
            scene: next(iter(_farthest(self.behind(scene, metric))), None) if metric else None
            for scene in self.summary.dataset.scenes
        }
        return sorted(cases.items(), key=lambda item: (-item[1].gap if item[1] else 0.0, item[0]))

    def bars(self, metric: MetricInfo) -> tuple[list[Bar], float, float]:
        """A metric's plot: the methods' bars, the best first, and the values at both ends of the axis."""
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

    def pictures(self, scene: str) -> list[tuple[str, MethodResult | None, str]]:
        """A scene's pictures, each as title, method and link; previews of photographs have no method."""
        files: list[tuple[str, MethodResult | None, Path]] = [
            (kind.capitalize(), None, picture(self.report, kind, scene)) for kind in results.PREVIEWS
        ]
        files += [(one.title, one, picture(self.report, one.name, scene)) for one in self.measured]
        return [(title, method, self.address(file)) for title, method, file in files if file.is_file()]

    def preview(self, kind: str, scene: str) -> str | None:
        """A link to a photograph's preview, if there is one."""
        file = picture(self.report, kind, scene)
        return self.address(file) if file.is_file() else None

    def page(self, scene: str) -> Path:
        """The path of a scene's page."""
        return self.report / SCENES / f"{scene}.html"

    def address(self, file: Path) -> str:
        """A link to a file of the report from its index page."""
        return quote(os.fsencode(file.relative_to(self.report).as_posix()))

    @cached_property
    def sha256(self) -> str:
        """The hash of `summary.json`, which identifies the report."""
        return hashlib.sha256((self.report / results.SUMMARY).read_bytes()).hexdigest()

    @cached_property
    def bibtex(self) -> str:
        """A BibTeX entry for this report."""
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
    """Write the pages of a report whose other files are written. Raises `DatasetError` where these are missing."""
    view = ReportView(report)
    _write(report / INDEX, "report.html", view)
    (report / SCENES).mkdir(exist_ok=True)
    order = [scene for scene, _ in view.scenes]
    for scene, before, after in zip(order, [None, *order], [*order[1:], None], strict=False):
        _write(view.page(scene), "scene.html", view, scene=scene, before=before, after=after)
    if (report / results.TIMES).is_file():
        _write(report / TIMES, "times.html", view, times=_times(report), environment=_environment(report))


def _write(path: Path, template: str, view: ReportView, **values: Any) -> None:
    page = rendered(
        template, view=view, shown=shown, number=number, limits=limits, arrow=_ARROWS, lossy=published.LOSSY, **values
    )
    write_atomically(path, page.encode())


_ARROWS = {better.value: better.arrow for better in Better}


def number(value: float) -> str:
    """A value with four decimals where it is small, as metrics near 1 need them, and with fewer where it is large.

    >>> number(0.98765), number(12.345), number(4321.0)
    ('0.9877', '12.35', '4321')
    """
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"


def limits(metric: MetricInfo) -> str:
    """A metric's range in words.

    >>> limits(MetricInfo("ssim", "SSIM", "higher", "", "", "", low=-1, high=1))
    '-1 to 1'
    """
    if metric.low is None:
        return "any value" if metric.high is None else f"up to {metric.high:.4g}"
    return f"from {metric.low:.4g}" if metric.high is None else f"{metric.low:.4g} to {metric.high:.4g}"


def _best(metric: MetricInfo, values: Mapping[str, float], methods: Iterable[MethodResult]) -> MethodResult:
    sign = -1 if metric.better == "lower" else 1
    return max((one for one in methods if one.name in values), key=lambda one: sign * values[one.name])


def _farthest(cases: Iterable[Shortfall]) -> list[Shortfall]:
    return sorted(cases, key=lambda case: (-case.gap, case.scene, case.method.name))[:_WORST]


def _ends(mean: Mean) -> tuple[float, float]:
    return (
        mean.mean if mean.low is None else mean.low,
        mean.mean if mean.high is None else mean.high,
    )


def _times(report: Path) -> dict[str, dict[str, float | None]]:
    """Statistics of each method's time and memory, by the method's name."""
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
    """The facts in `environment.json` as names and values; nested names are joined by commas."""
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
