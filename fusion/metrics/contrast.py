"""Metrics of contrast and sharpness, measured on the fused picture alone.

All work on R, G and B apart, on the scale 0 to 255, as in MEFB (Zhang, Information Fusion 2021). None of them sees the
photographs: noise, halos and over-sharpening raise all four. A flat picture scores 0.
"""

from __future__ import annotations

import math

import numpy as np

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import at_least, sobel
from fusion.metrics.picture import Picture, Sources, mean_over_rgb


@mean_over_rgb
def standard_deviation(fused: Picture, _sources: Sources) -> float:
    """Return the population standard deviation of the fused picture's levels: its overall contrast.

        SD = sqrt(mean of (F - mean of F)^2)

    It is averaged over R, G and B. Range: 0 to 127.5, half black and half white. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        _sources: photographs of the same size, which it does not look at.

    Reference: Rao, "In-fibre Bragg grating sensors", Measurement Science and Technology 1997, as MEFB cites it.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> halves = np.array([[[0] * 3, [255] * 3]], np.uint8)
    >>> SD.measure(halves, Sources(halves))
    127.5
    """
    return float(np.std(fused.pixels, dtype=np.float64))


@mean_over_rgb
def spatial_frequency(fused: Picture, _sources: Sources) -> float:
    """Return the spatial frequency: how much neighbouring pixels of the fused picture differ.

        SF = sqrt(RF^2 + CF^2),   RF and CF = root mean squared difference along rows and along columns

    A plane of m x n pixels has (m - 1) n differences along its columns, which are divided by m n; MEFB does so, and it
    is kept. It is averaged over R, G and B. Range: 0 to 255 sqrt(2). Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        _sources: photographs of the same size, which it does not look at.

    Reference: Eskicioglu, Fisher, "Image quality measures and their performance", IEEE Transactions on Communications
    1995.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> halves = np.array([[[0] * 3, [255] * 3]], np.uint8)
    >>> round(SF.measure(halves, Sources(halves)), 4)
    180.3122
    """
    plane = fused.pixels.astype(np.float64)
    squares = sum(np.sum(np.diff(plane, axis=axis) ** 2) for axis in (0, 1))
    return float(np.sqrt(squares / plane.size))


@mean_over_rgb
def average_gradient(fused: Picture, _sources: Sources) -> float:
    """Return the average gradient: the mean steepness of the fused picture.

        AG = sum of sqrt((gx^2 + gy^2) / 2) / ((m - 1) (n - 1))   for m x n pixels

    gx and gy are central differences, one-sided at the border. m n values are summed but divided by (m - 1) (n - 1);
    MEFB does so, and it is kept. Sides below 2 are mirrored. It is averaged over R, G and B. Range: 0 and more. Higher
    is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        _sources: photographs of the same size, which it does not look at.

    Reference: Cui, Feng, Xu, Li, Chen, "Detail preserved fusion of visible and infrared images using regional saliency
    extraction and multi-scale image decomposition", Optics Communications 2015.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> steps = np.tile(np.array([0, 10, 20], np.uint8)[:, None], (3, 1, 3))
    >>> round(AG.measure(steps, Sources(steps)), 4)  # 9 pixels of 10 / sqrt(2), divided by 4
    15.9099
    """
    plane = at_least(2, fused.pixels)
    gy, gx = np.gradient(plane)
    height, width = plane.shape
    return float(np.sum(np.sqrt((gx**2 + gy**2) / 2)) / ((height - 1) * (width - 1)))


@mean_over_rgb
def edge_intensity(fused: Picture, _sources: Sources) -> float:
    """Return the edge intensity: the mean magnitude of the fused picture's Sobel gradient.

        EI = mean of sqrt(sx^2 + sy^2)

    sx and sy are 3 x 3 Sobel derivatives with weights 1 2 1, not divided, the border being replicated. It is averaged
    over R, G and B. Range: 0 and more. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        _sources: photographs of the same size, which it does not look at.

    Reference: Rajalingam, Priya, "Hybrid multimodality medical image fusion technique for feature enhancement in
    medical diagnosis", 2018, as MEFB cites it.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> steps = np.tile(np.array([0, 10, 20], np.uint8)[:, None], (3, 1, 3))
    >>> round(EI.measure(steps, Sources(steps)), 4)  # 8 for each level, half of that in the outer columns
    53.3333
    """
    import cv2

    gx, gy = sobel(fused.pixels.astype(np.float64), cv2.BORDER_REPLICATE)
    return float(np.mean(cv2.magnitude(gx, gy)))


SD = Metric(
    name="sd",
    title="Standard deviation",
    better=Better.HIGHER,
    source="Rao, Measurement Science and Technology 1997; MEFB",
    meaning="It measures the overall contrast of the result",
    caution="A copy of the over-exposed photograph scores above a careful fusion, and sharpening raises it",
    formula=standard_deviation,
    agreement=0.48,
    bounds=(0, 127.5),
    mefb="SD",
)

SF = Metric(
    name="sf",
    title="Spatial frequency",
    better=Better.HIGHER,
    source="Eskicioglu, Fisher, IEEE Transactions on Communications 1995; MEFB",
    meaning="It tells how much neighbouring pixels of the result differ, be it detail or noise",
    caution="Over-sharpening and noise raise it",
    formula=spatial_frequency,
    agreement=0.50,
    bounds=(0, 255 * math.sqrt(2)),
    mefb="Spatial_frequency",
)

AG = Metric(
    name="ag",
    title="Average gradient",
    better=Better.HIGHER,
    source="Cui, Feng, Xu, Li, Chen, Optics Communications 2015; MEFB",
    meaning="It measures how steeply the result's levels rise and fall, be it detail or noise",
    caution="Over-sharpening and noise raise it",
    formula=average_gradient,
    agreement=0.43,
    repeats="sf",
    mefb="Avg_gradient",
)

EI = Metric(
    name="ei",
    title="Edge intensity",
    better=Better.HIGHER,
    source="Rajalingam, Priya, 2018; MEFB",
    meaning="It measures the mean strength of edges in the result",
    caution="Over-sharpening and noise raise it",
    formula=edge_intensity,
    agreement=0.45,
    repeats="sf",
    mefb="Edge_intensity",
)
