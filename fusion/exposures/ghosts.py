"""Ghosts: where the scene moved between the exposures, and exposures of it in which it did not.

What one exposure shows where nothing moved follows from another: in each channel, a level of the one goes with a
narrow range of levels of the other (the comparametric relation of Mann, 2000; here as measured, a median and a spread
for each level). Where that fails between neighbours, in either direction, something moved. The relations are measured
a second time without these places, which would bend them.

In each place, the exposure wins from which the others follow with the least spread: it is neither clipped nor drowned
there. The others are given what the relations make of it, so that any method that follows sees one scene. Only the
places that moved, with a soft rim, are taken from the picture that is fused so; everywhere else nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, permutations
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.io.colour import luma
from fusion.io.image import ExposurePair, Photo

Plane: TypeAlias = NDArray[np.float32]
"""(H, W), or (3, H, W), 0 to 1."""
Handling: TypeAlias = Literal["ignore", "mark", "remove"]
"""What is done about movements of the scene: nothing, they are told, or they are told and taken out."""

_PIXELS = 400_000
"""Of larger photographs, a copy is looked at."""
_SMOOTH = 1.5
"""Standard deviation, in pixels of the copy, over which noise and what alignment leaves are averaged."""
_LEVELS = 64
_FEWEST = 50
"""Pixels of a level from which its median and spread are known."""
_FLOOR = 0.03
"""The least spread."""
_CERTAIN, _LIKELY = 6.5, 3.25
"""How many spreads off, root mean square over the channels, are no accident; and how many are none beside such a place:
less than `_BESIDE` of the longer side away."""
_BESIDE = 0.03
_BEYOND_DOUBT = 14.0
"""And to be sure of it, in half of the smallest place or more. Waves, flames, reflections and what alignment leaves
stay below this in the examples, and what is moved in them does not: `fusion.benchmark.experiments.ghosts` prints
both."""
_SMALLEST = 0.0004
"""Of the picture: smaller places are noise, or leaves."""
_JOINED = 0.01
"""Of the longer side: parts of one thing that are as near as this are joined."""
_RIM = 0.008
"""Of the longer side: how far around a place its rim reaches."""


class Relation(NamedTuple):
    """What one exposure shows for each level of another, in one channel."""

    median: NDArray[np.float64]
    spread: NDArray[np.float64]

    def of(self, plane: Plane) -> Plane:
        """What the one should show where the other shows `plane`."""
        return _by_level(self.median, plane)

    def off(self, one: Plane, other: Plane) -> Plane:
        """By how many spreads `one` is not what goes with `other`."""
        return (np.abs(one - self.of(other)) / _by_level(self.spread, other)).astype(np.float32)


Relations: TypeAlias = Mapping[tuple[int, int], tuple[Relation, ...]]
"""By (one, other), which are places among the exposures from dark to bright: a relation for each channel."""


@dataclass(frozen=True, eq=False)
class Ghosts:
    """Where the scene moved between the exposures."""

    mask: Tensor
    """(1, H, W): 1 where it moved, down to 0 over a soft rim."""
    share: float
    """Of the picture that moved."""
    certain: bool
    """Whether some of it is beyond doubt, and so to be told unasked."""
    places: NDArray[np.uint8]
    """(h, w): 1 where it moved, else 0, in the copies that were looked at."""


def find_ghosts(pair: ExposurePair) -> Ghosts | None:
    """Where neighbours among the exposures show different things; None where they nowhere do."""
    import cv2

    height, width = pair.size
    frames = [_copy(photo) for photo in pair.frames]
    moved, off = _moved(frames, np.ones(frames[0].shape[1:], bool))
    certain = float(((off > _BEYOND_DOUBT) & (moved > 0)).mean()) >= _SMALLEST / 2
    if moved.any():
        moved, _ = _moved(frames, cv2.dilate(moved, _rim(moved)) == 0)
    if not moved.any():
        return None
    mask = cv2.dilate(moved, _rim(moved)).astype(np.float32)
    mask = cv2.GaussianBlur(mask, (0, 0), _RIM * max(moved.shape) / 2)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 1)
    return Ghosts(torch.from_numpy(mask)[None], float(moved.mean()), certain, moved)


def without_ghosts(pair: ExposurePair, ghosts: Ghosts) -> ExposurePair:
    """The pair as if the scene had not moved: where it did, all exposures show what the winning one shows."""
    copies = [_copy(photo) for photo in pair.frames]
    relations = _all_relations(copies, ghosts.places)
    winner = _winners(copies, relations, ghosts.places, pair.size)
    frames = [frame.clone() for frame in pair.frames]
    for other, winning in enumerate(pair.frames):
        here = (ghosts.mask[0] > 0) & (winner == other)
        if not here.any():
            continue
        shown, share = winning[:, here].numpy(), ghosts.mask[0, here]
        for one in set(range(len(frames))) - {other}:
            told = np.stack([relation.of(plane) for relation, plane in zip(relations[one, other], shown, strict=True)])
            frames[one][:, here] = torch.lerp(frames[one][:, here], torch.from_numpy(told), share)
    under, *between, over = frames
    return replace(pair, under=under, between=tuple(between), over=over)


def overlay(pair: ExposurePair, ghosts: Ghosts) -> Photo:
    """Both photographs' mean in grey, and red where the scene moved, for looking at."""
    grey = (luma(pair.under) + luma(pair.over)) / 2
    red = torch.tensor([0.9, 0.2, 0.15])[:, None, None]
    return torch.lerp(grey.expand(3, -1, -1), 0.4 * grey + 0.6 * red, ghosts.mask)


