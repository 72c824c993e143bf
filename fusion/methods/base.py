"""`Method`, the description of a way to fuse, and `Fuser`, which runs any method on photographs of any size."""

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
"""A function that is called with the share of the work that is done, from 0 to 1."""


class Planes(Enum):
    """The planes that a network fuses."""

    RGB = 3
    """All three channels."""
    LUMA = 1
    """The luma alone. `Fuser` adds the colour afterwards, as `Needs.colour` says."""


class Colour(NamedTuple):
    """The way a fused luma gets its colour back."""

    merge: Callable[[Sequence[Tensor], Tensor], Tensor]
    """Takes the photographs, (B, 3, H, W) each, and the fused luma (B, 1, H, W); returns RGB (B, 3, H, W)."""
    reach: int = 0
    """A pixel of the result depends on this many pixels on each side of it."""


BY_COLOURFULNESS = Colour(colour.by_colourfulness)


@dataclass(frozen=True)
class Needs:
    """The input that a network needs, and how `Fuser` has to cut or reduce large pictures for it."""

    planes: Planes
    enhanced: bool = False
    """The network reads two channels of each exposure: its luma, and the same luma corrected by IAT."""
    many: bool = False
    """The network takes two or more exposures at once. One without this takes two; `fusion.pipeline` then fuses
    longer brackets step by step."""
    multiple_of: int = 1
    """Height and width must be multiples of this number. `Fuser` mirrors the picture beyond its border up to them."""
    colour: Colour = BY_COLOURFULNESS
    """How the method's authors give the result its colour, where `planes` is `Planes.LUMA`."""

    halo: int | None = None
    """A pixel of the result depends on at most this many pixels beyond its cell of the `multiple_of` grid, so that
    the picture can be cut into tiles. None means that it depends on the whole picture."""
    largest: int | None = None
    """The network always sees a copy of at most this many pixels, as it did in training (`Recipe.scale`)."""
    working_bytes: int = 0
    """Memory that a pass over the whole picture takes, in bytes per pixel that the network sees, on the CPU.

    `Fuser` reduces the picture where this does not fit into the memory budget. It is stated where `halo` and `largest`
    are None and `cheap` is False; with `many`, it is the value for two exposures, and each further one adds as much.
    Measure it with `python -m pytest tests/methods/test_working_bytes.py -k NAME`. With a wrong value, such as 1, the
    test fails, says how much more memory a larger picture took per additional pixel, and which value to state."""
    cheap: bool = False
    """Fusing takes no longer than reading and writing the files, so the network sees full size in every mode."""

    @property
    def channels(self) -> int:
        """The number of planes C that the network reads of each exposure."""
        return self.planes.value + self.enhanced


@dataclass(frozen=True)
class Recipe:
    """The settings with which a network is trained."""

    loss: Callable[..., Tensor]
    """Takes the fused planes and those of both exposures, or of the reference, all (B, C, H, W) in float32; returns a
    scalar."""
    crop: int
    """Side of the square crops, in pixels. Held-out pictures are reduced to this size."""
    batch: int
    """Number of pairs in a step, for each process."""
    rate: float
    """Highest learning rate of AdamW. It falls to zero along a cosine."""
    weight_decay: float = 1e-2
    ema: float = 0.999
    """Decay of the moving average of the weights. The average is what ships."""
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    scale: float = 1.0
    """The network sees crops reduced by this factor, and a guided filter enlarges its result; `Needs.largest` does the
    same with pictures."""
    half_precision: bool = True
    """Convolutions and matrix products run in bfloat16 where the device has it."""
    zoom: float = 2.0
    """A crop is cut at 1 to `zoom` times its side, then reduced."""
    references: bool = False
    """The network is trained on scenes with a reference, as `fusion.training.references` reads them. Crops are then
    nearly whole pictures, and `zoom` has no effect."""


class Option(NamedTuple):
    """A number that the user may choose and that changes the result."""

    name: str
    """The option's name, which is also a keyword of `Method.architecture`."""
    low: float
    high: float
    default: float
    meaning: str
    """One whole sentence for the user, of at most 120 characters, which ends with a full stop."""


Origin = Literal["ours", "published", "retrained", "adapted"]
"""What a network is, compared with its source.

- "ours": it is this project's own.
- "published": it is what the paper describes, and there is nothing to train.
- "retrained": its architecture is the paper's, but it was trained here, with another loss.
- "adapted": it differs from the paper's network in more than training."""

Options: TypeAlias = Mapping[str, float]
"""Values by the option's name. An option that is not named has its default."""
Settled: TypeAlias = tuple[tuple[str, float], ...]
"""Names and values of the options that differ from their default, as `Method.settled` returns them."""


