"""Worker processes that handle many items, and may be killed at any moment.

Each process computes with one thread: several threads would add numbers in a varying order, which changes the last bits
of a result. So results are the same bytes for any number of processes.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from fusion.errors import FusionError

_log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

_UNSENT = "A worker process could not hand back what came of an item"


def failure_reason(error: Exception, item: str) -> str:
    """Say in a sentence why an item has no result. A defect of this program is also logged with its traceback.

    >>> failure_reason(FileNotFoundError(2, "No such file or directory"), "desk")
    'A file cannot be read or written (No such file or directory).'
    """
    if isinstance(error, FusionError):
        return str(error)
    if isinstance(error, OSError):
        return f"A file cannot be read or written ({error.strerror})."
    _log.error("%s failed", item, exc_info=error)
    return "It stopped because of a defect in this program; its log says more."


def in_processes(
    start: Callable[[], Callable[[Item], Result]], items: Sequence[Item], jobs: int, died: Callable[[Item], Result]
) -> Iterator[Result]:
    """Handle every item in one of `jobs` processes of this machine, and yield each result as soon as it is ready.

    There are never more processes than items. Each process calls `start()` once, and then calls the function that this
    returned with one item after another. `start`, items and results must be picklable. If an item ends its process
    twice, its result is `died(item)`, called in this process. Errors that the function or `start` raises are raised
    here; a RuntimeError takes the place of one that cannot be pickled.
    """
    jobs = min(jobs, len(items))
    if not jobs:
        return
    # Threads hand the items out, each of them to one process at a time.
    idle: SimpleQueue[_Worker[Item, Result]] = SimpleQueue()
    workers = [_Worker(start) for _ in range(jobs)]
    for worker in workers:
        idle.put(worker)

    def hand_out(item: Item) -> Result:
        worker = idle.get()
        try:
            # Try once more if the process dies: the first time, something else may have ended it.
            done = worker.run(item) or worker.run(item)
            return done[0] if done else died(item)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(jobs)
    try:
        yield from (future.result() for future in as_completed([threads.submit(hand_out, item) for item in items]))
    finally:
        threads.shutdown(cancel_futures=True)  # items that have begun are finished
        for worker in workers:
            worker.close()


class _Worker(Generic[Item, Result]):
    """A process that computes with one thread; when it dies, another one takes its place."""

    def __init__(self, start: Callable[[], Callable[[Item], Result]]) -> None:
        self.start = start
        self._open()

    def _open(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        # It is not a daemon, since a daemon could not start the decoding processes.
        self.process = context.Process(target=_serve, args=(self.start, theirs))
        self.process.start()
        theirs.close()

    def run(self, item: Item) -> tuple[Result] | None:
        """Handle one item and return its result; None if the process died."""
        try:
            self.pipe.send(item)
            result, error = self.pipe.recv()
        except (EOFError, OSError):
            self.close()
            self._open()
            return None
        except Exception as error:
            raise RuntimeError(f"{_UNSENT} ({type(error).__name__}).") from error
        if error is not None:
            raise error
        return (result,)

    def close(self) -> None:
        """End the process, which must be idle."""
        self.pipe.close()
        self.process.join()
        self.process.close()


def _serve(start: Callable[[], Callable[[Any], Any]], pipe: Connection) -> None:
    """Handle one item after another until the parent closes the pipe. This runs in the worker process."""
    _set_up_process()
    work: Callable[[Any], Any] | None = None
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            work = work or start()
            answer = work(item), None
        except Exception as error:  # noqa: BLE001  # the parent raises it
            if not isinstance(error, FusionError):
                _log.error("A defect in a worker process", exc_info=error)  # its traceback does not reach the parent
            answer = None, error
        try:
            pipe.send(answer)
        except Exception as error:  # noqa: BLE001  # what cannot be pickled
            pipe.send((None, RuntimeError(f"{_UNSENT} ({type(error).__name__}).")))


def _set_up_process() -> None:
    """Use one thread, ignore Ctrl-C, and end together with the parent process."""
    use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent lets the process finish the item that it has
    Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def use_one_thread() -> None:
    """Let PyTorch and OpenCV compute with one thread in this process."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
