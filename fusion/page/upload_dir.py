"""Where the page keeps visitors' pictures: a folder of this process, which ends with it."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

from fusion.io.files import new_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

KEPT = 25 * 60
"""Seconds that a file is kept."""
SWEPT = 5 * 60
"""Seconds between two looks at what is older."""
MAX_BYTES = 2 << 30
"""Of all files together; beyond that, the oldest go first."""

_NEW = 5
_log = logging.getLogger(__name__)


def take() -> Path:
    """A new folder that this user alone can read, to be Gradio's.

    It lies where `GRADIO_TEMP_DIR` says, else in the user's cache; in the system's temporary folder, which other
    programs share, only where neither can be written. It is removed when the process ends, and what processes left that
    had no time for that is removed now.
    """
    given, cache = os.environ.get("GRADIO_TEMP_DIR"), os.environ.get("XDG_CACHE_HOME", "~/.cache")
    places = [Path(given)] if given else [Path(cache).expanduser() / "mambamef"]
    for place in [*places, Path(tempfile.gettempdir()) / "mambamef"]:
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_left(place)
            folder = new_folder(place, "page")
            break
        except (OSError, RuntimeError) as error:  # there may be no home
            _log.warning("cannot keep pictures in the first place to try (%s)", type(error).__name__)
    else:
        raise SystemExit("There is no folder to keep pictures in; set GRADIO_TEMP_DIR to one that can be written.")
    lock = folder.with_suffix(".lock")  # beside it: what lies in it is served
    _taken(lock)
    atexit.register(_remove, folder, lock)
    return folder


def settle(folder: Path) -> None:
    """From now on, receive uploads there as well, and remove what is too old or too much, in a thread."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)

    def sweeping() -> None:
        while True:
            time.sleep(SWEPT)
            sweep(folder)

    Thread(target=sweeping, daemon=True).start()


def sweep(folder: Path, kept: float = KEPT, most: int = MAX_BYTES) -> None:
    """Remove files that were not touched for so many seconds, then the oldest as long as all are too large."""
    files: list[tuple[float, int, Path]] = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # another may have removed it
            stat = path.lstat()
            if not path.is_dir():
                # Gradio copies an example with the time of its making, which is long ago.
                files.append((max(stat.st_mtime, stat.st_ctime), stat.st_size, path))
            elif time.time() - stat.st_mtime > kept:
                path.rmdir()  # where it is empty
    total = sum(size for _, size, _ in files)
    for touched, size, path in sorted(files):
        if time.time() - touched > kept or total > most:
            total -= size
            with suppress(OSError):
                path.unlink()


def _taken(lock: Path) -> bool:
    """Whether this process holds the lock now; the system lets go of it when the process ends, however that happens."""
    if fcntl is None:
        return False
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    return True


def _remove_left(place: Path) -> None:
    for lock in place.glob("page-*.lock"):
        # A new one may be on its way to being held.
        if time.time() - lock.stat().st_mtime > _NEW and _taken(lock):
            _remove(lock.with_suffix(""), lock)


def _remove(folder: Path, lock: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.unlink(missing_ok=True)
