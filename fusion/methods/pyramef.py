"""PyraMEF: every level of a pyramid is brought to the structure the exposures ask for; a network corrects it.

Ours. What a patch of the ideal fusion looks like is known in closed form (Ma, Zeng, Wang, TIP 2015, eqs. 4 to 9, on
which MEF-SSIM rests): it is sum_k gain_k (x_k - mu_k), of the strongest contrast, about any mean. That every patch, of
every size, is so at once is asked from the coarsest level of a pyramid to the second finest. With G the Gaussian mean
over a patch, the pixel that is the mean of what all patches around it want obeys

    F = G G F + S,   S = sum_k G(gain_k) y_k - G(gain_k mu_k)

which a few relaxations solve, because the level below gives them a good start. What the formula cannot know, a network
of shared weights says at each level: how the gains should differ (clipped, noisy or ambiguous places, the range that is
left) and what to add. It hands its features down from coarse to fine; on the two coarsest levels a selective scan lets
every place see the whole picture. The finest level copies the gains of the one before: its cost is a few operations a
pixel.

    lumas -> pyramid of 2x2 means -> coarsest: network blends -> twice the size, detail by gains, relax, correct -> ...

The network was trained on pairs. Of more exposures it sees every two neighbours, from dark to bright; what it says of
one exposure twice, and of the result several times, is averaged. The formula takes all of them at once. What that is
worth, `python -m fusion.benchmark.experiments.brackets FOLDER` prints.

Colour is carried as follows: each exposure's chroma counts by how well its pixel is exposed and little where a channel
is clipped, and grows or shrinks with the root of what its luma does. Where a colour does not fit into the range, it is
desaturated until it does: the luma stays.

Mean MEF-SSIM over the 30 pairs that nothing was trained on (`python -m fusion.benchmark.experiments.ablation DATASET`):

| the formula, not relaxed, untrained           | 0.9792 |
| the formula, relaxed 6 and 2 times, untrained | 0.9870 |
| trained, then not relaxed                     | 0.9703 |
| trained, then without the scan                | 0.9891 |
| trained: PyraMEF                              | 0.9897 |
| trained, relaxed 12 and 2 times               | 0.9896 |
| Mertens                                       | 0.9715 |

Its colours beside those of DeepFuse's merge on the same luma, over the examples (`python -m
fusion.benchmark.experiments.colour examples`): hue off by 3.81 degrees, not 4.90; 0.884 of the sources' colourfulness,
not 0.966.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.mamba import to_map, to_tokens
from fusion.blocks.vision_mamba import ScanMixer
from fusion.io import colour
from fusion.methods.base import Colour, Method, Option, Planes, Recipe
from fusion.metrics.filters import filter_valid, gaussian_window, halve
from fusion.metrics.losses import structure_and_luminance
from fusion.metrics.mef_ssim import products, structure_gains

_COARSEST = 8
"""The pyramid ends before its shorter side falls below this, in pixels."""
_PATCH = 11
_SIGMA = 1.5
_FLOOR = 0.25**2  # squared levels of 0 to 255: contrast below the step of 8 bits is none


class Statistics(NamedTuple):
    """What the patches of n lumas are like."""

    log_gains: Tensor
    """(B, n, h, w), as are the contrasts."""
    log_contrasts: Tensor
    correlation: Tensor
    """(B, n (n - 1) / 2, h, w), of every two."""


@torch.no_grad()
def patch_statistics(lumas: Tensor) -> Statistics:
    """Of lumas (B, n, h, w) from 0 to 1, over patches of 11 x 11 pixels, clipped at the border."""
    levels = (lumas - 0.5) * 255
    planes = levels, levels**2, products(levels)
    mean, square, product = box(torch.cat(planes, 1)).split([part.shape[1] for part in planes], 1)
    variance = (square - mean**2).clamp_min(_FLOOR)
    deviation = variance.sqrt()
    limit = products(deviation)
    covariance = (product - products(mean)).clamp(-limit, limit)
    gains = structure_gains(variance, covariance).clamp_min(1e-4)
    return Statistics(gains.log(), (deviation / 255).log(), covariance / limit)


def log_contrast(luma: Tensor) -> Tensor:
    """The logarithm of the patches' standard deviation in a luma (B, 1, h, w)."""
    mean, square = box(torch.cat((luma, luma**2), 1)).split(1, 1)
    return (square - mean**2).clamp_min(_FLOOR / 255**2).log() / 2


