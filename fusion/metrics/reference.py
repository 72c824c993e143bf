"""REFERENCE: measures of a fused picture against the picture that it should be, where a dataset has one.

They are metrics like the others; their `Sources` hold the reference alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from fusion.metrics.base import Better, Metric
from fusion.metrics.colourfulness import delta_e, hue_error
from fusion.metrics.filters import at_least
from fusion.metrics.picture import Formula, Picture, Pixels, Sources, grey
from fusion.metrics.ssim import WINDOW, ms_ssim

_SSIM_WINDOW = 7


def psnr(fused: Pixels, reference: Pixels) -> float:
    """Return the peak signal-to-noise ratio of the fused picture against the reference, in dB.

        PSNR = 10 log10(255^2 / mean squared error)   over all pixels and channels

    Where both pictures are equal, which would make it infinite, one sample counts as one level off. Range: 0 (black
    against white) and more. Higher is better.

    Args:
        fused: 8-bit pixels (H, W, 3), 0 to 255.
        reference: the picture that it should be, of the same size.

    Reference: the mean squared error is scikit-image's.

    >>> black, ten = np.zeros((8, 9, 3), np.uint8), np.full((8, 9, 3), 10, np.uint8)
    >>> round(psnr(ten, black), 4)
    28.1308
    """
    from skimage.metrics import mean_squared_error

    return 10 * math.log10(255**2 / max(float(mean_squared_error(reference, fused)), 1 / reference.size))


def structural_similarity(fused: Pixels, reference: Pixels) -> float:
    """Return SSIM of the fused picture with the reference, by scikit-image's defaults.

    SSIM's formula stands in `fusion.metrics.ssim`. Here the windows are uniform, 7 x 7, with the sample covariance, and
    the value is the mean over R, G and B. Sides below 7 are mirrored up to 7. Range: -1 to 1. Higher is better.

    Args:
        fused: 8-bit pixels (H, W, 3), 0 to 255.
        reference: the picture that it should be, of the same size.

    Reference: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE Transactions on Image Processing 2004.

    >>> ramp = np.tile(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (1, 8, 3))
    >>> round(structural_similarity(ramp, ramp), 9), structural_similarity(ramp[::-1], ramp) < 0
    (1.0, True)
    """
    from skimage import metrics

    missing = [(0, max(0, _SSIM_WINDOW - side)) for side in reference.shape[:2]] + [(0, 0)]
    ours, theirs = (np.pad(picture, missing, mode="symmetric") for picture in (fused, reference))
    return float(metrics.structural_similarity(theirs, ours, channel_axis=2))  # pyright: ignore[reportArgumentType]


def multiscale_similarity(fused: Pixels, reference: Pixels) -> float:
    """Return MS-SSIM of the fused picture with the reference: their likeness in contrast and structure.

    Its formula stands in `fusion.metrics.ssim.ms_ssim`. It is measured on BT.601 grey, rounded to 8 bits; sides below
    11 are mirrored up to 11. Range: 0 to 1. Higher is better.

    Args:
        fused: 8-bit pixels (H, W, 3), 0 to 255.
        reference: the picture that it should be, of the same size.

    Reference: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003.

    >>> ramp = np.tile(np.arange(16, dtype=np.uint8)[:, None, None] * 16, (1, 16, 3))
    >>> round(multiscale_similarity(ramp, ramp), 9), round(multiscale_similarity(ramp // 2, ramp), 4)
    (1.0, 0.6521)
    """
    planes = (torch.from_numpy(at_least(WINDOW, grey(picture)))[None, None] for picture in (fused, reference))
    return float(ms_ssim(*planes, data_range=255))


def _against(measure: Callable[[Pixels, Pixels], float]) -> Formula:
    """Turn a measure of two pictures into a metric's formula."""

    def formula(fused: Picture, sources: Sources) -> float:
        (reference,) = sources
        return measure(fused.pixels, reference.pixels)

    formula.__doc__ = measure.__doc__
    return formula


REFERENCE: tuple[Metric, ...] = (
    Metric(
        name="reference_psnr",
        title="PSNR (dB)",
        better=Better.HIGHER,
        source="scikit-image",
        meaning="It tells how close the result's levels are to the reference's",
        caution="Darkening a result costs far more than blurring it",
        formula=_against(psnr),
    ),
    Metric(
        name="reference_ssim",
        title="SSIM",
        better=Better.HIGHER,
        source="Wang, Bovik, Sheikh, Simoncelli, TIP 2004",
        meaning="It tells how alike the result and the reference are in brightness, contrast and structure; 1 is the "
        "most",
        caution="Turning a result grey costs less than a little noise",
        formula=_against(structural_similarity),
        bounds=(-1, 1),
    ),
    Metric(
        name="reference_ms_ssim",
        title="MS-SSIM",
        better=Better.HIGHER,
        source="Wang, Simoncelli, Bovik, Asilomar 2003",
        meaning="It tells how alike the result and the reference are in contrast and structure at five scales; 1 is "
        "the most",
        caution="It sees no colour: turned grey, a result scores the same",
        formula=_against(multiscale_similarity),
        bounds=(0, 1),
    ),
    Metric(
        name="reference_delta_e",
        title="ΔE2000",
        better=Better.LOWER,
        source="Sharma, Wu, Dalal, Color Research and Application 2005",
        meaning="It tells how far the result's colours are from the reference's; a difference of 1 is just seen",
        caution="Blurring a result costs hardly anything, but darkening it costs much",
        formula=_against(delta_e),
    ),
    Metric(
        name="reference_hue",
        title="Hue error (degrees)",
        better=Better.LOWER,
        source="CIELAB, weighted by the reference's chroma",
        meaning="It gives the mean angle between the result's hues and the reference's, from 0 to 180",
        caution="A grey result scores best, because it has no hue that could be wrong",
        formula=_against(hue_error),
        bounds=(0, 180),
    ),
)
