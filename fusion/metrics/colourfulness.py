"""Colour: how colourful a picture is, how much colour it keeps of its exposures, and how far it is from another's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.appearance import expected_colour, glance, known
from fusion.metrics.base import Better, Metric
from fusion.metrics.picture import Picture, Pixels, Sources

_LEAST_CHROMA = 1.0
"""Nobody sees a colour of less chroma, and rounding to 8 bits decides its hue."""


def colourfulness(pixels: Pixels) -> float:
    """Return the colourfulness of pixels (H, W, 3): 0 for greys, about 80 for what people call highly colourful.

    Reference: Hasler, Suesstrunk, "Measuring colorfulness in natural images", Human Vision and Electronic Imaging 2003,
    eqs. 3 and 4 and table 2.

    >>> colourfulness(np.full((2, 2, 3), 90, np.uint8))
    0.0
    """
    red, green, blue = np.moveaxis(pixels.astype(np.float64), -1, 0)
    opponents: list[NDArray[np.float64]] = [red - green, (red + green) / 2 - blue]
    return float(np.hypot(*(x.std() for x in opponents)) + 0.3 * np.hypot(*(x.mean() for x in opponents)))


def hue_error(fused: Pixels, reference: Pixels) -> float:
    """Return the hue error: the mean angle between the fused picture's hues and the reference's, in degrees.

        error = sum of (chroma |hue_fused - hue_reference|) / sum of chroma   in CIELAB

    The chroma is the reference's, and only pixels count where both pictures show a colour (chroma of 1 or more); the
    value is 0 where there are none. Range: 0 to 180. Lower is better.

    Args:
        fused: 8-bit sRGB pixels (H, W, 3), 0 to 255.
        reference: the picture that it should be, of the same size.

    Reference: CIELAB (CIE 1976); the weighting is this project's own.

    >>> red, yellow = (np.array([[colour]], np.uint8) for colour in ([255, 0, 0], [255, 255, 0]))
    >>> hue_error(red, red), round(hue_error(red, yellow))
    (0.0, 63)
    """
    from skimage.color import rgb2lab

    (ours, our_chroma), (theirs, their_chroma) = (_hue(rgb2lab(pixels)) for pixels in (fused, reference))
    apart = np.abs(np.angle(np.exp(1j * (ours - theirs))))
    weight = np.where(np.minimum(our_chroma, their_chroma) >= _LEAST_CHROMA, their_chroma, 0)
    return float(np.degrees((apart * weight).sum() / max(weight.sum(), _LEAST_CHROMA)))


def _hue(lab: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the hue's angle and the chroma."""
    _, a, b = np.moveaxis(lab, -1, 0)
    return np.arctan2(b, a), np.hypot(a, b)


