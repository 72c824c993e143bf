"""What a metric is, and how a fused picture is scored with several of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusion.image import ExposurePair, Photo, to_uint8

Pixels: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) sRGB, 0 to 255: what a viewer decodes from the saved 8-bit result."""


class Better(Enum):
    """Which direction of a metric is better; NEITHER where more is only different."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True)
class Metric:
    """One measure of a fused picture against its two sources.

    `measure(fused, under, over)` takes three `Pixels` of equal size and returns one number.
    """

    name: str
    title: str
    better: Better
    source: str
    """The paper that defines it."""
    meaning: str
    """One line for the visitor."""
    measure: Callable[[Pixels, Pixels, Pixels], float]


SCORED_PIXELS = 2_000_000
"""Larger pictures are scored on a reduced copy of at most this many pixels unless asked otherwise."""


def scored_size(height: int, width: int, limit: int | None = SCORED_PIXELS) -> tuple[int, int]:
    """The height and width at which a picture is scored: its own, or reduced to `limit` pixels."""
    if limit is None or height * width <= limit:
        return height, width
    scale = (limit / (height * width)) ** 0.5
    return max(1, int(height * scale)), max(1, int(width * scale))


def score(
    fused: Photo, pair: ExposurePair, metrics: Iterable[Metric], *, limit: int | None = SCORED_PIXELS
) -> dict[str, float]:
    """Each metric of `fused` (3, H, W) against the pair's photographs, by the metric's name.

    The photographs are rounded to 8 bits first: what is measured is what is saved. Above `limit`
    pixels, all three are reduced by area averaging to `scored_size`.
    """
    import cv2

    size = scored_size(fused.shape[-2], fused.shape[-1], limit)
    pictures = [to_uint8(photo) for photo in (fused, pair.under, pair.over)]
    if size != pictures[0].shape[:2]:
        pictures = [
            np.asarray(cv2.resize(p, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8) for p in pictures
        ]
    a, b, c = pictures
    return {metric.name: float(metric.measure(a, b, c)) for metric in metrics}
