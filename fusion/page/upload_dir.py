"""The folder in which the page keeps visitors' pictures. It belongs to one process and is removed at its end."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import platformdirs
from filelock import FileLock, Timeout

KEPT_SECONDS = 25 * 60
"""How long a file is kept after it was last touched."""
SWEEP_SECONDS = 5 * 60
"""How often old files are looked for."""
MAX_BYTES = 2 << 30
"""How large all files together may be. Beyond that, the oldest are removed first."""

_log = logging.getLogger(__name__)


@contextmanager
def taken() -> Generator[Path, None, None]:
    """Make a folder that only this user can read, for Gradio to keep files in, and remove it at the end.

    It lies in the folder that `GRADIO_TEMP_DIR` names, or else in the user's cache. The system's temporary folder,
    which other programs share, is used only where neither can be written. Folders of pages that were killed are removed
    first. Raises `SystemExit` where no folder can be made.
    """
    given = os.environ.get("GRADIO_TEMP_DIR")
    parents = [Path(given) if given else platformdirs.user_cache_path("mambamef")]
    for parent in [*parents, Path(tempfile.gettempdir()) / "mambamef"]:
        try:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_abandoned(parent)
            folder = parent / f"page-{secrets.token_hex(16)}"
            # A folder whose lock is free was abandoned, so the lock is held before the folder exists.
            lock = _lock(folder)
            lock.acquire(blocking=False)
            folder.mkdir(mode=0o700)
            break
        except OSError as error:
            _log.warning("cannot keep pictures in the first folder to try (%s)", type(error).__name__)
    else:
        raise SystemExit("There is no folder to keep pictures in; set GRADIO_TEMP_DIR to one that can be written.")
    try:
        yield folder
    finally:
        _remove(folder, lock)


def sweep_regularly(folder: Path) -> None:
    """Start a thread that removes from the folder what is too old or too large, as long as this process runs."""

    def sweeping() -> None:
        while True:
            time.sleep(SWEEP_SECONDS)
            sweep(folder)

    Thread(target=sweeping, daemon=True).start()


def sweep(folder: Path, kept: float = KEPT_SECONDS, most: int = MAX_BYTES) -> None:
    """Remove files not touched for `kept` seconds, then the oldest while all together have over `most` bytes."""
    files: list[tuple[float, int, Path]] = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # another may have removed it
            stat = path.lstat()
            if not path.is_dir():
                # Gradio copies an example with the time at which it was made, which is long ago.
                files.append((max(stat.st_mtime, stat.st_ctime), stat.st_size, path))
            elif time.time() - stat.st_mtime > kept:
                path.rmdir()  # fails, as it should, where the folder is not empty
    total = sum(size for _, size, _ in files)
    for touched, size, path in sorted(files):
        if time.time() - touched > kept or total > most:
            total -= size
            with suppress(OSError):
                path.unlink()


def _lock(folder: Path) -> FileLock:
    """The lock of a folder; it lies beside the folder, since the page serves what lies inside.

    The system releases it when the process that holds it ends, however that happens.
    """
    return FileLock(folder.with_suffix(".lock"), mode=0o600)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob("page-*"):
        if folder.is_dir():
            lock = _lock(folder)
            with suppress(Timeout):  # its page is running
                lock.acquire(blocking=False)
                _remove(folder, lock)


def _remove(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
