"""A folder of brackets, fused one by one: finished ones are kept, a bad one stops nothing, and a report is written.

`OUT/<name>.png` is a result. `OUT/.fusion/<name>.json` is its record: what it was made from, the hash of its bytes, its
metrics and thumbnails. A result is finished when its record says that it was made from these very sources with these
very settings and weights, and when its bytes are those that were recorded; then it is not made again. The record is
written last, and both are whole or not there, so a run may be killed at any moment and started anew.

Results are the same bytes for any number of processes and for both engines.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from fusion.errors import DatasetError, FusionError, WeightsError
from fusion.exposures.brackets import Bracket, Skipped, shown
from fusion.io.image import Photo, preview, save
from fusion.methods import method_named
from fusion.metrics import METRICS
from fusion.metrics.base import Scorer
from fusion.pipeline import Session
from fusion.runtime import memory, weights
from fusion.runtime.workers import OURS, in_processes, reason, sha256, sweep, take, use_one_thread, write
from fusion.settings import DEFAULTS, Settings

REPORT = "report.html"
Engine = Literal["local", "ray"]

_TEMPLATE = Path(__file__).with_name("report.html")
_THUMBNAIL = 240
"""Pixels of a thumbnail's longest side."""


@dataclass(frozen=True)
class Record:
    """What is known of a finished result."""

    made_from: str
    """Hash of the sources' names and bytes, the settings, the weights, and which metrics there are."""
    result: str
    """Hash of the PNG's bytes."""
    size: tuple[int, int]
    """Width and height."""
    notes: tuple[str, ...]
    """Sentences: what was changed as the sources were read, and what was done for want of memory."""
    scores: dict[str, float]
    """By metric."""
    thumbnails: tuple[str, ...]
    """JPEG in base64, of the sources from dark to bright and of the result."""


@dataclass(frozen=True)
class Done:
    """A bracket whose result is there."""

    bracket: Bracket
    record: Record
    kept: bool
    """It was finished by an earlier run."""


@dataclass(frozen=True)
class Failed:
    """A bracket without a result, and why, as a sentence."""

    bracket: Bracket
    reason: str


Outcome: TypeAlias = Done | Failed


@dataclass(frozen=True)
class Run:
    """What is common to all brackets of a run."""

    folder: Path
    """Of the sources."""
    out: Path
    method: str = "pyramef"
    settings: Settings = DEFAULTS
    """How each bracket is fused. All of it is part of what a result was made from."""

    def result(self, bracket: Bracket) -> Path:
        """Where the bracket's picture goes."""
        return self.out / f"{bracket.name}.png"

    def record(self, bracket: Bracket) -> Path:
        """Where its record goes."""
        return self.out / OURS / f"{bracket.name}.json"


