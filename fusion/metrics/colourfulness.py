"""Colour: how colourful a picture is, and how far its colours and hues are from another's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.base import Better, Metric, Pixels

_LEAST_CHROMA = 1.0
"""Below, nobody sees a colour, and rounding to 8 bits decides the hue."""


def colourfulness(pixels: Pixels) -> float:
    """0 for greys, about 80 for what people call highly colourful.

    Source: Hasler, Suesstrunk, "Measuring colorfulness in natural images", 2003, eqs. 3 and 4 and table 2.
    """
    red, green, blue = np.moveaxis(pixels.astype(np.float64), -1, 0)
    opponents: list[NDArray[np.float64]] = [red - green, (red + green) / 2 - blue]
    return float(np.hypot(*(x.std() for x in opponents)) + 0.3 * np.hypot(*(x.mean() for x in opponents)))


def hue_error(fused: Pixels, reference: Pixels) -> float:
    """Mean angle between both pictures' hues in CIELAB, weighted by the reference's chroma; degrees from 0 to 180.

    Over the pixels where both show a colour; 0 where there are none.
    """
    from skimage.color import rgb2lab

    (ours, our_chroma), (theirs, their_chroma) = (_hue(rgb2lab(pixels)) for pixels in (fused, reference))
    apart = np.abs(np.angle(np.exp(1j * (ours - theirs))))
    weight = np.where(np.minimum(our_chroma, their_chroma) >= _LEAST_CHROMA, their_chroma, 0)
    return float(np.degrees((apart * weight).sum() / max(weight.sum(), _LEAST_CHROMA)))


def _hue(lab: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angle and chroma."""
    _, a, b = np.moveaxis(lab, -1, 0)
    return np.arctan2(b, a), np.hypot(a, b)


def delta_e(fused: Pixels, reference: Pixels) -> float:
    """Mean CIEDE2000 difference; 0 where equal, about 1 just seen by a trained eye, 100 between black and white.

    Source: Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula", 2005, as scikit-image has it.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    return float(np.mean(deltaE_ciede2000(rgb2lab(reference), rgb2lab(fused))))


def _of_fused(fused: Pixels, _under: Pixels, _over: Pixels) -> float:
    return colourfulness(fused)


COLOURFULNESS = Metric(
    name="colourfulness",
    title="Colourfulness",
    better=Better.NEITHER,
    source="Hasler, Suesstrunk, Human Vision and Electronic Imaging 2003",
    meaning="How colourful the result is: 0 is grey, 80 is strong",
    caution="Over-sharpening and noise raise it, and more than the scene had is no merit",
    measure=_of_fused,
)
