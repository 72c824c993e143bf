"""IAT exposure correction: a small network that brightens a dark luma and darkens a bright one.

Source: Cui et al., "You Only Need 90K Parameters to Adapt Light: a Light Weight Transformer for Image Enhancement and
Exposure Correction" (IAT), BMVC 2022, sections 3.2 (local branch) and 3.3 (global branch), in the one-channel form
that MambaMEF puts before its encoders:

    corrected = clamp(max(Y * M + A, 1e-8) ^ gamma, 0, 1)

The local branch gives M and A for each pixel, and the global branch gives one gamma for a picture. IAT's code is
Apache-2.0; nothing of it was copied. Weights for one channel were never published.

| where     | the original                                  | here, and why                                          |
|-----------|-----------------------------------------------|--------------------------------------------------------|
| channels  | RGB, 10 queries (gamma and a colour matrix)   | luma, 1 query, as in MambaMEF                          |
| target    | retouched photographs                         | the pair's own Mertens luma: no reference is public    |
| drop path | .01, .05, .1 in training                      | none                                                   |
| gamma     | from the picture at full size                 | from a copy of at most 160 pixels a side, so that a    |
|           |                                               | tiled picture has one gamma                            |
| size      | full                                          | above a quarter of a megapixel a copy is corrected,    |
|           |                                               | which networks read; for looking at, a guided filter   |
|           |                                               | carries it to full size                                |
| borders   | zeros beyond the border                       | mirrored by 12 pixels, as every tile here; trained     |
|           |                                               | with zeros, so that up to 0.4 changes there            |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.guided_filter import affine_of_guides, apply_affine, shrink
from fusion.io import colour
from fusion.io.image import ExposurePair, Photo
from fusion.runtime import weights
from fusion.runtime.tiles import in_tiles

NAME = "iat"
CORRECTED_PIXELS = 250_000
"""A larger photograph is corrected on a copy of this many pixels."""
SHOWN_PIXELS = 2_000_000
"""A larger photograph is shown as a copy of this many pixels, since the correction is only for looking at."""
GAMMA_SIDE = 160
"""Longest side, in pixels, of the copy from which gamma is computed."""

# Every pixel of M and A depends on at most 11 pixels around it, 1 + 3 blocks * (1 + 2) + 1; tiles take one more.
_HALO = 12
_TILE = 256


class Affine(nn.Module):
    """(x Q^T) alpha + beta over the channels of each pixel, with which IAT replaces a normalisation (section 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.eye(width))
        self.alpha = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return F.conv2d(x, (self.alpha[:, None] * self.mix)[:, :, None, None], self.beta)


