"""One request: a pair in, outcomes out, each as soon as it is ready. Knows no page and no terminal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from os import PathLike
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.errors import FusionError, ImageError
from fusion.exposures.align import registered
from fusion.exposures.ghosts import Ghosts, Handling, find_ghosts, without_ghosts
from fusion.io.image import ExposurePair, Photo, as_pair, load_pair
from fusion.methods import METHODS
from fusion.methods.base import Fuser, Method, Mode, Options, Progress, Settled
from fusion.methods.iat import Corrector, Lumas, enhance, recolour_pair
from fusion.metrics import METRICS
from fusion.metrics.base import SCORED_PIXELS, Metric, Scorer
from fusion.runtime import cancel, memory

Source: TypeAlias = str | PathLike[str] | Photo | NDArray[np.uint8] | NDArray[np.uint16]
"""A file, a photograph (3, H, W) from 0 to 1, or pixels (H, W, 3) of 8 or 16 bits."""

_T = TypeVar("_T")

RETRIES = 3
"""How often a method that ran out of memory is tried again, with less each time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Loaded:
    """The pair is read and registered; every metric is measured against these photographs."""

    pair: ExposurePair
    seconds: float = 0.0
    ghosts: Ghosts | None = None
    """Where the scene moved between the exposures, where that was looked for."""


@dataclass(frozen=True, eq=False)
class Corrected:
    """IAT's correction of both photographs, recoloured for looking at. Networks read the lumas."""

    under: Photo
    over: Photo
    seconds: float


@dataclass(frozen=True)
class Running:
    """A method has begun."""

    method: Method


@dataclass(frozen=True, eq=False)
class Fused:
    """A method's photograph, and its time without loading."""

    method: Method
    photo: Photo
    seconds: float
    seen: tuple[int, int]
    """Height and width of what its network saw: the photograph's, or a smaller copy's."""
    note: str = ""
    """What had to be done for want of memory, as a sentence; mostly nothing."""


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of a method's photograph, by metric name, and the time it took to measure them."""

    fused: Fused
    scores: dict[str, float]
    seconds: float

    @property
    def method(self) -> Method:
        """Whose photograph it is."""
        return self.fused.method


@dataclass(frozen=True)
class Failed:
    """A method gave nothing; `reason` is a sentence for the visitor."""

    method: Method
    reason: str


Event: TypeAlias = Loaded | Corrected | Running | Fused | Scored | Failed


def compare(
    under: Source,
    over: Source,
    methods: Sequence[str] | None = None,
    *,
    more: Sequence[Source] = (),
    align: bool = True,
    ghosts: Handling = "mark",
    metrics: Sequence[Metric] = METRICS,
    device: str | None = None,
    scored_pixels: int | None = SCORED_PIXELS,
    corrected: bool = True,
    mode: Mode = "auto",
    options: Mapping[str, Options] | None = None,
) -> Iterator[Event]:
    """Fuse a pair with several methods: `Loaded`, `Corrected`, then for each method `Running`, `Fused` and `Scored`.

    `more` are further exposures of the scene, up to nine in all; all may come in any order. With `align`, hand-held
    ones are registered first. Where they show different things, `ghosts` says what is done. `methods` are names, in any
    order; None takes all that are available. A method that fails gives `Failed` and stops nothing else. `corrected`
    False leaves `Corrected` out. `options` are each method's own, by its name. Raises `ImageError` for a pair that
    cannot be used, `NotEnoughMemoryError` for one too large for this computer and `FusionError` for an unknown method
    or option, before anything runs.
    """
    memory.reuse_freed_memory()
    chosen = [m for m in METHODS if not m.unavailable] if methods is None else [method(name) for name in methods]
    settled = {name: method(name).settled(choices) for name, choices in (options or {}).items()}
    start = time.perf_counter()
    with memory.said():
        pair = _pair(under, over, *more, align=align)
        pair, moved = (pair, None) if ghosts == "ignore" else _marked(pair, ghosts)
    yield Loaded(pair, time.perf_counter() - start, moved)

    place = device or default_device()
    lumas: Lumas | None = None
    if corrected or any(m.enhanced for m in chosen):
        try:
            start = time.perf_counter()
            with memory.said():
                lumas = _corrected(pair, place)
                seconds = time.perf_counter() - start
                shown = recolour_pair(pair, lumas) if corrected else None
            if shown:
                yield Corrected(*shown, seconds)
        except FusionError as error:
            _log.warning("no exposure correction: %s", error)

    scorer = Scorer(pair, metrics, limit=scored_pixels)
    still = _Still.of(pair, moved) if moved and ghosts == "remove" else None
    for m in chosen:
        yield from _outcome(m, settled.get(m.name, ()), pair, lumas, place, scorer, mode, still)