@dataclass(frozen=True)
class Method:
    """One way to fuse photographs: what it is, what its network needs, how that was trained, and what may be chosen.

    Every network that `architecture` builds keeps the following contract. `Fuser` relies on it, and
    `tests/methods/test_methods.py` checks it for each method in `fusion.methods.METHODS`.

    - **Call.** `network(under, over)`, the darker exposure first. Where `needs.many`, the call is
      `network(*exposures)` with two or more exposures, from dark to bright.
    - **Input.** Each exposure is a float32 tensor (B, C, H, W) with values from 0 to 1 in sRGB's encoding. C is
      `needs.channels`: three for RGB, one for luma (BT.601, full range), two for a luma and its correction by IAT. All
      exposures have the same shape; H and W are multiples of `needs.multiple_of` and at least 16.
    - **Output.** float32 (B, 3, H, W) or, for `Planes.LUMA`, (B, 1, H, W), from about 0 to 1. A network need not clamp
      it, since a loss should see how far a result leaves the range; `Fuser` clamps.
    - **Batch.** The pictures of a batch do not affect each other.
    - **Device.** The network and its input are on one device of any kind, and so is the result.
    - **Determinism.** In eval mode the same input gives the same result. There is no dropout and no random number.
    - **Gradients.** The result is differentiable with respect to every parameter.
    - **Weight maps.** Where `weighs`, `network.weight_maps(*exposures)` returns (N, B, 1, H, W): how much each of the N
      exposures counts in each pixel. The maps are not negative and add up to 1 over N.

    Colour planes, smaller copies, padding, tiles, cropping and clamping are the work of `Fuser`, never of a network.
    """

    # What it is.
    name: str
    """The name on the command line and of the file with the weights."""
    title: str
    """The name that people read."""
    paper: str
    """Authors, title and year of the source."""
    summary: str
    """One or two whole sentences for the user, of at most 120 characters in all, which end with a full stop."""
    origin: Origin
    """What the network is, compared with its source; the table in its file says how the two differ."""
    architecture: Callable[..., nn.Module]
    """Builds the network with fresh weights. The keywords are the names of `options`."""

    needs: Needs
    """What the network reads, and what large pictures mean to it."""

    recipe: Recipe | None = None
    """How the network is trained. None where there is nothing to train."""

    # What may be chosen, and what can be shown, without training anew.
    options: tuple[Option, ...] = ()
    weighs: bool = False
    """The network blends the exposures by weight maps, and returns them from `weight_maps`."""

    def untrained(self) -> nn.Module:
        """The network with fresh, untrained weights, in training mode on the CPU.

        >>> from fusion.methods import method_named
        >>> method_named("deepfuse").untrained().training
        True
        """
        return self.architecture()

    def trained(self, device: torch.device | str = "cpu", options: Options | None = None) -> nn.Module:
        """The network with the weights that ship, in eval mode on `device`.

        Raises `WeightsError` if the weights are missing, damaged or do not fit the network, and `FusionError` where
        `settled` does.

        >>> import torch
        >>> from fusion.methods import method_named
        >>> network = method_named("meflut").trained()
        >>> with torch.inference_mode():
        ...     network(torch.rand(2, 1, 32, 48), torch.rand(2, 1, 32, 48)).shape
        torch.Size([2, 1, 32, 48])
        """
        if self.needs.enhanced and (reason := weights.missing(IAT_NAME)) is not None:
            raise WeightsError(reason)
        network = self.architecture(**dict(self.settled(options or {})))
        if self.recipe:
            weights.load(self.name, network)
        return network.eval().to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @property
    def parameters(self) -> int:
        """The number of trainable values.

        >>> from fusion.methods import method_named
        >>> method_named("meflut").parameters
        128
        """
        # The network is built to count them: the meta device would take longer to import.
        with torch.random.fork_rng(devices=[]):
            return sum(p.numel() for p in self.untrained().parameters())

    @property
    def unavailable(self) -> str | None:
        """A sentence that says why the method cannot run here, or None if it can. Its weights are loaded once for that.

        >>> from fusion.methods import method_named
        >>> method_named("mertens").unavailable is None
        True
        """
        reason = weights.unusable(self.name, self.architecture) if self.recipe else None
        return reason or (weights.unusable(IAT_NAME, IAT) if self.needs.enhanced else None)

    def settled(self, options: Options) -> Settled:
        """Check the values and return those that differ from their default, in the order of `Method.options`.

        Requests with equal results therefore have equal values. Raises `FusionError` for an option that the method
        does not have, and for a value out of its range.

        >>> from fusion.methods import method_named
        >>> method_named("mertens").settled({"sigma": 0.3, "contrast": 1})
        (('sigma', 0.3),)
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
"""Where even tiles of this side do not fit into a GPU's memory, other programs fill it, and the CPU is tried."""