def fuse_folder(
    brackets: Sequence[Bracket],
    run: Run,
    *,
    skipped: Sequence[Skipped] = (),
    jobs: int | None = None,
    engine: Engine = "local",
    done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Fuse what is not finished, and write `report.html`, which names `skipped` too; outcomes in the brackets' order.

    `jobs` is how many work at once: processes of this machine (None: one), or Ray's tasks (None: as many as fit).
    `done` hears each outcome as soon as it is there. Raises `DatasetError` where there is no bracket, or where `out`
    holds files of others; `WeightsError` and `FusionError` where method, options or engine cannot be used.
    """
    chosen = method_named(run.method)
    chosen.settled(run.settings.options_of(run.method))
    if (why := chosen.unavailable) is not None:
        raise WeightsError(why)
    if not brackets:
        raise DatasetError(f"no pairs or brackets of pictures were found in {run.folder}.")
    engines = {"local": _local, "ray": _ray}
    take(run.out)
    outcomes: dict[str, Outcome] = {}
    for outcome in engines[engine](brackets, run, jobs):
        outcomes[outcome.bracket.name] = outcome
        done(outcome)
    sweep(run.out)  # after a process that outlived a killed run
    ordered = [outcomes[bracket.name] for bracket in brackets]
    write(run.out / REPORT, report(ordered, skipped, run).encode())
    return ordered


class Maker:
    """Makes one bracket's result after the other; it loads networks once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.session = Session()

    def __call__(self, bracket: Bracket) -> Outcome:
        """A bracket's result and record, unless they are finished. Where it fails, no older ones stay behind."""
        try:
            with memory.said():
                return _make(bracket, self.run, self.session)
        except Exception as error:  # noqa: BLE001  # one bracket's defect must not stop the others
            return _failed(bracket, self.run, reason(error, shown(bracket.name)))


def _failed(bracket: Bracket, run: Run, why: str) -> Failed:
    with suppress(OSError):
        for file in (run.result(bracket), run.record(bracket)):
            file.unlink(missing_ok=True)
    return Failed(bracket, why)


def _make(bracket: Bracket, run: Run, session: Session) -> Done:
    sources = [run.folder / file for file in bracket.files]
    result, place = run.result(bracket), run.record(bracket)
    made_from = _identity(bracket, run)
    record = _read(place)
    if record and record.made_from == made_from and result.is_file() and sha256(result) == record.result:
        return Done(bracket, record, kept=True)
    scene = session.prepare(sources, run.settings)
    fused = session.fuse(scene, run.method, run.settings)
    photo = fused.photo
    scores = Scorer(scene.pair, METRICS)(photo)
    result.parent.mkdir(parents=True, exist_ok=True)
    save(photo, result, bits=run.settings.bits)
    size = photo.shape[-1], photo.shape[-2]
    thumbnails = tuple(map(_thumbnail, (*scene.pair.frames, photo)))
    record = Record(made_from, sha256(result), size, (*scene.notes, *fused.notes), scores, thumbnails)
    write(place, json.dumps(asdict(record), indent=1).encode())
    return Done(bracket, record, kept=False)


def _identity(bracket: Bracket, run: Run) -> str:
    """The hash of all that decides what a result is."""
    method = method_named(run.method)
    used = {run.method, *(("iat",) if method.needs.enhanced else ())}
    options = method.settled(run.settings.options_of(run.method))
    facts = {
        "sources": [(file.as_posix(), sha256(run.folder / file)) for file in bracket.files],
        "method": run.method,
        "settings": asdict(run.settings) | {"options": options},
        "metrics": [metric.name for metric in METRICS],
        "weights": {name: entry["sha256"] for name, entry in weights.entries().items() if name in used},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read(place: Path) -> Record | None:
    """The record, or None where there is none of this form."""
    try:
        return Record(**json.loads(place.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _thumbnail(photo: Photo) -> str:
    return base64.b64encode(preview(photo, _THUMBNAIL, quality=80)).decode()


def _local(brackets: Sequence[Bracket], run: Run, jobs: int | None) -> Iterator[Outcome]:
    """By processes of this machine."""
    why = "The process that fused it was ended twice, perhaps for want of memory."
    return in_processes(partial(Maker, run), brackets, jobs or 1, lambda bracket: _failed(bracket, run, why))


def _ray(brackets: Sequence[Bracket], run: Run, jobs: int | None) -> Iterator[Outcome]:
    """By Ray: the cluster of `RAY_ADDRESS`, or one that is started here. Both folders must be there on all machines.

    A task whose process or machine dies is run again elsewhere.
    """
    # Ray reports its use over the network unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray, data = import_module("ray"), import_module("ray.data")
    except ImportError as error:
        raise FusionError("--engine ray needs Ray: pip install 'ray[data]'.") from error
    address = os.environ.get("RAY_ADDRESS")
    alone: dict[str, Any] = {} if address else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    ray.init(address or "local", log_to_driver=False, logging_level="error", **alone)
    try:
        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        run = replace(run, folder=run.folder.resolve(), out=run.out.resolve())
        work = partial(_make_row, brackets=brackets, run=run)
        shares = {"num_cpus": 1, "num_gpus": 1 if ray.cluster_resources().get("GPU") else 0, "concurrency": jobs}
        # A block each: what is run again after a machine's death is one bracket.
        rows = data.range(len(brackets), override_num_blocks=len(brackets)).map(work, **shares)
        yield from (row["outcome"] for row in rows.iter_rows())
    finally:
        ray.shutdown()


def _make_row(row: dict[str, int], brackets: Sequence[Bracket], run: Run) -> dict[str, Outcome]:
    use_one_thread()
    maker = Maker(run)
    with maker.session:
        return {"outcome": maker(brackets[row["id"]])}


def report(outcomes: Sequence[Outcome], skipped: Sequence[Skipped], run: Run) -> str:
    """A page with every scene's thumbnails and metrics, and the metrics' means. It loads nothing from anywhere.

    The same outcomes give the same text: it tells no times and no folders outside its own.
    """
    from jinja2 import Environment

    scenes = [outcome for outcome in outcomes if isinstance(outcome, Done)]
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_TEMPLATE.read_text("utf-8"))
    return page.render(
        method=method_named(run.method),
        settings=run.settings,
        options=run.settings.options_of(run.method),
        metrics=METRICS,
        scenes=scenes,
        means={metric.name: fmean(scene.record.scores[metric.name] for scene in scenes) for metric in METRICS}
        if scenes
        else {},
        failures=[outcome for outcome in outcomes if isinstance(outcome, Failed)],
        skipped=skipped,
        shown=shown,
        address=_address,
    )


def _address(bracket: Bracket) -> str:
    """The result's, from the report beside it."""
    return quote(os.fsencode(f"{bracket.name}.png"))