def fuse(
    under: Source,
    over: Source,
    method: str = "pyramef",
    *,
    more: Sequence[Source] = (),
    align: bool = True,
    ghosts: Handling = "ignore",
    device: str | None = None,
    mode: Mode = "auto",
    options: Options | None = None,
    progress: Progress | None = None,
) -> Photo:
    """The photograph, (3, H, W) from 0 to 1, that one method makes of a pair and, where there are, of `more` exposures.

    With `align`, hand-held exposures are registered first, and cropped to what all of them show; where `ghosts` is
    "remove", what moved between them is taken out. `options` are what the method's `Method.options` declare.

    Raises `ImageError` for a pair that cannot be used, `FusionError` for an unknown method or option, `WeightsError`
    for a method without usable weights, `NotEnoughMemoryError` where smaller tiles, the CPU and a smaller copy do not
    help either.
    """
    with memory.said():
        pair = _pair(under, over, *more, align=align)
    return fuse_pair(pair, method, ghosts=ghosts, device=device, mode=mode, options=options, progress=progress)


def fuse_pair(
    pair: ExposurePair,
    name: str,
    *,
    ghosts: Handling = "ignore",
    device: str | None = None,
    mode: Mode = "auto",
    options: Options | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = _log.warning,
) -> Photo:
    """`fuse` for a pair that is loaded. `say` hears what had to be done for want of memory, as a sentence."""
    memory.reuse_freed_memory()
    place = device or default_device()
    fuser = _loaded(name, place, method(name).settled(options or {}))
    with memory.said():
        moved = find_ghosts(pair) if ghosts == "remove" else None
        still = _Still.of(pair, moved) if moved else None
        made = _fused(fuser, pair, place, mode=mode, progress=progress, still=still)
    if made.note:
        say(made.note)
    return made.photo


def weight_maps(
    pair: ExposurePair,
    name: str,
    *,
    device: str | None = None,
    mode: Mode = "auto",
    options: Options | None = None,
) -> Tensor:
    """What each exposure counts in each pixel of a method's picture: (N, 1, h, w) from dark to bright, of sum 1.

    They are as large as what the method sees in this mode. Where a method for two fuses more, half by half, they are
    the products of its steps' maps. Raises `FusionError` for a method that does not blend by weight maps, and where
    `fuse_pair` does.
    """
    place = device or default_device()
    fuser = _loaded(name, place, method(name).settled(options or {}))
    if fuser.method.many:
        return fuser.weight_maps(pair, mode=mode)

    def maps(frames: Sequence[Photo]) -> Tensor:
        if len(frames) == 1:
            return torch.ones(1, 1, 1, 1)
        parts = halves(frames)
        dark, bright = (_by_halves(fuser, half, place, mode, lambda: None).photo for half in parts)
        shares = fuser.weight_maps(ExposurePair(dark, bright), mode=mode)
        return torch.cat([share * maps(half) for share, half in zip(shares, parts, strict=True)])

    return maps(pair.frames)


def seen(name: str, height: int, width: int, *, device: str | None = None, mode: Mode = "auto") -> tuple[int, int]:
    """Height and width of what a method's network would see of a pair of this size."""
    return _loaded(method(name).name, device or default_device()).seen(height, width, mode)


