"""Metrics of what fusion does wrong: halos, losses, grain. All look at the exposures too, and lower is better."""

from __future__ import annotations

import numpy as np

from fusion.metrics.appearance import Map, blurred, contrast, glance, known, lab, losses
from fusion.metrics.base import Better, Metric
from fusion.metrics.picture import Picture, Sources

# Halos

_RIM = 3.0
"""Standard deviation of the blur below which texture is no rim, in pixels of a copy of 512."""
_REACH = 12.0
"""Standard deviation of the neighbourhood of an edge in which a rim is looked for, in the same pixels."""
_VISIBLE = 0.05
"""A slope of the lightness is seen from about this many units for each pixel on."""


def _slope(picture: Picture) -> tuple[Map, Map]:
    """Return how the lightness rises to the right and down, (H, W) each, in units for each pixel of a copy of 512."""
    import cv2

    seen = picture.derive(glance)
    smooth = blurred(seen.lightness, _RIM * seen.scale)
    x, y = (
        cv2.Sobel(smooth, cv2.CV_32F, *axis, scale=seen.scale / 8, borderType=cv2.BORDER_REFLECT)
        for axis in ((1, 0), (0, 1))
    )
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _edges(sources: Sources) -> Map:
    """Return the steepest slope of any exposure in the neighbourhood of each pixel."""
    steepest = np.maximum.reduce([np.hypot(*source.derive(_slope)) for source in sources])
    return blurred(steepest, _REACH * next(iter(sources)).derive(glance).scale)


def halo(fused: Picture, sources: Sources) -> float:
    """Return the halo: how much of the lightness runs against all exposures beside their edges, as in a rim.

        halo = sum e max(|g| - 0.05, 0) [g . g_k <= 0 for every exposure k] / sum e |g_max|

    g is the slope of lightness (Gaussian, sigma 3, on a copy with a longest side of 512), g_max the steepest of any
    exposure, and e how steep the exposures are nearby. A bright or a dark rim falls or rises where the exposures are
    flat or do the opposite, and so do two regions whose order of brightness is reversed. Slopes that are not seen do
    not count. The value is 0 for every weighted mean of the exposures whose weights are the same everywhere. Range: 0
    and more. Lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: the gradient reversal of He, Sun, Tang, "Guided image filtering", TPAMI 2013; the measure is this
    project's own.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 64, 3))
    >>> HALO.measure(ramp, Sources(ramp, ramp)), HALO.measure(ramp[::-1], Sources(ramp, ramp)) > 0.5
    (0.0, True)
    """
    x, y = fused.derive(_slope)
    slopes = [source.derive(_slope) for source in sources]
    opposed = np.logical_and.reduce([x * sx + y * sy <= 0 for sx, sy in slopes])
    steepest = np.maximum.reduce([np.hypot(*slope) for slope in slopes])
    near = sources.derive(_edges)
    there = float((near * steepest).sum())
    rims = float((near * (np.hypot(x, y) - _VISIBLE).clip(min=0))[opposed].sum())
    return rims / there if there > 0 else 0.0


# Losses


def lost_shadows(fused: Picture, sources: Sources) -> float:
    """Return the lost shadows: the share of the area that is nearly black and lost detail that an exposure shows.

        mean over pixels of  seen(d_max)  lost(d / d_max)  black(L)

    d is the local contrast of lightness (Gaussian, sigma 3), d_max the highest of any exposure. Detail counts as seen
    from d_max 1 to 3 on, as lost where less than a quarter to an eighth of it is left, and a pixel as nearly black
    below a lightness of 15 to 5. It is measured on a copy with a longest side of 512. Single black samples, which grain
    and contrast leave in any good picture, do not count. Range: 0 to 1. Lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: the measure is this project's own.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> black = np.zeros((256, 256, 3), np.uint8)
    >>> stripes = black + np.where(np.arange(256) // 2 % 2, 90, 150).astype(np.uint8)[:, None, None]
    >>> round(LOST_SHADOWS.measure(black, Sources(black, stripes)), 2)
    1.0
    >>> LOST_SHADOWS.measure(black, Sources(black, black))
    0.0
    """
    return fused.derive(losses, sources).shadows


