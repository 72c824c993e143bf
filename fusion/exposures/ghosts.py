"""Ghosts: find where something moved between the exposures, and remove the movement.

Where nothing moved, one exposure predicts another: in each channel, pixels with the same level in one have similar
levels in the other. This is the comparametric relation of Mann (2000), which is measured here as a median and a spread
for each level. Where neighbouring exposures contradict it, in either direction, something moved. The relations are then
measured again without these regions, which would distort them.

To remove ghosts, one exposure is chosen as the reference of each region. In the region, all other exposures are
replaced by what the relations predict from the reference, so that any method sees a scene in which nothing moved. Only
these regions, with soft borders, are taken from the picture that is fused this way; the rest of the picture does not
change. The reference is chosen so that what moved is seen at one place at most:

1. Where there are three or more exposures and most of them agree in a region, its reference is one of these, since they
   show what is behind a thing that passes by.
2. All other regions have one reference in common. If each had its own, somebody who walks could be seen where the first
   exposure shows him, and again where the second one does.
3. Among the exposures that are left, the reference is the one that predicts the others with the smallest spread, since
   it is neither clipped nor too dark there. A region in which the common reference shows nothing has its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, permutations
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.io.colour import luma
from fusion.io.image import ExposurePair, Photo

Plane: TypeAlias = NDArray[np.float32]
"""An array (H, W) or (3, H, W) with values from 0 to 1."""
Handling: TypeAlias = Literal["ignore", "mark", "remove", "auto"]
"""What is done about ghosts: "ignore" does not look for them, "mark" reports them, "remove" also removes them, and
"auto" removes what certainly moved and otherwise does as "mark"."""

_PIXELS = 400_000
"""Larger photographs are analysed on a copy of this many pixels."""
_SMOOTH = 1.5
"""Standard deviation, in pixels of the copy, of the blur that averages noise and small errors of alignment."""
_LEVELS = 64
_FEWEST = 50
"""The fewest pixels of a level from which its median and spread are measured."""
_LEAST_SPREAD = 0.03
_CERTAIN, _LIKELY = 6.5, 2.75
"""Deviations, in spreads and root mean square over the channels, above which something certainly moved in a pixel, and
above which it moved if such pixels connect the pixel with a certain one. A leg in front of a wall of its own brightness
deviates little and belongs to the body."""
_THINNEST = 0.006
"""Things that are thinner than this share of the longer side connect nothing: an edge that alignment missed."""
_REPORTED = 14.0
"""Ghosts are reported without being asked for if half of the smallest region deviates more than this. In the examples,
waves, flames, reflections and errors of alignment deviate less, and objects that were moved for a test deviate more:
`fusion.benchmark.experiments.ghosts` prints both."""
_SMALLEST = 0.0004
"""The smallest region, as a share of the picture. Smaller ones are noise or leaves."""
_LARGE = 0.002
"""The smallest region that is removed without being asked for, as a share of the picture."""
_SOLID = 0.4
"""The share of a thing's region that deviates by more than `_CERTAIN`. Clouds, waves and people who sit deviate in less
of theirs."""
_JOINED = 0.01
"""Regions closer than this share of the longer side are parts of one object."""
_BORDER = 0.008
"""The width of a region's soft border, as a share of the longer side."""
_BLACK, _WHITE, _NEARLY_ALL = 0.03, 0.97, 0.7
"""Values of the brightest channel beyond which a pixel shows nothing, and the share of a region that is nearly all."""


class Relation(NamedTuple):
    """The prediction of one exposure from another in one channel: median and spread, (64,) each, for each level."""

    median: NDArray[np.float64]
    spread: NDArray[np.float64]

    def predict(self, plane: Plane) -> Plane:
        """Return what the one exposure should show where the other shows `plane`."""
        return _by_level(self.median, plane)

    def deviation(self, one: Plane, other: Plane) -> Plane:
        """Return by how many spreads `one` differs from what `other` predicts."""
        return (np.abs(one - self.predict(other)) / _by_level(self.spread, other)).astype(np.float32)


Relations: TypeAlias = Mapping[tuple[int, int], tuple[Relation, ...]]
"""A relation for each channel, by (predicted, predicting): indices of the exposures from dark to bright."""


