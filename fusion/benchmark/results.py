"""The files of a benchmark's report, and how they are read and written.

    summary.json                      `Summary`: what was measured, and each method's means, ranks and tests
    scores.csv                        one row for each method and scene, with every metric
    table.tex                         the means as a LaTeX table
    pictures/<method>/<scene>.png     the fused pictures that were measured
    pictures/<kind>/<scene>.jpg       previews of the photographs; `<kind>` is one of `PREVIEWS`
    index.html, scenes/<scene>.html   the report as pages
    times.csv, times.html, environment.json     these differ from run to run; all other files have the same bytes
    .fusion/<method>/<scene>.json     records of finished results, which are not made again

The names of methods and scenes are names of folders and files: `picture` joins them. Where a method failed on a scene,
there is no row and no picture, but a reason in the method's `failures`.
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
"""Folders under `pictures` that belong to no method; no method may have such a name."""
VERSION = 2
"""The version of the files' format."""

Kind = Literal["ours", "outside", "published"]
Scores = dict[str, dict[str, dict[str, float]]]
"""Values by method, scene and metric. A value that is missing or not finite is left out."""


@dataclass(frozen=True)
class MetricInfo:
    """The facts that a report states about a metric."""

    name: str
    """The name in `scores.csv` and in the mappings below."""
    title: str
    better: Literal["higher", "lower", "neither"]
    source: str
    """The paper that defines it."""
    meaning: str
    """What it measures, in one line."""
    caution: str
    """What it rewards wrongly, in one line."""
    low: float | None = None
    high: float | None = None
    """The lowest and the highest possible value; None: there is no bound."""
    mefb: str | None = None
    """The metric's name in MEFB's tables; None: MEFB does not have it."""
    agreement: float | None = None
    """How far it agrees with people, -1 to 1; None: that was not measured."""
    counts: bool = False
    """Whether the mean rank counts it: it agrees with people, and no other metric repeats it."""


@dataclass(frozen=True)
class Dataset:
    """The dataset that was measured."""

    name: str
    """The name of its folder."""
    scenes: tuple[str, ...]
    referenced: tuple[str, ...]
    """The scenes that have a reference picture."""
    sha256: str
    """A hash of the names and bytes of all files."""


@dataclass(frozen=True)
class Mean:
    """A mean over scenes. `low` to `high` is its 95 % interval; None: single scores are not known, or too few."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class MethodResult:
    """The figures of one method. The keys of mappings are metrics' names, with and without a reference."""

    name: str
    title: str
    paper: str
    kind: Kind
    """Where the figures come from: "ours" was run here, "outside" elsewhere, and "published" are means from a paper."""
    scenes: int
    """The number of scenes that were measured."""
    failures: dict[str, str] = field(default_factory=dict[str, str])
    """The reasons, as sentences, by scene."""
    weights_sha256: dict[str, str] = field(default_factory=dict[str, str])
    """Hashes of weights by name; a method may use IAT's beside its own."""
    parameters: int | None = None
    gflops: float | None = None
    """Billions of floating-point operations on a pair of 512 × 512 pixels; see `fusion.benchmark.flops`."""
    means: dict[str, Mean] = field(default_factory=dict[str, Mean])
    ranks: dict[str, float] = field(default_factory=dict[str, float])
    """Mean rank, from 1 for the best, over the scenes that all measured methods have. Only metrics with a direction."""
    mean_rank: float | None = None
    """The mean of `ranks` over the metrics that count."""
    mean_rank_all: float | None = None
    """The mean of `ranks` over all metrics without a reference, those among them that people disagree with."""
    p_against_best: dict[str, float] = field(default_factory=dict[str, float])
    """p values of Wilcoxon's signed-rank test against the method with the best mean, over their common scenes, with
    Holm's correction for the number of methods. The best method has none."""


