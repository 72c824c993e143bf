"""One request: exposures in, pictures and scores out, each as soon as it is ready. It knows no page and no terminal.

A `Session` holds what requests share: loaded networks and the processes that decode files. `Session.prepare` reads,
orders and registers the exposures of one scene and looks for things that moved; `Session.fuse` makes one method's
picture of a scene, and `Session.compare` fuses and measures with several methods. `fuse` and `compare` open a session
for one call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from threading import Lock
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from cachetools import LRUCache
from numpy.typing import NDArray
from torch import Tensor

from fusion.errors import FusionError, ImageError
from fusion.exposures.align import registered
from fusion.exposures.defects import repaired
from fusion.exposures.ghosts import Ghosts, find_ghosts, without_ghosts
from fusion.exposures.panorama import goes_round, margin, turned_back, wrapped
from fusion.exposures.transparency import filled
from fusion.io.colour_space import Gamut
from fusion.io.image import ExposurePair, Photo, as_pair, load_pair
from fusion.io.sandbox import Sandbox
from fusion.io.saving import Origin, Saving
from fusion.methods import METHODS, method_named
from fusion.methods.base import Fuser, Method, Mode, Progress
from fusion.methods.exposed_colour import BY_EXPOSURE
from fusion.methods.finish import finished
from fusion.methods.iat import Corrector, Lumas, enhance, recolour_pair
from fusion.methods.scene_light import scene_light
from fusion.metrics import METRICS
from fusion.metrics.base import SCORED_PIXELS, Metric, Scorer
from fusion.runtime import cancel, memory
from fusion.settings import DEFAULTS, Settings

Source: TypeAlias = str | PathLike[str] | Photo | NDArray[np.uint8] | NDArray[np.uint16]
"""A file, a photograph (3, H, W) from 0 to 1, or pixels (H, W, 3) of 8 or 16 bits."""

_T = TypeVar("_T")

RETRIES = 3
"""How often a method that ran out of memory is tried again, with less each time."""

_LOADED_NETWORKS = 32
"""How many networks a session keeps: every method, and some with other options than their defaults."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scene:
    """The exposures of one scene, ready to be fused. Metrics are measured against `pair`."""

    pair: ExposurePair
    """The exposures, read, ordered from dark to bright and, where that was asked for, registered."""
    ghosts: Ghosts | None = None
    """Where something moved between the exposures. None where nothing did, or nobody looked."""
    still: ExposurePair | None = None
    """The same exposures as if nothing had moved, where ghosts are to be removed."""
    seconds: float = 0.0
    """How long all this took."""
    around: bool = False
    """Whether the exposures are panoramas of a full turn, whose last column goes on in the first one."""
    aligned: bool = False
    """Whether the camera had moved, so that the exposures were registered."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was changed on the way in, for whoever asked."""
        return self.pair.notes

    def origin(self, saving: Saving) -> Origin:
        """What a file that is saved in this way may tell about the scene.

        Its light is estimated if the file holds it, of the exposures without what moved if that is removed.
        """
        light = scene_light((self.still or self.pair).frames) if saving.needs_light else None
        return Origin(self.pair.metadata, self.pair.gamut, light)


@dataclass(frozen=True, eq=False)
class Loaded:
    """The exposures are ready."""

    scene: Scene


@dataclass(frozen=True, eq=False)
class Corrected:
    """IAT's correction of the darkest and the brightest exposure, in colour. Networks read the lumas alone."""

    under: Photo
    over: Photo
    seconds: float


@dataclass(frozen=True)
class Running:
    """A method has begun."""

    method: Method


@dataclass(frozen=True, eq=False)
class Fused:
    """A method's picture."""

    method: Method
    photo: Photo
    seconds: float
    """How long the method took, without loading its network."""
    seen: tuple[int, int]
    """Height and width at which the network saw the exposures: their own, or a smaller copy's."""
    notes: tuple[str, ...] = ()
    """Sentences on how it was made, where that was not at full size or not at the first attempt."""
    short_of_memory: bool = False
    """Whether memory ran out, so that it was made in another way; the first note says how."""


