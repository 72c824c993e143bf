"""Files that are whole or not there."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write under another name, then rename: a reader, or a crash, never meets half a file.

    Raises OSError where the folder is missing, read-only or full; nothing is left behind then.
    """
    part = path.parent / f".{uuid.uuid4().hex}.part"
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()