@dataclass(frozen=True)
class Summary:
    """A whole report except for the single scores."""

    dataset: Dataset
    metrics: tuple[MetricInfo, ...]
    """Metrics that compare with both source photographs."""
    reference_metrics: tuple[MetricInfo, ...]
    """Metrics that compare with a reference; empty where the dataset has none."""
    methods: tuple[MethodResult, ...]
    """The methods in the order of the command; published ones come last."""
    as_mefb: bool = False
    """Whether results of JPEG sources were saved as JPEG before they were measured."""
    mode: str = "auto"
    code_sha256: str = ""
    """A hash of the package's source files that read, fuse and measure."""
    version: int = VERSION

    @property
    def all_metrics(self) -> tuple[MetricInfo, ...]:
        """The metrics with and without a reference."""
        return self.metrics + self.reference_metrics


@dataclass(frozen=True)
class Time:
    """The time and the memory that one fusion took."""

    seconds: float
    """Seconds that fusing took with one thread, without reading, measuring and saving."""
    peak_mb: float | None = None
    """Peak memory in MB, beside the photographs and the loaded network; None where the system does not report it."""


def picture(report: Path, method: str, scene: str) -> Path:
    """The path of a method's picture of a scene, or of a preview where `method` is one of `PREVIEWS`.

    >>> picture(Path("report"), "mertens", "church").as_posix()
    'report/pictures/mertens/church.png'
    >>> picture(Path("report"), "under", "church").as_posix()
    'report/pictures/under/church.jpg'
    """
    return report / PICTURES / method / f"{scene}.{'jpg' if method in PREVIEWS else 'png'}"


def summary_json(summary: Summary) -> bytes:
    """The bytes of `summary.json`."""
    return (json.dumps(asdict(summary), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def load_summary(report: Path) -> Summary:
    """A report's summary. Raises `DatasetError` where it is missing or has another format."""
    try:
        said = json.loads((report / SUMMARY).read_bytes())
        if said["version"] != VERSION:
            raise DatasetError(f"{report / SUMMARY} was written by another version; run the benchmark again.")
        return Summary(
            **said
            | {
                "dataset": Dataset(
                    **said["dataset"] | {name: tuple(said["dataset"][name]) for name in ("scenes", "referenced")}
                ),
                "metrics": tuple(MetricInfo(**one) for one in said["metrics"]),
                "reference_metrics": tuple(MetricInfo(**one) for one in said["reference_metrics"]),
                "methods": tuple(
                    MethodResult(**one | {"means": {name: Mean(**mean) for name, mean in one["means"].items()}})
                    for one in said["methods"]
                ),
            }
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{report} holds no benchmark's report; make one: python -m fusion benchmark.") from error


def scores_rows(scores: Scores, metrics: Sequence[str]) -> list[list[str]]:
    """The rows of `scores.csv`: a header, then a row for each method and scene. Values have full precision.

    >>> scores_rows({"mertens": {"church": {"ssim": 0.5}}}, ["ssim", "vif"])
    [['method', 'scene', 'ssim', 'vif'], ['mertens', 'church', '0.5', '']]
    """
    return [
        ["method", "scene", *metrics],
        *(
            [method, scene, *(repr(values[name]) if name in values else "" for name in metrics)]
            for method, scenes in scores.items()
            for scene, values in scenes.items()
        ),
    ]


def load_scores(report: Path) -> Scores:
    """A report's scores. Raises `DatasetError` where `scores.csv` is missing or damaged."""
    scores: Scores = {}
    for method, scene, values in _table(report / SCORES):
        scores.setdefault(method, {})[scene] = values
    return scores


def load_times(report: Path) -> dict[str, dict[str, Time]]:
    """Read what each fusion took by method and scene. Raises `DatasetError` where `times.csv` is missing or damaged."""
    times: dict[str, dict[str, Time]] = {}
    for method, scene, values in _table(report / TIMES):
        times.setdefault(method, {})[scene] = Time(**values)
    return times


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The values without infinities and NaN, which neither a mean nor JSON can hold.

    >>> finite({"psnr": float("inf"), "ssim": 0.5})
    {'ssim': 0.5}
    """
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _table(file: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Read a file: for each row the method, the scene, and the other columns that are not empty."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [
            (row.pop("method"), row.pop("scene"), {name: float(cell) for name, cell in row.items() if cell})
            for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{file} is missing or damaged; run the benchmark again.") from error
