"""Commands that measure methods over many scenes, their speed, and what people prefer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer

from fusion.cli.options import AsJson, Jobs, Megapixels, MemoryMb, Methods, Mode, chosen, file_name
from fusion.cli.output import GrowingTable, Row, print_json, print_rows, progress, say
from fusion.errors import FusionError

if TYPE_CHECKING:
    from fusion.benchmark.gpu import GpuRow
    from fusion.benchmark.results import Summary
    from fusion.benchmark.speed import MethodRow, ScanRow

_TimedRow = TypeVar("_TimedRow", "MethodRow", "ScanRow", "GpuRow")


class Pictures(NamedTuple):
    """A method's name and the folder of its pictures, given as `NAME=DIR`."""

    name: str
    folder: Path


def pictures(text: str) -> Pictures:
    """Read `NAME=DIR`. Raises `typer.BadParameter` for anything else."""
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise typer.BadParameter("give the method's name and the folder of its pictures: NAME=DIR")
    return Pictures(name, Path(folder))


def benchmark(
    dataset: Annotated[
        Path | None,
        typer.Argument(
            parser=file_name,
            metavar="DATASET",
            help="Read the scenes of this folder. Each is a folder with under.*, over.* and perhaps reference.*, "
            "or with *_A.*, *_B.* and perhaps *_GT.*.",
        ),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            parser=file_name,
            metavar="REPORT",
            help="Write the report to this folder: a new one, or one that an earlier run began.",
        ),
    ] = None,
    methods: Methods = None,
    fused: Annotated[
        list[Pictures] | None,
        typer.Option(
            "--fused",
            parser=pictures,
            metavar="NAME=DIR",
            help="Also measure the pictures DIR/SCENE.* of a method that was run elsewhere. Repeat it for several.",
        ),
    ] = None,
    jobs: Jobs = 1,
    as_mefb: Annotated[
        bool,
        typer.Option(
            "--as-mefb",
            help="Save results of JPEG exposures as JPEG before they are measured, as the MEFB benchmark did.",
        ),
    ] = False,
    mode: Mode = "auto",
    memory_mb: MemoryMb = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Instead of a report, compare the scores of the shipped weights on the examples with stored ones.",
        ),
    ] = False,
    update: Annotated[
        bool,
        typer.Option("--update", help="With --check, store the scores that have changed, for later checks."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Measure methods over a folder of scenes, and write a report with pictures, tables and statistics.

    MEFB is at github.com/xingchenzhang/MEFB, and SICE at github.com/csjcai/SICE.

    Example: python -m fusion benchmark scenes -m mertens,pyramef -o report
    """
    if check:
        return _check(methods, jobs, update=update, as_json=as_json)
    if update or not dataset or not out:
        raise FusionError("Give a folder of pairs and one for the report: DATASET -o REPORT; or --check [--update].")

    from fusion.benchmark.run import benchmark
    from fusion.benchmark.scene import BenchmarkRun, ExternalMethod
    from fusion.training.datasets import find_pairs

    outside = tuple(ExternalMethod(name, folder) for name, folder in fused or ())
    run = BenchmarkRun(out, tuple(chosen(methods)), outside, mode, memory_mb, as_mefb)
    pairs = find_pairs(dataset)
    with progress("benchmark", len(pairs)) as move:
        summary = benchmark(pairs, run, dataset.resolve().name, jobs=jobs, done=lambda _: move(advance=1))
    print_rows(_means(summary, out), as_json=as_json)
    measured = [one for one in summary.methods if one.kind != "published"]
    failures = [(one.name, scene, why) for one in measured for scene, why in one.failures.items()]
    for name, scene, why in failures:
        say(f"{name}, {scene}: {why}")
    return 1 if failures else 0


def speed(
    *,
    megapixels: Megapixels = [0.26, 1, 6, 24],  # noqa: B006  # typer reads it, and nothing changes it
    methods: Methods = None,
    mode: Mode = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            parser=file_name,
            metavar="FILE",
            help="Draw seconds over megapixels into this picture; its ending (.png, .svg, .pdf) decides the format.",
        ),
    ] = None,
    scan: Annotated[
        bool,
        typer.Option("--scan", help="Instead of the methods, time the selective scan beside its readable reference."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Time every method beside OpenCV's exposure fusion, and print a row as soon as it is measured.

    Example: python -m fusion speed --megapixels 1 6 -m mertens,pyramef
    """
    from fusion.benchmark.speed import draw, method_rows, scan_rows

    if scan:
        say("The selective scan is timed beside its reference, which takes about two minutes.")
        scans = _printed(scan_rows(), as_json=as_json)
        if as_json:
            print_json({"scan": [asdict(row) for row in scans]})
        return 0
    rows = _printed(method_rows(chosen(methods), megapixels, mode, say=say), as_json=as_json)
    if out:
        draw(rows, out)
    if as_json:
        print_json({"rows": [asdict(row) for row in rows]})
    return 0


def study(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=file_name,
            metavar="FOLDER",
            help="Read the report of a benchmark from this folder, or with --analyse the study that the votes are for.",
        ),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            parser=file_name,
            metavar="STUDY",
            help="Write the study to this new folder. Its folder page is for the participants.",
        ),
    ] = None,
    analyse: Annotated[
        list[Path] | None,
        typer.Option(
            "--analyse",
            parser=file_name,
            metavar="VOTES.json",
            help="Rank the methods by the votes in these files, one from each participant, separated by spaces.",
        ),
    ] = None,
    comparisons: Annotated[
        int,
        typer.Option("--comparisons", min=1, metavar="N", help="Ask each participant for this many comparisons."),
    ] = 40,
    as_json: AsJson = False,
) -> int:
    """Make a blind study from a benchmark's report, or rank its methods by the participants' votes.

    Example: python -m fusion study report -o study
    """
    if bool(out) == bool(analyse):
        raise FusionError("Give either -o STUDY, to make a study, or --analyse VOTES.json, to rank its methods.")
    if out:
        return _make_study(folder, out, comparisons, as_json=as_json)
    return _rank(folder, analyse or (), as_json=as_json)


