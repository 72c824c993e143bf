"""A run as the visitor sees it: tiles that fill one by one, each with its two files. Every state is a new value."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from fusion.blocks.guided_filter import shrink
from fusion.errors import FusionError
from fusion.exposures.ghosts import overlay
from fusion.io.files import new_folder
from fusion.io.image import ExposurePair, Photo, load, save, save_preview, to_uint8
from fusion.methods.base import Method
from fusion.outputs.drawings import draw_weights
from fusion.pipeline import Corrected, Event, Failed, Fused, Loaded, Running, Scored, Session
from fusion.settings import DEFAULTS, Settings

PREVIEW_SIDE = 1600
"""Longest side, in pixels, of what the browser loads first."""


AT_ONCE = 2_000_000
"""Pixels up to which a lossless picture is there as soon as its preview."""


BEHIND = 3
"""Large pictures that may wait to be written, in memory."""


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
    """Of the method, or under, over, moved, under-iat, over-iat: also the name of its file."""
    title: str = ""
    """Of the method; what the others are called depends on the visitor's language."""
    share: float = 0
    """Of the picture that moved, 0 to 1; only that tile has it."""
    state: State = State.WAITING
    reason: str = ""
    """Why there is no picture, as a sentence; empty where it was stopped."""
    preview: Path | None = None
    """Lossy, reduced: what the browser loads first."""
    picture: Path | None = None
    """Lossless, full size; written a little later than the preview."""
    fused: Fused | None = None
    """Its time; None for sources and what IAT made of them. Its photograph is empty."""
    scored: Scored | None = None
    """Its scores, a moment later."""
    weights: Path | None = None
    """Its weight maps as one picture, once they were asked for."""
    shares: tuple[float, ...] = ()
    """What each exposure counts in it on average, from dark to bright; of sum 1."""


Draw: TypeAlias = Callable[[Tile, Photo], Tile]
"""Puts a photograph into a tile."""


@dataclass(frozen=True)
class Run:
    """A pair and everything made from it so far. Files lie in `folder`, which no other run shares."""

    folder: Path
    methods: tuple[Method, ...]
    tiles: tuple[Tile, ...] = ()
    size: tuple[int, int] = (0, 0)
    """Height and width in pixels."""
    between: tuple[Path, ...] = ()
    """Exposures that no tile shows, as large as previews."""
    notes: tuple[str, ...] = ()
    """What was changed on the way in, as sentences."""
    stage: Stage = Stage.CORRECTING
    example: str = ""
    """The name of the page's example that the pair is; empty if it is none."""
    settings: Settings = DEFAULTS
    """How the visitor wants the pictures."""

    @property
    def finished(self) -> tuple[Tile, ...]:
        """The tiles that show something."""
        return tuple(tile for tile in self.tiles if tile.preview)

    @property
    def fused(self) -> tuple[Fused, ...]:
        """Times of the methods that are done."""
        return tuple(tile.fused for tile in self.tiles if tile.fused)

    @property
    def scored(self) -> tuple[Scored, ...]:
        """Times and scores of the methods that are measured as well."""
        return tuple(tile.scored for tile in self.tiles if tile.scored)

    @property
    def preview_width(self) -> int:
        """Of every tile, in pixels."""
        return round(self.size[1] * min(1, PREVIEW_SIDE / max(self.size)))

    def tile(self, name: str) -> Tile | None:
        """The tile called `name`, if it shows something."""
        return next((tile for tile in self.finished if tile.name == name), None)

    def after(self, event: Event, draw: Draw) -> Run:
        """The run once `event` has happened."""
        match event:
            case Loaded(scene):
                pair, ghosts = scene.pair, scene.ghosts
                sources = (
                    draw(Tile("under"), pair.under),
                    draw(Tile("over"), pair.over),
                )
                waiting = tuple(Tile(method.name, method.title) for method in self.methods)
                moved = ()
                if ghosts:
                    moved = (draw(Tile("moved", share=ghosts.share), overlay(pair, ghosts)),)
                between = tuple(self.folder / f"between-{index}.png" for index in range(len(pair.between)))
                return replace(self, tiles=sources + moved + waiting, size=pair.size, between=between, notes=pair.notes)
            case Corrected(under, over):
                corrected = (
                    draw(Tile("under-iat"), under),
                    draw(Tile("over-iat"), over),
                )
                return replace(self, tiles=self.tiles[:2] + corrected + self.tiles[2:])
            case Running(method):
                return replace(self._with(method, state=State.RUNNING), stage=Stage.FUSING)
            case Failed(method, reason):
                return self._with(method, state=State.FAILED, reason=reason)
            case Fused(method, photo):
                tile = draw(Tile(method.name, method.title), photo)
                return self._with(method, state=tile.state, preview=tile.preview, fused=_light(event))
            case Scored(fused):
                return self._with(fused.method, scored=replace(event, fused=_light(fused)))

    def written(self, names: Collection[str]) -> Run:
        """The run once the lossless pictures of these tiles lie in its folder."""
        tiles = [replace(t, picture=self.folder / f"{t.name}.png") if t.name in names else t for t in self.tiles]
        return replace(self, tiles=tuple(tiles))

    def ended(self, stage: Stage) -> Run:
        """The run once nothing more will come."""
        tiles = [
            replace(tile, state=State.FAILED) if tile.state in (State.WAITING, State.RUNNING) else tile
            for tile in self.tiles
        ]
        return replace(self, tiles=tuple(tiles), stage=stage)

    def _with(self, method: Method, **changes: object) -> Run:
        """The run with the method's tile changed."""
        tiles = [replace(tile, **changes) if tile.name == method.name else tile for tile in self.tiles]  # pyright: ignore[reportArgumentType]
        return replace(self, tiles=tuple(tiles))


