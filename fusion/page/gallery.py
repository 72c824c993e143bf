"""A run as the visitor sees it: tiles that fill one by one, each with two files. Each state is a new value."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from fusion.blocks.guided_filter import shrink
from fusion.errors import FusionError
from fusion.exposures.ghosts import overlay
from fusion.io.image import ExposurePair, Photo, load, save, save_preview, to_uint8
from fusion.methods.base import Method
from fusion.outputs.drawings import draw_weights
from fusion.pipeline import Corrected, Event, Failed, Fused, Loaded, Running, Scored, Session
from fusion.settings import DEFAULTS, Settings

PREVIEW_SIDE = 1600
"""Longest side, in pixels, of the preview that the browser loads first."""
AT_ONCE = 2_000_000
"""Pictures of at most this many pixels are written without loss together with their preview."""
VIEW_QUALITY = 88
"""Quality of the JPEG of full size, a few megabytes at 12 megapixels."""
BEHIND = 3
"""How many larger pictures may wait in memory to be written."""


class TileState(Enum):
    """The state of a tile's picture."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Stage(Enum):
    """The stage that a run has reached."""

    STARTING = "starting"
    FUSING = "fusing"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Tile:
    """One picture of the contact sheet, or the frame in which it will appear."""

    name: str
    """A method's name, or under, over, moved, under-iat or over-iat. Its files have the same name."""
    title: str = ""
    """The method's title. The titles of other tiles depend on the visitor's language."""
    share: float = 0
    """How much of the picture moved, 0 to 1; only the tile "moved" has it."""
    state: TileState = TileState.WAITING
    reason: str = ""
    """A sentence that says why there is no picture; empty where the visitor stopped it."""
    preview: Path | None = None
    """A reduced JPEG that the browser loads first."""
    view: Path | None = None
    """A JPEG of full size for looking closely, where the preview is smaller. It is written after the preview."""
    picture: Path | None = None
    """A PNG of full size, which is written last."""
    fused: Fused | None = None
    """How the method made it, without the photograph itself; None for tiles that are not a method's."""
    scored: Scored | None = None
    """The method's scores, which come a moment later."""
    weights: Path | None = None
    """A picture of the method's weight maps, once the visitor has asked for it."""
    shares: tuple[float, ...] = ()
    """The mean weight of each exposure, from dark to bright. Their sum is 1."""


Draw: TypeAlias = Callable[[Tile, Photo], Tile]
"""A function that puts a photograph into a tile."""


@dataclass(frozen=True)
class Run:
    """The exposures of one scene and everything made from them so far. Its files lie in a folder of their own."""

    folder: Path
    methods: tuple[Method, ...]
    tiles: tuple[Tile, ...] = ()
    size: tuple[int, int] = (0, 0)
    """Height and width of the exposures, in pixels."""
    between: tuple[Path, ...] = ()
    """Copies of the exposures that no tile shows, as large as previews."""
    notes: tuple[str, ...] = ()
    """Sentences on how the exposures were prepared."""
    aligned: bool = False
    """Whether the camera had moved, so that the exposures were registered."""
    removed: bool = False
    """Whether what moved was taken from one exposure."""
    stage: Stage = Stage.STARTING
    example: str = ""
    """The name of the example that was fused; empty for the visitor's own photographs."""
    settings: Settings = DEFAULTS
    """What the visitor chose."""
    files: tuple[str, ...] = ()
    """The photographs, as they were uploaded."""
    kept: Mapping[str, Tile] = field(default_factory=dict[str, Tile])
    """Tiles of an earlier run that are used again, by their names."""

    @property
    def finished(self) -> tuple[Tile, ...]:
        """The tiles that show a picture."""
        return tuple(tile for tile in self.tiles if tile.preview)

    @property
    def over(self) -> bool:
        """Whether nothing more will come, so that results can be compared."""
        return self.stage in (Stage.DONE, Stage.STOPPED)

    @property
    def fused(self) -> tuple[Fused, ...]:
        """The seconds, sizes and notes of the methods that are done."""
        return tuple(tile.fused for tile in self.tiles if tile.fused)

    @property
    def scored(self) -> tuple[Scored, ...]:
        """The scores of the methods whose pictures are measured."""
        return tuple(tile.scored for tile in self.tiles if tile.scored)

    @property
    def preview_width(self) -> int:
        """The width of every preview, in pixels."""
        return round(self.size[1] * min(1, PREVIEW_SIDE / max(self.size)))

    def tile(self, name: str) -> Tile | None:
        """The tile called `name`, if it shows a picture."""
        return next((tile for tile in self.finished if tile.name == name), None)

    def after(self, event: Event, draw: Draw) -> Run:
        """Return the run as it is after `event`."""
        match event:
            case Loaded(scene):
                pair, ghosts = scene.pair, scene.ghosts
                sources = (
                    draw(Tile("under"), pair.under),
                    draw(Tile("over"), pair.over),
                )
                named = ((method.name, method.title) for method in self.methods)
                waiting = tuple(self.kept.get(name) or Tile(name, title) for name, title in named)
                moved = ()
                if ghosts:
                    moved = (draw(Tile("moved", share=ghosts.share), overlay(pair, ghosts)),)
                between = tuple(self.folder / f"between-{index}.png" for index in range(len(pair.between)))
                tiles = sources + moved + waiting
                shown = replace(self, tiles=tiles, size=pair.size, between=between, notes=pair.notes)
                return replace(shown, aligned=scene.aligned, removed=scene.still is not None)
            case Corrected(under, over):
                corrected = (
                    draw(Tile("under-iat"), under),
                    draw(Tile("over-iat"), over),
                )
                return replace(self, tiles=self.tiles[:2] + corrected + self.tiles[2:])
            case Running(method):
                return replace(self._with(method, state=TileState.RUNNING), stage=Stage.FUSING)
            case Failed(method, reason):
                return self._with(method, state=TileState.FAILED, reason=reason)
            case Fused(method, photo):
                tile = draw(Tile(method.name, method.title), photo)
                return self._with(method, state=tile.state, preview=tile.preview, fused=_light(event))
            case Scored(fused):
                return self._with(fused.method, scored=replace(event, fused=_light(fused)))

    def written(self, files: Collection[Path]) -> Run:
        """Return the run as it is when these of its files are written."""

        def with_files(tile: Tile) -> Tile:
            picture, view = self.folder / f"{tile.name}.png", self.folder / _view(tile)
            tile = replace(tile, picture=picture) if picture in files else tile
            return replace(tile, view=view) if view in files else tile

        return replace(self, tiles=tuple(map(with_files, self.tiles)))

    def finish_writing(self) -> Run:
        """Return the run with every lossless picture that has been written meanwhile."""
        written = [path for tile in self.tiles if (path := self.folder / f"{tile.name}.png").exists()]
        return self.written(written)

    def ended(self, stage: Stage) -> Run:
        """Return the run as it is when nothing more will come."""
        tiles = [
            replace(tile, state=TileState.FAILED) if tile.state in (TileState.WAITING, TileState.RUNNING) else tile
            for tile in self.tiles
        ]
        return replace(self, tiles=tuple(tiles), stage=stage)

    def _with(self, method: Method, **changes: object) -> Run:
        """Return the run with the method's tile changed."""
        tiles = [replace(tile, **changes) if tile.name == method.name else tile for tile in self.tiles]  # pyright: ignore[reportArgumentType]
        return replace(self, tiles=tuple(tiles))


