"""The command line: results to stdout, messages to stderr; exit 0 done, 1 some item failed, 2 wrong use."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from fusion.errors import FusionError, ImageError, NotEnoughMemoryError, WeightsError
from fusion.runtime import memory

if TYPE_CHECKING:
    from tqdm import tqdm

    from fusion.settings import Settings

Row = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        with memory.errors_translated():
            return options.run(options)
    except FusionError as error:
        _say(str(error))
        return 1 if isinstance(error, (ImageError, NotEnoughMemoryError, WeightsError)) else 2
    except KeyboardInterrupt:
        _say("Stopped.")
        return 130
    except BrokenPipeError:  # the reader of stdout left: nothing more to say, not even at interpreter exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        _say(f"{error.filename}: {error.strerror}.")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m fusion", description="Fuse under- and over-exposed photographs.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        made.add_argument("--json", action="store_true", help="print JSON")
        meaning = "what a network may use on the CPU (default: half of what is free)"
        made.add_argument("--memory-mb", type=_count, metavar="MB", help=meaning)
        return made

    def pair(made: argparse.ArgumentParser) -> None:
        made.add_argument("under", type=Path, metavar="UNDER")
        made.add_argument("over", type=Path, metavar="OVER")

    def no_align(made: argparse.ArgumentParser) -> None:
        made.add_argument("--no-align", action="store_false", dest="align", help="the camera stood on a tripod")

    def deghost(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--deghost",
            action="store_const",
            const="remove",
            default="mark",
            dest="ghosts",
            help="remove things that moved between the exposures",
        )

    def exposures(made: argparse.ArgumentParser) -> None:
        pair(made)
        made.add_argument(
            "more", type=Path, nargs="*", metavar="MORE", help="up to nine exposures in all, in any order"
        )
        no_align(made)

    def mode(made: argparse.ArgumentParser) -> None:
        meaning = "fast: the network sees a copy of at most 3 megapixels (default: above 4.5, on a CPU)"
        made.add_argument("--mode", choices=("auto", "exact", "fast"), default="auto", help=meaning)

    def options(made: argparse.ArgumentParser, name: str) -> None:
        meaning = "what `methods` lists for it; may be repeated"
        made.add_argument("-O", "--option", type=_setting, action="append", metavar=f"{name}=VALUE", help=meaning)

    command("methods", _methods, "List the methods, their options, and why one is not available.")

    fuse = command("fuse", _fuse, "Fuse a pair with one method.")
    exposures(fuse)
    fuse.add_argument("-m", "--method", default="pyramef")
    fuse.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.png", help="or .tif, or .jpg")
    fuse.add_argument("--bits", type=int, choices=(8, 16), default=8, help="of a channel, PNG and TIFF (default: 8)")
    fuse.add_argument("--quality", type=int, default=95, metavar="0-100", help="of a JPEG (default: 95)")
    meaning = "write how the picture was taken, and its colour profile"
    fuse.add_argument("--keep-metadata", action="store_true", help=meaning)
    options(fuse, "OPTION")
    fuse.add_argument("--weights", type=Path, metavar="MAP.png", help="draw what each exposure counts where, as well")
    deghost(fuse)
    fuse.add_argument(
        "--keep-place",
        action="store_true",
        dest="keep_location",
        help="with --keep-metadata, also write where it was taken",
    )
    mode(fuse)

    folder = command("fuse-folder", _fuse_folder, "Fuse every pair and bracket of a folder; finished ones are kept.")
    folder.add_argument("folder", type=Path, metavar="IN", help="pictures, or folders of them")
    folder.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="a new folder, or one to finish")
    folder.add_argument("-m", "--method", default="pyramef")
    folder.add_argument("--bits", type=int, choices=(8, 16), default=8, help="bits a channel of the PNGs (default: 8)")
    options(folder, "OPTION")
    no_align(folder)
    deghost(folder)
    mode(folder)
    folder.add_argument("--jobs", type=_count, metavar="N", help="how many at once (default: 1; ray: as many as fit)")
    folder.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: on several machines or GPUs")
    folder.add_argument("--dry-run", action="store_true", help="only list what was found")

    compare = command("compare", _compare, "Fuse a pair with several methods, and measure them.")
    exposures(compare)
    deghost(compare)
    compare.add_argument("-m", "--methods", type=_names, metavar="a,b", help="default: all that are available")
    options(compare, "METHOD.OPTION")
    compare.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    mode(compare)
    compare.add_argument("--profile", action="store_true", help="say where the seconds went")

    metrics = command("metrics", _metrics, "Measure a fused picture against its two sources.")
    pair(metrics)
    metrics.add_argument("fused", type=Path, metavar="FUSED")

    bench = command("benchmark", _benchmark, "Measure methods over a folder of <scene>/*_A.*, *_B.* pairs: a report.")
    bench.add_argument("dataset", type=Path, nargs="?", metavar="DATASET", help="*_GT.* are references")
    bench.add_argument("-o", "--out", type=Path, metavar="REPORT", help="a new folder, or one to finish")
    bench.add_argument("-m", "--methods", type=_names, metavar="a,b", help="default: all that are available")
    meaning = "a method's pictures that were made elsewhere: DIR/<scene>.*; may be given again"
    bench.add_argument("--fused", type=_named_folder, action="append", default=[], metavar="NAME=DIR", help=meaning)
    bench.add_argument("--jobs", type=_count, default=1, metavar="N", help="scenes at once (default: 1)")
    meaning = "measure results of JPEG sources after saving them as JPEG, as MEFB did"
    bench.add_argument("--as-mefb", action="store_true", help=meaning)
    mode(bench)
    meaning = "instead: compare the shipped weights' scores on the examples with fusion/benchmark/baseline.json"
    bench.add_argument("--check", action="store_true", help=meaning)
    bench.add_argument("--update", action="store_true", help="and write that file anew")

    train = command("train", _train, "Train a network on a folder of <scene>/*_A.*, *_B.* pairs.")
    train.add_argument("name", metavar="NAME|all", help="iat, or a method; all: one after the other")
    train.add_argument("--data", type=Path, required=True, metavar="DIR")
    train.add_argument("-o", "--out", type=Path, dest="folder", metavar="RUN", help="default: runs/NAME")
    train.add_argument("--minutes", type=_amount, help="each run's time budget")
    train.add_argument("--steps", type=_count, help="each run's steps")
    train.add_argument("--resume", action="store_true", help="go on from the run's checkpoint, if there is one")
    train.add_argument("--save-every", type=_amount, default=60, metavar="SECONDS", help="default: 60")
    train.add_argument("--full-precision", action="store_true", help="float32 where bfloat16 would be used")
    train.add_argument("--shipped", action="store_true", help="start from the repository's weights, to improve them")
    train.add_argument("--seed", type=_whole, default=3407)
    train.add_argument("--loss", choices=("structure", "paper"), help="instead of the recipe's")
    train.add_argument("--crop", type=_count, help="pixels a side, instead of the recipe's")
    train.add_argument("--batch", type=_count, help="pairs a step, instead of the recipe's")
    train.add_argument("--rate", type=_amount, help="peak learning rate, instead of the recipe's")

    ship = command("ship", _ship, "Put a training run's best network into weights/ and its manifest.")
    ship.add_argument("name", metavar="NAME")
    ship.add_argument("--run", type=Path, dest="folder", metavar="DIR", help="default: runs/NAME")
    ship.add_argument("--data", required=True, metavar="TEXT", help="what it was trained on, for the manifest")
    ship.add_argument("--recipe", required=True, metavar="TEXT", help="how, for the manifest")

    pairs = command("make-pairs", _make_pairs, "Make exposure pairs with references out of HDR radiance maps.")
    pairs.add_argument("maps", type=Path, metavar="HDR_DIR", help="a folder of .hdr, .pic or .exr maps")
    pairs.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    pairs.add_argument("--count", type=int, default=4, help="pairs a map (default: 4)")
    pairs.add_argument("--side", type=int, default=768, help="longest side in pixels, never enlarged (default: 768)")
    pairs.add_argument(
        "--gap", type=float, nargs=2, default=(2, 8), metavar=("MIN", "MAX"), help="stops (default: 2 8)"
    )
    pairs.add_argument("--response", choices=("gamma", "srgb", "film", "log"), help="default: drawn for each pair")
    noise = "full well and read noise in electrons; inf 0 for none (default: drawn for each pair)"
    pairs.add_argument("--noise", type=float, nargs=2, metavar=("WELL", "READ"), help=noise)
    pairs.add_argument("--jpeg", type=int, nargs=2, metavar=("MIN", "MAX"), help="quality (default: lossless PNG)")
    pairs.add_argument("--shake", type=float, default=0, metavar="PIXELS", help="how far OVER may move (default: 0)")
    pairs.add_argument("--move", action="store_true", help="a thing of the scene is elsewhere in OVER")
    pairs.add_argument("--seed", type=int, default=3407)

    speed = command("speed", _speed, "Time every method beside OpenCV's exposure fusion, or the selective scan.")
    speed.add_argument("--megapixels", type=_amount, nargs="+", default=(0.26, 1, 6, 24), metavar="MP")
    speed.add_argument("-m", "--methods", type=_names, metavar="a,b", help="default: all that are available")
    mode(speed)
    speed.add_argument("-o", "--out", type=Path, metavar="OUT.png", help="a picture of seconds over megapixels")
    speed.add_argument("--scan", action="store_true", help="the scan beside its reference loop, instead")

    study = command("study", _study, "Make a blind study of a benchmark's report, or rank its methods by the votes.")
    study.add_argument("folder", type=Path, metavar="REPORT", help="with --analyse: the STUDY that the votes are of")
    task = study.add_mutually_exclusive_group(required=True)
    task.add_argument("-o", "--out", type=Path, metavar="STUDY", help="a new folder; STUDY/page is for participants")
    task.add_argument("--analyse", type=Path, nargs="+", metavar="VOTES.json", help="one file of each participant")
    asked = "asked of each participant (default: 40)"
    study.add_argument("--comparisons", type=_count, default=40, metavar="N", help=asked)

    check = command("check-gpu", _check_gpu, "Compare the GPU's pictures with the CPU's, and time it.")
    check.add_argument("-m", "--methods", type=_names, metavar="a,b", help="default: all that are available")
    check.add_argument("--megapixels", type=_amount, nargs="+", default=(1, 8.3, 24), metavar="MP")
    return parser


def _names(text: str) -> list[str]:
    """Comma-separated method names, each known."""
    from fusion.methods import METHODS

    known = [method.name for method in METHODS]
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no method called {name}; choose from {', '.join(known)}")
    if not names:
        raise argparse.ArgumentTypeError("name at least one method")
    return list(dict.fromkeys(names))


def _named_folder(text: str) -> tuple[str, Path]:
    """NAME=DIR."""
    name, found, folder = text.partition("=")
    if not (name and found and folder):
        raise argparse.ArgumentTypeError("give the method's name and the folder of its pictures: NAME=DIR")
    return name, Path(folder)


def _setting(text: str) -> tuple[str, float]:
    """`name=number`."""
    name, equals, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        what = "a number" if equals else "a name and a value, such as contrast=0.5"
        raise argparse.ArgumentTypeError(f"give {what}, not {text}") from None


def _whole(text: str, least: int = 0) -> int:
    """A whole number from `least`."""
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"give a whole number, {least} or more")
    return int(text)


_count = partial(_whole, least=1)


def _amount(text: str) -> float:
    """A number above 0."""
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError("give a number above 0")


def _chosen(options: argparse.Namespace) -> list[str]:
    """The methods that were named, or all that are available."""
    from fusion.methods import METHODS

    return options.methods or [method.name for method in METHODS if method.unavailable is None]


def _methods(options: argparse.Namespace) -> int:
    from fusion.methods import METHODS
    from fusion.outputs import method_row

    _print_rows([method_row(method) for method in METHODS], as_json=options.json)
    return 0


def _fuse(options: argparse.Namespace) -> int:
    from fusion.io.image import save
    from fusion.outputs import draw_weights
    from fusion.pipeline import Session, method_named

    if (reason := method_named(options.method).unavailable) is not None:
        raise WeightsError(reason)
    settings = _settings(options)
    with Session() as session:
        scene = session.prepare((options.under, options.over, *options.more), settings)
        for note in scene.notes:
            _say(note)
        if options.weights:  # first: where the method has none, nothing is written
            save(draw_weights(session.weight_maps(scene.pair, options.method, settings)), options.weights)
        with _bar(100, options.method, "%") as bar:
            fused = session.fuse(scene, options.method, settings, progress=lambda share: _move(bar, round(100 * share)))
    for note in fused.notes:
        _say(note)
    metadata, notes = scene.pair.metadata if settings.keep_metadata else None, (*scene.notes, *fused.notes)
    del scene  # which may take more than a gigabyte
    save(
        fused.photo,
        options.out,
        bits=settings.bits,
        quality=settings.quality,
        metadata=metadata,
        keep_location=settings.keep_location,
    )
    if options.json:
        print(json.dumps({"method": options.method, "out": str(options.out), "notes": notes}))
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    """What the command line asks for. Options of one method stand under its name."""
    from fusion.pipeline import by_method
    from fusion.settings import Settings

    said = vars(options)
    prefix = f"{options.method}." if "method" in said else ""
    given = [(f"{prefix}{name}", value) for name, value in said.get("option") or ()]
    names = ("align", "ghosts", "mode", "memory_mb", "bits", "quality", "keep_metadata", "keep_location")
    return Settings(options=by_method(given), **{name: said[name] for name in names if name in said})


def _fuse_folder(options: argparse.Namespace) -> int:
    from fusion.exposures.brackets import find_brackets, shown

    brackets, skipped = find_brackets(options.folder)
    found = [{"scene": shown(b.name), "found_by": b.found_by, "files": [*map(shown, b.files)]} for b in brackets]
    left = [{"file": shown(one.file), "reason": one.reason} for one in skipped]
    if options.dry_run and options.json:
        print(json.dumps({"brackets": found, "skipped": left}))
    elif options.dry_run:
        _print_rows([{**row, "files": ", ".join(row["files"])} for row in found], as_json=False)
    else:
        for row in found:
            _say(f"{row['scene']}, by {row['found_by']}: {', '.join(row['files'])}")
    for one in left:
        _say(f"skipped {one['file']}: {one['reason']}")
    _say(f"{len(found)} scenes, {len(left)} pictures skipped.")
    if options.dry_run:
        return 0

    from fusion.folders.results import FailedBracket, FolderRun, FusedBracket
    from fusion.folders.run import fuse_folder

    run = FolderRun(options.folder, options.out, options.method, _settings(options))
    with _bar(len(brackets), options.method, "scene") as bar:
        outcomes = fuse_folder(
            brackets,
            run,
            skipped=skipped,
            jobs=options.jobs,
            engine=options.engine,
            done=lambda _: _move(bar, bar.n + 1),
        )
    rows = [
        {"scene": shown(one.bracket.name), "result": shown(run.result_path(one.bracket)), "kept": one.kept}
        | ({"notes": one.record.notes, **one.record.scores} if options.json else {})
        for one in outcomes
        if isinstance(one, FusedBracket)
    ]
    failed = [
        {"scene": shown(one.bracket.name), "reason": one.reason} for one in outcomes if isinstance(one, FailedBracket)
    ]
    if options.json:
        print(json.dumps({"done": rows, "failed": failed, "skipped": left}))
    else:
        _print_rows(rows, as_json=False)
    for one in outcomes:
        for note in one.record.notes if isinstance(one, FusedBracket) and not one.kept else ():
            _say(f"{shown(one.bracket.name)}: {note}")
    for one in failed:
        _say(f"{one['scene']}: {one['reason']}")
    return 1 if failed else 0


def _compare(options: argparse.Namespace) -> int:
    from fusion.io.image import save
    from fusion.metrics import METRICS
    from fusion.outputs import contact_sheet, metrics_csv
    from fusion.pipeline import Corrected, Failed, Fused, Loaded, Running, Scored, compare

    options.out.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, Any] = {}
    scored: list[Scored] = []
    failed: list[Failed] = []
    spent: list[Row] = []
    events = compare(
        options.under,
        options.over,
        options.methods,
        more=options.more,
        settings=_settings(options),
    )
    for event in events:
        if isinstance(event, Loaded):
            for note in event.scene.notes:
                _say(note)
            pictures |= {"under": event.scene.pair.under, "over": event.scene.pair.over}
            spent.append({"what": "reading and aligning", "seconds": event.scene.seconds})
        elif isinstance(event, Corrected):
            pictures |= {"under, IAT": event.under, "over, IAT": event.over}
            spent.append({"what": "correcting the exposure", "seconds": event.seconds})
        elif isinstance(event, Running):
            _say(f"{event.method.title} ...")
        elif isinstance(event, Fused):
            for note in event.notes:
                _say(note)
            pictures[event.method.title] = event.photo
            start = time.perf_counter()
            save(event.photo, options.out / f"{event.method.name}.png")
            spent += [
                {"what": f"{event.method.name}: fusing", "seconds": event.seconds},
                {"what": f"{event.method.name}: saving", "seconds": time.perf_counter() - start},
            ]
        elif isinstance(event, Scored):
            scored.append(event)
            spent.append({"what": f"{event.method.name}: measuring", "seconds": event.seconds})
        else:
            failed.append(event)
            _say(f"{event.method.title}: {event.reason}")
    (options.out / "metrics.csv").write_text(metrics_csv(scored, METRICS), encoding="utf-8")
    save(contact_sheet(pictures), options.out / "contact.png")
    rows = [{"method": s.method.name, "seconds": s.fused.seconds, **s.scores} for s in scored]
    _print_rows(rows, as_json=options.json)
    if options.profile:
        for row in spent:
            _say(f"{row['seconds']:8.3f} s  {row['what']}")
    return 1 if failed else 0


def _metrics(options: argparse.Namespace) -> int:
    from fusion.benchmark.evaluation import measure
    from fusion.metrics import BENCHMARK

    scores = measure(options.under, options.over, options.fused)
    if options.json:
        print(json.dumps(scores))
    else:
        titles = {metric.name: metric for metric in BENCHMARK}
        _print_rows([{"metric": k, "value": v, "meaning": titles[k].meaning} for k, v in scores.items()], as_json=False)
    return 0


def _benchmark(options: argparse.Namespace) -> int:
    if options.check:
        return _check_scores(options)
    if options.update or not options.dataset or not options.out:
        raise FusionError("Give a folder of pairs and one for the report: DATASET -o REPORT; or --check [--update].")

    from fusion.benchmark.measure import Outside, Run
    from fusion.benchmark.results import load_times
    from fusion.benchmark.run import benchmark
    from fusion.training.datasets import find_pairs

    outside = tuple(Outside(name, folder) for name, folder in options.fused)
    run = Run(options.out, tuple(_chosen(options)), outside, options.mode, options.as_mefb)
    pairs = find_pairs(options.dataset)
    with _bar(len(pairs), "benchmark", "scene") as bar:
        summary = benchmark(
            pairs, run, options.dataset.resolve().name, jobs=options.jobs, done=lambda _: _move(bar, bar.n + 1)
        )
    times = load_times(options.out)
    measured = [one for one in summary.methods if one.kind != "published"]
    rows = [
        {
            "method": one.name,
            "scenes": one.scenes,
            **{m.name: one.means[m.name].mean if m.name in one.means else None for m in summary.all_metrics},
            "mean_rank": one.mean_rank,
            "parameters": one.parameters,
            "gflops": one.gflops,
            "mean_seconds": fmean(time.seconds for time in times[one.name].values()) if one.name in times else None,
        }
        for one in measured
    ]
    _print_rows(rows, as_json=options.json)
    failures = [(one.name, scene, why) for one in measured for scene, why in one.failures.items()]
    for name, scene, why in failures:
        _say(f"{name}, {scene}: {why}")
    return 1 if failures else 0


def _check_scores(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from fusion.benchmark import gate

    with _bar(len(gate.SCENES), "benchmark --check", "scene") as bar:
        scores = gate.measured(options.jobs, lambda _: _move(bar, bar.n + 1))
    if options.update:
        gate.keep(scores)
        return 0
    drops = gate.drops(gate.kept(), scores)
    _print_rows([asdict(drop) for drop in drops], as_json=options.json)
    return 1 if drops else 0


def _train(options: argparse.Namespace) -> int:
    from fusion.training.loop import LOSSES, train, trainable, trainee

    if options.minutes is None and options.steps is None:
        raise FusionError("Say how long to train: --minutes N or --steps N.")
    asked = {"loss": LOSSES.get(options.loss), "crop": options.crop, "batch": options.batch, "rate": options.rate}
    if options.full_precision:
        asked["half_precision"] = False
    changes = {key: value for key, value in asked.items() if value is not None}
    runs = options.folder or Path("runs")
    names = (
        {name: runs / name for name in trainable()}
        if options.name == "all"
        else {options.name: options.folder or runs / options.name}
    )
    rows: list[Row] = []
    for name, folder in names.items():
        facts = train(
            trainee(name, seed=options.seed, shipped=options.shipped, **changes),
            options.data,
            folder,
            minutes=options.minutes,
            steps=options.steps,
            resume=options.resume,
            seconds_between_saves=options.save_every,
            seed=options.seed,
        )
        rows.append(facts)
    _print_rows(rows, as_json=options.json)
    return 0


def _ship(options: argparse.Namespace) -> int:
    from fusion.training.loop import ship, trainee

    run = options.folder or Path("runs") / options.name
    facts: dict[str, str | int | float] = {"recipe": options.recipe, "data": options.data, "licence": "Apache-2.0"}
    ship(trainee(options.name), run, facts)
    return 0


def _make_pairs(options: argparse.Namespace) -> int:
    from collections import Counter

    from fusion.training.camera import Noise
    from fusion.training.radiance import Options, make_pairs

    wanted = Options(
        count=options.count,
        side=options.side,
        gap=tuple(options.gap),
        response=options.response,
        noise=Noise(*options.noise) if options.noise else None,
        jpeg=tuple(options.jpeg) if options.jpeg else None,
        shake=options.shake,
        move=options.move,
        seed=options.seed,
    )
    with _bar(100, "make-pairs", "%") as bar:
        made, skipped = make_pairs(options.maps, options.out, wanted, lambda share: _move(bar, round(100 * share)))
    rows = [{"map": source, "pairs": pairs} for source, pairs in Counter(shot.source for shot in made).items()]
    _print_rows(rows, as_json=options.json)
    for sentence in skipped:
        _say(sentence)
    return 1 if skipped else 0


def _speed(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from fusion.benchmark.speed import draw, method_rows, scan_rows

    if options.scan:
        _say("The selective scan beside its reference; about two minutes ...")
        scans = [asdict(row) for row in scan_rows()]
        if options.json:
            print(json.dumps({"scan": scans}))
        else:
            _print_rows(scans, as_json=False)
        return 0
    names = _chosen(options)
    rows = list(method_rows(names, options.megapixels, options.mode, say=lambda what: _say(f"{what} ...")))
    if options.out:
        draw(rows, options.out)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))
    else:
        _print_rows([asdict(row) for row in rows], as_json=False)
    return 0


def _study(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from fusion.benchmark import study

    if options.out:
        count = study.make(options.folder, options.out, comparisons=options.comparisons)
        if options.json:
            print(json.dumps({"pictures": count, "page": str(options.out / study.PAGE / "index.html")}))
        _say(f"{count} pictures. Give {options.out / study.PAGE} to participants, and keep {options.out / study.KEY}.")
        return 0
    ranks, notes = study.ranking(options.folder, options.analyse)
    rows = [asdict(rank) for rank in ranks]
    if options.json:
        print(json.dumps({"ranking": rows, "notes": notes}))
    else:
        _print_rows(rows, as_json=False)
    for note in notes:
        _say(note)
    return 0


def _check_gpu(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from fusion.benchmark.gpu import gpu_rows

    names = _chosen(options)
    rows = [asdict(row) for row in gpu_rows(names, options.megapixels)]
    _print_rows(rows, as_json=options.json)
    # One level of 8 bits: less is rounding, more is a defect.
    return 1 if any(row["largest_difference"] > 1 for row in rows) else 0


def _print_rows(rows: Sequence[Row], *, as_json: bool) -> None:
    """Rows of equal keys, as JSON or as a table with aligned columns."""
    if as_json:
        print(json.dumps(rows))
        return
    if not rows:
        return
    cells = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _bar(total: int, title: str, unit: str) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(total=total, desc=title, unit=unit, leave=False, delay=0.5)


def _move(bar: tqdm[Any], to: float) -> None:
    bar.update(to - bar.n)


def _say(message: str) -> None:
    print(message, file=sys.stderr)
