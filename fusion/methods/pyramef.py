"""PyraMEF: a closed formula says which structure the fusion should have at every scale; a small network corrects it.

This method is our own. The structure that a patch of the ideal fusion has is known in closed form
(`patch_structure.py`). From the coarsest level of a pyramid to the second finest, the picture is brought to that
structure in all patches at once by a few relaxations, which suffice because the coarser level gives them a good start.
The formula cannot know everything, so a network that shares its weights over the levels says at each of them how the
gains should differ (in clipped, noisy or ambiguous places, or for want of range) and what to add. It hands its features
from coarse to fine. On the two coarsest levels a selective scan lets every place see the whole picture. The finest
level takes over the gains of the one before, so that it costs only a few operations per pixel.

    lumas -> pyramid of 2 x 2 means
    coarsest level            `start`    blend the lumas by weights that the network chooses
    each level between        `refine`   double the size, add detail by the corrected gains, relax, add a correction
    finest level              `finish`   double the size, add detail by the gains of the level before
    fused luma -> colour by exposure (`exposed_colour.py`) -> RGB

The network was trained on pairs. In a longer bracket it looks at every two neighbours, from dark to bright, and its
answers about one exposure, or about the result, are averaged. The formula takes all exposures at once.
`python -m fusion.benchmark.experiments.brackets FOLDER` compares this with fusing two by two.

Mean MEF-SSIM over the 30 pairs that nothing was trained on (`python -m fusion.benchmark.experiments.ablation DATASET`):

| the formula, not relaxed, untrained           | 0.9792 |
| the formula, relaxed 6 and 2 times, untrained | 0.9870 |
| trained, then not relaxed                     | 0.9703 |
| trained, then without the scan                | 0.9891 |
| trained: PyraMEF                              | 0.9897 |
| trained, relaxed 12 and 2 times               | 0.9896 |
| Mertens                                       | 0.9715 |
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.mamba import to_map, to_tokens
from fusion.blocks.vision_mamba import ScanMixer
from fusion.methods.base import Method, Needs, Option, Planes, Recipe
from fusion.methods.exposed_colour import BY_EXPOSURE
from fusion.methods.patch_structure import log_contrast, patch_statistics, relax
from fusion.metrics.filters import halve
from fusion.metrics.losses import structure_and_luminance

_COARSEST = 8
"""The pyramid ends before its shorter side falls below this, in pixels."""


class PyraMEF(nn.Module):
    """N lumas (B, 1, H, W), from dark to bright, to the fused luma (B, 1, H, W). 53,895 parameters at width 32.

    `relaxations` are the steps at each level, and at the finest one that is relaxed, which has the most pixels and the
    least to do. `correction` is the share of the network's corrections that is applied. `detail` multiplies all gains.
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
        self.context = ResidualScan(width)
        self.body = nn.Sequential(ResidualConvolutions(width), ResidualConvolutions(width))
        self.blend = nn.Conv2d(width, 2, 3, padding=1)
        self.correct = nn.Conv2d(width, 3, 3, padding=1)
        self.correct_finest = nn.Conv2d(width, 2, 1)
        for head in (self.blend, self.correct, self.correct_finest):
            nn.init.normal_(head.weight, std=1e-3)  # untrained, the network leaves the formula as it is
            nn.init.zeros_(head.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, *exposures: Tensor) -> Tensor:
        """The fused luma. It is not clamped, so that the loss sees how far it leaves the range from 0 to 1."""
        finest, *others = pyramid(torch.cat(exposures, 1))
        if not others:
            return self.start(finest).fused
        *between, coarsest = others
        level = self.start(coarsest)
        for depth, lumas in reversed(list(enumerate(between))):
            times = self.relaxations[0 if depth else 1]
            level = self.refine(lumas, level, scan=depth == len(between) - 1, times=times)
        return self.finish(finest, level)

    def start(self, lumas: Tensor) -> Level:
        """Blend the coarsest level, lumas (B, N, h, w)."""
        mean, detail = lumas.mean(1, keepdim=True), torch.zeros_like(lumas)
        nothing = lumas.new_zeros(len(lumas) * (lumas.shape[1] - 1), self.width, *lumas.shape[-2:])
        features, log_gains = self.look(lumas, detail, mean, nothing, scan=True)
        share, lift = by_picture(self.correction * self.blend(F.relu(features)).float(), len(lumas)).unbind(2)
        # `share` says, in logarithms, by how much an exposure counts more than the next brighter one; the brightest
        # is the last.
        shares = F.pad(share.flip(1).cumsum(1).flip(1), (0, 0, 0, 0, 0, 1)).softmax(1)
        fused = (shares * lumas).sum(1, keepdim=True) + 0.1 * lift.mean(1, keepdim=True)
        return Level(lumas, fused, features, self.corrected(log_gains, self.correct_finest(features)))

    def refine(self, lumas: Tensor, coarser: Level, *, scan: bool, times: int) -> Level:
        """Add the detail of a level to what is fused so far, and relax it to what the patches ask for."""
        detail, fused = lumas - enlarge(coarser.lumas, lumas), enlarge(coarser.fused, lumas)
        features, log_gains = self.look(lumas, detail, fused, enlarge(coarser.features, lumas), scan=scan)
        correction, lift = self.correct(F.relu(features)).split((2, 1), 1)
        fused = relax(fused, lumas, detail, self.corrected(log_gains, correction).exp(), times)
        fused = fused + 0.1 * self.correction * by_picture(lift.float(), len(lumas)).mean(1)
        return Level(lumas, fused, features, self.corrected(log_gains, self.correct_finest(features)))

    def finish(self, lumas: Tensor, coarser: Level) -> Tensor:
        """Add the detail of the finest level by the gains of the level before: (B, 1, H, W)."""
        detail = lumas - enlarge(coarser.lumas, lumas)
        gains = torch.exp(enlarge(coarser.log_gains, lumas))
        return enlarge(coarser.fused, lumas) + (gains * detail).sum(1, keepdim=True)

    def look(
        self, lumas: Tensor, detail: Tensor, fused: Tensor, features: Tensor, *, scan: bool
    ) -> tuple[Tensor, Tensor]:
        """The features of every two neighbours, and the logarithms of the gains (B, N, h, w) by the formula.

        The network reads twelve planes of every two neighbours, beside the features of the coarser level.
        """
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

    def corrected(self, log_gains: Tensor, correction: Tensor) -> Tensor:
        """The logarithms of the gains (B, N, h, w), changed by what the network says, by a factor of at most e^2.

        `correction` (B (N - 1), 2, h, w) is for the darker and the brighter of every two neighbours. An exposure that
        is the brighter one of two and the darker one of the next two takes the mean.
        """
        bounded = 2 * self.correction * torch.tanh(correction.float() / 2)
        darker, brighter = by_picture(bounded, len(log_gains)).unbind(2)
        inner = (darker[:, 1:] + brighter[:, :-1]) / 2
        return log_gains + torch.cat((darker[:, :1], inner, brighter[:, -1:]), 1)