class ConvBlock(nn.Module):
    """IAT's pixel-wise block: a depth-wise position term, then two residual branches that begin with small gains."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1 = Affine(width)
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 1),
            nn.Conv2d(width, width, 5, padding=2, groups=width),
            nn.Conv2d(width, width, 1),
        )
        self.gain1 = nn.Parameter(torch.full((width, 1, 1), 1e-4))
        self.norm2 = Affine(width)
        self.channels = nn.Sequential(nn.Conv2d(width, 4 * width, 1), nn.GELU(), nn.Conv2d(4 * width, width, 1))
        self.gain2 = nn.Parameter(torch.full((width, 1, 1), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        x = x + self.position(x)
        x = x + self.gain1 * self.spatial(self.norm1(x))
        return x + self.gain2 * self.channels(self.norm2(x))


class LocalBranch(nn.Module):
    """Luma (B, 1, H, W) to the factor M, at least 0, and the offset A, from -1 to 1, (B, 1, H, W) each."""

    def __init__(self, width: int = 16, blocks: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(0.2))
        self.factor = nn.Sequential(*(ConvBlock(width) for _ in range(blocks)))
        self.offset = nn.Sequential(*(ConvBlock(width) for _ in range(blocks)))
        self.to_factor = nn.Conv2d(width, 1, 3, padding=1)
        self.to_offset = nn.Conv2d(width, 1, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                kernel, outputs = module.weight[0, 0].numel(), module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / (kernel * outputs)))
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, luma: Tensor) -> tuple[Tensor, Tensor]:
        """M and A, (B, 1, H, W) each."""
        x = self.stem(luma)
        factor = F.relu(self.to_factor(self.factor(x) + x))
        return factor, torch.tanh(self.to_offset(self.offset(x) + x))


class QueryAttention(nn.Module):
    """A learned query that attends to all tokens: (B, L, C) -> (B, 1, C)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.ones(1, 1, width))
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, C) -> (B, 1, C)."""
        query = self.query.expand(len(tokens), -1, -1)
        q, k, v = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (query, self.key(tokens), self.value(tokens))
        )
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class GlobalBranch(nn.Module):
    """Luma (B, 1, H, W) to gamma (B, 1, 1, 1)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width // 2, 3, stride=2, padding=1),
            nn.BatchNorm2d(width // 2),
            nn.GELU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
        )
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1 = nn.LayerNorm(width)
        self.attention = QueryAttention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.to_gamma = nn.Linear(width, 1)
        self.gamma_base = nn.Parameter(torch.ones(1), requires_grad=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
                    nn.init.zeros_(module.bias)
        nn.init.zeros_(self.attention.value.weight)

    def forward(self, luma: Tensor) -> Tensor:
        """gamma, which is 1 where the picture asks for no correction."""
        x = self.stem(luma)
        x = x + self.position(x)
        x = self.attention(self.norm1(x.flatten(2).transpose(1, 2)))  # (B, 1, C)
        x = x + self.mlp(self.norm2(x))
        return (self.to_gamma(x) + self.gamma_base)[..., None]


class IAT(nn.Module):
    """IAT for one channel: luma (B, 1, H, W), from 0 to 1, to the corrected luma. 89,060 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.local = LocalBranch()
        self.whole = GlobalBranch()

    def gamma(self, luma: Tensor) -> Tensor:
        """gamma (B, 1, 1, 1), computed from a copy whose sides are at most `GAMMA_SIDE` pixels."""
        scale = GAMMA_SIDE / max(luma.shape[-2:])
        if scale < 1:
            size = [max(4, round(side * scale)) for side in luma.shape[-2:]]
            luma = F.interpolate(luma, size, mode="area")
        return self.whole(luma)

    def correct(self, luma: Tensor, gamma: Tensor) -> Tensor:
        """The luma (B, 1, H, W) corrected with a given gamma (B, 1, 1, 1)."""
        factor, offset = self.local(luma)
        return (luma * factor + offset).clamp_min(1e-8).pow(gamma).clamp(0, 1)

    def forward(self, luma: Tensor) -> Tensor:
        """The corrected luma (B, 1, H, W), from 0 to 1."""
        return self.correct(luma, self.gamma(luma))


@dataclass(frozen=True, eq=False)
class Lumas:
    """Both corrected lumas of a pair, (1, h, w) each, at the pair's size or on a copy of at most `CORRECTED_PIXELS`."""

    under: Tensor
    over: Tensor


class Corrector:
    """IAT loaded on a device. Loading raises `WeightsError` if its weights are missing or damaged."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        network = IAT()
        weights.load(NAME, network)
        self.device = torch.device(device)
        self.network = network.eval().to(self.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.no_grad()
    def __call__(self, luma: Tensor) -> Tensor:
        """The corrected luma (1, H, W), from 0 to 1, on the CPU. It is computed in tiles and may have any size."""
        gamma = self.network.gamma(luma[None].to(self.device))

        def correct(part: Tensor) -> Tensor:
            return self.network.correct(part.to(self.device), gamma)[0].cpu()

        return in_tiles(luma[None], correct, side=_TILE, halo=_HALO)


def enhance(pair: ExposurePair, correct: Callable[[Tensor], Tensor]) -> Lumas:
    """The pair's corrected lumas, as networks with `Needs.enhanced` read them. `correct` is a `Corrector`."""
    return Lumas(*(correct(colour.luma(_reduced(photo, CORRECTED_PIXELS))) for photo in (pair.under, pair.over)))


def _reduced(photo: Photo, pixels: int) -> Photo:
    """The photograph, or a copy with at most this many pixels."""
    return shrink(photo[None], math.sqrt(pixels / photo[0].numel()))[0]


_LARGEST_COLOUR_GAIN = 6.0
_BLOWN = 0.8, 0.995
"""Darkest channel from which a corrected photograph goes over to white, and at which it is white."""


def recolour(photo: Photo, luma: Tensor) -> Photo:
    """`photo` (3, H, W) with its luma replaced by `luma` (1, H, W), for looking at. Chroma grows with the luma.

    The gain of the chroma is limited, since there is more noise than colour in the dark. Where all channels of the
    photograph clip, it holds nothing that could be darkened: white stays white, and what is nearly white approaches it.

    >>> recolour(torch.full((3, 2, 2), 0.2), torch.full((1, 2, 2), 0.5)).mean()
    tensor(0.5000)
    >>> recolour(torch.ones(3, 2, 2), torch.full((1, 2, 2), 0.5)).mean()
    tensor(1.)
    """
    old = colour.luma(photo)
    nearly, white = _BLOWN
    blown = ((photo.amin(-3, keepdim=True) - nearly) / (white - nearly)).clamp(0, 1)
    luma = torch.lerp(luma, torch.ones_like(luma), blown * blown * (3 - 2 * blown))
    gain = (luma / old.clamp_min(1 / 255)).clamp_max(_LARGEST_COLOUR_GAIN)
    return colour.to_rgb(luma, (colour.chroma(photo) - 0.5) * gain + 0.5).clamp(0, 1)


@torch.no_grad()
def recolour_pair(pair: ExposurePair, lumas: Lumas) -> tuple[Photo, Photo]:
    """Both photographs with their corrected lumas, at full size or on copies of at most `SHOWN_PIXELS`.

    Lumas that were corrected on smaller copies are enlarged by a guided filter; both photographs are its guides.
    """
    shown = [_reduced(photo, SHOWN_PIXELS) for photo in (pair.under, pair.over)]
    if lumas.under.shape[-2:] == pair.size:
        wanted = torch.stack((lumas.under, lumas.over))
    else:
        small = torch.stack([colour.luma(_reduced(photo, CORRECTED_PIXELS)) for photo in (pair.under, pair.over)], 1)
        guides = torch.stack([colour.luma(photo) for photo in shown], 1)
        affine = affine_of_guides(torch.stack((lumas.under, lumas.over)), small.expand(2, -1, -1, -1))
        wanted = apply_affine(affine, guides.expand(2, -1, -1, -1)).clamp(0, 1)
    under, over = map(recolour, shown, wanted)
    return under, over