def lost_highlights(fused: Picture, sources: Sources) -> float:
    """Return the lost highlights: the share of the area that is nearly white and lost detail that an exposure shows.

        mean over pixels of  seen(d_max)  lost(d / d_max)  white(L)

    A pixel is nearly white above a lightness of 85 to 95; the rest is defined as for `lost_shadows`. A lamp that every
    exposure clips is not lost. Range: 0 to 1. Lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: the measure is this project's own.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> white = np.full((256, 256, 3), 255, np.uint8)
    >>> stripes = white - np.where(np.arange(256) // 2 % 2, 90, 150).astype(np.uint8)[:, None, None]
    >>> round(LOST_HIGHLIGHTS.measure(white, Sources(stripes, white)), 2)
    1.0
    >>> LOST_HIGHLIGHTS.measure(white, Sources(white, white))
    0.0
    """
    return fused.derive(losses, sources).highlights


# Grain

_FINE = 1.0
"""Standard deviation of the window, in pixels."""
_MORE = 1.5
"""A result may have this many times the fine contrast of the exposures: who lifts shadows lifts their texture."""
_UNSEEN = 0.5
"""This much more, in units of lightness, is not seen."""


def _fine_contrast(picture: Picture) -> Map:
    return contrast(np.ascontiguousarray(picture.derive(lab)[..., 0]), _FINE)


def _most_fine_contrast(sources: Sources) -> Map:
    return np.maximum.reduce([source.derive(_fine_contrast) for source in sources])


def _exposed(sources: Sources) -> Map:
    """Return where an exposure is neither dark nor clipped, 0 to 1, at full size."""
    import cv2

    height, width = sources.shape[:2]
    return np.asarray(cv2.resize(sources.derive(known).where, (width, height)), np.float32)


def added_grain(fused: Picture, sources: Sources) -> float:
    """Return the added grain: fine contrast that no exposure has, as noise and over-sharpening add it.

        grain = sum k max(d - 1.5 d_max - 0.5, 0) / sum (d + 1)

    d is the local contrast of lightness (Gaussian, sigma 1 pixel), d_max the highest of any exposure, and k tells where
    an exposure is neither dark nor clipped. Grain that an exposure has already is the camera's, and lifting shadows by
    half a stop lifts it too; neither counts. Range: 0 and more; 0.05 is seen. Lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: the measure is this project's own.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> flat = np.full((32, 32, 3), 90, np.uint8)
    >>> checks = flat + np.uint8(20) * (np.indices((32, 32)).sum(0) % 2).astype(np.uint8)[..., None]
    >>> ADDED_GRAIN.measure(flat, Sources(flat, flat)), ADDED_GRAIN.measure(checks, Sources(flat, flat)) > 0.3
    (0.0, True)
    """
    fine = fused.derive(_fine_contrast)
    more = (fine - _MORE * sources.derive(_most_fine_contrast) - _UNSEEN).clip(min=0)
    return float((sources.derive(_exposed) * more).sum()) / float((fine + 1).sum())


HALO = Metric(
    name="halo",
    title="Halo",
    better=Better.LOWER,
    source="Gradient reversal, as He, Sun, Tang (TPAMI 2013) name it",
    meaning="It tells how strong rims are beside edges, and regions whose order of brightness no exposure has",
    caution="A copy of one photograph and the plain mean of all have none; people mind only strong ones",
    formula=halo,
    agreement=0.03,
    many=True,
)

LOST_SHADOWS = Metric(
    name="lost_shadows",
    title="Lost shadows",
    better=Better.LOWER,
    source="This project",
    meaning="It tells which share of the picture is nearly black and has lost detail that an exposure shows",
    caution="A grey veil has none, and most methods have none at all, so that it seldom tells two pictures apart",
    formula=lost_shadows,
    agreement=0.26,
    bounds=(0, 1),
    many=True,
)

LOST_HIGHLIGHTS = Metric(
    name="lost_highlights",
    title="Lost highlights",
    better=Better.LOWER,
    source="This project",
    meaning="It tells which share of the picture is nearly white and has lost detail that an exposure shows",
    caution="A grey veil has none, and most methods have none at all, so that it seldom tells two pictures apart",
    formula=lost_highlights,
    agreement=-0.18,
    bounds=(0, 1),
    many=True,
)

ADDED_GRAIN = Metric(
    name="added_grain",
    title="Added grain",
    better=Better.LOWER,
    source="This project",
    meaning="It tells how much fine contrast the result has that no exposure has, as noise and over-sharpening add it",
    caution="Blur has none; what a long bracket shows only in between counts as added where just its ends are given",
    formula=added_grain,
    agreement=-0.11,
    many=True,
)
