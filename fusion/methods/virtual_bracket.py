"""Virtual Bracket: the exposures between the given ones are rendered, and a small network says how to fuse them all.

This method is our own. People prefer pictures that were fused from a whole bracket, and two photographs that lie far
apart are not one: what is missing are the exposures between them. They can be made.

    photographs -> the light of the scene, and whether it is known -> seven exposures of it -> their weighted mean
                -> a smooth affine map of (mean, darkest, brightest) -> a little detail -> fused photograph

- **Response.** Between every two neighbours, the brighter photograph is a power law of the darker one wherever both
  show something: bright = 2^offset * dark^slope, both plus sRGB's 0.055. Its slope and the offset of each channel are
  fitted to a small copy, so that neither the exposure times nor the cameras' curves need to be known. For curves that
  are power laws, one stop more is a factor in the encoded values; no value has to be linearised.
- **Light.** It is the brightest photograph's value, on its own scale and beyond 1. Where that clips, it is taken over
  from the next darker photograph through the response. Where the darker one is black at such a place, nothing is known:
  there, the light of the surroundings goes on, and the brightest photograph counts more.
- **Bracket.** The darkest and the brightest photograph as they are, three exposures of the light between them, and one
  beyond each end. All are at equal distances for the logarithm, and where the given exposures are equal, so are these.
- **Fusion.** A weighted mean, by how well each exposure's picture and pixel is exposed, and by the stops that it stands
  for. A mean of exposures and a smooth affine map have no halo to ring with.
- **Network.** It reads a copy of 128 x 128 pixels and returns 32 x 32 maps: how the weights should differ, when the
  light is taken over, what to trust, the affine map and the gain of fine detail. Everything that it returns is 0 at the
  start of training, which is the rule. At full size, there is nothing but arithmetic on single pixels and a box filter.
- **A bracket that is one.** Where three or more exposures are given and no gap between neighbours is much wider than
  three stops, nothing is missing: they are fused by SPD-MEF, which people chose most often. Wider gaps lead smoothly to
  the rendered exposures.
- **Nothing to fuse.** An exposure of three or more that is all black or all white gives way to its neighbour. The
  network's maps count as much as the exposures differ. Twice the same photograph comes back
  as it is, and so does a photograph that is fused with a black or a white one.

On 60 pairs of 31 scenes that training held out, at a longest side of 512 pixels, the trained network has a PSNR of 28.0
dB, an SSIM of .937 and a dE2000 of 4.5 (`python -m fusion.benchmark.experiments.labels DATASET --held-out --side 512`,
with further pairs by `--more`). On the 31 extreme ones among them it has 26.9, .920 and 4.9; Mertens 19.6, .862, 10.0.

Weights of good exposure: Ma et al., "Robust multi-exposure image fusion: a structural patch decomposition approach",
TIP 2017, equation 9, with its spread 0.2 over a picture and 0.5 over a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.box_mean import box_mean
from fusion.methods.base import Method, Needs, Planes, Recipe
from fusion.methods.spdmef import SPDMEF
from fusion.metrics.reference_loss import towards_reference
from fusion.runtime.tiles import by_strips

_DETAIL_SIDE = 650
"""Longest side, in pixels, of a picture whose finest detail is what the network's gain of detail means."""
_COPY = 128
"""Side of the copy on which everything is decided, in pixels."""
_GRID = 32
"""Side of the network's maps."""
_BEYOND = 0.9
"""Distance from the ends of the bracket to the exposures beyond, in binary logarithms of encoded values: two stops."""
_TOE = 0.055
"""sRGB's curve is a power law of the encoded values plus this, except below 0.04."""
_BETWEEN = 3
_SIGNAL = 0.012, 0.05
"""Brightest channel of a dark photograph up to which it shows nothing, and from which it shows something."""
_DETAIL = 0.008, 0.04
"""Brightest channel up to which its detail is noise, and from which it is to be trusted."""
_CALM = 0.75
"""By how much, as a logarithm, the brightest photograph counts more where nothing is known of the light."""
_CLOSE = 1.4, 1.9
"""Widest gap between neighbours, in binary logarithms of encoded values, up to which a bracket is fused as it is, and
from which the exposures between are rendered. One stop is about 0.42."""
_SLOTS = _BETWEEN + 4