@dataclass(frozen=True, eq=False)
class Scored:
    """A method's picture has been measured."""

    fused: Fused
    scores: dict[str, float]
    """Values by the metrics' names."""
    seconds: float

    @property
    def method(self) -> Method:
        """The method whose picture was measured."""
        return self.fused.method


@dataclass(frozen=True)
class Failed:
    """A method gave no picture; `reason` is a sentence for the visitor."""

    method: Method
    reason: str


Event: TypeAlias = Loaded | Corrected | Running | Fused | Scored | Failed


class Session:
    """Networks and decoding processes that several requests share. Use it as a context manager, or call `close`.

    A session may be used by several threads as far as reading files goes, and fuses for one thread at a time.

    >>> with Session() as session:
    ...     dark = torch.rand(3, 32, 48) / 2
    ...     scene = session.prepare([dark, dark + 0.4], Settings(align=False))
    ...     session.fuse(scene, "mertens").photo.shape
    torch.Size([3, 32, 48])
    """

    def __init__(self, device: str | None = None) -> None:
        """Use `device`, "cpu" or "cuda"; None takes a GPU where there is one."""
        self.device = device or default_device()
        self.sandbox = Sandbox()
        self._loading = Lock()  # the page draws weight maps while it fuses
        self._fusers: LRUCache[tuple[object, ...], Fuser] = LRUCache(_LOADED_NETWORKS)
        self._correctors: dict[str, Corrector] = {}
        memory.tune_allocator()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding processes and let go of the networks. The session starts new ones if it is used again."""
        self.sandbox.close()
        self._fusers.clear()
        self._correctors.clear()

    def prepare(self, sources: Sequence[Source] | ExposurePair, settings: Settings = DEFAULTS) -> Scene:
        """Read two to nine exposures in any order, register them, and look for things that moved between them.

        `sources` are files, or pictures in memory, or exposures that are loaded already. Raises `ImageError` for
        exposures that cannot be used together and `NotEnoughMemoryError` where they are too large for this computer.
        """
        start = time.perf_counter()
        with memory.errors_translated():
            pair = sources if isinstance(sources, ExposurePair) else self._read(sources, settings.saving.gamut)
            around = goes_round(pair) if settings.panorama == "auto" else settings.panorama == "full-turn"
            given = pair
            if settings.align:
                pair = turned_back(pair) if around else registered(pair).pair
            aligned = pair.under is not given.under or pair.over is not given.over
            width, pair = pair.size[1], filled(pair)
            around = around and pair.size[1] == width
            if settings.repair:
                pair = repaired(pair)
            ghosts = None if settings.ghosts == "ignore" else find_ghosts(pair)
            remove = settings.ghosts == "remove"
            if ghosts and settings.ghosts == "auto" and (certainly := ghosts.certainly()):
                ghosts, remove = certainly, True
            if ghosts is None or not (remove or ghosts.certain):
                return Scene(pair, seconds=time.perf_counter() - start, around=around, aligned=aligned)
            pair = replace(pair, notes=(*pair.notes, _ghost_note(ghosts, removed=remove)))
            still = without_ghosts(pair, ghosts) if remove else None
        return Scene(pair, ghosts, still, time.perf_counter() - start, around, aligned)

    def fuse(
        self,
        scene: Scene,
        method: str = "virtual-bracket",
        settings: Settings = DEFAULTS,
        *,
        lumas: Lumas | None = None,
        progress: Progress | None = None,
    ) -> Fused:
        """Fuse a scene with one method.

        `lumas` are IAT's corrections of the darkest and the brightest exposure, where they are known already.
        `progress` is called with the share of the work that is done, 0 to 1.

        Raises `FusionError` for an unknown method or option, `WeightsError` for a method without usable weights, and
        `NotEnoughMemoryError` where smaller tiles, the processor and a smaller copy do not help either.
        """
        with memory.errors_translated():
            fuser = self._fuser(method_named(method), settings)
            start = time.perf_counter()
            made = self._picture(fuser, scene, lumas, settings.mode, progress)
            photo = finished(made.photo, settings.finish)
            seconds = time.perf_counter() - start
        notes = tuple(filter(None, (made.note, _copy_note(made.seen, scene.pair.size))))
        return Fused(fuser.method, photo, seconds, made.seen, notes, short_of_memory=bool(made.note))

    def compare(
        self,
        sources: Sequence[Source] | ExposurePair,
        methods: Sequence[str] | None = None,
        settings: Settings = DEFAULTS,
        *,
        metrics: Sequence[Metric] | None = None,
        scored_pixels: int | None = SCORED_PIXELS,
        show_corrected: bool = True,
    ) -> Iterator[Event]:
        """Fuse exposures with several methods and measure each picture.

        Yields `Loaded`, then `Running`, `Fused` and `Scored` for each method, or `Failed`, which stops nothing else.
        `Corrected` comes before the first method that reads the corrections, or else at the end, and not at all where
        `show_corrected` is False. `methods` are names, in any order; None takes all that are available. `metrics` is
        None for those that the page shows. Pictures of more than `scored_pixels` pixels are measured on a copy of that
        size; None measures them at full size.

        Raises `ImageError`, `NotEnoughMemoryError` and `FusionError` as `prepare` and `fuse` do, before any event.
        """
        chosen = _available() if methods is None else [method_named(name) for name in methods]
        for name, options in settings.options.items():
            method_named(name).settled(options)
        scene = self.prepare(sources, settings)
        yield Loaded(scene)
        scorer = Scorer(scene.pair, METRICS if metrics is None else metrics, limit=scored_pixels)
        lumas, corrected = None, False
        for method in chosen:
            if method.needs.enhanced and not corrected:
                lumas, shown = self._correction(scene.pair, show=show_corrected)
                corrected = True
                yield from shown
            yield Running(method)
            yield from self._outcome(method, scene, lumas, scorer, settings)
        if show_corrected and not corrected:  # last, since nothing waits for it
            yield from self._correction(scene.pair, show=True)[1]

    def weight_maps(self, pair: ExposurePair, method: str, settings: Settings = DEFAULTS) -> Tensor:
        """Return how much each exposure counts in each pixel of a method's picture: (N, 1, h, w), from dark to bright.

        The maps have the size that the method sees in this mode. Where a method that takes two exposures fuses more,
        half by half, they are the products of its steps' maps. Raises `FusionError` for a method that does not blend by
        weight maps, and where `fuse` does.
        """
        fuser = self._fuser(method_named(method), settings)
        if fuser.method.needs.many:
            return fuser.weight_maps(pair, mode=settings.mode)

        def maps(frames: Sequence[Photo]) -> Tensor:
            if len(frames) == 1:
                return torch.ones(1, 1, 1, 1)
            parts = halves(frames)
            dark, bright = (self._by_halves(fuser, half, settings.mode, lambda: None).photo for half in parts)
            shares = fuser.weight_maps(ExposurePair(dark, bright), mode=settings.mode)
            return torch.cat([share * maps(half) for share, half in zip(shares, parts, strict=True)])

        return maps(pair.frames)

    def seen(self, method: str, height: int, width: int, settings: Settings = DEFAULTS) -> tuple[int, int]:
        """Height and width at which a method's network would see two exposures of this size."""
        return self._fuser(method_named(method), settings).seen(height, width, settings.mode)

    def warm_up(self) -> None:
        """Run every available method once on a small pair, so that nobody waits for loading and compiling later."""
        light = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
        for _ in self.compare([light / 4, (1 + light) / 2], metrics=()):
            pass
        memory.release()

    def _read(self, sources: Sequence[Source], gamut: Gamut) -> ExposurePair:
        files = [isinstance(source, (str, PathLike)) for source in sources]
        if any(files) and not all(files):
            raise ImageError("Give files or pictures, not some of each.")
        if all(files):
            return load_pair(*sources, sandbox=self.sandbox, gamut=gamut)  # pyright: ignore[reportArgumentType]
        return as_pair(*sources)  # pyright: ignore[reportArgumentType]

    def _correction(self, pair: ExposurePair, *, show: bool) -> tuple[Lumas | None, list[Corrected]]:
        """Correct the exposures with IAT, and make the event that shows it. Both are empty where that fails."""
        start = time.perf_counter()
        try:
            with memory.errors_translated():
                lumas = self._corrected(pair)
                seconds = time.perf_counter() - start
                shown = [Corrected(*recolour_pair(pair, lumas), seconds)] if show else []
        except FusionError as error:
            _log.warning("no exposure correction: %s", error)
            return None, []
        return lumas, shown

    def _outcome(
        self, method: Method, scene: Scene, lumas: Lumas | None, scorer: Scorer, settings: Settings
    ) -> Iterator[Fused | Scored | Failed]:
        """Yield one method's events once it has begun. An error ends this method alone."""
        try:
            if method.needs.enhanced and lumas is None:
                raise FusionError("The exposure correction that this method reads is not available.")  # noqa: TRY301
            fused = self.fuse(scene, method.name, settings, lumas=lumas)
            yield fused
            cancel.check()
            start = time.perf_counter()
            with memory.errors_translated():
                scores = scorer(fused.photo)
            yield Scored(fused, scores, time.perf_counter() - start)
        except FusionError as error:
            yield Failed(method, str(error))
        except Exception:  # noqa: BLE001  # one method's defect must not stop the others; the log holds the traceback
            _log.exception("%s failed", method.name)
            yield Failed(method, f"{method.title} stopped because of a defect in this program; its log says more.")

    def _picture(self, fuser: Fuser, scene: Scene, lumas: Lumas | None, mode: Mode, progress: Progress | None) -> _Made:
        """Make the picture of a scene. Where ghosts are removed, the moving places come from a second picture."""
        made = self._around if scene.around else self._of_exposures
        plain = made(fuser, scene.pair, lumas, mode, progress)
        if not (scene.still and scene.ghosts):
            return plain
        still = made(fuser, scene.still, None, mode, None)
        return _Made(torch.lerp(plain.photo, still.photo, scene.ghosts.mask), *_worse(plain, still))

    def _around(
        self, fuser: Fuser, pair: ExposurePair, lumas: Lumas | None, mode: Mode, progress: Progress | None
    ) -> _Made:
        """Fuse panoramas of a full turn, with what lies beyond their sides. The lumas do not show that."""
        del lumas
        width, beyond = pair.size[1], margin(pair.size[1])
        made = self._of_exposures(fuser, wrapped(pair), None, mode, progress)
        height, seen = made.seen
        own = round(seen * width / (width + 2 * beyond))
        return _Made(made.photo[..., beyond:-beyond].contiguous(), (height, own), made.note)

    def _of_exposures(
        self,
        fuser: Fuser,
        pair: ExposurePair,
        lumas: Lumas | None = None,
        mode: Mode = "auto",
        progress: Progress | None = None,
    ) -> _Made:
        """Fuse two or more exposures.

        A method that takes only two fuses the darker half of a longer bracket, then the brighter half, then both
        results. So each exposure goes through few fusions, and through about as many as every other.
        """
        cancel.check()
        if not pair.between or fuser.method.needs.many:
            if fuser.method.needs.enhanced and lumas is None:
                lumas = self._corrected(pair)
            return _tried(fuser, pair, lumas, mode, progress)
        steps = len(pair.frames) - 1
        shares = ((done + 1) / steps for done in range(steps))
        return self._by_halves(fuser, pair.frames, mode, lambda: progress(next(shares)) if progress else None)

    def _by_halves(self, fuser: Fuser, frames: Sequence[Photo], mode: Mode, done: Callable[[], None]) -> _Made:
        """Fuse one or more exposures with a method that takes two. `done` is called after each fusion."""
        if len(frames) == 1:
            return _Made(frames[0], (frames[0].shape[-2], frames[0].shape[-1]))
        dark, bright = (self._by_halves(fuser, half, mode, done) for half in halves(frames))
        made = self._of_exposures(fuser, ExposurePair(dark.photo, bright.photo), mode=mode)
        done()
        return _Made(made.photo, *_worse(dark, bright, made))

    def _fuser(self, method: Method, settings: Settings) -> Fuser:
        """The method, loaded once for each choice of its options."""
        options = method.settled(settings.options_of(method.name))

        def loaded(device: str) -> Fuser:
            key = (method.name, device, options, settings.memory_mb, settings.colour)
            with self._loading:
                if (fuser := self._fusers.get(key)) is None:
                    natural = BY_EXPOSURE if settings.colour == "natural" else None
                    fuser = self._fusers[key] = Fuser(
                        method, device, options=dict(options), memory_mb=settings.memory_mb, colour=natural
                    )
            return fuser

        return self._or_on_cpu(loaded)

    def _corrected(self, pair: ExposurePair) -> Lumas:
        def corrected(device: str) -> Lumas:
            if device not in self._correctors:
                self._correctors[device] = Corrector(device)
            return enhance(pair, self._correctors[device])

        return self._or_on_cpu(corrected)

    def _or_on_cpu(self, make: Callable[[str], _T]) -> _T:
        """Call `make` for the session's device, or for the processor where something else fills the GPU."""
        try:
            return make(self.device)
        except Exception as error:
            if self.device == "cpu" or not memory.ran_out(error):
                raise
        return make("cpu")


