"""A folder of brackets, fused one by one: finished ones are kept, a bad one stops nothing, and a report is written.

`OUT/<name>.png` is a result. `OUT/.fusion/<name>.json` is its record: what it was made from, the hash of its bytes, its
metrics and thumbnails. A result is finished when its record says that it was made from these very sources with these
very settings and weights, and when its bytes are those that were recorded; then it is not made again. The record is
written last, and both are whole or not there, so a run may be killed at any moment and started anew.

Results are the same bytes for any number of processes and for both engines: each has one thread, since the order in
which several add up changes the last bits.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from multiprocessing import get_context, parent_process
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean
from threading import Thread
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from fusion import memory, weights
from fusion.align import registered
from fusion.brackets import OURS, Bracket, Skipped, shown
from fusion.errors import DatasetError, FusionError, WeightsError
from fusion.files import write_atomically
from fusion.image import Photo, load_pair, preview, save
from fusion.method import Mode
from fusion.metric import Scorer
from fusion.metrics import METRICS
from fusion.pipeline import fuse_pair, method

REPORT = "report.html"
Engine = Literal["local", "ray"]

_TEMPLATE = Path(__file__).with_name("folder.html")
_PART = re.compile(r"\.[0-9a-f]{32}\.part")
"""A file that `write_atomically` had not finished when its process was killed."""
_THUMBNAIL = 240
"""Pixels of a thumbnail's longest side."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How each bracket is fused. All of it is part of what a result was made from."""

    method: str = "pyramef"
    mode: Mode = "auto"
    bits: int = 8
    """8 or 16, a channel of the PNG."""
    align: bool = True
    """Hand-held exposures are registered first."""
    deghost: bool = False
    """What moved between two exposures is taken out."""


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
    settings: Settings

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
    holds files of others; `WeightsError` and `FusionError` where method or engine cannot be used.
    """
    if (reason := method(run.settings.method).unavailable) is not None:
        raise WeightsError(reason)
    if not brackets:
        raise DatasetError(f"no pairs or brackets of pictures were found in {run.folder}.")
    engines = {"local": _local, "ray": _ray}
    _take(run.out)
    outcomes: dict[str, Outcome] = {}
    for outcome in engines[engine](brackets, run, jobs):
        outcomes[outcome.bracket.name] = outcome
        done(outcome)
    _sweep(run.out)  # after a process that outlived a killed run
    ordered = [outcomes[bracket.name] for bracket in brackets]
    _write(run.out / REPORT, report(ordered, skipped, run.settings).encode())
    return ordered


def make(bracket: Bracket, run: Run) -> Outcome:
    """One bracket's result and record, unless they are finished. Where it fails, no older ones stay behind."""
    try:
        with memory.said():
            return _make(bracket, run)
    except FusionError as error:
        reason = str(error)
    except OSError as error:
        reason = f"A file cannot be read or written ({error.strerror})."
    except Exception:  # noqa: BLE001  # one bracket's defect must not stop the others; the log has it whole
        _log.exception("%s failed", shown(bracket.name))
        reason = "It stopped because of a defect in this program; its log says more."
    return _failed(bracket, run, reason)


def _failed(bracket: Bracket, run: Run, reason: str) -> Failed:
    with suppress(OSError):
        for file in (run.result(bracket), run.record(bracket)):
            file.unlink(missing_ok=True)
    return Failed(bracket, reason)


def _make(bracket: Bracket, run: Run) -> Done:
    sources = [run.folder / file for file in bracket.files]
    result, place = run.result(bracket), run.record(bracket)
    made_from = _identity(bracket, run)
    record = _read(place)
    if record and record.made_from == made_from and result.is_file() and _sha256(result) == record.result:
        return Done(bracket, record, kept=True)
    pair = load_pair(*sources)
    if run.settings.align:
        pair = registered(pair).pair
    ghosts = "remove" if run.settings.deghost else "ignore"
    notes = list(pair.notes)
    photo = fuse_pair(pair, run.settings.method, ghosts=ghosts, mode=run.settings.mode, say=notes.append)
    scores = Scorer(pair, METRICS)(photo)
    for file in (result, place):
        file.parent.mkdir(parents=True, exist_ok=True)
    save(photo, result, bits=run.settings.bits)
    size = photo.shape[-1], photo.shape[-2]
    thumbnails = tuple(map(_thumbnail, (*pair.frames, photo)))
    record = Record(made_from, _sha256(result), size, tuple(notes), scores, thumbnails)
    _write(place, json.dumps(asdict(record), indent=1).encode())
    return Done(bracket, record, kept=False)