@dataclass(frozen=True, eq=False)
class Ghosts:
    """The places where something moved between the exposures."""

    mask: Tensor
    """(1, H, W), 0 to 1: 1 where something moved, with soft borders."""
    share: float
    """The share of the picture in which something moved, 0 to 1."""
    certain: bool
    """Whether the deviations are so large that the ghosts are reported without being asked for."""
    regions: NDArray[np.uint8]
    """(h, w): 1 where something moved, else 0, in the copies that were analysed."""
    sure: NDArray[np.uint8]
    """(h, w): the regions of things that certainly moved and are removed without being asked for."""

    def certainly(self) -> Ghosts | None:
        """The ghosts of things that certainly moved alone, or None where there are none."""
        return _ghosts(self.sure, self.mask.shape[-2:], self.sure, certain=True) if self.sure.any() else None


def find_ghosts(pair: ExposurePair) -> Ghosts | None:
    """Find where neighbouring exposures, which must be aligned, show different things. None if they do so nowhere.

    >>> from fusion.io.image import as_pair
    >>> rows = torch.linspace(0.1, 0.4, 200)[:, None].expand(3, 200, 200)
    >>> under, over = rows.clone(), 2 * rows
    >>> find_ghosts(as_pair(under, over)) is None
    True
    >>> under[:, 60:80, 60:80] = 0.9  # a bright object that is gone in the other exposure
    >>> ghosts = find_ghosts(as_pair(under, over))
    >>> ghosts.certain, bool(ghosts.mask[0, 70, 70] == 1)
    (True, True)
    """
    import cv2

    frames = [_copy(photo) for photo in pair.frames]
    moved, deviation = _moved(frames, np.ones(frames[0].shape[1:], bool))
    certain = float(((deviation > _REPORTED) & (moved > 0)).mean()) >= _SMALLEST / 2
    if moved.any():
        moved, _ = _moved(frames, cv2.dilate(moved, _border(moved)) == 0)
    return _ghosts(moved, pair.size, _sure(moved, deviation, len(frames)), certain=certain) if moved.any() else None


def _ghosts(moved: NDArray[np.uint8], size: Sequence[int], sure: NDArray[np.uint8], *, certain: bool) -> Ghosts:
    import cv2

    height, width = size
    mask = cv2.dilate(moved, _border(moved)).astype(np.float32)
    mask = cv2.GaussianBlur(mask, (0, 0), _BORDER * max(moved.shape) / 2)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 1)
    return Ghosts(torch.from_numpy(mask)[None], float(moved.mean()), certain, moved, sure)


def _sure(moved: NDArray[np.uint8], deviation: Plane, exposures: int) -> NDArray[np.uint8]:
    """The regions (h, w) of things that certainly moved: large and solid ones, of three or more exposures.

    A thing deviates in all of its region, while leaves, waves and clouds deviate here and there. Where one region
    deviates enough to be reported, others like it count as well, since a thing is elsewhere in every exposure.
    """
    import cv2

    count, labels = cv2.connectedComponents(moved)
    regions = [np.asarray(labels) == k for k in range(1, count)] if exposures > 2 else []
    solid = [here for here in regions if here.mean() >= _LARGE and (deviation[here] > _CERTAIN).mean() > _SOLID]
    told = any((deviation[here] > _REPORTED).sum() >= _SMALLEST / 2 * moved.size for here in solid)
    return np.logical_or.reduce(solid).astype(np.uint8) if told else np.zeros_like(moved)


def without_ghosts(pair: ExposurePair, ghosts: Ghosts) -> ExposurePair:
    """Replace moving regions, so that in each of them all exposures show what its reference shows.

    The returned pair has the same size, and differs from `pair` only where the mask of `ghosts` is above 0.
    """
    copies = [_copy(photo) for photo in pair.frames]
    relations = _all_relations(copies, ghosts.regions)
    references = _references(copies, relations, ghosts.regions, pair.size)
    frames = [frame.clone() for frame in pair.frames]
    for index, reference in enumerate(pair.frames):
        here = (ghosts.mask[0] > 0) & (references == index)
        if not here.any():
            continue
        shown, share = reference[:, here].numpy(), ghosts.mask[0, here]
        for other in set(range(len(frames))) - {index}:
            channels = zip(relations[other, index], shown, strict=True)
            predicted = np.stack([relation.predict(plane) for relation, plane in channels])
            frames[other][:, here] = torch.lerp(frames[other][:, here], torch.from_numpy(predicted), share)
    under, *between, over = frames
    return replace(pair, under=under, between=tuple(between), over=over)