def fuse(
    under: Source,
    over: Source,
    method: str = "virtual-bracket",
    *,
    more: Sequence[Source] = (),
    settings: Settings = DEFAULTS,
    device: str | None = None,
    progress: Progress | None = None,
    **choices: Any,
) -> Photo:
    """Fuse two to nine exposures of one scene into one photograph, (3, H, W), sRGB, 0 to 1.

    Exposures are files, photographs (3, H, W) from 0 to 1, or pixels (H, W, 3) of 8 or 16 bits; they may come in any
    order, `more` after the first two. `method` is a name that `python -m fusion methods` lists. `choices` are fields of
    `Settings`, such as `align=False` or `ghosts="remove"`, and change `settings`. `device` is "cpu" or "cuda"; None
    takes a GPU where there is one. `progress` is called with the share of the work that is done, 0 to 1. The logger
    `fusion.pipeline` reports as warnings how the exposures were prepared and how the picture was made.

    Raises `ImageError` for exposures that cannot be used, `FusionError` for an unknown method or option and for a value
    that cannot be chosen, `WeightsError` for a method without usable weights, and `NotEnoughMemoryError` where memory
    does not suffice.
    For many scenes, open a `Session`: it loads each network once.

    >>> import fusion
    >>> fusion.fuse("examples/desk/under.png", "examples/desk/over.png", "mertens").shape
    torch.Size([3, 874, 644])
    """
    chosen = replace(settings, **choices)
    with Session(device) as session:
        scene = session.prepare((under, over, *more), chosen)
        fused = session.fuse(scene, method, chosen, progress=progress)
    for note in (*scene.notes, *fused.notes):
        _log.warning("%s", note)
    return fused.photo


