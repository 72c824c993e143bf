"""Defects of single exposures that their neighbours in the bracket give away: hot pixels and drifting white balance.

A sensor's hot pixel shines in long exposures. It differs from its surroundings by far more than a shorter exposure,
which shows nothing at that place, predicts. A star or a lamp is as bright as predicted and stays.

Automatic white balance may change between the exposures of a bracket. Then the ratio of two channels differs from one
exposure to the next by the same factor at all levels and colours, which no scene and no response curve does by itself.
The exposures get the white balance of the middle one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.exposures.ghosts import Plane, relation_between
from fusion.io.image import ExposurePair, Photo

_OUTSTANDING = 0.12
"""By how much a hot pixel is brighter than the median of its 3 x 3 pixels, of 1."""
_ALONE = 3.0
"""How many times that is the range of its eight neighbours, which a twig or an edge exceeds."""
_PREDICTED = 0.05
"""What the shorter exposure must be able to show of it, so that its absence means something."""
_SHOWN = 0.2
"""The share of what is predicted up to which the shorter exposure does not show it."""
_MOST = 0.002
"""A larger share of the picture is not a defect: it is glittering water, or rain."""

_TOE = 0.055
"""sRGB's curve is a power law, with the exponent 2.4, of the encoded values plus this."""
_EXPONENT = 2.4
_USABLE = 0.08, 0.9
"""Levels between which all channels of a pixel lie that shows the white balance."""
_FEWEST = 0.05
"""The smallest share of such pixels from which the white balance is measured."""
_EVEN = 0.1
"""The largest distance between the quartiles of a drift over a picture, in stops. Curves and lamps vary more."""
_DRIFT = 0.08
"""Smaller drifts of a channel, in stops, are left."""
_SAMPLES = 300_000


def repaired(pair: ExposurePair) -> ExposurePair:
    """Replace hot pixels and even out the white balance of aligned exposures, and say in the notes what was done.

    >>> from fusion.io.image import as_pair
    >>> dark = torch.linspace(0.1, 0.4, 4096).view(1, 64, 64).repeat(3, 1, 1)
    >>> bright = 2 * dark
    >>> bright[:, 20, 30] = 1
    >>> mended = repaired(as_pair(dark, bright))
    >>> round(mended.over[0, 20, 30].item(), 2), mended.notes[-1]
    (0.39, 'One hot pixel was replaced.')
    """
    frames, notes = list(pair.frames), list(pair.notes)
    drifts = _drifts(frames)
    if max(float(np.abs(drift).max()) for drift in drifts) >= _DRIFT:
        frames = [_balanced(photo, drift) for photo, drift in zip(frames, drifts, strict=True)]
        notes.append("The white balance changed between the exposures; all have the middle one's now.")
    spots = np.any([_hot(index, frames) for index in range(len(frames))], axis=0)
    if count := int(spots.sum()):
        frames = [_without(photo, spots) for photo in frames]
        notes.append(f"{count} hot pixels were replaced." if count > 1 else "One hot pixel was replaced.")
    if len(notes) == len(pair.notes):
        return pair
    under, *between, over = frames
    return replace(pair, under=under, between=tuple(between), over=over, notes=tuple(notes))


def _hot(index: int, frames: Sequence[Photo]) -> NDArray[np.bool_]:
    """Where an exposure has hot pixels, (H, W)."""
    import cv2

    photo = frames[index].numpy()
    median = np.stack([cv2.medianBlur(plane, 3) for plane in photo])
    ring = np.ones((3, 3), np.uint8)
    ring[1, 1] = 0
    range_around = np.stack([cv2.dilate(plane, ring) - cv2.erode(plane, ring) for plane in photo])
    bright = (photo - median > _OUTSTANDING) & (photo - median > _ALONE * range_around)
    spots = np.zeros_like(bright)
    for darker in sorted({0, index - 1} - {index, -1}):
        relations = map(relation_between, _sample(frames[darker]), _sample(frames[index]))
        planes = zip(relations, spots, bright, photo, median, frames[darker].numpy(), strict=True)
        for relation, spots_here, here, plane, around, shown in planes:
            expected = relation.predict(plane[here]) - relation.predict(around[here])
            excess = shown[here] - cv2.medianBlur(shown, 3)[here]
            spots_here[here] |= (expected > _PREDICTED) & (excess < _SHOWN * expected)
    hot = np.asarray(spots.any(0))
    return hot if hot.mean() < _MOST else np.zeros_like(hot)


def _without(photo: Photo, spots: NDArray[np.bool_]) -> Photo:
    """Replace pixels, (H, W), of all channels by the medians of their 3 x 3 pixels."""
    import cv2

    medians = np.stack([cv2.medianBlur(plane, 3) for plane in photo.numpy()])
    return torch.where(torch.from_numpy(spots), torch.from_numpy(medians), photo)


def _drifts(frames: Sequence[Photo]) -> list[NDArray[np.float64]]:
    """The white balance of each exposure against the middle one's: stops by which its channels are brighter, (3,)."""
    steps = [_drift(one, other) for one, other in pairwise(frames)]
    from_first = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, 0)])
    return list(from_first - from_first[len(frames) // 2])


def _drift(one: Photo, other: Photo) -> NDArray[np.float64]:
    first, second = (_sample(photo) for photo in (one, other))
    low, high = _USABLE
    usable = (np.minimum(first, second).min(0) > low) & (np.maximum(first, second).max(0) < high)
    if usable.mean() < _FEWEST:
        return np.zeros(3)
    stops = _EXPONENT * (np.log2(second[:, usable] + _TOE) - np.log2(first[:, usable] + _TOE))
    lower, median, upper = np.quantile(stops - stops.mean(0), (0.25, 0.5, 0.75), axis=1)
    return median if float((upper - lower).max()) <= _EVEN else np.zeros(3)


def _balanced(photo: Photo, drift: NDArray[np.float64]) -> Photo:
    """Take a drift of the white balance from a photograph. White stays white."""
    factors = torch.from_numpy(2 ** (-drift / _EXPONENT)).float()[:, None, None]
    mended = ((photo + _TOE) * factors - _TOE).clamp(0, 1)
    white = ((photo.amax(0) - _USABLE[1]) / (1 - _USABLE[1])).clamp(0, 1)
    return torch.lerp(mended, photo, white)


def _sample(photo: Photo) -> Plane:
    """At most about `_SAMPLES` pixels of a photograph (3, H, W), evenly spaced: (3, n)."""
    values = photo.flatten(1).numpy()
    return values[:, :: max(1, values.shape[1] // _SAMPLES)]
