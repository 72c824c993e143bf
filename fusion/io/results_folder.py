"""A folder of results that is written file by file, may be abandoned at any moment, and can be completed later.

Files are whole or not there (`fusion.io.files`). For each result there is a record below `.fusion`, which is written
last: a record therefore proves that its result is complete.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from fusion.errors import DatasetError, FusionError
from fusion.io.files import write_atomically

RECORDS = ".fusion"
"""The subfolder that holds the records. A folder that has it was made by this program."""

_PARTIAL = re.compile(r"\.[0-9a-f]{32}\.part")
"""The name of a file that `write_atomically` had not finished when its process was killed."""


def claim_folder(out: Path) -> None:
    """Create `out` if need be, and its subfolder for records, before any result is written.

    What a claimed folder holds may be replaced. Raises `DatasetError` if `out` holds files but no records, or cannot be
    written to.
    """
    records = out / RECORDS
    try:
        if out.exists() and not records.is_dir() and any(out.iterdir()):
            raise DatasetError(f"{out} holds files that this program did not make; give a new or empty folder.")
        records.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{out} cannot be written to ({error.strerror}); give another folder.") from error
    remove_partial_files(out)


def remove_partial_files(out: Path) -> None:
    """Remove the files that killed processes had begun to write in `out` or below it."""
    for folder, _, names in os.walk(out):
        for name in filter(_PARTIAL.fullmatch, names):
            with suppress(OSError):
                Path(folder, name).unlink()


def write_file(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all, and create its folders. Raises `FusionError` if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise FusionError(f"{path.name} cannot be written; check that its folder exists and has room.") from error


def sha256(file: Path) -> str:
    """The SHA-256 hash of a file's bytes, in hexadecimal. Raises `OSError` if it cannot be read."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