def fuse_pair(
    pair: ExposurePair, method: str = "virtual-bracket", *, device: str | None = None, **choices: Any
) -> Photo:
    """Fuse exposures that are loaded, without registering them or looking for ghosts unless `choices` ask for it.

    Everything else is as for `fuse`.
    """
    settings = replace(Settings(align=False, ghosts="ignore"), **choices)
    with Session(device) as session:
        return session.fuse(session.prepare(pair, settings), method, settings).photo


def compare(
    under: Source,
    over: Source,
    methods: Sequence[str] | None = None,
    *,
    more: Sequence[Source] = (),
    settings: Settings = DEFAULTS,
    device: str | None = None,
    metrics: Sequence[Metric] | None = None,
    scored_pixels: int | None = SCORED_PIXELS,
    show_corrected: bool = True,
    **choices: Any,
) -> Iterator[Event]:
    """Fuse two to nine exposures of one scene with several methods, and measure each picture, one event at a time.

    Exposures, `settings`, `choices` and `device` are those of `fuse`; `methods` are names, in any order, and None takes
    all that are available. Events and the other arguments are those of `Session.compare`, as are the errors raised.

    >>> import fusion
    >>> for event in fusion.compare("examples/desk/under.png", "examples/desk/over.png", ["mertens"]):
    ...     print(type(event).__name__)
    Loaded
    Running
    Fused
    Scored
    Corrected
    """
    with Session(device) as session:
        yield from session.compare(
            (under, over, *more),
            methods,
            replace(settings, **choices),
            metrics=metrics,
            scored_pixels=scored_pixels,
            show_corrected=show_corrected,
        )


