"""Pictures that were made before, for whoever asks for the same: one more method, another visitor, a page opened again.

They are kept in memory on purpose: new code or new weights mean a new process, which never meets old results.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from fusion.errors import FusionError
from fusion.methods.base import Method
from fusion.page.gallery import Run, Stage, Tile
from fusion.settings import Settings

Key: TypeAlias = tuple[str, ...]


@dataclass
class _Scene:
    """What was made of the same files in the same way."""

    run: Run
    """The latest run, for its exposures and their notes."""
    tiles: dict[tuple[str, str], Tile] = field(default_factory=dict[tuple[str, str], Tile])
    """Complete tiles by the method's name and its options."""


class RunCache:
    """The pictures of the latest scenes, and the latest runs by the names of their folders."""

    def __init__(self, limit: int = 64) -> None:
        self.limit = limit
        self._scenes: OrderedDict[Key, _Scene] = OrderedDict()
        self._shown: OrderedDict[str, Run] = OrderedDict()

    @staticmethod
    def key(files: Sequence[str], settings: Settings) -> Key:
        """Identify a scene by the content of its files, since every upload has another path, and by how it is made.

        Methods' options do not count. Raises `FusionError` where a file has been deleted.
        """
        try:
            hashes = (hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files)
            return (*hashes, str(replace(settings, options={})))
        except FileNotFoundError:
            raise FusionError("The photographs are not here any more; choose them again.") from None

    def recall(self, key: Key, methods: Sequence[Method], settings: Settings) -> tuple[dict[str, Tile], Run | None]:
        """Return the methods' tiles that need not be made again, and the whole run where that holds for all of them.

        The time for which files are kept starts again.
        """
        scene = self._scenes.get(key)
        if scene is None:
            return {}, None
        names = [(method.name, _options(settings, method.name)) for method in methods]
        kept = {name: tile for name, options in names if (tile := scene.tiles.get((name, options)))}
        others = {method.name for method in scene.run.methods}
        exposures = [tile for tile in scene.run.tiles if tile.name not in others]
        if not _touched([*exposures, *kept.values()], scene.run):
            del self._scenes[key]
            return {}, None
        self._scenes.move_to_end(key)
        if len(kept) < len(methods):
            return kept, None
        tiles = (*exposures, *kept.values())
        return kept, replace(scene.run, methods=tuple(methods), tiles=tiles, settings=settings, stage=Stage.DONE)

    def put(self, key: Key, run: Run) -> None:
        """Keep what a run has made so far. The scene that was unused for longest makes room."""
        if not run.tiles:  # the exposures could not be read
            return
        scene = self._scenes.setdefault(key, _Scene(run))
        scene.run = run
        scene.tiles |= {(t.name, _options(run.settings, t.name)): t for t in run.tiles if t.scored and t.picture}
        while len(self._scenes) > self.limit:
            self._scenes.popitem(last=False)

    def show(self, run: Run) -> None:
        """Note that a visitor is shown this run."""
        self._shown[run.folder.name] = run
        self._shown.move_to_end(run.folder.name)
        while len(self._shown) > self.limit:
            self._shown.popitem(last=False)

    def shown(self, name: str) -> Run | None:
        """The run whose folder has this name, as it was last shown, if all its files are still there."""
        run = self._shown.get(name)
        return run if run and _touched(run.tiles, run) else None

    def update(self, run: Run) -> None:
        """Take the tiles of a run that has more to show in the place of those that are kept."""
        for scene in self._scenes.values():
            if scene.run.folder == run.folder:
                scene.tiles |= {(t.name, _options(run.settings, t.name)): t for t in run.tiles if t.scored}


def _options(settings: Settings, method: str) -> str:
    return str(sorted(settings.options_of(method).items()))


def _touched(tiles: Sequence[Tile], run: Run) -> bool:
    """Whether all files of these tiles are there; they are kept for longer then."""
    files = [file for tile in tiles for file in (tile.picture, tile.preview, tile.view, tile.weights) if file]
    uploads = () if run.example else run.files
    try:
        for path in (*uploads, *run.between, *files):
            os.utime(path)
    except FileNotFoundError:
        return False
    return True