def delta_e(fused: Pixels, reference: Pixels) -> float:
    """Return CIEDE2000: the mean difference in colour between the fused picture and the reference.

        dE = mean over pixels of the CIEDE2000 difference, as scikit-image computes it

    Range: 0 (equal) and more: about 1 is just seen by a trained eye, and black and white differ by 100. Lower is
    better.

    Args:
        fused: 8-bit sRGB pixels (H, W, 3), 0 to 255.
        reference: the picture that it should be, of the same size.

    Reference: Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula", Color Research and Application 2005.

    >>> black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    >>> delta_e(black, black), round(delta_e(black, white))
    (0.0, 100)
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    return float(np.mean(deltaE_ciede2000(rgb2lab(reference), rgb2lab(fused))))


def fused_colourfulness(fused: Picture, _sources: Sources) -> float:
    """Return the colourfulness of the fused picture.

        C = sqrt(sd(rg)^2 + sd(yb)^2) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2),   rg = R - G,   yb = (R + G) / 2 - B

    Range: 0 (grey) and more: about 80 is what people call highly colourful. Neither higher nor lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        _sources: photographs of the same size, which it does not look at.

    Reference: Hasler, Suesstrunk, "Measuring colorfulness in natural images", Human Vision and Electronic Imaging 2003.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> red = np.array([[[255, 0, 0]]], np.uint8)
    >>> round(COLOURFULNESS.measure(red, Sources(red)), 4)
    85.5296
    """
    return colourfulness(fused.pixels)


_ENOUGH = 0.85
"""This share of the highest chroma of all exposures is enough; good pictures reach about that."""
_EXCESS = 2.0
"""Chroma that no exposure has costs twice what missing chroma costs."""
_CAST = 0.05
"""What a cast of one unit of CIELAB costs, beyond `_UNSEEN_CAST` units."""
_UNSEEN_CAST = 1.5
_GREY = 6.0
"""The chroma below which a surface counts as about neutral."""


def colour_kept(fused: Picture, sources: Sources) -> float:
    """Return the colour kept: how much of the exposures' colour is left, with nothing added and no cast.

        kept   = min(sum min(C, C_max) / (0.85 sum C_max), 1)
        excess = sum k max(C - max(C_max, C_expected) - 1, 0) / sum (C_max + 2)
        cast   = |sum k n (ab - ab_expected)| / sum k n
        colour = (kept - 2 t excess) exp(-0.05 t max(cast - 1.5, 0))

    C is chroma in CIELAB, C_max the highest of any exposure at that pixel, and ab_expected the colour of the exposure
    that is exposed best there, at the fused picture's lightness. k tells where an exposure is neither dark nor clipped,
    n where it is about neutral, and t whether the exposures tell the colours of most of what they show. It is measured
    on a copy with a longest side of 512. Range: 0 to 1. Higher is better; a stronger saturation raises it up to what
    the exposures have, and lowers it from there on.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two or more photographs of the same size.

    Reference: the measure is this project's own; CIELAB (CIE 1976).

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> red, grey = np.full((16, 16, 3), (150, 80, 80), np.uint8), np.full((16, 16, 3), 100, np.uint8)
    >>> round(COLOUR_KEPT.measure(red, Sources(red // 2, red)), 4), COLOUR_KEPT.measure(grey, Sources(red, red)) < 0.1
    (1.0, True)
    """
    seen, there, expected = fused.derive(glance), sources.derive(known), expected_colour(fused, sources)
    most = there.chroma
    kept = (float(np.minimum(seen.chroma, most).sum()) + most.size) / (float(most.sum()) + most.size) / _ENOUGH
    allowed = np.maximum(most, np.hypot(expected[..., 0], expected[..., 1]))
    beyond = float((there.where * (seen.chroma - allowed - 1).clip(min=0)).sum())
    excess = beyond / float((most + 2).sum())
    neutral = there.where * np.exp(-((there.colour / _GREY) ** 2).sum(-1))
    shift = (neutral[..., None] * (seen.colour - expected)).sum((0, 1)) / (neutral.sum() + 0.05 * neutral.size)
    cast = max(float(np.hypot(*shift)) - _UNSEEN_CAST, 0)
    return max(min(kept, 1) - _EXCESS * there.trust * excess, 0) * float(np.exp(-_CAST * there.trust * cast))


COLOUR_KEPT = Metric(
    name="colour_kept",
    title="Colour kept",
    better=Better.HIGHER,
    source="This project; CIELAB",
    meaning="It tells how much of the exposures' colour the result keeps, without adding any and without a cast",
    caution="Of two frames that are nearly black and nearly white it cannot tell which colours the scene had",
    formula=colour_kept,
    agreement=0.54,
    bounds=(0, 1),
    many=True,
)

COLOURFULNESS = Metric(
    name="colourfulness",
    title="Colourfulness",
    better=Better.NEITHER,
    source="Hasler, Suesstrunk, Human Vision and Electronic Imaging 2003",
    meaning="It tells how colourful the result is: 0 is grey, 80 is strong",
    caution="Over-sharpening and noise raise it, and a result can be more colourful than its scene was",
    formula=fused_colourfulness,
    agreement=0.74,
)
