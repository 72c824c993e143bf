"""What a viewer sees of a picture at a glance, in CIELAB, on which the measures of colour and of losses are based.

Most of it is measured on a copy whose longest side has at most 512 pixels, about what a picture in a gallery shows, so
that a photograph has the same figures at every size. Radii are in pixels of a copy of 512, and shrink with smaller
pictures.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.picture import Picture, Sources

Map: TypeAlias = NDArray[Any]
"""float32, (H, W), or (H, W, 2) for the chroma plane; lightness goes from 0 to 100."""

GLANCE_SIDE = 512
_EYE = 2.0
"""Standard deviation of the blur that hides noise and fine texture."""
_DETAIL = 3.0
"""Standard deviation of the window in which detail is looked for."""
_SEEN = 1.0, 3.0
"""A contrast of 1 in lightness is not seen as detail; one of 3 surely is."""
_LEFT = 0.125, 0.25
"""Detail is lost where less than an eighth of its contrast is left, and not lost where a quarter is."""
_NEARLY_WHITE = 85.0, 95.0
_NEARLY_BLACK = 5.0, 15.0


def step(values: Map, low: float, high: float) -> Map:
    """Return a smooth step of the values: 0 up to `low`, 1 from `high` on.

    >>> step(np.array([0.0, 1.5, 3.0], np.float32), 1, 2).tolist()
    [0.0, 0.5, 1.0]
    """
    share = ((values - low) / (high - low)).clip(0, 1)
    return share * share * (3 - 2 * share)


def lab(picture: Picture) -> Map:
    """Return CIELAB (H, W, 3) of an sRGB picture: lightness from 0 to 100, then a and b."""
    import cv2

    return np.asarray(cv2.cvtColor(picture.pixels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)


def blurred(values: Map, sigma: float) -> Map:
    """Return the values under a Gaussian; the plane is mirrored at its border."""
    import cv2

    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def contrast(lightness: Map, sigma: float) -> Map:
    """Return the local contrast (H, W): the standard deviation of the lightness under a Gaussian."""
    mean = blurred(lightness, sigma)
    return np.sqrt((blurred(lightness * lightness, sigma) - mean * mean).clip(min=0))


class Glance(NamedTuple):
    """What is seen of a picture at a glance. All maps have the size of the copy."""

    lightness: Map
    """(H, W), 0 to 100, without fine texture."""
    colour: Map
    """(H, W, 2): a and b, without fine texture."""
    chroma: Map
    """(H, W): how far the colour is from grey."""
    detail: Map
    """(H, W): the local contrast of the lightness."""
    level: Map
    """(H, W): the mean of R, G and B, from 0 to 1, pixel by pixel."""
    peak: Map
    """(H, W): the highest of R, G and B, from 0 to 1, pixel by pixel."""
    scale: float
    """Pixels of this copy for each pixel of a copy of 512."""


def glance(picture: Picture) -> Glance:
    """Return what is seen of a picture at a glance."""
    import cv2

    pixels = picture.pixels
    side = max(pixels.shape[:2])
    if side > GLANCE_SIDE:
        size = tuple(max(1, round(length * GLANCE_SIDE / side)) for length in pixels.shape[1::-1])
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = max(pixels.shape[:2]) / GLANCE_SIDE
    values = lab(Picture(pixels))
    smooth = blurred(values, _EYE * scale)
    levels = pixels.astype(np.float32) / 255
    return Glance(
        lightness=smooth[..., 0],
        colour=smooth[..., 1:],
        chroma=np.hypot(smooth[..., 1], smooth[..., 2]),
        detail=contrast(np.ascontiguousarray(values[..., 0]), _DETAIL * scale),
        level=levels.mean(-1),
        peak=levels.max(-1),
        scale=scale,
    )


def glances(sources: Sources) -> list[Glance]:
    """Return what is seen of each exposure at a glance."""
    return [source.derive(glance) for source in sources]


class Losses(NamedTuple):
    """Shares of the picture's area, 0 to 1."""

    shadows: float
    highlights: float


def losses(fused: Picture, sources: Sources) -> Losses:
    """Return how much of the area lost its detail in nearly black and in nearly white, though an exposure shows it."""
    return _lost(fused.derive(glance), sources)


def most_lost(sources: Sources) -> Losses:
    """Return what the worst exposure loses: the darkest in the shadows, the brightest in the highlights."""
    alone = [_lost(one, sources) for one in glances(sources)]
    return Losses(max(lost.shadows for lost in alone), max(lost.highlights for lost in alone))


def _lost(seen: Glance, sources: Sources) -> Losses:
    best = sources.derive(_most_detail)
    lost = step(best, *_SEEN) * (1 - step(seen.detail / (best + 1e-3), *_LEFT))
    black, white = 1 - step(seen.lightness, *_NEARLY_BLACK), step(seen.lightness, *_NEARLY_WHITE)
    return Losses(float((lost * black).mean()), float((lost * white).mean()))


def _most_detail(sources: Sources) -> Map:
    return np.maximum.reduce([one.detail for one in glances(sources)])


_DARK = 0.02, 0.12
_CLIPPED = 0.9, 0.98
_ENOUGH = 0.6, 0.85
_FOOT = 20.0
"""Colours are compared at one lightness: chroma over lightness + 20 stays about the same when a picture is lit more."""


class Known(NamedTuple):
    """What the exposures tell for certain. A long bracket's two ends may tell little of what is between them."""

    where: Map
    """(H, W): 1 where an exposure is neither dark nor clipped, 0 where none is."""
    lightness: Map
    """(H, W): the lightness of the exposure that tells most at each pixel."""
    colour: Map
    """(H, W, 2): its colour."""
    chroma: Map
    """(H, W): the highest chroma of any exposure."""
    trust: float
    """0 where the exposures tell about less than 60 % of what they show, 1 from 85 % on."""


def known(sources: Sources) -> Known:
    """Return what the exposures tell for certain."""
    seen = glances(sources)
    sigma = _EYE * seen[0].scale
    good = [step(one.level, *_DARK) * (1 - step(one.peak, *_CLIPPED)) for one in seen]
    chosen = np.stack([blurred(g * (0.5 + one.level / 2), sigma) for g, one in zip(good, seen, strict=True)]).argmax(0)
    where = np.maximum.reduce([blurred(g, sigma) for g in good])
    shown = float(step(np.maximum.reduce([one.level for one in seen]), *_DARK).mean())
    share = float(where.mean()) / shown if shown > 0 else 0.0
    low, high = _ENOUGH
    light, colours = np.stack([one.lightness for one in seen]), np.stack([one.colour for one in seen])
    return Known(
        where,
        np.take_along_axis(light, chosen[None], 0)[0],
        np.take_along_axis(colours, chosen[None, ..., None], 0)[0],
        np.maximum.reduce([one.chroma for one in seen]),
        min(max((share - low) / (high - low), 0.0), 1.0),
    )


def expected_colour(fused: Picture, sources: Sources) -> Map:
    """Return the colour (H, W, 2) that the exposures give each pixel, at the lightness that the fused picture has."""
    there = sources.derive(known)
    gain = (fused.derive(glance).lightness + _FOOT) / (there.lightness + _FOOT)
    return there.colour * gain[..., None]