def warm_up(device: str | None = None) -> None:
    """Run every available method once on a small pair: what must be loaded or compiled is, before anyone waits."""
    scene = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    for _ in compare(scene / 4, (1 + scene) / 2, device=device, metrics=()):
        pass
    memory.release()


def method(name: str) -> Method:
    """The method called `name`. Raises `FusionError` that lists the names there are."""
    for m in METHODS:
        if m.name == name:
            return m
    raise FusionError(f"There is no method called {name}; choose from {', '.join(m.name for m in METHODS)}.")


def by_method(settings: Iterable[tuple[str, float]]) -> dict[str, dict[str, float]]:
    """Values of `METHOD.OPTION` as `compare` takes them, without those at their default, so equal for equal results.

    Raises `FusionError` for a method or an option that there is not, and for a value out of range.
    """
    options: dict[str, dict[str, float]] = {}
    for setting, value in settings:
        name, _, option = setting.partition(".")
        options.setdefault(name, {})[option] = value
    settled = {name: dict(method(name).settled(chosen)) for name, chosen in options.items()}
    return {name: chosen for name, chosen in settled.items() if chosen}


def default_device() -> str:
    """cuda where there is one, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _outcome(
    m: Method,
    options: Settled,
    pair: ExposurePair,
    lumas: Lumas | None,
    device: str,
    scorer: Scorer,
    mode: Mode,
    still: _Still | None,
) -> Iterator[Running | Fused | Scored | Failed]:
    """One method's events; whatever goes wrong concerns this method alone."""
    yield Running(m)
    try:
        if m.enhanced and lumas is None:
            raise FusionError("The exposure correction that this method reads is not available.")  # noqa: TRY301
        with memory.said():
            fuser = _loaded(m.name, device, options)
            start = time.perf_counter()
            made = _fused(fuser, pair, device, lumas, mode=mode, still=still)
            fused = Fused(m, made.photo, time.perf_counter() - start, made.seen, made.note)
        yield fused
        cancel.check()
        start = time.perf_counter()
        with memory.said():
            scores = scorer(fused.photo)
        yield Scored(fused, scores, time.perf_counter() - start)
    except FusionError as error:
        yield Failed(m, str(error))
    except Exception:  # noqa: BLE001  # one method's defect must not blank the others; the log has it whole
        _log.exception("%s failed", m.name)
        yield Failed(m, f"{m.title} stopped because of a defect in this program; its log says more.")


@dataclass(frozen=True, eq=False)
class _Made:
    """What `Fused` tells of a photograph."""

    photo: Photo
    seen: tuple[int, int]
    note: str = ""


def _fused(
    fuser: Fuser,
    pair: ExposurePair,
    device: str,
    lumas: Lumas | None = None,
    *,
    mode: Mode,
    progress: Progress | None = None,
    still: _Still | None = None,
) -> _Made:
    """The photograph of two exposures or more; `lumas` are what IAT made of the two, where that is known.

    With `still`, places that moved are of a second photograph, of a pair in which they did not.

    A method for two makes one picture of the darker half of more, one of the brighter half, and the result of these, in
    whatever order they came: so each exposure goes through few fusions, and all through about as many.
    """
    cancel.check()
    if still:
        plain = _fused(fuser, pair, device, lumas, mode=mode)
        other = _fused(fuser, still.pair, device, mode=mode)
        return _Made(torch.lerp(plain.photo, other.photo, still.mask), *_worse(plain, other))
    if not pair.between or fuser.method.many:
        if fuser.method.enhanced and lumas is None:
            lumas = _corrected(pair, device)
        return _tried(fuser, pair, lumas, mode, progress)
    steps = len(pair.frames) - 1
    shares = ((done + 1) / steps for done in range(steps))
    return _by_halves(fuser, pair.frames, device, mode, lambda: progress(next(shares)) if progress else None)


def _by_halves(fuser: Fuser, frames: Sequence[Photo], device: str, mode: Mode, done: Callable[[], None]) -> _Made:
    """The photograph that a method for two makes of one exposure or more; `done` is called after each fusion."""
    if len(frames) == 1:
        return _Made(frames[0], (frames[0].shape[-2], frames[0].shape[-1]))
    dark, bright = (_by_halves(fuser, half, device, mode, done) for half in halves(frames))
    made = _fused(fuser, ExposurePair(dark.photo, bright.photo), device, mode=mode)
    done()
    return _Made(made.photo, *_worse(dark, bright, made))


