"""The latest complete runs, for the next visitor who asks for the same: examples are asked for most often."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from fusion.errors import FusionError
from fusion.page.gallery import Run, TileState

Key: TypeAlias = tuple[str, ...]


class RunCache:
    """Complete runs, found by the files and the choices that they were made from.

    They are kept in memory on purpose: new code or new weights mean a new process, which never meets old results.
    """

    def __init__(self, limit: int = 64) -> None:
        self.limit = limit
        self._runs: OrderedDict[Key, Run] = OrderedDict()

    @staticmethod
    def key(files: Sequence[str], choices: Sequence[str]) -> Key:
        """Identify a run by the content of its files, since every upload has another path, and by what was chosen.

        Raises `FusionError` where a file has been deleted.
        """
        try:
            return (*(hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files), *choices)
        except FileNotFoundError:
            raise FusionError("The photographs are not here any more; choose them again.") from None

    def get(self, key: Key) -> Run | None:
        """Return the run if all its files are still there; the time for which they are kept then starts again."""
        if (run := self._runs.get(key)) is None:
            return None
        shown = [file for tile in run.finished for file in (tile.picture, tile.preview, tile.weights) if file]
        try:
            for path in (*run.between, *shown):
                os.utime(path)
        except FileNotFoundError:
            self._runs.pop(key, None)
            return None
        self._runs.move_to_end(key)
        return run

    def put(self, key: Key, run: Run) -> None:
        """Keep a run in which every method succeeded. The run that was unused for longest makes room."""
        if not any(tile.state is TileState.FAILED for tile in run.tiles):
            self._runs[key] = run
            while len(self._runs) > self.limit:
                self._runs.popitem(last=False)

    def update(self, run: Run) -> None:
        """Replace the run of the same folder, where it is kept, by this one, which has more to show."""
        for key, known in self._runs.items():
            if known.folder == run.folder:
                self._runs[key] = run
                return