@dataclass
class Level:
    """A level of the pyramid, as the next finer one sees it."""

    lumas: Tensor
    """(B, N, h, w)."""
    fused: Tensor
    """(B, 1, h, w)."""
    features: Tensor
    """(B (N - 1), C, h, w), of every two neighbours."""
    log_gains: Tensor
    """(B, N, h, w), corrected for the finer level."""


class ResidualConvolutions(nn.Module):
    """x plus two 3 x 3 convolutions of it, (B, C, h, w)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.second.weight *= 0.3

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        return x + self.second(F.relu(self.first(x)))


class ResidualScan(nn.Module):
    """x plus a four-direction selective scan over the whole map, (B, C, h, w)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mixer = ScanMixer(width, side=_COARSEST)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        tokens, rows = to_tokens(x), x.shape[-2]
        return to_map(tokens + self.mixer(self.norm(tokens), rows), rows)


def pyramid(lumas: Tensor) -> list[Tensor]:
    """Lumas (B, N, H, W) and their 2 x 2 means, 4 x 4 means and so on, the finest first."""
    levels = [lumas]
    while min(levels[-1].shape[-2:]) >= 2 * _COARSEST:
        levels.append(halve(levels[-1]))
    return levels


def enlarge(planes: Tensor, like: Tensor) -> Tensor:
    """Planes (B, C, h, w) at twice the size, bilinear, cut to the size of `like`."""
    height, width = like.shape[-2:]
    return F.interpolate(planes, scale_factor=2, mode="bilinear")[..., :height, :width]


def pairs(planes: Tensor) -> Tensor:
    """Every two neighbours of N exposures: (B, N, h, w) -> (B (N - 1), 2, h, w)."""
    return torch.stack((planes[:, :-1], planes[:, 1:]), 2).flatten(0, 1)


def by_picture(planes: Tensor, batch: int) -> Tensor:
    """Planes of every two neighbours, separated by picture: (B (N - 1), C, h, w) -> (B, N - 1, C, h, w)."""
    return planes.unflatten(0, (batch, -1))


METHOD = Method(
    name="pyramef",
    title="PyraMEF",
    paper="this repository",
    origin="ours",
    summary="Our own network with a Mamba scan gives each patch, at every scale, the best structure of both.",
    architecture=PyraMEF,
    needs=Needs(planes=Planes.LUMA, many=True, colour=BY_EXPOSURE, working_bytes=280),
    recipe=Recipe(loss=structure_and_luminance, crop=256, batch=4, rate=2e-3, zoom=3.0),
    options=(
        Option(
            "correction", 0, 1, 1, "How much the trained network corrects the formula; at 0 the formula works alone."
        ),
        Option("detail", 0.5, 2, 1, "The factor that local contrast is multiplied by, at every size of detail."),
    ),
)