def check_gpu(
    *,
    methods: Methods = None,
    megapixels: Megapixels = [1, 8.3, 24],  # noqa: B006  # typer reads it, and nothing changes it
    as_json: AsJson = False,
) -> int:
    """Compare the pictures of the GPU with those of the processor, and time the GPU.

    Example: python -m fusion check-gpu --megapixels 1 8
    """
    from fusion.benchmark.gpu import gpu_rows

    rows = _printed(gpu_rows(chosen(methods), megapixels), as_json=as_json)
    if as_json:
        print_json([asdict(row) for row in rows])
    # One level of 8 bits: less is rounding, more is a defect.
    return 1 if any(row.largest_difference > 1 for row in rows) else 0


def _check(methods: str | None, jobs: int, *, update: bool, as_json: bool) -> int:
    """Compare the scores on the examples with the stored scores, or store those that changed."""
    from fusion.benchmark import regression
    from fusion.methods import METHODS

    if update and methods:
        raise FusionError("Leave out -m with --check --update, which keeps the scores of all methods.")
    names = chosen(methods) if methods else [method.name for method in METHODS]
    if not update:  # before half a minute is spent on measuring
        regression.check_names(regression.baseline())
    with progress("benchmark --check", len(regression.scenes())) as move:
        scores = regression.measured(names, jobs, lambda _: move(advance=1))
    if update:
        say(f"{regression.update(scores)} values changed by more than {regression.TOLERANCE} and were written.")
        return 0
    before = {name: rows for name, rows in regression.baseline().items() if name in names}
    drops = regression.drops(before, scores)
    print_rows([asdict(drop) for drop in drops], as_json=as_json)
    return 1 if drops else 0


def _means(summary: Summary, out: Path) -> list[Row]:
    """A row of means for each method that was measured."""
    from fusion.benchmark.results import load_times

    times = load_times(out)
    return [
        {
            "method": one.name,
            "scenes": one.scenes,
            **{m.name: one.means[m.name].mean if m.name in one.means else None for m in summary.all_metrics},
            "mean_rank": one.mean_rank,
            "mean_rank_all": one.mean_rank_all,
            "parameters": one.parameters,
            "gflops": one.gflops,
            "mean_seconds": fmean(time.seconds for time in times[one.name].values()) if one.name in times else None,
        }
        for one in summary.methods
        if one.kind != "published"
    ]


def _printed(rows: Iterable[_TimedRow], *, as_json: bool) -> list[_TimedRow]:
    """Return all rows. Each is printed as soon as it is measured; JSON is printed at the end instead."""
    table, kept = GrowingTable(), list[_TimedRow]()
    for row in rows:
        if not as_json:
            table.add(asdict(row))
        kept.append(row)
    return kept


def _make_study(report: Path, out: Path, comparisons: int, *, as_json: bool) -> int:
    from fusion.benchmark import study

    count = study.make(report, out, comparisons=comparisons)
    if as_json:
        print_json({"pictures": count, "page": str(out / study.PAGE / "index.html")})
    say(f"{count} pictures. Give {out / study.PAGE} to participants, and keep {out / study.KEY}.")
    return 0


def _rank(folder: Path, votes: Sequence[Path], *, as_json: bool) -> int:
    from fusion.benchmark import study

    ranks, notes = study.ranking(folder, votes)
    rows = [asdict(rank) for rank in ranks]
    if as_json:
        print_json({"ranking": rows, "notes": notes})
    else:
        print_rows(rows)
    for note in notes:
        say(note)
    return 0
