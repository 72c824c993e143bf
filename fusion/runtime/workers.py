"""Long work over many items, in processes, that may be killed at any moment and started anew.

Whoever uses this writes each item's record last, and keeps what a record proves to be finished. Files are whole or not
there. Each process has one thread, since the order in which several add up changes the last bits: so results are the
same bytes for any number of processes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from fusion.errors import DatasetError, FusionError
from fusion.io.files import write_atomically

OURS = ".fusion"
"""The folder, in a folder of results, that holds their records: what is beside it was made here."""

_PART = re.compile(r"\.[0-9a-f]{32}\.part")
"""A file that `write_atomically` had not finished when its process was killed."""

_log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def take(out: Path) -> None:
    """Make `out`, and mark it before anything is in it: what a marked folder holds may be replaced.

    Raises `DatasetError` where it holds files of others, or cannot be written to.
    """
    mark = out / OURS
    try:
        if out.exists() and not mark.is_dir() and any(out.iterdir()):
            raise DatasetError(f"{out} holds files that were not made here; give a new or empty folder.")
        mark.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{out} cannot be written to ({error.strerror}); give another folder.") from error
    sweep(out)


def sweep(out: Path) -> None:
    """Remove what killed processes had begun to write."""
    for place, _, names in os.walk(out):
        for name in filter(_PART.fullmatch, names):
            with suppress(OSError):
                Path(place, name).unlink()


def write(path: Path, data: bytes) -> None:
    """A file with its folders, whole or not there. Raises `FusionError` where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise FusionError(f"{path.name} cannot be written; check that its folder exists and has room.") from error


def sha256(file: Path) -> str:
    """Of its bytes."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def reason(error: Exception, item: str) -> str:
    """Why an item has no result, as a sentence; the log has a defect whole."""
    if isinstance(error, FusionError):
        return str(error)
    if isinstance(error, OSError):
        return f"A file cannot be read or written ({error.strerror})."
    _log.error("%s failed", item, exc_info=error)
    return "It stopped because of a defect in this program; its log says more."


def in_processes(
    start: Callable[[], Callable[[Item], Result]], items: Sequence[Item], jobs: int, died: Callable[[Item], Result]
) -> Iterator[Result]:
    """Work on every item by `jobs` processes of this machine, and yield each result as soon as it is there.

    Each process calls `start` once and then what that gave, item after item. `start`, items and results must be
    picklable. Where an item ends its process twice, its result is that of `died`, made here. What the work raises is
    raised here.
    """
    # Threads hand the items out, each of them to one process at a time.
    idle: SimpleQueue[_Worker[Item, Result]] = SimpleQueue()
    workers = [_Worker(start) for _ in range(jobs)]
    for worker in workers:
        idle.put(worker)

    def hand_out(item: Item) -> Result:
        worker = idle.get()
        try:
            # Once more where the process dies: the first time, someone else may have ended it.
            done = worker.run(item) or worker.run(item)
            return done[0] if done else died(item)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(jobs)
    try:
        yield from (future.result() for future in as_completed([threads.submit(hand_out, item) for item in items]))
    finally:
        threads.shutdown(cancel_futures=True)  # what is in hand is finished
        for worker in workers:
            worker.close()


class _Worker(Generic[Item, Result]):
    """A process of one thread, and another one in its place when it has died."""

    def __init__(self, start: Callable[[], Callable[[Item], Result]]) -> None:
        self.start = start
        self._open()

    def _open(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        # Not a daemon: the work may start processes of its own.
        self.process = context.Process(target=_serve, args=(self.start, theirs))
        self.process.start()
        theirs.close()

    def run(self, item: Item) -> tuple[Result] | None:
        """The result of one item; None where the process died."""
        try:
            self.pipe.send(item)
            result, error = self.pipe.recv()
        except (EOFError, OSError):
            self.close()
            self._open()
            return None
        if error is not None:
            raise error
        return (result,)

    def close(self) -> None:
        """End the process, which is idle."""
        self.pipe.close()
        self.process.join()
        self.process.close()


def _serve(start: Callable[[], Callable[[Any], Any]], pipe: Connection) -> None:
    """Work on one item after the other, until there are no more."""
    _settle()
    work = start()
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            answer = work(item), None
        except Exception as error:  # noqa: BLE001  # the parent raises it
            answer = None, error
        pipe.send(answer)


def _settle() -> None:
    """In a new process: one thread, no keyboard, and no life after the process that started it."""
    use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent lets it finish what it has in hand
    Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def use_one_thread() -> None:
    """For the libraries that would use several."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
