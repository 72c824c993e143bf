"""A run as the visitor sees it: tiles that fill one by one, each with its two files. Every state is a new value."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from fusion.image import Photo, save, save_preview
from fusion.method import Method
from fusion.pipeline import Corrected, Event, Failed, Fused, Loaded, Running

PREVIEW_SIDE = 1600
"""Longest side, in pixels, of what the browser loads first."""


class State(Enum):
    """What a tile shows."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Stage(Enum):
    """How far a run has come."""

    CORRECTING = "correcting"
    FUSING = "fusing"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Tile:
    """One picture of the sheet, or the place where it will be."""

    name: str
    """Of the method, or under, over, under-iat, over-iat: also the name of its file."""
    title: str
    subtitle: str = ""
    state: State = State.WAITING
    reason: str = ""
    """Why there is no picture, as a sentence."""
    picture: Path | None = None
    """Lossless, full size."""
    preview: Path | None = None
    """Lossy, reduced: what the browser loads first."""
    fused: Fused | None = None
    """Time and scores; None for sources and what IAT made of them. Its photograph is empty."""


@dataclass(frozen=True)
class Run:
    """A pair and everything made from it so far. Files lie in `folder`, which no other run shares."""

    folder: Path
    methods: tuple[Method, ...]
    tiles: tuple[Tile, ...] = ()
    size: tuple[int, int] = (0, 0)
    """Height and width in pixels."""
    notes: tuple[str, ...] = ()
    """What was changed on the way in, as sentences."""
    stage: Stage = Stage.CORRECTING

    @property
    def finished(self) -> tuple[Tile, ...]:
        """The tiles that have a picture."""
        return tuple(tile for tile in self.tiles if tile.picture)

    @property
    def fused(self) -> tuple[Fused, ...]:
        """Times and scores of the methods that are done."""
        return tuple(tile.fused for tile in self.tiles if tile.fused)

    @property
    def preview_width(self) -> int:
        """Of every tile, in pixels."""
        return round(self.size[1] * min(1, PREVIEW_SIDE / max(self.size)))

    def tile(self, name: str) -> Tile | None:
        """The tile called `name`, if it has a picture."""
        return next((tile for tile in self.finished if tile.name == name), None)

    def after(self, event: Event) -> Run:
        """The run once `event` has happened; its pictures are written before this returns."""
        match event:
            case Loaded(pair):
                sources = (
                    self._drawn(Tile("under", "Under-exposed", "photograph"), pair.under),
                    self._drawn(Tile("over", "Over-exposed", "photograph"), pair.over),
                )
                waiting = tuple(Tile(method.name, method.title) for method in self.methods)
                return replace(self, tiles=sources + waiting, size=pair.size, notes=pair.notes)
            case Corrected(under, over):
                corrected = (
                    self._drawn(Tile("under-iat", "Under-exposed", "IAT"), under),
                    self._drawn(Tile("over-iat", "Over-exposed", "IAT"), over),
                )
                return replace(self, tiles=self.tiles[:2] + corrected + self.tiles[2:])
            case Running(method):
                return replace(self._with(method, state=State.RUNNING), stage=Stage.FUSING)
            case Failed(method, reason):
                return self._with(method, state=State.FAILED, reason=reason)
            case Fused(method, photo):
                tile = self._drawn(Tile(method.name, method.title), photo)
                # A run outlives its request, so it keeps no photograph: 0.3 GB at 24 megapixels.
                light = replace(event, photo=photo.new_empty(0))
                return self._with(method, state=tile.state, picture=tile.picture, preview=tile.preview, fused=light)

    def ended(self, stage: Stage) -> Run:
        """The run once nothing more will come."""
        tiles = [
            replace(tile, state=State.FAILED, reason="Stopped before it was done.")
            if tile.state in (State.WAITING, State.RUNNING)
            else tile
            for tile in self.tiles
        ]
        return replace(self, tiles=tuple(tiles), stage=stage)

    def _with(self, method: Method, **changes: object) -> Run:
        """The run with the method's tile changed."""
        tiles = [replace(tile, **changes) if tile.name == method.name else tile for tile in self.tiles]  # pyright: ignore[reportArgumentType]
        return replace(self, tiles=tuple(tiles))

    def _drawn(self, tile: Tile, photo: Photo) -> Tile:
        """The tile with the photograph's two files, freshly written."""
        picture, preview = self.folder / f"{tile.name}.png", self.folder / f"{tile.name}.webp"
        save(photo, picture, bits=8)
        save_preview(photo, preview, PREVIEW_SIDE)
        return replace(tile, state=State.DONE, picture=picture, preview=preview)


def follow(events: Iterable[Event], methods: Sequence[Method], folder: Path) -> Iterator[Run]:
    """The run after each event, and once more at its end. Files go to a new folder inside `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(Path(tempfile.mkdtemp(prefix="run-", dir=folder)), tuple(methods))
    for event in events:
        run = run.after(event)
        yield run
    yield run.ended(Stage.DONE)


Key: TypeAlias = tuple[str, ...]


@dataclass
class Finished:
    """The latest complete runs, for whoever asks for the same next: of the examples above all.

    Kept in memory on purpose: new code or new weights mean a new process, which never meets old results.
    """

    limit: int = 64
    _runs: OrderedDict[Key, Run] = field(default_factory=OrderedDict)

    @staticmethod
    def key(under: str, over: str, methods: Sequence[str]) -> Key:
        """By what the files hold, not by where they lie: every upload lies elsewhere."""
        return (*(hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (under, over)), *methods)

    def get(self, key: Key) -> Run | None:
        """The run, if all its files are still there; their hour then begins anew."""
        if (run := self._runs.get(key)) is None:
            return None
        try:
            for path in [file for tile in run.finished for file in (tile.picture, tile.preview) if file]:
                os.utime(path)
        except FileNotFoundError:
            del self._runs[key]
            return None
        self._runs.move_to_end(key)
        return run

    def put(self, key: Key, run: Run) -> None:
        """Keep a run in which every method succeeded; the one unused for longest makes room."""
        if any(tile.state is State.FAILED for tile in run.tiles):
            return
        self._runs[key] = run
        while len(self._runs) > self.limit:
            self._runs.popitem(last=False)