def overlay(pair: ExposurePair, ghosts: Ghosts) -> Photo:
    """Draw the ghosts as a photograph (3, H, W): the mean of both exposures in grey, and red where something moved."""
    grey = (luma(pair.under) + luma(pair.over)) / 2
    red = torch.tensor([0.9, 0.2, 0.15])[:, None, None]
    return torch.lerp(grey.expand(3, -1, -1), 0.4 * grey + 0.6 * red, ghosts.mask)


def _copy(photo: Photo) -> Plane:
    """Reduce a photograph to a plane (3, h, w) of at most `_PIXELS` pixels, and blur it."""
    import cv2

    height, width = photo.shape[-2:]
    scale = min(1.0, math.sqrt(_PIXELS / (height * width)))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in photo.numpy()]
    return np.stack([cv2.GaussianBlur(plane, (0, 0), _SMOOTH) for plane in small])


def _moved(frames: Sequence[Plane], still: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], Plane]:
    """Find where something moved (1, else 0) and how far the exposures deviate from each other, (h, w) each.

    Relations are measured where `still`, (h, w), is true.
    """
    import cv2

    deviation = np.zeros(still.shape, np.float32)
    for one, other in pairwise(frames):
        for a, b in ((one, other), (other, one)):
            deviation = np.maximum(deviation, _deviation(a, b, _relations(a, b, still)))
    deviation = np.asarray(cv2.erode(deviation, np.ones((3, 3))), np.float32)  # drops shifts of less than a pixel
    side = max(deviation.shape)
    joined = cv2.morphologyEx((deviation > _CERTAIN).astype(np.uint8), cv2.MORPH_CLOSE, _disc(_JOINED * side))
    _, labels, found, _ = cv2.connectedComponentsWithStats(joined)
    large = np.asarray(found)[:, cv2.CC_STAT_AREA] >= max(_FEWEST, _SMALLEST * deviation.size)
    large[0] = False  # the background
    certain = large[np.asarray(labels, np.intp)].astype(np.uint8)
    likely = cv2.morphologyEx((deviation > _LIKELY).astype(np.uint8), cv2.MORPH_OPEN, _disc(_THINNEST * side / 2))
    joined = cv2.morphologyEx(certain | np.asarray(likely, np.uint8), cv2.MORPH_CLOSE, _disc(_JOINED * side))
    _, labels = cv2.connectedComponents(joined)
    touched = np.isin(labels, np.unique(np.asarray(labels)[certain > 0])).astype(np.uint8)
    outlines, _ = cv2.findContours(touched, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    moved = cv2.drawContours(np.zeros_like(touched), outlines, -1, 1, cv2.FILLED)  # fills holes
    return np.asarray(moved, np.uint8), deviation


def _deviation(one: Plane, other: Plane, relations: Iterable[Relation]) -> Plane:
    """Return how far `one` deviates from what `other` predicts, (h, w), in spreads: root mean square over channels."""
    channels = zip(relations, one, other, strict=True)
    return np.sqrt(np.mean([relation.deviation(a, b) ** 2 for relation, a, b in channels], 0, dtype=np.float32))


def _relations(one: Plane, other: Plane, still: NDArray[np.bool_]) -> tuple[Relation, ...]:
    return tuple(relation_between(a[still], b[still]) for a, b in zip(one, other, strict=True))


def relation_between(one: Plane, other: Plane) -> Relation:
    """Measure how pixels (n,) of one exposure follow from those of another in one channel.

    Levels that occur too rarely are interpolated.
    """
    levels = np.round(other * (_LEVELS - 1)).astype(np.uint16)  # 16 bits, since NumPy sorts these by radix
    order = np.argsort(levels, kind="stable")
    values, edges = one[order], np.searchsorted(levels[order], np.arange(_LEVELS + 1))
    known = [level for level in range(_LEVELS) if edges[level + 1] - edges[level] >= _FEWEST]
    low, median, high = np.transpose(
        [np.quantile(values[edges[level] : edges[level + 1]], (0.16, 0.5, 0.84)) for level in known] or [(0, 0.5, 1)]
    )
    at, everywhere = known or [0], np.arange(_LEVELS)
    spread = np.interp(everywhere, at, (high - low) / 2)
    # Beyond the known levels, black predicts black, and white predicts white.
    median = np.interp(everywhere, [-1, *at, _LEVELS], [0, *median, 1])
    return Relation(median, np.maximum(spread, _LEAST_SPREAD))


def _all_relations(frames: Sequence[Plane], regions: NDArray[np.uint8]) -> Relations:
    """The relations of every two exposures, measured outside the regions in which something moved."""
    import cv2

    still = cv2.dilate(regions, _border(regions)) == 0
    every = permutations(range(len(frames)), 2)
    return {(one, other): _relations(frames[one], frames[other], still) for one, other in every}


def _references(
    frames: Sequence[Plane], relations: Relations, regions: NDArray[np.uint8], size: tuple[int, int]
) -> Tensor:
    """The index of the reference, from dark to bright, for each pixel of a region and its border: (H, W) of uint8."""
    import cv2

    height, width = size
    count, labels = cv2.connectedComponents(regions)
    grown = [cv2.dilate((np.asarray(labels) == k).astype(np.uint8), _border(regions)) for k in range(1, count)]
    contradicted = _contradicted(frames, relations)
    agreeing = [_agreeing(contradicted, region > 0) for region in grown]
    everything = range(len(frames))
    left = [region > 0 for region, chosen in zip(grown, agreeing, strict=True) if len(chosen) == len(frames)]
    common = _sharpest(frames, relations, np.any(left, 0), everything) if left else 0
    references = np.zeros(regions.shape, np.uint8)
    for region, chosen in zip(grown, agreeing, strict=True):
        here, reference = region > 0, common
        if len(chosen) < len(frames) or _shows_nothing(frames[common][:, here]):
            reference = _sharpest(frames, relations, here, chosen)
        references[cv2.dilate(region, _border(regions)) > 0] = reference
    return torch.from_numpy(np.asarray(cv2.resize(references, (width, height), interpolation=cv2.INTER_NEAREST)))


def _contradicted(frames: Sequence[Plane], relations: Relations) -> Plane:
    """For each exposure and pixel, (N, h, w), the share of the other exposures that contradict it."""

    count = len(frames)
    contradicted = np.zeros((count, *frames[0].shape[1:]), np.float32)
    for one, other in combinations(range(count), 2):
        both = [_deviation(frames[a], frames[b], relations[a, b]) for a, b in ((one, other), (other, one))]
        contradicted[[one, other]] += (np.maximum(*both) > _LIKELY) / (count - 1)
    return contradicted


def _agreeing(contradicted: Plane, here: NDArray[np.bool_]) -> list[int]:
    """The exposures that most others agree with in a region, or all of them where no such majority is clear."""
    outvoted = (contradicted[:, here] > 0.5).mean(1) if len(contradicted) > 2 else np.zeros(len(contradicted))
    clear = outvoted.max() > 0.25 and outvoted.min() < outvoted.max() / 2
    return [k for k, share in enumerate(outvoted) if not clear or share < outvoted.max() / 2]


def _sharpest(frames: Sequence[Plane], relations: Relations, here: NDArray[np.bool_], choices: Sequence[int]) -> int:
    """The index, among the choices, of the exposure that predicts the others with the smallest mean spread."""

    def mean_spread(index: int) -> float:
        others = (relations[other, index] for other in range(len(frames)) if other != index)
        shown = frames[index][:, here]
        return sum(
            float(_by_level(relation.spread, plane).mean())
            for channels in others
            for relation, plane in zip(channels, shown, strict=True)
        )

    return min(choices, key=mean_spread)


def _shows_nothing(shown: Plane) -> bool:
    """Whether nearly all pixels (3, n) are black, or white in a channel."""
    brightest = shown.max(0)
    return float(((brightest > _WHITE) | (brightest < _BLACK)).mean()) > _NEARLY_ALL


def _by_level(values: NDArray[np.float64], plane: Plane) -> Plane:
    """Look up `values`, (64,) for levels from 0 to 1, at each pixel's level by linear interpolation."""
    return np.interp(plane, np.linspace(0, 1, _LEVELS), values).astype(np.float32)


def _border(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The kernel that grows a region by its border."""
    return _disc(2 * _BORDER * max(picture.shape))


def _disc(radius: float) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(radius)) + 1,) * 2), np.uint8)