class _Lines(NamedTuple):
    """The numbers of rows, ascending."""

    numbers: Tensor
    only: int | None
    """The number, where all are the same."""

    @staticmethod
    def of(index: Tensor, device: torch.device) -> _Lines:
        """Prepare numbers that are on the processor for planes on a device."""
        first, last = int(index[0]), int(index[-1])
        return _Lines(index.to(device), first if first == last else None)

    def of_planes(self, planes: Tensor) -> Tensor:
        """The rows with these numbers of planes (B, h, C, W). A single one is not copied."""
        return planes.index_select(1, self.numbers) if self.only is None else planes.narrow(1, self.only, 1)


class Rows:
    """Some rows of a picture of `height` rows, to which planes as high as `like` (B, h, C, W) are enlarged."""

    def __init__(self, rows: slice, height: int, like: Tensor) -> None:
        count = like.shape[1]
        # Computed on the processor, so that no device has to be waited for.
        position = (torch.arange(rows.start, rows.stop, device="cpu") + 0.5) * (count / height) - 0.5
        position = position.clamp(0, count - 1)
        above = position.long()
        self.above, self.below = (_Lines.of(index, like.device) for index in (above, (above + 1).clamp_max(count - 1)))
        self.nearness = (position - above)[:, None, None].to(like.device)

    def of(self, planes: Tensor) -> Tensor:
        """The rows (B, C, rows, W) of planes (B, h, C, W), interpolated linearly."""
        return torch.lerp(self.above.of_planes(planes), self.below.of_planes(planes), self.nearness).transpose(1, 2)


class Maps:
    """What the network says, in some rows of a picture of `height` rows.

    `wide` is from `groups`. Only the planes that are asked for are enlarged, since all of them do not fit a
    processor's cache.
    """

    COUNTS = _SLOTS, 6, 30, 1
    """Numbers of the planes that `weight`, `bounded`, `affine` and `detail` return."""

    def __init__(self, wide: Sequence[Tensor], rows: slice, height: int) -> None:
        self.wide = wide
        self.rows = Rows(rows, height, wide[0])

    @staticmethod
    def groups(wide: Tensor) -> list[Tensor]:
        """The planes (B, h, 44, W) as the groups that are enlarged together."""
        return [group.contiguous() for group in wide.split((*[1] * _SLOTS, 6, *[3] * 10, 1), 2)]

    def weight(self, slot: int) -> Tensor:
        """Logarithm of an exposure's weight without what its pixels say, (B, 1, h, w)."""
        return self.rows.of(self.wide[slot])

    def bounded(self) -> Tensor:
        """(B, 6, h, w), from -1 to 1.

        How much earlier the light is taken over from a darker photograph, how dark that may be, by how much the
        brightest photograph counts more where nothing is known, and, for each channel, how much brighter the light of
        the darker photographs is.
        """
        return self.rows.of(self.wide[_SLOTS])

    def affine(self, term: int) -> Tensor:
        """A term's coefficient for each channel, (B, 3, h, w); term 0 is the constant, nine others have a factor."""
        return self.rows.of(self.wide[_SLOTS + 1 + term])

    def detail(self) -> Tensor:
        """The gain of fine detail, from -1 to 1, (B, 1, h, w)."""
        return self.rows.of(self.wide[-1])


class Scene(NamedTuple):
    """What is decided for a picture as a whole, as (B, C, 1, 1)."""

    slopes: list[Tensor]
    """C = 1 for every two neighbours."""
    offsets: list[Tensor]
    """C = 3 for every two neighbours."""
    gap: Tensor
    """C = 1: binary logarithm of the ratio of brightest to darkest, in encoded values."""
    widest: Tensor
    """C = 1: the largest such ratio of two neighbours."""
    shows: Tensor
    """C = 2: whether the darkest and the brightest photograph show anything, from 0 to 1."""


class Bracket(NamedTuple):
    """The exposures to be fused, as (B, C, 1, 1)."""

    factors: Tensor
    """C = 7: by how much the light is multiplied."""
    priors: Tensor
    """C = 7: logarithms of the weights by which the exposures count as a whole."""
    strength: Tensor
    """C = 1: how much there is to fuse, from 0 to 1."""