def by_method(values: Iterable[tuple[str, float]]) -> dict[str, dict[str, float]]:
    """Values that are named `METHOD.OPTION`, as `Settings.options` takes them, without those at their defaults.

    Raises `FusionError` for a method or an option that does not exist, and for a value out of range.

    >>> by_method([("mertens.contrast", 0.5), ("mertens.sigma", 0.2)])
    {'mertens': {'contrast': 0.5}}
    """
    options: dict[str, dict[str, float]] = {}
    for setting, value in values:
        name, _, option = setting.partition(".")
        options.setdefault(name, {})[option] = value
    settled = {name: dict(method_named(name).settled(chosen)) for name, chosen in options.items()}
    return {name: chosen for name, chosen in settled.items() if chosen}


def default_device() -> str:
    """The device that is used where none is named: "cuda" where there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def halves(frames: Sequence[Photo]) -> tuple[Sequence[Photo], Sequence[Photo]]:
    """The darker half of the exposures and the brighter one, which has the one in the middle."""
    middle = len(frames) // 2
    return frames[:middle], frames[middle:]


def _available() -> list[Method]:
    return [method for method in METHODS if not method.unavailable]


@dataclass(frozen=True, eq=False)
class _Made:
    """A picture, the size at which the network saw the exposures, and a note, as in `Fused`."""

    photo: Photo
    seen: tuple[int, int]
    note: str = ""


def _worse(*parts: _Made) -> tuple[tuple[int, int], str]:
    """The smallest size and the first note of the parts, which hold for the picture that is made of them."""
    return min(part.seen for part in parts), next((part.note for part in parts if part.note), "")


def _tried(fuser: Fuser, pair: ExposurePair, lumas: Lumas | None, mode: Mode, progress: Progress | None) -> _Made:
    """Fuse exposures with a method, and try again with less memory where it runs out."""
    first, left = fuser, RETRIES
    while True:
        seen = fuser.seen(*pair.size, mode, len(pair.frames))  # before there is less memory
        try:
            return _Made(fuser(pair, lumas, mode=mode, progress=progress), seen, _memory_note(first, fuser))
        except Exception as error:
            if not left or not memory.ran_out(error):
                raise
        # This stands outside the handler, where nothing holds the failed attempt's tensors any more.
        memory.release()
        fuser, left = fuser.thriftier(), left - 1


def _memory_note(first: Fuser, fuser: Fuser) -> str:
    if fuser is first:
        return ""
    if fuser.device != first.device:
        return "The GPU's memory ran out, so this was fused on the processor."
    if fuser.share < 1:
        return "Memory ran out, so the network saw a smaller copy."
    return "Memory ran out, so this was fused again in smaller parts."


def _copy_note(seen: tuple[int, int], size: tuple[int, int]) -> str:
    if seen == size:
        return ""
    height, width = seen
    return f"The result was computed on a copy of {width} × {height} pixels and carried to full size."


def _ghost_note(ghosts: Ghosts, *, removed: bool) -> str:
    where = f"Something moved between the exposures, in {100 * ghosts.share:.1f} % of the picture"
    return f"{where}; it was taken from one exposure." if removed else f"{where}; it may show twice."