def _copy(photo: Photo) -> Plane:
    """(3, h, w) of at most `_PIXELS` pixels, smoothed."""
    import cv2

    height, width = photo.shape[-2:]
    scale = min(1.0, math.sqrt(_PIXELS / (height * width)))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in photo.numpy()]
    return np.stack([cv2.GaussianBlur(plane, (0, 0), _SMOOTH) for plane in small])


def _moved(frames: Sequence[Plane], still: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], Plane]:
    """1 where the scene moved, else 0, and how far off the exposures are, (h, w) each.

    Relations are measured where it is known to have been `still`.
    """
    import cv2

    off = np.zeros(still.shape, np.float32)
    for one, other in pairwise(frames):
        off = np.maximum(off, np.maximum(_off(one, other, still), _off(other, one, still)))
    off = np.asarray(cv2.erode(off, np.ones((3, 3))), np.float32)  # a shift of less than a pixel is no movement
    side = max(off.shape)
    joined = cv2.morphologyEx((off > _CERTAIN).astype(np.uint8), cv2.MORPH_CLOSE, _disc(_JOINED * side))
    _, labels, found, _ = cv2.connectedComponentsWithStats(joined)
    large = np.asarray(found)[:, cv2.CC_STAT_AREA] >= max(_FEWEST, _SMALLEST * off.size)
    large[0] = False  # what is around them
    certain = large[np.asarray(labels, np.intp)].astype(np.uint8)
    likely = (off > _LIKELY) & (cv2.dilate(certain, _disc(_BESIDE * side)) > 0)
    joined = cv2.morphologyEx(certain | likely.astype(np.uint8), cv2.MORPH_CLOSE, _disc(_JOINED * side))
    _, labels = cv2.connectedComponents(joined)
    touched = np.isin(labels, np.unique(np.asarray(labels)[certain > 0])).astype(np.uint8)
    outlines, _ = cv2.findContours(touched, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    moved = cv2.drawContours(np.zeros_like(touched), outlines, -1, 1, cv2.FILLED)  # what lies within moved as well
    return np.asarray(moved, np.uint8), off


def _off(one: Plane, other: Plane, still: NDArray[np.bool_]) -> Plane:
    """(h, w): how far the one is from what goes with the other, root mean square over the channels."""
    relations = zip(_relations(one, other, still), one, other, strict=True)
    return np.sqrt(np.mean([relation.off(a, b) ** 2 for relation, a, b in relations], 0, dtype=np.float32))


def _relations(one: Plane, other: Plane, still: NDArray[np.bool_]) -> tuple[Relation, ...]:
    return tuple(_relation(a[still], b[still]) for a, b in zip(one, other, strict=True))


def _relation(one: Plane, other: Plane) -> Relation:
    """Measured over pixels, (n,) each; between levels that occur too rarely, by interpolation."""
    levels = np.round(other * (_LEVELS - 1)).astype(np.uint16)  # of 16 bits, they are sorted by radix
    order = np.argsort(levels, kind="stable")
    values, edges = one[order], np.searchsorted(levels[order], np.arange(_LEVELS + 1))
    known = [level for level in range(_LEVELS) if edges[level + 1] - edges[level] >= _FEWEST]
    low, median, high = np.transpose(
        [np.quantile(values[edges[level] : edges[level + 1]], (0.16, 0.5, 0.84)) for level in known] or [(0, 0.5, 1)]
    )
    at, everywhere = known or [0], np.arange(_LEVELS)
    spread = np.interp(everywhere, at, (high - low) / 2)
    median = np.interp(everywhere, [-1, *at, _LEVELS], [0, *median, 1])  # black stays black, and white stays white
    return Relation(median, np.maximum(spread, _FLOOR))


def _all_relations(frames: Sequence[Plane], places: NDArray[np.uint8]) -> Relations:
    """Of every two exposures, measured where the scene did not move."""
    import cv2

    still = cv2.dilate(places, _rim(places)) == 0
    every = permutations(range(len(frames)), 2)
    return {(one, other): _relations(frames[one], frames[other], still) for one, other in every}


def _winners(frames: Sequence[Plane], relations: Relations, places: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """(H, W), uint8, for `size`: which exposure, from dark to bright, wins; in each of the places and on its rim."""
    import cv2

    height, width = size
    winner = np.zeros(places.shape, np.uint8)
    count, labels = cv2.connectedComponents(places)
    for place in range(1, count):
        grown = cv2.dilate((np.asarray(labels) == place).astype(np.uint8), _rim(places))
        as_far_as_it_is_soft = cv2.dilate(grown, _rim(places)) > 0
        winner[as_far_as_it_is_soft] = _winner(frames, relations, grown > 0)
    return torch.from_numpy(np.asarray(cv2.resize(winner, (width, height), interpolation=cv2.INTER_NEAREST)))


def _winner(frames: Sequence[Plane], relations: Relations, here: NDArray[np.bool_]) -> int:
    """The exposure from which the others follow best, by the mean of the spreads."""

    def doubt(winning: int) -> float:
        others = (relations[one, winning] for one in range(len(frames)) if one != winning)
        shown = frames[winning][:, here]
        return sum(
            float(_by_level(relation.spread, plane).mean())
            for channels in others
            for relation, plane in zip(channels, shown, strict=True)
        )

    return min(range(len(frames)), key=doubt)


def _by_level(values: NDArray[np.float64], plane: Plane) -> Plane:
    """What `values` say for each pixel's level, between two of them by interpolation."""
    return np.interp(plane, np.linspace(0, 1, _LEVELS), values).astype(np.float32)


def _rim(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _disc(2 * _RIM * max(picture.shape))


def _disc(radius: float) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(radius)) + 1,) * 2), np.uint8)