class VirtualBracket(nn.Module):
    """Photographs (B, 3, H, W), from dark to bright, to the fused one (B, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Steering(sum(Maps.COUNTS), 3)
        self.patches = SPDMEF()

    def forward(self, *exposures: Tensor) -> Tensor:
        """The fused photograph, which is not clamped."""
        copies = [F.adaptive_avg_pool2d(photo, _COPY) for photo in exposures]
        if len(exposures) == 2:
            return self.rendered(exposures, copies, look_at(copies))
        showing, copies = with_something(exposures, copies)
        scene = look_at(copies)
        missing = ramp(scene.widest, *_CLOSE)
        if not (self.training or bool(missing.any())):
            return self.patches(*exposures)
        rendered = self.rendered(showing, copies, scene)
        return rendered if bool((missing == 1).all()) else torch.lerp(self.patches(*exposures), rendered, missing)

    def rendered(self, exposures: Sequence[Tensor], copies: Sequence[Tensor], scene: Scene) -> Tensor:
        """The photograph that is fused of rendered exposures. `copies` are what everything is decided on."""
        height, width = size = exposures[0].shape[-2:]
        light, known = light_of(copies, copies[:-1], scene)
        guess = spread(light, known)
        light, smooth = torch.lerp(guess, light, known), [*copies[:-1], guess]
        maps, ends = self.net(features(copies, light, known, scene))
        bracket = bracket_of(scene, ends, copies, light)
        smooth = [columns(photo, width) for photo in smooth]
        weights, bounded, affine, detail = maps.split(Maps.COUNTS, 1)
        strong = torch.cat((affine, detail.tanh()), 1) * bracket.strength
        wide = Maps.groups(columns(torch.cat((weights + bracket.priors, bounded.tanh(), strong), 1), width))

        def fused_rows(rows: slice, _: slice) -> Tensor:
            seen, place = [photo[..., rows, :] for photo in exposures], Rows(rows, height, smooth[0])
            *darker, around = (place.of(photo) for photo in smooth)
            return fuse(seen, darker, around, scene, bracket, Maps(wide, rows, height))

        fused = by_strips(fused_rows, size, exposures[0].device)
        coarse = columns(surroundings(fused), width)

        def sharpened_rows(rows: slice, _: slice) -> Tensor:
            strip = fused[..., rows, :]
            fine = strip.mean(1, keepdim=True) - Rows(rows, height, coarse).of(coarse)
            return torch.addcmul(strip, Maps(wide, rows, height).detail(), fine)

        return by_strips(sharpened_rows, size, exposures[0].device)


def smooth_step(values: Tensor) -> Tensor:
    """A smooth step from 0 to 1 between the values 0 and 1."""
    x = values.clamp(0, 1)
    return x * x * (3 - 2 * x)


def ramp(values: Tensor, low: float, high: float) -> Tensor:
    """A smooth step from 0 at `low` to 1 at `high`."""
    return smooth_step((values - low) / (high - low))


@torch.no_grad()
def look_at(copies: Sequence[Tensor]) -> Scene:
    """What is decided from small copies (B, 3, h, w) of the photographs, from dark to bright."""
    slopes, offsets, steps = list[Tensor](), list[Tensor](), list[Tensor]()
    for dark, bright in pairwise(copies):
        slope, offset, step = response_between(dark, bright)
        slopes.append(slope)
        offsets.append(offset)
        steps.append(step)
    shows = torch.cat((not_black(copies[0]), not_white(copies[-1])), 1)
    gaps = torch.cat(steps, 1)
    gap = gaps.sum(1, keepdim=True).clamp_min(0) * shows.prod(1, keepdim=True)
    return Scene(slopes, offsets, gap, gaps.amax(1, keepdim=True), shows)


def not_black(copy: Tensor) -> Tensor:
    """Whether a photograph (B, 3, h, w) shows anything but black, (B, 1, 1, 1), from 0 to 1."""
    return (400 * ramp(copy.amax(1, keepdim=True), 0.03, 0.1).mean((2, 3), keepdim=True)).clamp(0, 1)


def not_white(copy: Tensor) -> Tensor:
    """Whether a photograph (B, 3, h, w) shows anything but white, (B, 1, 1, 1), from 0 to 1."""
    return (400 * (1 - ramp(copy.amin(1, keepdim=True), 0.93, 0.99)).mean((2, 3), keepdim=True)).clamp(0, 1)


@torch.no_grad()
def with_something(exposures: Sequence[Tensor], copies: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Three or more photographs and their copies, where black and white ones are replaced by their neighbours.

    Such an exposure at an end of a bracket would hide what those between it and the other end show.
    """
    photos, small = list(exposures), list(copies)
    white = [(k, k - 1, not_white(small[k])) for k in range(1, len(photos))]
    black = [(k, k + 1, not_black(small[k])) for k in reversed(range(len(photos) - 1))]
    for k, neighbour, shows in (*white, *black):
        if bool((shows < 1).any()):
            photos[k], small[k] = (torch.lerp(one[neighbour], one[k], shows) for one in (photos, small))
    return photos, small