def _light(fused: Fused) -> Fused:
    """Without its photograph, of 0.3 GB at 24 megapixels: a run outlives its request."""
    return replace(fused, photo=fused.photo.new_empty(0))


@dataclass(frozen=True)
class Draughtsman:
    """Writes tiles' pictures into a folder: previews at once, large lossless ones, which take longer, behind."""

    folder: Path
    pool: Executor
    at_once: list[str] = field(default_factory=list[str])
    writing: dict[str, Future[None]] = field(default_factory=dict[str, "Future[None]"])

    def draw(self, tile: Tile, photo: Photo) -> Tile:
        """The tile with its preview."""
        pixels = to_uint8(photo)
        preview, picture = self.folder / f"{tile.name}.jpg", self.folder / f"{tile.name}.png"
        save_preview(pixels, preview, PREVIEW_SIDE)
        if pixels.shape[0] * pixels.shape[1] <= AT_ONCE:
            save(pixels, picture)
            self.at_once.append(tile.name)
            return replace(tile, state=State.DONE, preview=preview)
        self.writing[tile.name] = self.pool.submit(save, pixels, picture)
        if unwritten := [future for future in self.writing.values() if not future.done()][:-BEHIND]:
            unwritten[-1].result()
        return replace(tile, state=State.DONE, preview=preview)

    def keep(self, between: Mapping[Path, Photo]) -> None:
        """Write exposures that no tile shows, as large as previews: `weighed` reads them."""
        for path, photo in between.items():
            self.writing[path.stem] = self.pool.submit(save, to_uint8(_reduced(photo)), path)

    def written(self, *, wait: bool = False) -> list[str]:
        """The tiles whose lossless pictures are written; all of them with `wait`. Raises what writing raised."""
        ready = [name for name, future in self.writing.items() if wait or future.done()]
        for name in ready:
            self.writing[name].result()
        return self.at_once + ready