def halves(frames: Sequence[Photo]) -> tuple[Sequence[Photo], Sequence[Photo]]:
    """The darker half and the brighter one, which has the one in the middle."""
    middle = len(frames) // 2
    return frames[:middle], frames[middle:]


def _worse(*parts: _Made) -> tuple[tuple[int, int], str]:
    """What is to be told of a picture that all of these went into."""
    return min(part.seen for part in parts), next((part.note for part in parts if part.note), "")


def _tried(fuser: Fuser, pair: ExposurePair, lumas: Lumas | None, mode: Mode, progress: Progress | None) -> _Made:
    """What a method makes of two exposures, with less and less where memory runs out."""
    first, left = fuser, RETRIES
    while True:
        seen = fuser.seen(*pair.size, mode, len(pair.frames))  # before there is less memory
        try:
            return _Made(fuser(pair, lumas, mode=mode, progress=progress), seen, _note(first, fuser))
        except Exception as error:
            if not left or not memory.ran_out(error):
                raise
        # Out here, where nothing holds the failed attempt's tensors any more.
        memory.release()
        fuser, left = fuser.thriftier(), left - 1


def _note(first: Fuser, fuser: Fuser) -> str:
    if fuser is first:
        return ""
    if fuser.device != first.device:
        return "The GPU's memory ran out, so this was fused on the processor."
    if fuser.share < 1:
        return "Memory ran out, so the network saw a smaller copy."
    return "Memory ran out, so this was fused again, with less at once."


@dataclass(frozen=True, eq=False)
class _Still:
    """A pair in which nothing moved, and where it is to be used: made once for all methods."""

    pair: ExposurePair
    mask: Tensor

    @staticmethod
    def of(pair: ExposurePair, ghosts: Ghosts) -> _Still:
        """Of a pair in which something did."""
        return _Still(without_ghosts(pair, ghosts), ghosts.mask)


def _loaded(name: str, device: str, options: Settled = ()) -> Fuser:
    return _or_on_cpu(lambda place: _fuser(name, place, options), device)


def _corrected(pair: ExposurePair, device: str) -> Lumas:
    return _or_on_cpu(lambda place: enhance(pair, _corrector(place)), device)


def _or_on_cpu(make: Callable[[str], _T], device: str) -> _T:
    """`make(device)`, or on the CPU where something else fills the GPU."""
    try:
        return make(device)
    except Exception as error:
        if device == "cpu" or not memory.ran_out(error):
            raise
    return make("cpu")


@lru_cache(maxsize=32)
def _fuser(name: str, device: str, options: Settled = ()) -> Fuser:
    """Loaded once, shared by all callers: networks in inference hold no state."""
    return Fuser(method(name), device, options=dict(options))


@lru_cache(maxsize=4)
def _corrector(device: str) -> Corrector:
    return Corrector(device)


def _marked(pair: ExposurePair, handling: Handling) -> tuple[ExposurePair, Ghosts | None]:
    """Where the exposures show different things, and the pair with a note on it."""
    moved = find_ghosts(pair)
    if moved is None or (handling == "mark" and not moved.certain):
        return pair, None
    note = f"Something moved between the exposures, in {100 * moved.share:.1f} % of the picture"
    what = "there the best exposed photograph was taken" if handling == "remove" else "it may show twice"
    return replace(pair, notes=(*pair.notes, f"{note}; {what}.")), moved


def _pair(*sources: Source, align: bool) -> ExposurePair:
    files = [isinstance(source, (str, PathLike)) for source in sources]
    if any(files) and not all(files):
        raise ImageError("Give files or pictures, not some of each.")
    pair = (load_pair if all(files) else as_pair)(*sources)  # pyright: ignore[reportArgumentType]
    return registered(pair).pair if align else pair
