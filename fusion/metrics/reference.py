"""REFERENCE: measures of a fused picture against the picture that it should be, where a data set has one."""

from __future__ import annotations

import math

import numpy as np

from fusion.metrics.base import Better, Pixels, ReferenceMetric
from fusion.metrics.colourfulness import delta_e, hue_error
from fusion.metrics.grey import grey
from fusion.metrics.planes import at_least
from fusion.metrics.ssim import WINDOW, ms_ssim


def _psnr(fused: Pixels, reference: Pixels) -> float:
    """10 log10(255^2 / mean squared error) over all channels.

    Where both pictures are equal, which makes it infinite, one sample counts as one level off.
    """
    from skimage.metrics import mean_squared_error

    return 10 * math.log10(255**2 / max(float(mean_squared_error(reference, fused)), 1 / reference.size))


def _ssim(fused: Pixels, reference: Pixels) -> float:
    """Mean of R, G and B under 7 x 7 windows, sample covariance, as scikit-image has it by default.

    Sides below 7 are mirrored up to 7.
    """
    from skimage.metrics import structural_similarity

    missing = [(0, max(0, 7 - side)) for side in reference.shape[:2]] + [(0, 0)]
    ours, theirs = (np.pad(picture, missing, mode="symmetric") for picture in (fused, reference))
    return float(structural_similarity(theirs, ours, channel_axis=2))  # pyright: ignore[reportArgumentType]


def _ms_ssim(fused: Pixels, reference: Pixels) -> float:
    """On rounded grey; sides below 11 are mirrored up to 11."""
    return ms_ssim(*(at_least(WINDOW, grey(picture)) for picture in (fused, reference)))


REFERENCE: tuple[ReferenceMetric, ...] = (
    ReferenceMetric(
        name="reference_psnr",
        title="PSNR (dB)",
        better=Better.HIGHER,
        source="scikit-image",
        meaning="Closeness to the reference, level by level",
        caution="Darkening a result costs far more than blurring it",
        measure=_psnr,
    ),
    ReferenceMetric(
        name="reference_ssim",
        title="SSIM",
        better=Better.HIGHER,
        source="Wang, Bovik, Sheikh, Simoncelli, TIP 2004",
        meaning="Likeness to the reference in brightness, contrast and structure, up to 1",
        caution="Turning a result grey costs less than a little noise",
        measure=_ssim,
        bounds=(-1, 1),
    ),
    ReferenceMetric(
        name="reference_ms_ssim",
        title="MS-SSIM",
        better=Better.HIGHER,
        source="Wang, Simoncelli, Bovik, Asilomar 2003",
        meaning="Likeness to the reference in contrast and structure at five scales, up to 1",
        caution="It sees no colour: turned grey, a result scores the same",
        measure=_ms_ssim,
        bounds=(0, 1),
    ),
    ReferenceMetric(
        name="reference_delta_e",
        title="ΔE2000",
        better=Better.LOWER,
        source="Sharma, Wu, Dalal, Color Research and Application 2005",
        meaning="Mean difference in colour from the reference; 1 is just seen",
        caution="Blurring a result costs hardly anything, darkening it much",
        measure=delta_e,
    ),
    ReferenceMetric(
        name="reference_hue",
        title="Hue error (degrees)",
        better=Better.LOWER,
        source="CIELAB, weighted by the reference's chroma",
        meaning="Mean angle between the result's hues and the reference's, 0 to 180",
        caution="A grey result scores best: it has no hue to be wrong",
        measure=hue_error,
        bounds=(0, 180),
    ),
)
