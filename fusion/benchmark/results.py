"""A benchmark's report as files.

    summary.json                      `Summary`: what was measured, and each method's means, ranks and tests
    scores.csv                        one row a method and scene: every metric, those against a reference as well
    table.tex                         the means as a LaTeX table
    pictures/<method>/<scene>.png     what was measured, without loss
    pictures/<kind>/<scene>.jpg       previews of what it was made from; `<kind>` is one of `PREVIEWS`
    index.html, scenes/<scene>.html   to look at
    times.csv, times.html, environment.json     what differs from run to run; all else is the same bytes each time
    .fusion/<method>/<scene>.json     records of what is finished, so that it is not made again

A method's and a scene's names are folders' and files' names: `picture` joins them. Where a method failed on a scene, it
has no row and no picture, but a reason in its `failures`.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fusion.errors import DatasetError

SUMMARY, SCORES, TIMES, ENVIRONMENT, TABLE = "summary.json", "scores.csv", "times.csv", "environment.json", "table.tex"
PICTURES = "pictures"
PREVIEWS = ("under", "over", "reference")
"""What else has a folder under `pictures`; no method may have such a name."""
VERSION = 1
"""Of the files' form."""

Kind = Literal["ours", "outside", "published"]
Scores = dict[str, dict[str, dict[str, float]]]
"""By method, scene and metric. A value that is not finite, or not there, is left out."""


@dataclass(frozen=True)
class Facts:
    """What there is to know of a metric."""

    name: str
    """As in `scores.csv` and in the mappings below."""
    title: str
    better: Literal["higher", "lower", "neither"]
    source: str
    """The paper that defines it."""
    meaning: str
    """One line for the visitor."""
    caution: str
    """What it rewards wrongly."""
    low: float | None = None
    high: float | None = None
    """The lowest and the highest value there can be; None: no bound."""
    mefb: str | None = None
    """What MEFB calls it in its tables."""


@dataclass(frozen=True)
class Dataset:
    """The pairs."""

    name: str
    """Its folder's."""
    scenes: tuple[str, ...]
    referenced: tuple[str, ...]
    """Those of the scenes that have a reference."""
    sha256: str
    """Of the files' names and bytes."""


@dataclass(frozen=True)
class Mean:
    """Over the scenes; `low` to `high` is the 95 % interval, None where single scores are not known or too few."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Entrant:
    """A method's results. Mappings are by the metrics' names, of both kinds."""

    name: str
    title: str
    paper: str
    kind: Kind
    """ours: fused here. outside: pictures that were given. published: means that others printed."""
    scenes: int
    """How many were measured."""
    failures: dict[str, str] = field(default_factory=dict[str, str])
    """Why, as a sentence, by scene."""
    weights_sha256: dict[str, str] = field(default_factory=dict[str, str])
    """By name; a method may use IAT's beside its own."""
    parameters: int | None = None
    gflops: float | None = None
    """On a pair of 512 x 512 pixels."""
    means: dict[str, Mean] = field(default_factory=dict[str, Mean])
    ranks: dict[str, float] = field(default_factory=dict[str, float])
    """Mean over the scenes that all measured methods have, from 1, the best; of metrics that have a direction."""
    mean_rank: float | None = None
    """Over the metrics without a reference."""
    p_against_best: dict[str, float] = field(default_factory=dict[str, float])
    """That its scores and those of the method with the best mean differ by chance: Wilcoxon's signed-rank test over
    their common scenes, corrected for the number of methods after Holm. The best has none."""


@dataclass(frozen=True)
class Summary:
    """A whole report but for the single scores."""

    dataset: Dataset
    metrics: tuple[Facts, ...]
    """Against both photographs."""
    reference_metrics: tuple[Facts, ...]
    """Against a reference; empty where the dataset has none."""
    methods: tuple[Entrant, ...]
    """In the order in which they were asked for; what others published comes last."""
    as_mefb: bool = False
    """Scenes of JPEG files were measured after saving the result as JPEG."""
    mode: str = "auto"
    code_sha256: str = ""
    """Of the package's files that read, fuse and measure."""
    version: int = VERSION

    @property
    def all_metrics(self) -> tuple[Facts, ...]:
        """Both kinds."""
        return self.metrics + self.reference_metrics


@dataclass(frozen=True)
class Time:
    """What one fusion took."""

    seconds: float
    """Of one thread, without reading, measuring and saving."""
    peak_mb: float | None = None
    """The most memory it took beside the photographs and the loaded network; None where the system does not tell."""


def picture(report: Path, method: str, scene: str) -> Path:
    """Where a method's picture of a scene is, or one of the `PREVIEWS`."""
    return report / PICTURES / method / f"{scene}.{'jpg' if method in PREVIEWS else 'png'}"


def summary_json(summary: Summary) -> bytes:
    """The bytes of `summary.json`."""
    return (json.dumps(asdict(summary), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def load_summary(report: Path) -> Summary:
    """A report's summary. Raises `DatasetError` where there is none of this form."""
    try:
        said = json.loads((report / SUMMARY).read_bytes())
        if said["version"] != VERSION:
            raise DatasetError(f"{report / SUMMARY} is of another version; run the benchmark again.")
        return Summary(
            **said
            | {
                "dataset": Dataset(
                    **said["dataset"] | {name: tuple(said["dataset"][name]) for name in ("scenes", "referenced")}
                ),
                "metrics": tuple(Facts(**one) for one in said["metrics"]),
                "reference_metrics": tuple(Facts(**one) for one in said["reference_metrics"]),
                "methods": tuple(
                    Entrant(**one | {"means": {name: Mean(**mean) for name, mean in one["means"].items()}})
                    for one in said["methods"]
                ),
            }
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{report} holds no benchmark's report; make one: python -m fusion benchmark.") from error


def scores_rows(scores: Scores, metrics: Sequence[str]) -> list[list[str]]:
    """The rows of `scores.csv`: its header, then one for each method and scene. Values are in full precision."""
    return [
        ["method", "scene", *metrics],
        *(
            [method, scene, *(repr(values[name]) if name in values else "" for name in metrics)]
            for method, scenes in scores.items()
            for scene, values in scenes.items()
        ),
    ]


def load_scores(report: Path) -> Scores:
    """A report's scores. Raises `DatasetError` where there are none."""
    scores: Scores = {}
    for method, scene, values in _table(report / SCORES):
        scores.setdefault(method, {})[scene] = values
    return scores


def load_times(report: Path) -> dict[str, dict[str, Time]]:
    """What each fusion took, by method and scene. Raises `DatasetError` where this is not there."""
    times: dict[str, dict[str, Time]] = {}
    for method, scene, values in _table(report / TIMES):
        times.setdefault(method, {})[scene] = Time(**values)
    return times


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Without infinities and NaN, which no mean and no JSON can hold."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _table(file: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """A method, a scene, and the columns beside them that are not empty."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [
            (row.pop("method"), row.pop("scene"), {name: float(cell) for name, cell in row.items() if cell})
            for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{file} is not there or is damaged; run the benchmark again.") from error