FAST_PIXELS = 3_000_000
"""The most pixels that a network sees in fast mode."""

Mode = Literal["auto", "exact", "fast"]
"""How much of a picture a network sees.

- "exact": full size, or the copy of its method's `Needs.largest` pixels.
- "fast": a copy of at most `FAST_PIXELS`. The result on the copy is expressed as a local affine map of the photographs,
  and this map is applied at full size.
- "auto": "fast" on a CPU where the picture has more than 1.5 times `FAST_PIXELS`, otherwise "exact".

In every mode the network sees no more than fits into the memory budget."""


class Fuser:
    """A method loaded on a device. Calling it turns an `ExposurePair` into the fused photograph.

    It does what lies between photographs and a network's tensors: it takes the colour planes, makes smaller copies,
    pads, cuts into tiles, crops, keeps highlights below white and merges the colour, as `colour` says or, without it,
    as the method's authors do.

    Raises `WeightsError` if the method's weights are missing, damaged or do not fit the network, and `FusionError`
    where `Method.settled` does.
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
        colour: Colour | None = None,
    ) -> None:
        self.method = method
        self.colour = colour or method.needs.colour
        self.options = options
        self.memory_mb = memory_mb
        self.fast_pixels = fast_pixels
        self.device = torch.device(device)
        self.tile = tile or TILES.get(self.device.type, TILES["cuda"])
        self.share = 1.0
        """The share that is used of the pixels that the network could see. It is below 1 after memory ran out."""
        self.network = method.trained(self.device, options)
        if method.needs.halo is None:  # tiles are checked between one another
            for module in self.network.modules():
                module.register_forward_pre_hook(_check)

    @torch.no_grad()
    def __call__(
        self,
        pair: ExposurePair,
        corrected: Lumas | None = None,
        *,
        mode: Mode = "auto",
        progress: Progress | None = None,
    ) -> Photo:
        """The fused photograph (3, H, W), from 0 to 1, on the CPU.

        It is made of all exposures of the pair where `Needs.many`, otherwise of the darkest and the brightest.
        `corrected` are the pair's lumas as `iat.enhance` returns them; ValueError is raised where `Needs.enhanced` and
        they are missing. The colour always comes from the photographs themselves. `progress` is called after each tile.
        """
        if not self.method.needs.enhanced:
            corrected = None
        elif corrected is None:
            raise ValueError(f"{self.method.name} fuses lumas corrected by IAT: pass them as `corrected`")
        photos = pair.frames if self.method.needs.many else (pair.under, pair.over)
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
        if scale == 1 and self.method.needs.planes is Planes.RGB:
            return self._without_clipping(photos[0], fused).cpu()
        affine = affine_of_guides(fused[:, None], torch.cat(own).transpose(0, 1)) if scale < 1 else None
        return self._at_full_size(photos, fused, affine).cpu()

    @torch.no_grad()
    def weight_maps(self, pair: ExposurePair, *, mode: Mode = "auto") -> Tensor:
        """Return how much each exposure counts in each pixel: (N, 1, h, w), from dark to bright, summing to 1 over N.

        The maps have the size that the network sees. Raises `FusionError` where the method has no weight maps.
        """
        if not self.method.weighs:
            raise FusionError(f"{self.method.title} does not blend by weight maps.")
        photos = pair.frames if self.method.needs.many else (pair.under, pair.over)
        scale = self._scale(*pair.size, mode, len(photos))
        seen = (self._read(shrink(photo[None].to(self.device), scale)) for photo in photos)
        return self.network.weight_maps(*seen)[:, 0].cpu()  # pyright: ignore[reportCallIssue]

    def _at_full_size(self, photos: Sequence[Tensor], fused: Tensor, affine: Tensor | None) -> Photo:
        """The fused photograph in colour, (3, H, W).

        It comes from `fused`, (C, H, W), or, where the network saw a smaller copy, from `affine`, (C, N + 1, h, w), the
        coefficients that express the copy's result by the N photographs, (3, H, W) each.
        """
        size = photos[0].shape[-2:]

        def finished(rows: slice, seen: slice) -> Tensor:
            here = [photo[None, :, seen] for photo in photos]
            if affine is None:
                strip = fused[:, seen]
            else:
                guides = torch.cat([self._read(photo) for photo in here]).transpose(0, 1)
                strip = apply_affine(affine, guides, seen.start, size[0])[:, 0]
            strip = keep_below_white(strip, here[0][0])
            if self.method.needs.planes is Planes.LUMA:
                strip = keep_below_white(self.colour.merge(here, strip[None])[0], here[0][0])
            return strip[:, rows.start - seen.start : rows.stop - seen.start]

        return by_strips(finished, size, self.device, self.colour.reach)

    def _without_clipping(self, darkest: Tensor, fused: Tensor) -> Photo:
        """A fused photograph (3, H, W), from 0 to 1, in which what the darkest (3, H, W) holds is not white."""

        def finished(rows: slice, _: slice) -> Tensor:
            return keep_below_white(fused[:, rows], darkest[:, rows])

        return by_strips(finished, fused.shape[-2:], self.device)

    def thriftier(self) -> Fuser:
        """A fuser to try next after memory ran out.

        It makes the same picture as long as that is possible, in smaller tiles, then on the CPU. Where the network
        needs the whole picture, it finally sees half as many pixels.
        """
        tiled = self.method.needs.halo is not None
        if self.device.type != "cpu" and not (tiled and self.tile > _LEAST_TILE_ON_GPU):
            return Fuser(
                self.method,
                fast_pixels=self.fast_pixels,
                options=self.options,
                memory_mb=self.memory_mb,
                colour=self.colour,
            )
        thriftier = copy.copy(self)
        if tiled:
            grid = self.method.needs.multiple_of
            thriftier.tile = max(1, self.tile // 2 // grid) * grid
        elif not self.method.needs.cheap:
            thriftier.share = self.share / 2
        return thriftier

    def seen(self, height: int, width: int, mode: Mode = "auto", count: int = 2) -> tuple[int, int]:
        """Height and width at which the network sees `count` exposures of this size."""
        return scaled(height, width, self._scale(height, width, mode, count))

    def _scale(self, height: int, width: int, mode: Mode, count: int) -> float:
        needs = self.method.needs
        pixels, limit = height * width, needs.largest or math.inf
        if needs.working_bytes and self.device.type == "cpu":
            pairs = count - 1 if needs.many else 1
            limit = min(limit, memory.budget(self.memory_mb) / (needs.working_bytes * pairs))
        fast = mode == "fast" or (mode == "auto" and self.device.type == "cpu" and pixels > 1.5 * self.fast_pixels)
        if fast and not needs.cheap:
            limit = min(limit, self.fast_pixels)
        return min(1.0, math.sqrt(self.share * min(limit, pixels) / pixels))

    def _read(self, photo: Tensor) -> Tensor:
        """The planes (1, C, H, W) of a photograph (1, 3, H, W) that the network fuses."""
        return colour.luma(photo) if self.method.needs.planes is Planes.LUMA else photo

    def _run(self, exposures: Sequence[Tensor], progress: Progress | None) -> Tensor:
        """Run the network on planes (1, C, h, w), as a whole or tile by tile. The result is (C', h, w)."""
        needs = self.method.needs
        if needs.halo is None:
            return padded(self.network, exposures, needs.multiple_of)[0]

        def fuse(tile: Tensor) -> Tensor:
            return self.network(*tile.split(1))[0]

        return in_tiles(
            torch.cat(tuple(exposures)),
            fuse,
            side=self.tile,
            halo=needs.halo,
            multiple_of=needs.multiple_of,
            progress=progress,
        )


_HELD = 0.98, 1.0
"""Brightest channel of the darkest exposure up to which it holds what it shows, and at which it is clipped."""
_KNEE, _BELOW_WHITE = 0.98, 0.9955
"""Where values begin to be pressed together, and the value that they approach, which 8 bits round to 254."""


def keep_below_white(planes: Tensor, darkest: Tensor) -> Tensor:
    """Fused planes (C, H, W), clamped to 0 ... 1, and below white where the darkest exposure (3, H, W) is not clipped.

    Values above 0.98 are pressed together there, so that differences between them remain.

    >>> keep_below_white(torch.tensor([0.5, 0.99, 1.2]).view(1, 1, 3), torch.full((3, 1, 3), 0.4))
    tensor([[[0.5000, 0.9888, 0.9955]]])
    """
    low, high = _HELD
    held = ((high - darkest.amax(0, keepdim=True)) / (high - low)).clamp_(0, 1)
    room = _BELOW_WHITE - _KNEE
    pressed = _KNEE + room * torch.tanh((planes - _KNEE) / room)
    return torch.lerp(planes, torch.where(planes > _KNEE, pressed, planes), held).clamp_(0, 1)


def _check(_module: nn.Module, _inputs: object) -> None:
    cancel.check()


def padded(network: Callable[..., Tensor], exposures: Sequence[Tensor], multiple_of: int) -> Tensor:
    """Run a network that needs sides of a multiple on planes (B, C, H, W) of any size.

    The planes are mirrored beyond their border, and the result is cut to their size.

    >>> padded(lambda x: x * x, [torch.full((1, 1, 5, 7), 3.0)], multiple_of=4).shape
    torch.Size([1, 1, 5, 7])
    """
    height, width = exposures[0].shape[-2:]
    return network(*(extend(planes, 0, multiple_of) for planes in exposures))[..., :height, :width]
