"""What a metric is, and how fused pictures are scored with several of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from math import inf
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from fusion.io.image import ExposurePair, Photo, to_uint8
from fusion.runtime import cancel

Pixels: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) sRGB, 0 to 255: what a viewer decodes from the saved 8-bit result."""


class _Cache(Protocol):
    def cache_clear(self) -> None: ...


AnyCache = TypeVar("AnyCache", bound=_Cache)
_kept: list[_Cache] = []


def kept_for_pair(cache: AnyCache) -> AnyCache:
    """A function that keeps what metrics make of a pair's photographs, for its next fused picture."""
    _kept.append(cache)
    return cache


def forget_pair() -> None:
    """Have all of them let go of it: hundreds of bytes a pixel."""
    for cache in _kept:
        cache.cache_clear()


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
    caution: str
    """What it rewards wrongly, in one sentence; `python -m fusion.benchmark.experiments.metrics FOLDER` prints the
    figures behind it."""
    measure: Callable[[Pixels, Pixels, Pixels], float]
    bounds: tuple[float, float] = (0, inf)
    """The lowest and the highest value there can be."""
    mefb: str | None = None
    """What MEFB (Zhang, Information Fusion 2021) calls it in its tables; None where it is not one of its twenty."""


@dataclass(frozen=True)
class ReferenceMetric:
    """One measure of a fused picture against the picture that it should be.

    `measure(fused, reference)` takes two `Pixels` of equal size and returns one number.
    """

    name: str
    title: str
    better: Better
    source: str
    """The paper that defines it."""
    meaning: str
    """One line for the visitor."""
    caution: str
    """What it rewards wrongly, in one sentence."""
    measure: Callable[[Pixels, Pixels], float]
    bounds: tuple[float, float] = (0, inf)
    """The lowest and the highest value there can be."""


SCORED_PIXELS = 1_000_000
"""Larger pictures are scored on a reduced copy of at most this many pixels unless asked otherwise: about the size of
the benchmark's pictures, so that figures can be compared."""


def scored_size(height: int, width: int, limit: int | None = SCORED_PIXELS) -> tuple[int, int]:
    """The height and width at which a picture is scored: its own, or reduced to `limit` pixels."""
    if limit is None or height * width <= limit:
        return height, width
    scale = (limit / (height * width)) ** 0.5
    return max(1, int(height * scale)), max(1, int(width * scale))


class Scorer:
    """Measures fused pictures of one pair; its photographs are rounded, and reduced where they are large, only once.

    They are rounded to 8 bits first: what is measured is what is saved. Above `limit` pixels, all three are reduced by
    area averaging to `scored_size`.
    """

    def __init__(self, pair: ExposurePair, metrics: Iterable[Metric], *, limit: int | None = SCORED_PIXELS) -> None:
        self.pair = pair
        self.metrics = tuple(metrics)
        self.size = scored_size(*pair.size, limit)

    @cached_property
    def sources(self) -> list[Pixels]:
        """Both photographs as they are measured; prepared when they are first needed."""
        return [self._pixels(photo) for photo in (self.pair.under, self.pair.over)]

    def __call__(self, fused: Photo) -> dict[str, float]:
        """Each metric of `fused` (3, H, W) against the pair's photographs, by the metric's name."""
        if not self.metrics:
            return {}
        pixels, sources = self._pixels(fused), self.sources

        def measure(metric: Metric) -> float:
            cancel.check()
            return float(metric.measure(pixels, *sources))

        # Most metrics are one long array operation after the other, each of which uses one core.
        with ThreadPoolExecutor(2, initializer=cancel.thread_initializer()) as pool:
            # From the end, where the slowest stand: they would be waited for alone.
            values = list(pool.map(measure, reversed(self.metrics)))
        return {metric.name: value for metric, value in zip(self.metrics, reversed(values), strict=True)}

    def _pixels(self, photo: Photo) -> Pixels:
        import cv2

        pixels = to_uint8(photo)
        if self.size == pixels.shape[:2]:
            return pixels
        return np.asarray(cv2.resize(pixels, self.size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
