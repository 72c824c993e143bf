"""What a method is, and the one way to run any of them on a photograph of any size.

A network sees tensors, (B, C, H, W) from 0 to 1. Everything between a photograph and that (colour planes,
padding, tiles, cropping, clamping) happens in `Fuser`, once, and never inside a network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fusion import color, weights
from fusion.blocks.guided_filter import through_copy
from fusion.errors import WeightsError
from fusion.image import ExposurePair, Photo
from fusion.tiles import extend, in_tiles

if TYPE_CHECKING:
    from fusion.enhance import Lumas

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


@dataclass(frozen=True)
class Method:
    """One way to fuse. A network: `build()(under, over) -> fused`, (B, C, H, W) from 0 to 1."""

    name: str
    title: str
    paper: str
    faithful: bool
    """False where the network was adapted; its file says how."""
    summary: str
    """One line for the visitor."""
    build: Callable[[], nn.Module]
    planes: Planes
    multiple_of: int = 1
    """The network takes sides that are multiples of this."""
    halo: int | None = None
    """How far, in pixels, a result depends on its surroundings beyond the `multiple_of` grid; None: on the
    whole picture, so that it cannot be tiled."""
    largest: int | None = None
    """Pixels above which a network of lumas sees a smaller copy; its result is carried up along the photographs' edges.
    For those that are slow and cannot be tiled; None: no limit."""
    enhanced: bool = False
    """The network reads each luma twice, as it is and corrected by IAT: two channels."""
    recipe: Recipe | None = None
    """None where there is nothing to train."""

    @property
    def channels(self) -> int:
        """How many planes the network reads of each exposure."""
        return self.planes.value + self.enhanced

    @property
    def parameters(self) -> int:
        """Trainable values; none are allocated to count them."""
        with torch.device("meta"):
            return sum(p.numel() for p in self.build().parameters())

    @property
    def unavailable(self) -> str | None:
        """Why the method cannot be run here, as a sentence; None if it can."""
        return weights.missing(self.name) if self.recipe else None


TILE = 192
"""Side of a tile's core, in pixels: small enough for memory, large enough that halos cost little."""


class Fuser:
    """A method loaded on a device: pair in, photograph out.

    Raises `WeightsError` if the method's weights are missing, damaged or of another network.
    """

    def __init__(self, method: Method, device: torch.device | str = "cpu", *, tile: int = TILE) -> None:
        self.method = method
        self.device = torch.device(device)
        self.tile = tile
        if (reason := method.unavailable) is not None:
            raise WeightsError(reason)
        network = method.build()
        if method.recipe:
            weights.load(method.name, network)
        self.network = network.eval().to(self.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.inference_mode()
    def __call__(
        self, pair: ExposurePair, corrected: Lumas | None = None, *, progress: Progress | None = None
    ) -> Photo:
        """The fused photograph, (3, H, W), 0 to 1, on the CPU.

        `corrected` are the pair's lumas as `enhance.enhance` gave them; they are required where the method is
        `enhanced` (ValueError otherwise). The chroma always comes from the photographs themselves.
        """
        if not self.method.enhanced:
            corrected = None
        elif corrected is None:
            raise ValueError(f"{self.method.name} fuses lumas corrected by IAT: pass them as `corrected`")
        if self.method.planes is Planes.RGB:
            return self._run(pair.under, pair.over, progress).clamp(0, 1)
        under, over = color.luma(pair.under), color.luma(pair.over)
        if corrected:
            under, over = torch.cat((under, corrected.under)), torch.cat((over, corrected.over))
        fused = self._run(under, over, progress).clamp(0, 1)
        merged = color.merge_chroma(color.chroma(pair.under), color.chroma(pair.over))
        # Not clipped channel by channel, which would change the luma that was fused.
        return color.fit_gamut(fused, merged).clamp_(0, 1)

    def _run(self, under: Tensor, over: Tensor, progress: Progress | None) -> Tensor:
        """The network's planes, (C, H, W), whole or tile by tile."""
        planes, multiple = torch.stack((under, over)), self.method.multiple_of  # (2, C, H, W)
        if self.method.halo is None:
            return self._whole(planes)
        return in_tiles(
            planes, self._network, side=self.tile, halo=self.method.halo, multiple_of=multiple, progress=progress
        )

    def _whole(self, planes: Tensor) -> Tensor:
        """The network on the whole picture, or on a copy of at most `largest` pixels."""
        height, width = planes.shape[-2:]
        scale = math.sqrt(self.method.largest / (height * width)) if self.method.largest else 1.0

        def fuse(under: Tensor, over: Tensor) -> Tensor:
            height, width = under.shape[-2:]
            return self._network(extend(torch.cat((under, over)), 0, self.method.multiple_of))[None, :, :height, :width]

        return through_copy(fuse, planes[:1], planes[1:], scale)[0]

    def _network(self, planes: Tensor) -> Tensor:
        """(2, C, H, W) -> (C, H, W)."""
        planes = planes.to(self.device)
        return self.network(planes[:1], planes[1:])[0].cpu()
