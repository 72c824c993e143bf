"""A whole benchmark: from a folder of pairs to the files that `fusion.benchmark.results` describes.

Scenes are measured one by one, in several processes if asked for. Each finished result is kept as it is made
(`fusion.benchmark.scene`), and the report is computed from the kept results at the end. So a run that was killed can be
started again, continues where it stopped, and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path

import fusion
from fusion.benchmark import latex, published, report
from fusion.benchmark.flops import flops
from fusion.benchmark.results import (
    ENVIRONMENT,
    PREVIEWS,
    SCORES,
    SUMMARY,
    TABLE,
    TIMES,
    Dataset,
    MethodResult,
    MetricInfo,
    Summary,
    scores_rows,
    summary_json,
)
from fusion.benchmark.scene import BenchmarkRun, BenchmarkScene, SceneMeasurer, SceneResult, finished, weights_of
from fusion.benchmark.statistics import MethodStatistics, summarise
from fusion.errors import DatasetError, FusionError, WeightsError
from fusion.io.results_folder import claim_folder, remove_partial_files, sha256, write_file
from fusion.methods import method_named
from fusion.metrics import BENCHMARK
from fusion.metrics.base import Metric
from fusion.metrics.reference import REFERENCE
from fusion.outputs.tables import table_csv
from fusion.pipeline import default_device
from fusion.runtime.workers import in_processes
from fusion.training.datasets import PairFiles

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_PACKAGES = ("torch", "numpy", "scipy", "opencv-python-headless", "pillow", "scikit-image", "numba")
_FACES = ("page", "cli", "benchmark")
"""Parts of the package that decide no score, but for `_MEASURING`."""
_MEASURING = ("benchmark/scene.py", "benchmark/measure.py")


def benchmark(
    pairs: Sequence[PairFiles],
    run: BenchmarkRun,
    name: str,
    *,
    jobs: int = 1,
    done: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Measure the methods of `run` over `pairs`, write the report into `run.out`, and return its summary.

    `name` is the dataset's name in the report. `run.code_sha256` is filled in here. `done` is called with the name of
    each scene that is finished. A scene or a picture that cannot be used does not stop the benchmark: the reason stands
    in `failures` of its methods. Raises `DatasetError` where `run.out` holds files that a benchmark did not write, and
    `WeightsError` or `FusionError` where a method cannot be used.
    """
    check(run)
    scenes = [_scene(files) for files in pairs]
    run = replace(run, code_sha256=code_sha256())
    claim_folder(run.out)
    outcomes: dict[str, SceneResult] = {}
    for outcome in in_processes(partial(SceneMeasurer, run), scenes, jobs, partial(_died, run=run)):
        outcomes[outcome.scene] = outcome
        done(outcome.scene)
    remove_partial_files(run.out)  # after a process that outlived a killed run
    ordered = [outcomes[scene.name] for scene in scenes]
    summary = summarised(name, scenes, run, ordered)
    _write(summary, run, ordered, jobs)
    return summary


def check(run: BenchmarkRun) -> None:
    """Raise `WeightsError` or `FusionError` where a method cannot be used, or its name cannot be a folder's name."""
    for name in run.methods:
        if (why := method_named(name).unavailable) is not None:
            raise WeightsError(why)
    taken = {*PREVIEWS, *run.methods}
    for one in run.outside:
        if not _NAME.fullmatch(one.name):
            raise FusionError(f"{one.name!r} cannot be a method's name; use letters, digits and . _ + - only.")
        if one.name in taken:
            raise FusionError(f"{one.name} is another method's or a folder's name; give its pictures another one.")
        if not one.folder.is_dir():
            raise FusionError(f"{one.folder} is not a folder. Give one with {one.name}'s pictures: NAME=DIR.")
        taken.add(one.name)


def code_sha256() -> str:
    """A hash of the package's source files that read, fuse and measure."""
    root = Path(fusion.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).as_posix()
        if name.split("/")[0] not in _FACES or name in _MEASURING:
            digest.update(f"{name} {sha256(file)}\n".encode())
    return digest.hexdigest()


