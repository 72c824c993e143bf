"""Ghosts: where the scene moved between two exposures, and a pair in which it did not.

What one exposure shows where nothing moved follows from the other: in each channel, a level of the one goes with a
narrow range of levels of the other (the comparametric relation of Mann, 2000; here as measured, a median and a spread
for each level). Where that fails, in either direction and in most channels, something moved.

There the better exposed photograph wins: the other one is given what the relation makes of it, so that any method that
follows sees one scene. Only the places that moved, with a soft rim, are taken from the picture that is fused so;
everywhere else nothing changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.color import luma
from fusion.image import ExposurePair, Photo

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
_FLOOR = 0.02
"""The least spread."""
_CERTAIN = 5.0
"""How many spreads off are no accident."""
_BEYOND_DOUBT = 12.0
"""And to be sure of it, in half of the smallest place or more. Waves, flames, reflections and what alignment leaves
stay below this in the examples, and what is moved in them does not: `docs.ghost` prints both."""
_SMALLEST = 0.0004
"""Of the picture: smaller places are noise, or leaves."""
_JOINED = 0.01
"""Of the longer side: parts of one thing that are as near as this are joined."""
_NEAR_THE_END = 0.1
_RIM = 0.008
"""Of the longer side: how far around a place its rim reaches."""


@dataclass(frozen=True, eq=False)
class Ghosts:
    """Where the scene moved between the exposures of a pair."""

    mask: Tensor
    """(1, H, W): 1 where it moved, down to 0 over a soft rim."""
    share: float
    """Of the picture that moved."""
    under_wins: Tensor
    """(1, H, W), 1 where the under-exposed photograph is the better exposed one, else 0; of the places that moved."""
    certain: bool
    """Whether some of it is beyond doubt, and so to be told unasked."""


class Relation(NamedTuple):
    """What one exposure shows for each level of the other, in one channel."""

    median: NDArray[np.float64]
    spread: NDArray[np.float64]

    def of(self, plane: Plane) -> Plane:
        """What the one should show where the other shows `plane`."""
        return np.interp(plane, np.linspace(0, 1, _LEVELS), self.median).astype(np.float32)

    def off(self, one: Plane, other: Plane) -> Plane:
        """By how many spreads `one` is not what goes with `other`."""
        spread = np.interp(other, np.linspace(0, 1, _LEVELS), self.spread)
        return (np.abs(one - self.of(other)) / spread).astype(np.float32)


def find_ghosts(pair: ExposurePair) -> Ghosts | None:
    """Where the darkest and the brightest exposure show different things; None where they nowhere do."""
    import cv2

    height, width = pair.size
    under, over = (_copy(photo) for photo in (pair.under, pair.over))
    off = np.maximum(*(np.sort(x, axis=0)[1] for x in (_off(under, over), _off(over, under))))
    off = np.asarray(cv2.erode(off, np.ones((3, 3))))  # a shift of less than a pixel is no movement of the scene
    moved = (off > _CERTAIN).astype(np.uint8)
    side = max(moved.shape)
    moved = cv2.morphologyEx(moved, cv2.MORPH_CLOSE, _disc(_JOINED * side))
    outlines, _ = cv2.findContours(moved, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    moved = cv2.drawContours(np.zeros_like(moved), outlines, -1, 1, cv2.FILLED)  # what lies within moved as well
    _, labels, found, _ = cv2.connectedComponentsWithStats(moved)
    areas = np.asarray(found)[:, cv2.CC_STAT_AREA]
    places = [label for label in range(1, len(areas)) if areas[label] >= max(_FEWEST, _SMALLEST * moved.size)]
    if not places:
        return None
    labels = np.asarray(labels)
    mask, wins = np.zeros(moved.shape, np.float32), np.zeros(moved.shape, np.float32)
    exposed = [_exposedness(frame) for frame in (under, over)]
    for label in places:
        here = labels == label
        grown = cv2.dilate(here.astype(np.uint8), _disc(2 * _RIM * side)) > 0
        mask[grown] = 1
        wins[grown] = float(exposed[0][here].mean() > exposed[1][here].mean())
    mask = cv2.GaussianBlur(mask, (0, 0), _RIM * side / 2)
    size = width, height
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR).clip(0, 1)
    wins = cv2.resize(wins, size, interpolation=cv2.INTER_LINEAR)
    share = float(np.isin(labels, places).mean())
    certain = float(((off > _BEYOND_DOUBT) & np.isin(labels, places)).mean()) >= _SMALLEST / 2
    return Ghosts(torch.from_numpy(mask)[None], share, torch.from_numpy(wins)[None], certain)


def without_ghosts(pair: ExposurePair, ghosts: Ghosts) -> ExposurePair:
    """The pair as if the scene had not moved: where it did, both show what the better exposed photograph shows."""
    under, over = _told(pair.under, pair.over), _told(pair.over, pair.under)
    return replace(
        pair,
        under=torch.lerp(pair.under, under, ghosts.mask * (1 - ghosts.under_wins)),
        over=torch.lerp(pair.over, over, ghosts.mask * ghosts.under_wins),
    )


def overlay(pair: ExposurePair, ghosts: Ghosts) -> Photo:
    """Both photographs' mean in grey, and red where the scene moved, for looking at."""
    grey = (luma(pair.under) + luma(pair.over)) / 2
    red = torch.tensor([0.9, 0.2, 0.15])[:, None, None]
    return torch.lerp(grey.expand(3, -1, -1), 0.4 * grey + 0.6 * red, ghosts.mask)


