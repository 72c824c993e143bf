"""Fuse a folder of brackets. Finished ones are kept, one that fails does not stop the others, and a report is written.

A result is finished if its record says that it was made from these very sources with these very settings and weights,
and if its bytes have the recorded hash; then it is not made again. A record is written after its result, and both are
written whole or not at all, so that a run may be killed at any moment and started again.

Results are the same bytes for any number of processes and for both engines.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from fusion.errors import DatasetError, FusionError, WeightsError
from fusion.exposures.brackets import Bracket, Skipped, shown
from fusion.folders.report import REPORT, report_page
from fusion.folders.results import BracketRecord, BracketResult, FailedBracket, FolderRun, FusedBracket
from fusion.io.image import Photo, preview
from fusion.io.results_folder import claim_folder, remove_partial_files, sha256, write_file
from fusion.methods import method_named
from fusion.metrics import METRICS
from fusion.metrics.base import Scorer
from fusion.pipeline import Session
from fusion.runtime import memory, weights
from fusion.runtime.workers import failure_reason, in_processes, use_one_thread

Engine = Literal["local", "ray"]
"""What distributes the work: processes of this machine, or Ray."""

_THUMBNAIL_SIDE = 240
"""The longer side of a thumbnail in pixels."""
_RAY_USAGE_STATS = "RAY_USAGE_STATS_ENABLED"


def fuse_folder(
    brackets: Sequence[Bracket],
    run: FolderRun,
    *,
    skipped: Sequence[Skipped] = (),
    jobs: int | None = None,
    engine: Engine = "local",
    done: Callable[[BracketResult], None] = lambda _: None,
) -> list[BracketResult]:
    """Fuse the brackets that are not finished, write `report.html`, and return the results in the brackets' order.

    `brackets` and `skipped` are what `find_brackets` returns for the folder of `run`. `jobs` is how many brackets are
    fused at the same time: by as many processes of this machine (None: one), or as many tasks of Ray (None: as many as
    fit). `done` is called with each result as soon as it is there.

    Raises `DatasetError` if there is no bracket or if the folder of the results holds other files, `WeightsError` if
    the method has no usable weights, and `FusionError` for an unknown method or option, or if Ray is not installed.
    """
    chosen = method_named(run.method)
    chosen.settled(run.settings.options_of(run.method))
    if (why := chosen.unavailable) is not None:
        raise WeightsError(why)
    if not brackets:
        raise DatasetError(f"There are no pairs or brackets of pictures in {run.folder}.")
    engines = {"local": _local, "ray": _ray}
    claim_folder(run.out)
    results: dict[str, BracketResult] = {}
    for result in engines[engine](brackets, run, jobs):
        results[result.bracket.name] = result
        done(result)
    remove_partial_files(run.out)  # a process may have outlived an earlier run that was killed
    ordered = [results[bracket.name] for bracket in brackets]
    write_file(run.out / REPORT, report_page(ordered, skipped, run).encode())
    return ordered


class BracketFuser:
    """Fuses one bracket after another, with networks that are loaded once. Close its `session` at the end."""

    def __init__(self, run: FolderRun) -> None:
        self.run = run
        self.session = Session()

    def __call__(self, bracket: Bracket) -> BracketResult:
        """Save a bracket's result and record, unless they are finished. If this fails, older ones are removed."""
        try:
            with memory.errors_translated():
                return _fused(bracket, self.run, self.session)
        except Exception as error:  # noqa: BLE001  # a defect in one bracket must not stop the others
            return _failed(bracket, self.run, failure_reason(error, shown(bracket.name)))


def _failed(bracket: Bracket, run: FolderRun, reason: str) -> FailedBracket:
    with suppress(OSError):
        for file in (run.result_path(bracket), run.record_path(bracket)):
            file.unlink(missing_ok=True)
    return FailedBracket(bracket, reason)


def _fused(bracket: Bracket, run: FolderRun, session: Session) -> FusedBracket:
    sources = [run.folder / file for file in bracket.files]
    result, record_path = run.result_path(bracket), run.record_path(bracket)
    made_from = _identity(bracket, run)
    record = _read_record(record_path)
    if record and record.made_from == made_from and result.is_file() and sha256(result) == record.result:
        return FusedBracket(bracket, record, kept=True)
    scene = session.prepare(sources, run.settings)
    fused = session.fuse(scene, run.method, run.settings)
    photo = fused.photo
    scores = Scorer(scene.pair, METRICS)(photo)
    result.parent.mkdir(parents=True, exist_ok=True)
    run.settings.saving.write(photo, result, scene.origin(run.settings.saving))
    size = photo.shape[-1], photo.shape[-2]
    thumbnails = tuple(map(_thumbnail, (*scene.pair.frames, photo)))
    record = BracketRecord(made_from, sha256(result), size, (*scene.notes, *fused.notes), scores, thumbnails)
    write_file(record_path, json.dumps(asdict(record), indent=1).encode())
    return FusedBracket(bracket, record, kept=False)


def _identity(bracket: Bracket, run: FolderRun) -> str:
    """A hash of everything that decides what a result is."""
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


def _read_record(path: Path) -> BracketRecord | None:
    """The record in a file; None if there is none, or one of another form."""
    try:
        return BracketRecord(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _thumbnail(photo: Photo) -> str:
    return base64.b64encode(preview(photo, _THUMBNAIL_SIDE, quality=80)).decode()


def _local(brackets: Sequence[Bracket], run: FolderRun, jobs: int | None) -> Iterator[BracketResult]:
    """Fuse brackets in processes of this machine."""
    reason = "The process that fused it was ended twice, perhaps because memory ran out."
    return in_processes(partial(BracketFuser, run), brackets, jobs or 1, lambda bracket: _failed(bracket, run, reason))


def _ray(brackets: Sequence[Bracket], run: FolderRun, jobs: int | None) -> Iterator[BracketResult]:
    """Fuse brackets in tasks of Ray: on the cluster that RAY_ADDRESS names, or on one that is started here.

    All machines must see both folders under the same paths. If a task's process or machine dies, Ray runs the task
    again elsewhere.
    """
    with _usage_reports_off():
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
        work = partial(_fuse_row, brackets=brackets, run=run)
        resources = {"num_cpus": 1, "num_gpus": 1 if ray.cluster_resources().get("GPU") else 0, "concurrency": jobs}
        # Each bracket is a block of its own, so that a machine's death costs one bracket.
        rows = data.range(len(brackets), override_num_blocks=len(brackets)).map(work, **resources)
        yield from (row["result"] for row in rows.iter_rows())
    finally:
        ray.shutdown()


@contextmanager
def _usage_reports_off() -> Generator[None, None, None]:
    """Start Ray without its reports of usage over the network, unless the user has decided about them.

    `ray.init` has no argument for this. The processes that it starts read the environment, so the variable is set while
    they start, and removed afterwards.
    """
    if _RAY_USAGE_STATS in os.environ:
        yield
        return
    os.environ[_RAY_USAGE_STATS] = "0"
    try:
        yield
    finally:
        os.environ.pop(_RAY_USAGE_STATS, None)


def _fuse_row(row: dict[str, int], brackets: Sequence[Bracket], run: FolderRun) -> dict[str, BracketResult]:
    """One task of Ray. Its row holds the index of a bracket."""
    use_one_thread()
    fuser = BracketFuser(run)
    with fuser.session:
        return {"result": fuser(brackets[row["id"]])}