def response_between(dark: Tensor, bright: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit log2(`bright` + t) = slope * log2(`dark` + t) + offset to copies (B, 3, h, w), where both show something.

    t is sRGB's 0.055, with which its curve is a power law.

    Returns the slope (B, 1, 1, 1), the channels' offsets (B, 3, 1, 1), and the offset of a medium grey (B, 1, 1, 1).
    Few pixels that both show leave the slope near 1, and the channels' offsets near each other. Pixels that disagree,
    because something moved there, lose their weight.

    >>> dark = torch.linspace(0.01, 1, 4096).view(1, 1, 64, 64).expand(1, 3, 64, 64)
    >>> slope, offset, step = response_between(dark, (2 * (dark + 0.055) - 0.055).clamp(max=1))
    >>> round(float(slope), 2), round(float(step), 2)
    (1.0, 1.0)
    """
    x, y = (dark + _TOE).log2(), (bright + _TOE).log2()
    usable = ramp(dark, 0.01, 0.05) * ramp(bright, 0.05, 0.15) * (1 - ramp(dark, 0.85, 0.95))
    usable = usable * (1 - ramp(bright, 0.82, 0.94))
    count = x[0].numel()
    guess = y.mean((1, 2, 3), keepdim=True) - x.mean((1, 2, 3), keepdim=True)
    guess, weight = guess.clamp_min(0), usable
    slope, offset = torch.ones_like(guess), guess
    for _ in range(4):
        total = weight.sum((1, 2, 3), keepdim=True) + 1e-3
        mean_x, mean_y = ((weight * z).sum((1, 2, 3), keepdim=True) / total for z in (x, y))
        variance = (weight * (x - mean_x) ** 2).sum((1, 2, 3), keepdim=True)
        covariance = (weight * (x - mean_x) * (y - mean_y)).sum((1, 2, 3), keepdim=True)
        slope = ((covariance + 0.1 * count) / (variance + 0.1 * count)).clamp(0.75, 1.3)
        rest = y - slope * x
        common = ((weight * rest).sum((1, 2, 3), keepdim=True) + 5 * guess) / (total + 5)
        own = weight.sum((2, 3), keepdim=True)
        offset = ((weight * rest).sum((2, 3), keepdim=True) + 0.003 * count * common) / (own + 0.003 * count)
        weight = usable / (1 + ((rest - offset) / 0.2) ** 2)
    return slope, offset, offset.mean(1, keepdim=True) + (slope - 1) * math.log2(0.3 + _TOE)


def light_of(
    exposures: Sequence[Tensor], smooth: Sequence[Tensor], scene: Scene, bounded: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The light (B, 3, h, w) on the brightest photograph's scale, and whether it is known (B, 1, h, w), 0 to 1.

    `smooth` are all exposures but the brightest without their detail. They stand for them where these are so dark that
    their detail is noise. `bounded` are those of the network's maps.
    """
    light, known = exposures[0], torch.ones_like(exposures[0][:, :1])
    for slope, offset, photo, darker in zip(scene.slopes, scene.offsets, exposures[1:], smooth, strict=True):
        clips, signal = photo.amax(1, keepdim=True), darker.amax(1, keepdim=True)
        if bounded is not None:
            clips, signal = clips + 0.25 * bounded[:, :1], signal + 0.03 * bounded[:, 1:2]
            offset = torch.add(offset, bounded[:, 3:], alpha=0.5 / len(scene.slopes))  # noqa: PLW2901
        there, sharp = ramp(signal, *_SIGNAL), ramp(signal, *_DETAIL)
        extended = torch.addcmul(offset, slope, (torch.lerp(darker, light, sharp) + _TOE).log2()).exp2() - _TOE
        extended = torch.maximum(extended, photo)  # where a photograph clips, there is at least as much light
        needed = smooth_step((clips - 0.88 + 0.18 * sharp) / (0.12 + 0.14 * sharp))
        light = torch.lerp(photo, extended, needed * there)
        known = 1 - needed * (1 - there * known)
    return light, known


def spread(light: Tensor, known: Tensor) -> Tensor:
    """The light (B, 3, h, w) where it is known, and what its surroundings suggest where it is not.

    Means over ever larger squares, weighted by `known` (B, 1, h, w), fill in what the smaller ones lack.
    """
    value, weight = (light + _TOE).log2(), known + 1e-4
    if min(light.shape[-2:]) < 2:
        return light
    below = F.avg_pool2d(weight, 2)
    coarse = spread((F.avg_pool2d(value * weight, 2) / below).exp2() - _TOE, below.clamp_max(1))
    filled = F.interpolate((coarse + _TOE).log2(), light.shape[-2:], mode="bilinear")
    return torch.lerp(filled, value, known).exp2() - _TOE


def bracket_of(scene: Scene, ends: Tensor, copies: Sequence[Tensor], light: Tensor) -> Bracket:
    """The exposures to be fused. `ends` (B, 3) changes the distances beyond both ends, and those between."""
    below, above, between = torch.exp(0.7 * torch.tanh(ends)).view(-1, 3, 1, 1).split(1, 1)
    strength = scene.gap / (scene.gap + 0.3)
    gap = scene.gap * between
    below, above = _BEYOND * strength * below, _BEYOND * strength * above
    inner = gap / (_BETWEEN + 1)
    shares = torch.cat((below / 2, below / 2 + inner / 2, *[inner] * _BETWEEN, inner / 2 + above / 2, above / 2), 1)
    real = torch.zeros_like(shares)
    real[:, 1:2], real[:, -2:-1] = 0.02 * scene.shows[:, :1], 0.02 * scene.shows[:, 1:]
    steps = [-gap - below, -gap, *(-inner * k for k in range(_BETWEEN, 0, -1)), torch.zeros_like(gap), above]
    factors = torch.exp2(torch.cat(steps, 1))
    levels = torch.stack([frame.mean((1, 2, 3)) for frame in frames_of(copies[0], copies[-1], light, factors)], 1)[
        ..., None, None
    ]
    return Bracket(factors, (shares + real + 1e-6).log() - (levels - 0.5) ** 2 / (2 * 0.2**2), strength)


def frames_of(darkest: Tensor, brightest: Tensor, light: Tensor, factors: Tensor) -> list[Tensor]:
    """The seven exposures (B, 3, h, w), from dark to bright: five of the light, and the two photographs."""
    frames = [
        torch.addcmul(_TOE * (factor - 1), light, factor).clamp(0, 1)
        for k, factor in enumerate(factors.split(1, 1))
        if k not in (1, _SLOTS - 2)
    ]
    return [frames[0], darkest, *frames[1:-1], brightest, frames[-1]]


def mean_of(frames: Sequence[Tensor], unknown: Tensor, weight_of: Callable[[int], Tensor]) -> Tensor:
    """The weighted mean (B, 3, h, w) of the exposures.

    `weight_of` returns the logarithm of an exposure's weight without what its pixels say. All but the brightest
    photograph's are less by `unknown`.
    """
    total, weights = torch.zeros_like(frames[0]), torch.zeros_like(unknown)
    for slot, frame in enumerate(frames):
        level = frame.mean(1, keepdim=True) - 0.5
        logit = torch.addcmul(weight_of(slot), level, level, value=-1 / (2 * 0.5**2))
        weight = torch.exp(logit if slot == _SLOTS - 2 else logit - unknown)
        total, weights = torch.addcmul(total, weight, frame), weights + weight
    return total / weights


def fuse(
    exposures: Sequence[Tensor], smooth: Sequence[Tensor], around: Tensor, scene: Scene, bracket: Bracket, maps: Maps
) -> Tensor:
    """The fused rows (B, 3, h, w) of photographs, before detail is added."""
    darkest, brightest, bounded = exposures[0], exposures[-1], maps.bounded()
    light, known = light_of(exposures, smooth, scene, bounded)
    light = torch.lerp(torch.maximum(around, light), light, known)
    frames = frames_of(darkest, brightest, light, bracket.factors)
    mean = mean_of(frames, (1 - known) * _CALM * (1 + bounded[:, 2:3]), maps.weight)
    fused = mean + maps.affine(0)
    for term, plane in enumerate((*mean.split(1, 1), *darkest.split(1, 1), *brightest.split(1, 1)), 1):
        fused = torch.addcmul(fused, maps.affine(term), plane)
    return fused


@torch.no_grad()
def features(copies: Sequence[Tensor], light: Tensor, known: Tensor, scene: Scene) -> Tensor:
    """What the network reads, (B, 18, h, w): the photographs, the light, the rule's picture, and what is known."""
    darkest, brightest = copies[0], copies[-1]
    bracket = bracket_of(scene, light.new_zeros(len(light), 3), copies, light)
    frames, priors = frames_of(darkest, brightest, light, bracket.factors), bracket.priors.split(1, 1)
    rule = mean_of(frames, _CALM * (1 - known), priors.__getitem__)
    last = torch.exp2(scene.slopes[-1] * (copies[-2] + _TOE).log2() + scene.offsets[-1]) - _TOE
    both = ramp(copies[-2].amin(1, keepdim=True), 0.02, 0.08) * (1 - ramp(brightest.amax(1, keepdim=True), 0.8, 0.95))
    apart = (last.mean(1, keepdim=True) - brightest.mean(1, keepdim=True)) * both
    everywhere = torch.ones_like(known)
    planes = (
        *(darkest - 0.5, brightest - 0.5, (light + 0.02).log2() / 2, rule - 0.5),
        *(ramp(brightest.amax(1, keepdim=True), 0.85, 0.99), ramp(brightest.amin(1, keepdim=True), 0.85, 0.99)),
        *(1 - known, 4 * apart, (scene.gap / 2 - 1) * everywhere, 4 * (scene.slopes[-1] - 1) * everywhere),
    )
    return torch.cat(planes, 1)


def columns(planes: Tensor, width: int) -> Tensor:
    """Planes (B, C, h, w) at full width, interpolated linearly, as `Rows` takes them: (B, h, C, W)."""
    wide = F.interpolate(planes.transpose(1, 2).flatten(1, 2), width, mode="linear")
    return wide.unflatten(1, (planes.shape[2], planes.shape[1]))


def surroundings(photo: Tensor) -> Tensor:
    """The grey (B, 1, h, w) of photographs (B, 3, H, W), without the detail that is finer than 3 pixels.

    Photographs with a longest side above 1,000 are reduced, so that this is the same detail in all of them.
    """
    times = max(1, round(max(photo.shape[-2:]) / _DETAIL_SIDE))
    grey = photo.mean(1, keepdim=True)
    return box_mean(F.avg_pool2d(grey, times, ceil_mode=True, count_include_pad=False), 3)


class Steering(nn.Module):
    """A U-Net from (B, 18, 128, 128) to maps (B, `maps`, 32, 32) and to numbers (B, `numbers`), which start at 0."""

    def __init__(self, maps: int, numbers: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(18, 24, 3, 2, 1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU())
        self.first = _reduce(24, 32)
        self.second = _reduce(32, 48)
        self.third = nn.Sequential(nn.Conv2d(48, 48, 3, 2, 1), nn.ReLU())
        self.whole = nn.Sequential(nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 48))
        self.numbers = nn.Linear(48, numbers)
        self.back = nn.Sequential(nn.Conv2d(96, 40, 3, padding=1), nn.ReLU())
        self.end = nn.Sequential(nn.Conv2d(72, 40, 3, padding=1), nn.ReLU(), nn.Conv2d(40, 40, 1), nn.ReLU())
        self.maps = nn.Conv2d(40, maps, 1)
        for head in (self.numbers, self.maps):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maps and the numbers."""
        x = self.first(self.stem(x.contiguous(memory_format=torch.channels_last)))
        half = self.second(x)
        quarter = self.third(half)
        whole = self.whole(quarter.mean((2, 3)))
        quarter = F.relu(quarter + whole[..., None, None])
        half = self.back(torch.cat((half, F.interpolate(quarter, scale_factor=2, mode="bilinear")), 1))
        x = self.end(torch.cat((x, F.interpolate(half, scale_factor=2, mode="bilinear")), 1))
        return self.maps(x).contiguous(), self.numbers(F.relu(whole))


def _reduce(before: int, after: int) -> nn.Sequential:
    """Two convolutions, the first of which halves the size."""
    return nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU())


METHOD = Method(
    name="virtual-bracket",
    title="Virtual Bracket",
    paper="this repository",
    origin="ours",
    summary="Our own method renders the exposures between the given ones and fuses them as a small network says.",
    architecture=VirtualBracket,
    needs=Needs(planes=Planes.RGB, many=True, cheap=True),
    recipe=Recipe(
        loss=towards_reference, references=True, crop=320, batch=4, rate=2e-3, clip=0.5, half_precision=False
    ),
)
