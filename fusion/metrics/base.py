"""What a metric is, and how fused pictures are scored with several of them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from math import inf

import numpy as np

from fusion.io.image import ExposurePair, Photo, to_uint8
from fusion.metrics.picture import Formula, Picture, Pixels, Sources
from fusion.runtime import cancel


class Better(Enum):
    """Which direction of a metric is better; NEITHER where neither higher nor lower is better."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"

    @property
    def arrow(self) -> str:
        """An arrow in the direction that is better; empty where there is none."""
        return {Better.HIGHER: "↑", Better.LOWER: "↓", Better.NEITHER: ""}[self]


LEAST_AGREEMENT = 0.1
"""A metric whose agreement with people is below this says nothing about which picture they prefer, or the opposite."""


@dataclass(frozen=True)
class Metric:
    """One measure of a fused picture against its photographs, or against the picture that it should be.

    `formula.__doc__` is the metric's page: what the number means, its range, its formula and source, an example.
    `meaning` and `caution` are shown to people. Each is one whole sentence that begins with a capital letter and ends
    without a full stop: whatever shows it in running text adds the stop.
    """

    name: str
    title: str
    better: Better
    source: str
    """The paper that defines it."""
    meaning: str
    """What the number tells, for people who have not read the paper."""
    caution: str
    """What it rewards wrongly. `python -m fusion.benchmark.experiments.metrics FOLDER` prints the figures behind it."""
    formula: Formula
    bounds: tuple[float, float] = (0, inf)
    """The lowest and the highest value that it can take."""
    agreement: float | None = None
    """Its mean rank correlation with people's opinions of the pictures of a scene, -1 to 1, measured against the
    darkest and the brightest exposure; None where it was not measured. `docs/opinions.md` has the intervals."""
    repeats: str | None = None
    """The name of another metric that measures the same quantity, so that a mean over metrics counts it once."""
    many: bool = False
    """It is measured against all exposures. Other metrics are defined for two, the darkest and the brightest."""
    mefb: str | None = None
    """Its name in the tables of MEFB (Zhang, Information Fusion 2021); None where it is not one of MEFB's twenty."""

    @property
    def titled(self) -> str:
        """The title with an arrow in the direction that is better."""
        return f"{self.title} {self.better.arrow}".strip()

    @property
    def counts(self) -> bool:
        """Whether a mean rank over metrics counts it: it goes with people's opinions, and no other one repeats it."""
        return self.repeats is None and self.agreement is not None and self.agreement >= LEAST_AGREEMENT

    def measure(self, fused: Pixels | Picture, sources: Sources) -> float:
        """Return the metric's value for a fused picture.

        Args:
            fused: 8-bit pixels (H, W, 3), 0 to 255, or the `Picture` of them, whose derived planes are then reused.
            sources: the photographs that it was fused from, of the same size, from the darkest to the brightest; a
                metric without `many` compares with the first and the last. For a metric of
                `fusion.metrics.reference`, the one picture that it should be.

        Raises `ValueError` where sizes differ, where the pixels are not 8-bit, where there are fewer sources than the
        metric is defined for, and for MEF-SSIM of pictures with a side below 11 pixels.
        """
        picture = fused if isinstance(fused, Picture) else Picture(fused)
        if picture.pixels.shape != sources.shape:
            raise ValueError(f"The fused picture is {picture.pixels.shape}, its sources are {sources.shape}.")
        return float(picture.derive(self.formula, sources if self.many else sources.ends))  # the score reads some again


SCORED_PIXELS = 1_000_000
"""Larger pictures are scored on a reduced copy of at most this many pixels unless asked otherwise: about the size of
the benchmark's pictures, so that figures can be compared."""


def scored_size(height: int, width: int, limit: int | None = SCORED_PIXELS) -> tuple[int, int]:
    """Return the height and width at which a picture is scored: its own, or reduced to `limit` pixels.

    >>> scored_size(480, 640)
    (480, 640)
    >>> scored_size(3000, 4000)
    (866, 1154)
    """
    if limit is None or height * width <= limit:
        return height, width
    scale = (limit / (height * width)) ** 0.5
    return max(1, int(height * scale)), max(1, int(width * scale))


class Scorer:
    """Measures fused pictures of one scene, whose exposures are rounded, and reduced where they are large, only once.

    Pictures are rounded to 8 bits first: what is measured is what is saved. Above `limit` pixels, all are reduced by
    area averaging to `scored_size`. The scorer holds what metrics derive from the photographs; let go of it to free
    that memory.
    """

    def __init__(self, pair: ExposurePair, metrics: Iterable[Metric], *, limit: int | None = SCORED_PIXELS) -> None:
        self.pair = pair
        self.metrics = tuple(metrics)
        self.size = scored_size(*pair.size, limit)

    @cached_property
    def sources(self) -> Sources:
        """All exposures as they are measured; prepared when they are first needed."""
        return Sources(*map(self._pixels, self.pair.frames))

    def __call__(self, fused: Photo) -> dict[str, float]:
        """Return each metric of `fused` (3, H, W) against the scene's exposures, by the metric's name."""
        if not self.metrics:
            return {}
        picture, sources = Picture(self._pixels(fused)), self.sources

        def measure(metric: Metric) -> float:
            cancel.check()
            return metric.measure(picture, sources)

        # Most metrics are one long array operation after the other, each of which uses one core.
        with ThreadPoolExecutor(2, initializer=cancel.thread_initializer()) as pool:
            # The slowest metrics, at the end of the list, start first, so that no other one has to wait for them alone.
            values = list(pool.map(measure, reversed(self.metrics)))
        return {metric.name: value for metric, value in zip(self.metrics, reversed(values), strict=True)}

    def _pixels(self, photo: Photo) -> Pixels:
        import cv2

        pixels = to_uint8(photo)
        if self.size == pixels.shape[:2]:
            return pixels
        return np.asarray(cv2.resize(pixels, self.size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
