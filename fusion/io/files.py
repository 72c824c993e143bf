"""Files that are written whole or not at all, and new folders with names that nobody can guess."""

from __future__ import annotations

import os
import secrets
import uuid
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` under a temporary name, then rename the file, so that it is never there half written.

    Raises `OSError` if the folder is missing, read-only or full; nothing is left behind then.
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
    """Create a folder `<kind>-<32 hexadecimal digits>` in `parent` that only this user can open, and return its path.

    `parent` is created too if need be. The name holds 128 random bits, so that nobody finds the folder by guessing.
    Raises `OSError` if it cannot be created.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{kind}-{secrets.token_hex(16)}"
    folder.mkdir(mode=0o700)
    return folder
