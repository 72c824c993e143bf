"""PSNR of the fused picture with its photographs, and MEFB's quantity of that name, which is not PSNR.

R, G and B are measured apart, on the scale 0 to 255, without border or window. Where the fused plane equals all sources
both formulas give infinity; it then counts as one pixel of one source being one level off, the smallest error there is.
"""

from __future__ import annotations

import numpy as np

from fusion.metrics.base import Better, Metric
from fusion.metrics.picture import Picture, Sources, mean_over_rgb


def _distances(fused: Picture, sources: Sources) -> list[float]:
    """Return the square root of the sum of squared differences from each source."""
    levels = fused.pixels.astype(np.float64)
    return [float(np.linalg.norm(levels - source.pixels)) for source in sources]


@mean_over_rgb
def psnr(fused: Picture, sources: Sources) -> float:
    """Return the peak signal-to-noise ratio in dB, with the mean of the photographs' mean squared errors.

        PSNR = 10 log10(255^2 / e),   e = mean over sources and pixels of (source - fused)^2

    It is averaged over R, G and B. Range: 0 dB (black against white) and more, finite for equal pictures too, as the
    top of the file says. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: Jagalingam, Hegde, "A review of quality metrics for fused image", Aquatic Procedia 2015.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> dark, fused, bright = (np.full((4, 5, 3), level, np.uint8) for level in (100, 104, 110))
    >>> round(PSNR.measure(fused, Sources(dark, bright)), 4)
    33.9811
    """
    distances = _distances(fused, sources)
    squares = sum(distance**2 for distance in distances)
    return float(10 * np.log10(255**2 * len(distances) * fused.pixels.size / max(squares, 1)))


@mean_over_rgb
def psnr_mefb(fused: Picture, sources: Sources) -> float:
    """Return MEFB's "PSNR", which is not in decibels and depends on the size of the picture.

        20 log10(255 / sqrt(e)),   e = mean over sources of sqrt(sum of (source - fused)^2) / (number of pixels)

    MEFB takes the root inside the error and divides by the count outside it, which is kept here. Values therefore grow
    with the picture's size (53 to 59 where PSNR is about 10 dB), and only pictures of one size can be compared. It is
    averaged over R, G and B. Range: 0 and more. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: Jagalingam, Hegde, Aquatic Procedia 2015, as altered in the code of MEFB (Zhang, Information Fusion
    2021).

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> dark, fused, bright = (np.full((4, 5, 3), level, np.uint8) for level in (100, 104, 110))
    >>> round(PSNR_MEFB.measure(fused, Sources(dark, bright)), 4)
    47.6463
    """
    distances = _distances(fused, sources)
    errors = sum(distances) / fused.pixels.size
    smallest = 1 / fused.pixels.size
    return float(20 * np.log10(255 / np.sqrt(max(errors, smallest) / len(distances))))


PSNR = Metric(
    name="psnr",
    title="PSNR to the photographs (dB)",
    better=Better.HIGHER,
    source="Jagalingam, Hegde, Aquatic Procedia 2015",
    meaning="It tells how close the result's levels are to those of both photographs",
    caution="The plain mean of both photographs scores best: no picture can be nearer to both",
    formula=psnr,
    agreement=-0.50,
)

PSNR_MEFB = Metric(
    name="psnr_mefb",
    title="PSNR (MEFB)",
    better=Better.HIGHER,
    source="Jagalingam, Hegde, Aquatic Procedia 2015, as altered in MEFB (Zhang 2021)",
    meaning="It tells how close the result is to both photographs by MEFB's formula, which gives no real decibels and "
    "depends on the picture's size",
    caution="A copy of one photograph and the plain mean of both score above a careful fusion",
    formula=psnr_mefb,
    agreement=-0.49,
    repeats="psnr",
    mefb="Psnr",
)