def _told(one: Photo, other: Photo) -> Photo:
    """What `one` should show, by what `other` shows, where nothing moved."""
    relations = map(_relation, _copy(one), _copy(other))
    planes = [relation.of(plane.numpy()) for relation, plane in zip(relations, other, strict=True)]
    return torch.from_numpy(np.stack(planes))


def _copy(photo: Photo) -> Plane:
    """(3, h, w) of at most `_PIXELS` pixels, smoothed."""
    import cv2

    height, width = photo.shape[-2:]
    scale = min(1.0, math.sqrt(_PIXELS / (height * width)))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in photo.numpy()]
    return np.stack([cv2.GaussianBlur(plane, (0, 0), _SMOOTH) for plane in small])


def _off(one: Plane, other: Plane) -> Plane:
    """(3, h, w): how far each channel of the one is from what goes with the other."""
    return np.stack([_relation(a, b).off(a, b) for a, b in zip(one, other, strict=True)])


def _relation(one: Plane, other: Plane) -> Relation:
    """Measured over all pixels; between levels that occur too rarely, by interpolation."""
    levels = np.round(other * (_LEVELS - 1)).astype(np.uint16).ravel()  # of 16 bits, they are sorted by radix
    order = np.argsort(levels, kind="stable")
    values, edges = one.ravel()[order], np.searchsorted(levels[order], np.arange(_LEVELS + 1))
    known = [level for level in range(_LEVELS) if edges[level + 1] - edges[level] >= _FEWEST]
    low, median, high = np.transpose(
        [np.quantile(values[edges[level] : edges[level + 1]], (0.16, 0.5, 0.84)) for level in known] or [(0, 0.5, 1)]
    )
    at, everywhere = known or [0], np.arange(_LEVELS)
    spread = np.interp(everywhere, at, (high - low) / 2)
    return Relation(np.interp(everywhere, at, median), np.maximum(spread, _FLOOR))


def _exposedness(frame: Plane) -> Plane:
    """1 where no channel is near black or white, down to 0 where one is, (h, w)."""
    return (np.minimum(frame.min(0), 1 - frame.max(0)) / _NEAR_THE_END).clip(0, 1)


def _disc(radius: float) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(radius)) + 1,) * 2), np.uint8)