def _stand_back() -> None:
    """Let the fusion have the processor: on Linux, a thread may be content with what its process leaves over."""
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def follow(
    events: Iterable[Event],
    methods: Sequence[Method],
    folder: Path,
    example: str = "",
    settings: Settings = DEFAULTS,
) -> Iterator[Run]:
    """The run after each event, and once more at its end. Files go to a new folder inside `folder`."""
    run = Run(new_folder(folder, "run"), tuple(methods), example=example, settings=settings)
    pool = ThreadPoolExecutor(1, initializer=_stand_back)
    try:
        pictures = Draughtsman(run.folder, pool)
        for event in events:
            run = run.after(event, pictures.draw)
            if isinstance(event, Loaded):
                pictures.keep(dict(zip(run.between, event.scene.pair.between, strict=True)))
            run = run.written(pictures.written())
            yield run
        yield run.written(pictures.written(wait=True)).ended(Stage.DONE)
    finally:
        # What still waits to be written is for a visitor who has left.
        pool.shutdown(wait=False, cancel_futures=True)


def weighed(run: Run, session: Session) -> Run:
    """The run with a picture of the weights of every method that blends by them, as large as its previews.

    They are those of a copy of that size. Raises `FusionError` where the exposures are not in the
    run's folder: not yet, or no more.
    """
    files = [run.folder / "under.png", *run.between, run.folder / "over.png"]
    if not all(file.exists() for file in files):
        raise FusionError("The photographs of this run are not here any more: fuse once more.")
    under, *between, over = (_reduced(load(file, sandbox=session.sandbox).photo) for file in files)
    pair = ExposurePair(under, over, between=tuple(between))

    def weigh(tile: Tile) -> Tile:
        if not tile.fused or not tile.fused.method.weighs or tile.weights:
            return tile
        maps = session.weight_maps(pair, tile.name, Settings(options=run.settings.options))
        picture = run.folder / f"{tile.name}-weights.png"
        save(draw_weights(maps), picture)
        return replace(tile, weights=picture, shares=tuple(float(each.mean()) for each in maps))

    return replace(run, tiles=tuple(map(weigh, run.tiles)))


def _reduced(photo: Photo) -> Photo:
    return shrink(photo[None], min(1.0, PREVIEW_SIDE / max(photo.shape[-2:])))[0]


Key: TypeAlias = tuple[str, ...]


@dataclass
class Finished:
    """The latest complete runs, for whoever asks for the same next: of the examples above all.

    Kept in memory on purpose: new code or new weights mean a new process, which never meets old results.
    """

    limit: int = 64
    _runs: OrderedDict[Key, Run] = field(default_factory=OrderedDict)

    @staticmethod
    def key(files: Sequence[str], choices: Sequence[str]) -> Key:
        """By what the files hold, not by where they lie: every upload lies elsewhere; and by the visitor's choices.

        Raises `FusionError` where a file is not there any more.
        """
        try:
            return (*(hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files), *choices)
        except FileNotFoundError:
            raise FusionError("The photographs are not here any more; choose them again.") from None

    def get(self, key: Key) -> Run | None:
        """The run, if all its files are still there; their hour then begins anew."""
        if (run := self._runs.get(key)) is None:
            return None
        shown = [file for tile in run.finished for file in (tile.picture, tile.preview, tile.weights) if file]
        try:
            for path in (*run.between, *shown):
                os.utime(path)
        except FileNotFoundError:
            del self._runs[key]
            return None
        self._runs.move_to_end(key)
        return run

    def renew(self, run: Run) -> None:
        """Keep a run that has more to show in the place of what it was made from, if that is still kept."""
        for key, known in self._runs.items():
            if known.folder == run.folder:
                self._runs[key] = run
                return

    def put(self, key: Key, run: Run) -> None:
        """Keep a run in which every method succeeded; the one unused for longest makes room."""
        if any(tile.state is State.FAILED for tile in run.tiles):
            return
        self._runs[key] = run
        while len(self._runs) > self.limit:
            self._runs.popitem(last=False)