def box(planes: Tensor, side: int = _PATCH) -> Tensor:
    """Means over side x side pixels, `side` odd, of those inside the picture."""
    for axis in (-2, -1):
        inside = planes.new_ones(planes.shape[axis])
        sums, counts = _window_sums(planes, side, axis), _window_sums(inside, side, -1)
        planes = sums / (counts if axis == -1 else counts[:, None])
    return planes


def _window_sums(planes: Tensor, side: int, axis: int) -> Tensor:
    """Sums of `side` neighbours along an axis, zeros beyond the border: of sums of 1, 2, 4, ... those that make it up.

    A pooling layer does the same, much slower.
    """
    length, margin = planes.shape[axis], (side // 2, side // 2)
    powers = F.pad(planes, margin if axis == -1 else (0, 0, *margin))
    total, start, width = torch.zeros(()), 0, 1
    while True:
        if side & width:
            total = total + powers.narrow(axis, start, length)
            start += width
        if 2 * width > side:
            return total
        count = powers.shape[axis] - width
        powers = powers.narrow(axis, 0, count) + powers.narrow(axis, width, count)
        width *= 2


def gaussian(planes: Tensor, sigma: float = _SIGMA, radius: int = _PATCH // 2) -> Tensor:
    """Gaussian means, repeated borders, in float32: relaxation adds up what half precision would lose."""
    with torch.autocast("cuda" if planes.is_cuda else "cpu", enabled=False):
        window = gaussian_window(2 * radius + 1, sigma, planes)
        return filter_valid(F.pad(planes, (radius,) * 4, mode="replicate"), window)


def pyramid(lumas: Tensor) -> list[Tensor]:
    """(B, C, H, W) and its 2 x 2 means, finest first."""
    levels = [lumas]
    while min(levels[-1].shape[-2:]) >= 2 * _COARSEST:
        levels.append(halve(levels[-1]))
    return levels


def enlarge(planes: Tensor, like: Tensor) -> Tensor:
    """Twice the size, bilinear, cut to that of `like`."""
    height, width = like.shape[-2:]
    return F.interpolate(planes, scale_factor=2, mode="bilinear")[..., :height, :width]


def pairs(planes: Tensor) -> Tensor:
    """Every two neighbours of N exposures: (B, N, h, w) -> (B (N - 1), 2, h, w)."""
    return torch.stack((planes[:, :-1], planes[:, 1:]), 2).flatten(0, 1)


def of_pairs(planes: Tensor, batch: int) -> Tensor:
    """(B (N - 1), C, h, w) -> (B, N - 1, C, h, w)."""
    return planes.unflatten(0, (batch, -1))


class Residual(nn.Module):
    """x plus two 3 x 3 convolutions of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.second.weight *= 0.3

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        return x + self.second(F.relu(self.first(x)))


class GlobalScan(nn.Module):
    """x plus a four-direction selective scan over the whole map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mixer = ScanMixer(width, side=_COARSEST)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        tokens, rows = to_tokens(x), x.shape[-2]
        return to_map(tokens + self.mixer(self.norm(tokens), rows), rows)


@dataclass
class State:
    """What one level hands to the next finer one."""

    fused: Tensor
    features: Tensor
    """(B (N - 1), C, h, w): of every two neighbours."""
    log_gains: Tensor
    """(B, N, h, w), corrected for the finer level."""


class PyraMEF(nn.Module):
    """N lumas (B, 1, H, W), from dark to bright, to the fused luma (B, 1, H, W). 53,895 parameters at width 32.

    `relaxations` of every level, and of the finest that is relaxed, which has most pixels and least to do. `correction`
    is the share of the network's corrections that is heeded, `detail` what all gains are multiplied with.
    """

    def __init__(
        self, width: int = 32, relaxations: tuple[int, int] = (6, 2), *, correction: float = 1.0, detail: float = 1.0
    ) -> None:
        super().__init__()
        self.width = width
        self.relaxations = relaxations
        self.correction = correction
        self.log_detail = math.log(detail)
        self.stem = nn.Conv2d(12 + width, width, 3, padding=1)
        self.context = GlobalScan(width)
        self.body = nn.Sequential(Residual(width), Residual(width))
        self.blend = nn.Conv2d(width, 2, 3, padding=1)
        self.correct = nn.Conv2d(width, 3, 3, padding=1)
        self.correct_finest = nn.Conv2d(width, 2, 1)
        for head in (self.blend, self.correct, self.correct_finest):
            nn.init.normal_(head.weight, std=1e-3)  # untrained, it is the formula
            nn.init.zeros_(head.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, *exposures: Tensor) -> Tensor:
        """The fused luma; not clamped, so that the loss sees how far it leaves 0 ... 1."""
        levels = pyramid(torch.cat(exposures, 1))
        state = self.start(levels[-1])
        for depth in range(len(levels) - 2, 0, -1):
            state = self.refine(levels[depth], levels[depth + 1], state, scan=depth == len(levels) - 2, finer=depth > 1)
        return finish(levels[0], levels[1], state) if len(levels) > 1 else state.fused

    def start(self, lumas: Tensor) -> State:
        """The coarsest level: all lumas, blended."""
        mean, neighbours = lumas.mean(1, keepdim=True), pairs(lumas)
        nothing = lumas.new_zeros(len(neighbours), self.width, *lumas.shape[-2:])
        features, log_gains = self.look(lumas, torch.zeros_like(lumas), mean, nothing, scan=True)
        share, lift = of_pairs(self.correction * self.blend(F.relu(features)).float(), len(lumas)).unbind(2)
        # By how much each exposure counts more than the next brighter one, in logarithms; the brightest last.
        shares = F.pad(share.flip(1).cumsum(1).flip(1), (0, 0, 0, 0, 0, 1)).softmax(1)
        fused = (shares * lumas).sum(1, keepdim=True) + 0.1 * lift.mean(1, keepdim=True)
        return State(fused, features, log_gains + self._bounded(self.correct_finest(features), len(lumas)))

    def refine(self, lumas: Tensor, coarser: Tensor, state: State, *, scan: bool, finer: bool) -> State:
        """A level between: detail joins what is fused so far, and both are relaxed to what the patches want."""
        detail, fused = lumas - enlarge(coarser, lumas), enlarge(state.fused, lumas)
        features, log_gains = self.look(lumas, detail, fused, enlarge(state.features, lumas), scan=scan)
        correction, lift = self.correct(F.relu(features)).split((2, 1), 1)
        gains = torch.exp(log_gains + self._bounded(correction, len(lumas)))
        smooth_gains = gaussian(gains)
        wanted = (smooth_gains * lumas - gaussian(gains * gaussian(lumas))).sum(1, keepdim=True)
        fused = fused + (smooth_gains * detail).sum(1, keepdim=True)
        for _ in range(self.relaxations[0 if finer else 1]):
            fused = (gaussian(fused, _SIGMA * 2**0.5, 6) + wanted).clamp(0, 1)
        fused = fused + 0.1 * self.correction * of_pairs(lift.float(), len(lumas)).mean(1)
        return State(fused, features, log_gains + self._bounded(self.correct_finest(features), len(lumas)))

    def look(
        self, lumas: Tensor, detail: Tensor, fused: Tensor, features: Tensor, *, scan: bool
    ) -> tuple[Tensor, Tensor]:
        """The level's features, of every pair, and the logarithms of its gains by the formula, of every exposure."""
        patches, neighbours = patch_statistics(lumas), pairs(lumas)
        seen = patches if lumas.shape[1] == 2 else patch_statistics(neighbours)
        missing = log_contrast(fused) - patches.log_contrasts.amax(1, keepdim=True)
        shared = torch.cat((fused - 0.5, missing, lumas.amax(1, keepdim=True) - fused), 1)
        shared = shared.repeat_interleave(lumas.shape[1] - 1, 0)
        planes = (
            *(neighbours - 0.5, 4 * pairs(detail), seen.log_contrasts / 2 + 2, seen.log_gains / 3, seen.correlation),
            *(shared, features),
        )
        x = F.relu(self.stem(torch.cat(planes, 1).contiguous(memory_format=torch.channels_last)))
        return self.body(self.context(x) if scan else x), patches.log_gains + self.log_detail

    def _bounded(self, correction: Tensor, batch: int) -> Tensor:
        """Of every pair (B (N - 1), 2, h, w), to a factor of at most e^2 either way; of every exposure (B, N, h, w).

        What an exposure is told as the darker and as the brighter one of two is averaged.
        """
        darker, brighter = of_pairs(2 * self.correction * torch.tanh(correction.float() / 2), batch).unbind(2)
        inner = (darker[:, 1:] + brighter[:, :-1]) / 2
        return torch.cat((darker[:, :1], inner, brighter[:, -1:]), 1)


def finish(lumas: Tensor, coarser: Tensor, state: State) -> Tensor:
    """The finest level: its detail by the gains of the level before."""
    detail = lumas - enlarge(coarser, lumas)
    return enlarge(state.fused, lumas) + (torch.exp(enlarge(state.log_gains, lumas)) * detail).sum(1, keepdim=True)


_EXPOSED = 0.3
_CLIPPED = (0.85, 1.0)
_LARGEST_GAIN = 4.0
_AROUND = 9
"""Side, in pixels, of the squares over which the weights of the colours are averaged."""


def carry_colour(photos: Sequence[Tensor], luma: Tensor) -> Tensor:
    """RGB of a fused luma (B, 1, H, W), with the colour of the photographs, (B, 3, H, W) each."""
    chroma, total = torch.zeros_like(photos[0][:, :2]), torch.zeros_like(luma)
    for photo in photos:
        y = colour.luma(photo)
        low, high = _CLIPPED
        clipped = ((photo.amax(1, keepdim=True) - low) / (high - low)).clamp(0, 1)
        exposed = torch.exp(-((y - 0.5) ** 2) / (2 * _EXPOSED**2)) * y / (y + 0.05)
        weight = box(
            exposed * (1 - clipped / 4) + 1e-4 * (y + 0.01), _AROUND
        )  # the last term: where neither is exposed
        gain = ((luma.clamp(0, 1) + 0.02) / (y + 0.02)).clamp(1 / _LARGEST_GAIN, _LARGEST_GAIN).sqrt()
        chroma = chroma + weight * gain * (colour.chroma(photo) - 0.5)
        total = total + weight
    return colour.fit_gamut(luma, 0.5 + chroma / total)


METHOD = Method(
    name="pyramef",
    title="PyraMEF",
    paper="this repository",
    faithful=True,
    summary="Ours: every patch at every scale gets the best structure of both; 54 thousand parameters, a Mamba scan.",
    build=PyraMEF,
    planes=Planes.LUMA,
    colour=Colour(carry_colour, reach=_AROUND // 2),
    working_bytes=280,
    many=True,
    recipe=Recipe(loss=structure_and_luminance, crop=256, batch=4, rate=2e-3, zoom=3.0),
    options=(
        Option("correction", 0, 1, 1, "How much the trained network corrects the formula; 0: the formula alone."),
        Option("detail", 0.5, 2, 1, "What local contrast is multiplied with, at every size of detail."),
    ),
)