def summarised(
    name: str, scenes: Sequence[BenchmarkScene], run: BenchmarkRun, outcomes: Sequence[SceneResult]
) -> Summary:
    """The report's summary: means, intervals, ranks and tests over the outcomes of all scenes."""
    referenced = tuple(scene.name for scene in scenes if scene.files.reference)
    metrics = tuple(map(_facts, BENCHMARK))
    references = tuple(map(_facts, REFERENCE)) if referenced else ()
    statistics = summarise(_scores(run, outcomes), (*metrics, *references))
    entrants = [_entrant(name, run, outcomes, statistics[name], metrics) for name in run.names]
    if published.comparable(scene.name for scene in scenes):
        entrants += published.rows(metrics)
    digest = hashlib.sha256("".join(f"{scene.name} {scene.sha256}\n" for scene in scenes).encode())
    return Summary(
        Dataset(name, tuple(scene.name for scene in scenes), referenced, digest.hexdigest()),
        metrics,
        references,
        tuple(entrants),
        run.as_mefb,
        run.mode,
        run.code_sha256,
    )


def _died(scene: BenchmarkScene, run: BenchmarkRun) -> SceneResult:
    outcome = finished(scene, run)
    why = "The process that measured this scene was ended twice, perhaps because memory ran out."
    outcome.failures.update(dict.fromkeys(outcome.due(run), why))
    return outcome


def _scene(files: PairFiles) -> BenchmarkScene:
    sources = [file for file in (files.under, files.over, files.reference) if file]
    try:
        return BenchmarkScene(
            files, hashlib.sha256("".join(f"{f.name} {sha256(f)}\n" for f in sources).encode()).hexdigest()
        )
    except UnicodeEncodeError as error:
        raise DatasetError(f"a file's or a folder's name is not text: {files.scene!r}; rename it.") from error
    except OSError as error:
        raise DatasetError(f"a picture of scene {files.scene} cannot be read ({error.strerror}).") from error


def _facts(metric: Metric) -> MetricInfo:
    low, high = (bound if math.isfinite(bound) else None for bound in metric.bounds)
    return MetricInfo(
        metric.name,
        metric.title,
        metric.better.value,
        metric.source,
        metric.meaning,
        metric.caution,
        low,
        high,
        metric.mefb,
        metric.agreement,
        metric.counts,
    )


def _scores(run: BenchmarkRun, outcomes: Sequence[SceneResult]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        name: {outcome.scene: outcome.records[name].scores for outcome in outcomes if name in outcome.records}
        for name in run.names
    }


def _entrant(
    name: str,
    run: BenchmarkRun,
    outcomes: Sequence[SceneResult],
    statistics: MethodStatistics,
    metrics: Sequence[MetricInfo],
) -> MethodResult:
    ours = method_named(name) if name in run.methods else None
    return MethodResult(
        name,
        ours.title if ours else name,
        ours.paper if ours else "",
        "ours" if ours else "outside",
        sum(name in outcome.records for outcome in outcomes),
        {outcome.scene: outcome.failures[name] for outcome in outcomes if name in outcome.failures},
        weights_of(name) if ours else {},
        ours.parameters if ours else None,
        flops(ours) / 1e9 if ours else None,
        statistics.means,
        statistics.ranks,
        statistics.mean_rank([metric for metric in metrics if metric.counts]),
        statistics.mean_rank(metrics),
        statistics.p_against_best,
    )


def _write(summary: Summary, run: BenchmarkRun, outcomes: Sequence[SceneResult], jobs: int) -> None:
    rows = scores_rows(_scores(run, outcomes), [metric.name for metric in summary.all_metrics])
    times = [
        [name, outcome.scene, f"{time.seconds:.4f}", "" if time.peak_mb is None else f"{time.peak_mb:.1f}"]
        for name in run.names
        for outcome in outcomes
        if name in outcome.records and (time := outcome.records[name].time)
    ]
    write_file(run.out / SCORES, table_csv(rows[0], rows[1:]).encode())
    write_file(run.out / TIMES, table_csv(["method", "scene", "seconds", "peak_mb"], times).encode())
    write_file(run.out / ENVIRONMENT, (json.dumps(environment(jobs), indent=1) + "\n").encode())
    write_file(run.out / SUMMARY, summary_json(summary))
    write_file(run.out / TABLE, latex.table(summary).encode())
    report.write(run.out)


def environment(jobs: int) -> dict[str, object]:
    """The time and the machine of the report. Results that were kept from earlier runs may be from others."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "scenes_at_once": jobs,
        "threads_a_scene": 1,
        "device": default_device(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