def _identity(bracket: Bracket, run: Run) -> str:
    """The hash of all that decides what a result is."""
    used = {run.settings.method, *(("iat",) if method(run.settings.method).enhanced else ())}
    facts = {
        "sources": [(file.as_posix(), _sha256(run.folder / file)) for file in bracket.files],
        "settings": asdict(run.settings),
        "metrics": [metric.name for metric in METRICS],
        "weights": {name: entry["sha256"] for name, entry in weights.entries().items() if name in used},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read(place: Path) -> Record | None:
    """The record, or None where there is none of this form."""
    try:
        return Record(**json.loads(place.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise FusionError(f"{path.name} cannot be written; check that its folder exists and has room.") from error


def _thumbnail(photo: Photo) -> str:
    return base64.b64encode(preview(photo, _THUMBNAIL, quality=80)).decode()


def _take(out: Path) -> None:
    """Make `out`, and mark it before anything is in it: what a marked folder holds may be replaced."""
    mark = out / OURS
    try:
        if out.exists() and not mark.is_dir() and any(out.iterdir()):
            raise DatasetError(f"{out} holds files that were not made here; give a new or empty folder.")
        mark.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{out} cannot be written to ({error.strerror}); give another folder.") from error
    _sweep(out)


def _sweep(out: Path) -> None:
    """Remove what killed processes had begun to write."""
    for place, _, names in os.walk(out):
        for name in filter(_PART.fullmatch, names):
            with suppress(OSError):
                Path(place, name).unlink()


def _local(brackets: Sequence[Bracket], run: Run, jobs: int | None) -> Iterator[Outcome]:
    """By processes of this machine. Threads hand the brackets out, each of them to one process at a time."""
    idle: SimpleQueue[_Worker] = SimpleQueue()
    workers = [_Worker() for _ in range(jobs or 1)]
    for worker in workers:
        idle.put(worker)

    def fuse(bracket: Bracket) -> Outcome:
        worker = idle.get()
        try:
            return worker.make(bracket, run)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(len(workers))
    try:
        yield from (future.result() for future in as_completed([threads.submit(fuse, one) for one in brackets]))
    finally:
        threads.shutdown(cancel_futures=True)  # what is in hand is finished
        for worker in workers:
            worker.close()


class _Worker:
    """A process of one thread, and another one in its place when it has died."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self.process = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_settle)

    def make(self, bracket: Bracket, run: Run) -> Outcome:
        """`make` there, and once more where the process dies: the first time, someone else may have ended it."""
        reason = "The process that fused it was ended twice, perhaps for want of memory."
        return self._try(bracket, run) or self._try(bracket, run) or _failed(bracket, run, reason)

    def _try(self, bracket: Bracket, run: Run) -> Outcome | None:
        try:
            return self.process.submit(make, bracket, run).result()
        except BrokenProcessPool:
            self.close()
            self._start()
            return None

    def close(self) -> None:
        """Once it is idle."""
        self.process.shutdown()


def _settle() -> None:
    """In a new process: one thread, no keyboard, and no life after the process that started it."""
    _use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent lets it finish what it has in hand
    Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _use_one_thread() -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _ray(brackets: Sequence[Bracket], run: Run, jobs: int | None) -> Iterator[Outcome]:
    """By Ray: the cluster of `RAY_ADDRESS`, or one that is started here. Both folders must be there on all machines.

    A task whose process or machine dies is run again elsewhere.
    """
    # Ray reports its use over the network unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray, data = import_module("ray"), import_module("ray.data")
    except ImportError as error:
        raise FusionError("--engine ray needs Ray: pip install -r requirements-ray.txt.") from error
    address = os.environ.get("RAY_ADDRESS")
    alone: dict[str, Any] = {} if address else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    ray.init(address or "local", log_to_driver=False, logging_level="error", **alone)
    try:
        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        run = Run(run.folder.resolve(), run.out.resolve(), run.settings)
        work = partial(_make_row, brackets=brackets, run=run)
        shares = {"num_cpus": 1, "num_gpus": 1 if ray.cluster_resources().get("GPU") else 0, "concurrency": jobs}
        # A block each: what is run again after a machine's death is one bracket.
        rows = data.range(len(brackets), override_num_blocks=len(brackets)).map(work, **shares)
        yield from (row["outcome"] for row in rows.iter_rows())
    finally:
        ray.shutdown()


def _make_row(row: dict[str, int], brackets: Sequence[Bracket], run: Run) -> dict[str, Outcome]:
    _use_one_thread()
    return {"outcome": make(brackets[row["id"]], run)}


def report(outcomes: Sequence[Outcome], skipped: Sequence[Skipped], settings: Settings) -> str:
    """A page with every scene's thumbnails and metrics, and the metrics' means. It loads nothing from anywhere.

    The same outcomes give the same text: it tells no times and no folders outside its own.
    """
    from jinja2 import Environment

    scenes = [outcome for outcome in outcomes if isinstance(outcome, Done)]
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_TEMPLATE.read_text("utf-8"))
    return page.render(
        method=method(settings.method),
        settings=settings,
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
