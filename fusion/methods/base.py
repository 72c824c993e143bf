"""What a method is, and the one way to run any of them on a photograph of any size.

A network sees tensors, (B, C, H, W) from 0 to 1. Everything between a photograph and that (colour planes, small copies,
padding, tiles, cropping, clamping) happens in `Fuser`, once, and never inside a network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.guided_filter import affine_of_guides, apply_affine, scaled, shrink
from fusion.errors import FusionError, WeightsError
from fusion.io import colour
from fusion.io.image import ExposurePair, Photo
from fusion.methods.iat import IAT, Lumas
from fusion.methods.iat import NAME as IAT_NAME
from fusion.runtime import cancel, memory, weights
from fusion.runtime.tiles import by_strips, extend, in_tiles

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1."""


class Planes(Enum):
    """What a network fuses: all three channels, or the luma alone (chroma is then merged beside it)."""

    RGB = 3
    LUMA = 1


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; `loss(fused, under, over)` takes planes as the network sees them."""

    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    crop: int
    """Side of the square crops, in pixels; held-out pictures are reduced to it."""
    batch: int
    rate: float
    """Peak learning rate of AdamW; it falls to zero along a cosine."""
    weight_decay: float = 1e-2
    ema: float = 0.999
    """Decay of the moving average of the weights, which is what ships."""
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    scale: float = 1.0
    """The network sees crops reduced to this, and its result is carried up, as `Method.largest` does with pictures."""
    half_precision: bool = True
    """bfloat16 for convolutions and matrix products, where the device has it."""
    zoom: float = 2.0
    """Crops are cut at up to this many times their side, then reduced."""


class Colour(NamedTuple):
    """How a fused luma gets its colour back."""

    merge: Callable[[Sequence[Tensor], Tensor], Tensor]
    """Photographs, (B, 3, H, W) each, and a luma (B, 1, H, W) -> RGB (B, 3, H, W)."""
    reach: int = 0
    """How far, in pixels, a result depends on its surroundings."""


BY_COLOURFULNESS = Colour(colour.by_colourfulness)


class Option(NamedTuple):
    """A number that a method's result depends on, beside the photographs."""

    name: str
    """Also the keyword that `Method.build` takes."""
    low: float
    high: float
    default: float
    meaning: str
    """One line for the visitor."""


Options: TypeAlias = Mapping[str, float]
"""Values by an option's name; what is not named has its default."""
Settled: TypeAlias = tuple[tuple[str, float], ...]
"""Names and values of the options that are not at their default, as `Method.settled` gives them."""


@dataclass(frozen=True)
class Method:
    """One way to fuse. A network: `build(**options)(under, over) -> fused`, (B, C, H, W) from 0 to 1."""

    name: str
    title: str
    paper: str
    faithful: bool
    """False where the network was adapted; its file says how."""
    summary: str
    """One line for the visitor."""
    build: Callable[..., nn.Module]
    planes: Planes
    multiple_of: int = 1
    """The network takes sides that are multiples of this."""
    halo: int | None = None
    """How far, in pixels, a result depends on its surroundings beyond the `multiple_of` grid; None: on the
    whole picture, so that it cannot be tiled."""
    largest: int | None = None
    """Pixels above which the network sees a smaller copy whatever the mode, as it did in training (`Recipe.scale`).
    None: no limit."""
    working_bytes: int = 0
    """What the network needs at once, in bytes for each pixel it sees; 0 where it works in tiles or strips."""
    many: bool = False
    """The network takes any number of exposures, from dark to bright; the others take two."""
    cheap: bool = False
    """Takes no longer than reading and writing the picture: it always sees the pair at full size."""
    colour: Colour = BY_COLOURFULNESS
    """Where the network fuses lumas."""
    enhanced: bool = False
    """The network reads each luma twice, as it is and corrected by IAT: two channels."""
    recipe: Recipe | None = None
    """None where there is nothing to train."""
    options: tuple[Option, ...] = ()
    """What may be chosen without training anew."""
    weighs: bool = False
    """The network blends the exposures by weight maps, and tells them: `weight_maps(*exposures)` gives (N, B, 1, H, W),
    which sum to 1 over N."""

    @property
    def channels(self) -> int:
        """How many planes the network reads of each exposure."""
        return self.planes.value + self.enhanced

    @property
    def parameters(self) -> int:
        """Trainable values. The network is built to count them; the meta device would take longer to import."""
        with torch.random.fork_rng(devices=[]):
            return sum(p.numel() for p in self.build().parameters())

    @property
    def unavailable(self) -> str | None:
        """Why the method cannot be run here, as a sentence; None if it can. Its weights are loaded once to find out."""
        reason = weights.unusable(self.name, self.build) if self.recipe else None
        return reason or (weights.unusable(IAT_NAME, IAT) if self.enhanced else None)

    def settled(self, options: Options) -> Settled:
        """Those that are not at their default, in the order of their declaration: equal for equal results.

        Raises `FusionError` for an option that there is not, and for a value out of its range.
        """
        known = {option.name: option for option in self.options}
        for name, value in options.items():
            if (option := known.get(name)) is None:
                there = f"it has {', '.join(known)}" if known else "it has none"
                raise FusionError(f"{self.title} has no option called {name}; {there}.")
            if not option.low <= value <= option.high:  # NaN as well
                low, high = f"{option.low:g}", f"{option.high:g}"
                raise FusionError(f"The option {name} of {self.title} goes from {low} to {high}; {value:g} is outside.")
        chosen = ((option.name, float(options.get(option.name, option.default)), option) for option in self.options)
        return tuple((name, value) for name, value, option in chosen if value != option.default)


