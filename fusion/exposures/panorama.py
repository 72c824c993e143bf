"""Panoramas of a full turn in equirectangular projection, whose last column goes on in the first one.

They are twice as wide as high (360° by 180°). Methods know nothing of turns: the pipeline puts what lies beyond each
side there before it fuses, and cuts it off afterwards. A camera that turned about its vertical axis between the
exposures shifted them along their rows, so that they are rolled back and nothing is cropped.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.io.colour import luma
from fusion.io.image import ExposurePair, Photo

MARGIN = 0.5
"""The width of what is put beyond each side, as a share of the full turn. Pyramids reach far."""
_SMOOTH = 4.0
"""How many times as large as the median step between columns the step from the last to the first may be."""
_ROWS = 256
"""How many rows a copy has in which a turn is searched. Its columns are those of the picture."""
_CLEAR = 1.5
"""How many times as strong as any other a turn must be to be believed."""


def goes_round(pair: ExposurePair) -> bool:
    """Whether exposures are twice as wide as high, and the last column of each goes on in its first one.

    >>> goes_round(ExposurePair(torch.full((3, 32, 64), 0.2), torch.full((3, 32, 64), 0.8)))
    True
    >>> ramp = torch.linspace(0, 1, 64).expand(3, 32, 64)
    >>> goes_round(ExposurePair(ramp / 2, ramp))
    False
    """
    height, width = pair.size
    return width == 2 * height and all(_is_smooth(frame) for frame in pair.frames)


def _is_smooth(photo: Photo) -> bool:
    """Whether the step at the seam is like those inside. Means over eight rows hide noise."""
    rows = torch.nn.functional.avg_pool2d(luma(photo)[None], (min(8, photo.shape[1]), 1))[0, 0]
    steps = (rows - rows.roll(1, 1)).abs().mean(0)
    return float(steps[0]) <= _SMOOTH * max(float(steps.median()), 0.5 / 255)


def turned_back(pair: ExposurePair) -> ExposurePair:
    """Roll all exposures to where the middle one is, or the darker one of two; a note says by how much.

    Turns are found by the correlation of the directions of gradients, which do not depend on the exposure, over all
    whole pixels. An exposure whose turn is not certain stays as it is.

    >>> scene = torch.rand(3, 32, 64, generator=torch.Generator().manual_seed(1))
    >>> turned = turned_back(ExposurePair(scene / 2, scene.roll(5, 2)))
    >>> torch.equal(turned.over, scene), turned.notes
    (True, ('Aligned: the camera turned by 28.1°, and the panorama was wrapped accordingly.',))
    """
    frames = pair.frames
    middle, width = (len(frames) - 1) // 2, pair.size[1]
    directions = [_directions(frame) for frame in frames]
    turns = [0] * len(frames)
    for index in [*range(middle - 1, -1, -1), *range(middle + 1, len(frames))]:
        nearer = index + 1 if index < middle else index - 1
        turns[index] = turns[nearer] + _turn(directions[nearer], directions[index])
    turns = [(turn + width // 2) % width - width // 2 for turn in turns]
    if not any(turns):
        return pair
    under, *between, over = (frame.roll(-turn, 2) for frame, turn in zip(frames, turns, strict=True))
    masks = tuple(
        None if mask is None else mask.roll(-turn, 1)
        for mask, turn in zip(pair.masks, turns if pair.masks else (), strict=True)
    )
    degrees = 360 * max(map(abs, turns)) / width
    note = f"Aligned: the camera turned by {degrees:.1f}°, and the panorama was wrapped accordingly."
    return replace(pair, under=under, over=over, between=tuple(between), notes=(*pair.notes, note), masks=masks)


def _directions(photo: Photo) -> NDArray[np.float32]:
    """The sign and clarity of the slope along each row, -1 to 1, of a copy with fewer rows."""
    grey = torch.nn.functional.adaptive_avg_pool2d(luma(photo)[None], (min(_ROWS, photo.shape[1]), photo.shape[2]))
    values = grey[0, 0].numpy()
    slope = np.roll(values, -1, 1) - np.roll(values, 1, 1)
    return np.asarray(slope / (np.abs(slope) + 4 / 255), np.float32)


def _turn(one: NDArray[np.float32], other: NDArray[np.float32]) -> int:
    """By how many columns `other` is rolled against `one`, 0 if that is not certain."""
    spectrum = np.conj(np.fft.rfft(one, axis=1)) * np.fft.rfft(other, axis=1)
    match = np.fft.irfft(spectrum.sum(0), one.shape[1])
    best = int(match.argmax())
    rest = np.delete(np.roll(match, 4 - best), slice(0, 9))  # neighbours of a peak are high as well
    return best if match[best] > _CLEAR * max(float(rest.max()), 0.0) else 0


def margin(width: int) -> int:
    """How many columns are put beyond each side of a panorama of this width."""
    return round(MARGIN * width)


def wrapped(pair: ExposurePair) -> ExposurePair:
    """The exposures with `margin` columns more at each side, which are those of the other side.

    >>> wrapped(ExposurePair(torch.zeros(3, 32, 64), torch.ones(3, 32, 64))).size
    (32, 128)
    """
    beyond = margin(pair.size[1])
    under, *between, over = (torch.cat((frame[..., -beyond:], frame, frame[..., :beyond]), -1) for frame in pair.frames)
    return replace(pair, under=under, over=over, between=tuple(between))