def _light(fused: Fused) -> Fused:
    """Drop the photograph, which takes 0.3 GB at 24 megapixels, because a run outlives its request."""
    return replace(fused, photo=fused.photo.new_empty(0))


@dataclass(frozen=True)
class TileWriter:
    """Writes the pictures of tiles into a folder: previews at once, and large lossless pictures in a thread."""

    folder: Path
    pool: Executor
    at_once: list[Path] = field(default_factory=list[Path])
    writing: dict[Path, Future[None]] = field(default_factory=dict[Path, "Future[None]"])

    def draw(self, tile: Tile, photo: Photo) -> Tile:
        """Write the photograph and return the tile with its preview."""
        pixels = to_uint8(photo)
        preview, picture = self.folder / f"{tile.name}.jpg", self.folder / f"{tile.name}.png"
        save_preview(pixels, preview, PREVIEW_SIDE)
        if pixels.shape[0] * pixels.shape[1] <= AT_ONCE:
            save(pixels, picture)
            self.at_once.append(picture)
            return replace(tile, state=TileState.DONE, preview=preview)
        view = self.folder / _view(tile)
        self.writing[view] = self.pool.submit(save, pixels, view, quality=VIEW_QUALITY)
        self.writing[picture] = self.pool.submit(save, pixels, picture)
        if unwritten := [future for future in self.writing.values() if not future.done()][: -2 * BEHIND]:
            unwritten[-1].result()
        return replace(tile, state=TileState.DONE, preview=preview)

    def keep(self, between: Mapping[Path, Photo]) -> None:
        """Write exposures that no tile shows, reduced to the size of previews. `weighed` reads them."""
        for path, photo in between.items():
            self.writing[path] = self.pool.submit(save, to_uint8(_reduced(photo)), path)

    def written(self, *, wait: bool = False) -> list[Path]:
        """Return the files that are written besides previews, and `wait` for all of them if asked to.

        Raises what writing raised.
        """
        ready = [path for path, future in self.writing.items() if wait or future.done()]
        for path in ready:
            self.writing[path].result()
        return self.at_once + ready


def _view(tile: Tile) -> str:
    """The name of the JPEG of full size."""
    return f"{tile.name}-view.jpg"


def _lower_priority() -> None:
    """Let the fusion have the processor, and use only what it leaves. Linux alone allows that for one thread."""
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def follow(events: Iterable[Event], run: Run) -> Iterator[Run]:
    """Yield the run after each event, and once more at its end. Its files go to its folder."""
    pool = ThreadPoolExecutor(1, initializer=_lower_priority)
    try:
        pictures = TileWriter(run.folder, pool)
        for event in events:
            run = run.after(event, pictures.draw)
            if isinstance(event, Loaded):
                pictures.keep(dict(zip(run.between, event.scene.pair.between, strict=True)))
            run = run.written(pictures.written())
            yield run
        yield run.written(pictures.written(wait=True)).ended(Stage.DONE)
    finally:
        pool.shutdown(wait=False)  # what is done is still written where the visitor has stopped the run or has left


def weighed(run: Run, session: Session) -> Run:
    """Return the run with a picture of the weight maps of every method that blends by such maps.

    The maps are made of copies of the exposures as large as previews. Raises `FusionError` where the exposures are not
    in the run's folder: not yet, or no longer.
    """
    ends = [tile.picture for tile in run.tiles if tile.name in ("under", "over") and tile.picture]
    files = [*ends[:1], *run.between, *ends[1:]]
    if len(ends) < 2 or not all(file.exists() for file in files):
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
