"""Files that are whole or not there, and folders whose names nobody guesses."""

from __future__ import annotations

import os
import secrets
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


def new_folder(parent: Path, kind: str) -> Path:
    """A new folder for this user alone inside `parent`, which is made if need be; its name holds 128 random bits."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{kind}-{secrets.token_hex(16)}"
    folder.mkdir(mode=0o700)
    return folder