TILES = {"cpu": 192, "cuda": 1024}
"""Side of a tile's core, in pixels: small enough for a processor's cache, large enough that halos cost little."""

_LEAST_TILE_ON_GPU = 256
"""Where tiles of this side are too large for a GPU, something else fills it."""

FAST_PIXELS = 3_000_000
"""What a network sees in fast mode."""

Mode = Literal["auto", "exact", "fast"]
"""exact: the network sees the pair at full size, or at its method's `largest`. fast: it sees a copy of at most
`FAST_PIXELS`, and what it decides there, a local affine map of the two photographs, is carried to full size. auto: fast
on a processor where the pair is more than half as large again as that copy, else exact. In no mode does a network see
more than fits into `memory.budget`."""


class Fuser:
    """A method loaded on a device: pair in, photograph out.

    Raises `WeightsError` if the method's weights are missing, damaged or of another network, and `FusionError` where
    `Method.settled` does.
    """

    def __init__(
        self,
        method: Method,
        device: torch.device | str = "cpu",
        *,
        tile: int | None = None,
        fast_pixels: int = FAST_PIXELS,
        options: Options | None = None,
        memory_mb: int | None = None,
    ) -> None:
        self.method = method
        self.options = options
        self.memory_mb = memory_mb
        self.fast_pixels = fast_pixels
        self.device = torch.device(device)
        self.tile = tile or TILES.get(self.device.type, TILES["cuda"])
        self.share = 1.0
        """Of the pixels that the network would see; less where memory ran out."""
        if method.enhanced and (reason := weights.missing(IAT_NAME)) is not None:
            raise WeightsError(reason)
        network = method.build(**dict(method.settled(options or {})))
        if method.recipe:
            weights.load(method.name, network)
        if method.halo is None:  # the others are looked after tile by tile
            for module in network.modules():
                module.register_forward_pre_hook(_check)
        self.network = network.eval().to(self.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.no_grad()
    def __call__(
        self,
        pair: ExposurePair,
        corrected: Lumas | None = None,
        *,
        mode: Mode = "auto",
        progress: Progress | None = None,
    ) -> Photo:
        """The fused photograph, (3, H, W), 0 to 1, on the CPU; of all exposures, where the method takes `many`.

        `corrected` are the pair's lumas as `enhance.enhance` gave them; they are required where the method is
        `enhanced` (ValueError otherwise). The chroma always comes from the photographs themselves.
        """
        if not self.method.enhanced:
            corrected = None
        elif corrected is None:
            raise ValueError(f"{self.method.name} fuses lumas corrected by IAT: pass them as `corrected`")
        photos = pair.frames if self.method.many else (pair.under, pair.over)
        photos = [photo.to(self.device) for photo in photos]
        scale = self._scale(*pair.size, mode, len(photos))
        own = [self._read(shrink(photo[None], scale)) for photo in photos]  # (1, C, h, w) each
        seen = own
        if corrected:
            lumas = (luma[None].to(self.device) for luma in (corrected.under, corrected.over))
            size = own[0].shape[-2:]
            seen = [
                torch.cat((x, F.interpolate(luma, size, mode="area")), 1) for x, luma in zip(own, lumas, strict=True)
            ]
        fused = self._run(seen, progress)  # (C, h, w)
        if scale == 1 and self.method.planes is Planes.RGB:
            return fused.clamp_(0, 1).cpu()
        affine = affine_of_guides(fused[:, None], torch.cat(own).transpose(0, 1)) if scale < 1 else None
        return self._at_full_size(photos, fused, affine).cpu()

    @torch.no_grad()
    def weight_maps(self, pair: ExposurePair, *, mode: Mode = "auto") -> Tensor:
        """What each exposure counts where: (N, 1, h, w) from dark to bright, of sum 1, as large as the network sees.

        Raises `FusionError` where the method blends by no weights.
        """
        if not self.method.weighs:
            raise FusionError(f"{self.method.title} does not blend by weight maps.")
        photos = pair.frames if self.method.many else (pair.under, pair.over)
        scale = self._scale(*pair.size, mode, len(photos))
        seen = (self._read(shrink(photo[None].to(self.device), scale)) for photo in photos)
        return self.network.weight_maps(*seen)[:, 0].cpu()  # pyright: ignore[reportCallIssue]

    def _at_full_size(self, photos: Sequence[Tensor], fused: Tensor, affine: Tensor | None) -> Photo:
        """In colour, what was fused at full size, (C, H, W), or what `affine` says of a smaller copy.

        `photos` are N of (3, H, W), and `affine` is (C, N + 1, h, w).
        """
        size = photos[0].shape[-2:]

        def finished(rows: slice, seen: slice) -> Tensor:
            here = [photo[None, :, seen] for photo in photos]
            if affine is None:
                strip = fused[:, seen]
            else:
                guides = torch.cat([self._read(photo) for photo in here]).transpose(0, 1)
                strip = apply_affine(affine, guides, seen.start, size[0])[:, 0]
            strip = strip.clamp(0, 1)
            if self.method.planes is Planes.LUMA:
                strip = self.method.colour.merge(here, strip[None])[0].clamp_(0, 1)
            return strip[:, rows.start - seen.start : rows.stop - seen.start]

        return by_strips(finished, size, self.device, self.method.colour.reach)

    def thriftier(self) -> Fuser:
        """What to try next where memory ran out.

        It gives the same picture as long as that is possible: in smaller tiles, then on the CPU. Where the network
        needs the whole picture, it is shown half as many pixels in the end.
        """
        tiled = self.method.halo is not None
        if self.device.type != "cpu" and not (tiled and self.tile > _LEAST_TILE_ON_GPU):
            return Fuser(self.method, fast_pixels=self.fast_pixels, options=self.options, memory_mb=self.memory_mb)
        thriftier = copy.copy(self)
        if tiled:
            grid = self.method.multiple_of
            thriftier.tile = max(1, self.tile // 2 // grid) * grid
        elif not self.method.cheap:
            thriftier.share = self.share / 2
        return thriftier

    def seen(self, height: int, width: int, mode: Mode = "auto", count: int = 2) -> tuple[int, int]:
        """Height and width of what the network sees of `count` exposures of this size."""
        return scaled(height, width, self._scale(height, width, mode, count))

    def _scale(self, height: int, width: int, mode: Mode, count: int) -> float:
        pixels, limit = height * width, self.method.largest or math.inf
        if self.method.working_bytes and self.device.type == "cpu":
            pairs = count - 1 if self.method.many else 1
            limit = min(limit, memory.budget(self.memory_mb) / (self.method.working_bytes * pairs))
        fast = mode == "fast" or (mode == "auto" and self.device.type == "cpu" and pixels > 1.5 * self.fast_pixels)
        if fast and not self.method.cheap:
            limit = min(limit, self.fast_pixels)
        return min(1.0, math.sqrt(self.share * min(limit, pixels) / pixels))

    def _read(self, photo: Tensor) -> Tensor:
        """The planes of a photograph (1, 3, H, W) that the network fuses: (1, C, H, W)."""
        return colour.luma(photo) if self.method.planes is Planes.LUMA else photo

    def _run(self, exposures: Sequence[Tensor], progress: Progress | None) -> Tensor:
        """The network on planes (1, C, h, w), as a whole or tile by tile: (C', h, w)."""
        method = self.method
        if method.halo is None:
            return padded(self.network, exposures, method.multiple_of)[0]

        def fuse(tile: Tensor) -> Tensor:
            return self.network(*tile.split(1))[0]

        return in_tiles(
            torch.cat(tuple(exposures)),
            fuse,
            side=self.tile,
            halo=method.halo,
            multiple_of=method.multiple_of,
            progress=progress,
        )


def _check(_module: nn.Module, _inputs: object) -> None:
    cancel.check()


def padded(network: Callable[..., Tensor], exposures: Sequence[Tensor], multiple_of: int) -> Tensor:
    """A network that takes multiples of some side on planes (B, C, H, W) of any: mirrored beyond, then cut."""
    height, width = exposures[0].shape[-2:]
    return network(*(extend(planes, 0, multiple_of) for planes in exposures))[..., :height, :width]
