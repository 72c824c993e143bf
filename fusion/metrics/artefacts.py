"""Metrics of what fusion does wrong: halos, clipping, noise. All look at the photographs too, and lower is better."""

from __future__ import annotations

import numpy as np

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import at_least, sobel
from fusion.metrics.picture import Picture, Pixels, Plane, Sources

# Halos

_HALO_SIGMA = 2.0


def _gradient(plane: Picture) -> tuple[Plane, Plane]:
    """Return the gradient of the plane after a Gaussian, which hides most noise from it."""
    import cv2

    smooth = cv2.GaussianBlur(at_least(3, plane.pixels), (0, 0), _HALO_SIGMA, borderType=cv2.BORDER_REPLICATE)
    return sobel(np.asarray(smooth, np.float64), cv2.BORDER_REPLICATE)


def halo(fused: Picture, sources: Sources) -> float:
    """Return the halo: the share of the fused picture's gradient that no photograph has.

        halo = sum of |g_fused| where g_fused . g_source <= 0 for every source / sum of |g_fused|

    g is the Sobel gradient of BT.601 grey under a Gaussian of sigma 2. A halo brightens or darkens towards an edge
    where the photographs are flat or do the opposite. But for rounding the value is 0 for every weighted mean of the
    photographs whose weights are the same everywhere; it is 0 for a flat picture. Range: 0 to 1. Lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: the gradient reversal of He, Sun, Tang, "Guided image filtering", TPAMI 2013; the measure is this
    project's own.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(20, dtype=np.uint8)[:, None, None] * 6, (1, 20, 3))
    >>> HALO.measure(ramp * 2, Sources(ramp, ramp)), HALO.measure(ramp[::-1], Sources(ramp, ramp))
    (0.0, 1.0)
    """
    fx, fy = _gradient(fused.grey)
    opposed = np.ones(fx.shape, np.bool_)
    for source in sources.grey:
        x, y = source.derive(_gradient)
        opposed &= fx * x + fy * y <= 0
    strength = np.hypot(fx, fy)
    total = float(strength.sum())
    return float(strength[opposed].sum()) / total if total > 0 else 0.0


# Clipping


def _brightest(sources: Sources) -> Pixels:
    return np.maximum.reduce([source.pixels for source in sources])


def _darkest(sources: Sources) -> Pixels:
    return np.minimum.reduce([source.pixels for source in sources])


def lost_shadows(fused: Picture, sources: Sources) -> float:
    """Return the lost shadows: the share of samples that are 0 in the fused picture and above 0 in a photograph.

        share of samples, one for each pixel and channel, with F = 0 and max over sources > 0

    Range: 0 to 1. Lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: the measure is this project's own.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> black, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 90, np.uint8)
    >>> LOST_SHADOWS.measure(black, Sources(black, grey)), LOST_SHADOWS.measure(black, Sources(black, black))
    (1.0, 0.0)
    """
    return float(np.mean((fused.pixels == 0) & (_brightest(sources) > 0)))


def lost_highlights(fused: Picture, sources: Sources) -> float:
    """Return the lost highlights: the share of samples that are 255 in the fused picture and below 255 in a photograph.

        share of samples, one for each pixel and channel, with F = 255 and min over sources < 255

    Range: 0 to 1. Lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: the measure is this project's own.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> white, grey = np.full((2, 2, 3), 255, np.uint8), np.full((2, 2, 3), 90, np.uint8)
    >>> LOST_HIGHLIGHTS.measure(white, Sources(grey, white)), LOST_HIGHLIGHTS.measure(white, Sources(white, white))
    (1.0, 0.0)
    """
    return float(np.mean((fused.pixels == 255) & (_darkest(sources) < 255)))


# Noise

_ROUNDING = 1 / 12
"""The variance of rounding to whole levels."""


def _noise(plane: Plane) -> Plane:
    """Return Immerkaer's difference of two Laplacians: 0 on ramps, and of variance 36 for noise of variance 1."""
    import cv2

    kernel = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0])
    return np.asarray(cv2.filter2D(plane, cv2.CV_64F, kernel, borderType=cv2.BORDER_REFLECT), np.float64)


def noise_gain(fused: Picture, sources: Sources) -> float:
    """Return the noise gain: the noise of the fused picture over that of the noisiest photograph.

        gain = d(fused) / max over sources of d(source),   d = sqrt(m^2 + 1/12),
        m = sqrt(pi / 2) / 6 * mean of |second difference of the second difference|

    m is Immerkaer's estimate of the noise's standard deviation on BT.601 grey, over the half of all pixels at which
    the photographs' gradients are weakest; 1/12 is the variance of rounding to whole levels. Sides below 3 are mirrored
    up to 3. Range: 0 and more; 1 where nothing has any noise. Lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 1996; the ratio is
    this project's own.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> flat = np.full((8, 8, 3), 90, np.uint8)
    >>> checks = flat + np.uint8(20) * (np.indices((8, 8)).sum(0) % 2).astype(np.uint8)[..., None]
    >>> NOISE_GAIN.measure(flat, Sources(flat, flat)), NOISE_GAIN.measure(checks, Sources(flat, flat)) > 10
    (1.0, True)
    """
    import cv2

    f, *others = (at_least(3, picture.grey.pixels) for picture in (fused, *sources))
    slope = sum(np.hypot(*sobel(plane, cv2.BORDER_REFLECT)) for plane in others)
    smooth = slope <= np.median(slope)

    def deviation(plane: Plane) -> float:
        measured = np.sqrt(np.pi / 2) / 6 * np.mean(np.abs(_noise(plane)[smooth]))
        return float(np.sqrt(measured**2 + _ROUNDING))

    return deviation(f) / max(map(deviation, others))


HALO = Metric(
    name="halo",
    title="Halo",
    better=Better.LOWER,
    source="Gradient reversal, as He, Sun, Tang (TPAMI 2013) name it",
    meaning="It tells how much of the result's gradient is in neither photograph, as next to edges with a halo, from 0 "
    "to 1",
    caution="A copy of one photograph and the plain mean of both have none; blur and noise count as some",
    formula=halo,
    bounds=(0, 1),
)

LOST_SHADOWS = Metric(
    name="lost_shadows",
    title="Lost shadows",
    better=Better.LOWER,
    source="Share of clipped samples",
    meaning="It tells how much of the result is at 0 where a photograph is not, from 0 to 1",
    caution="Blur lowers it: it counts clipped samples, not lost detail",
    formula=lost_shadows,
    bounds=(0, 1),
)

LOST_HIGHLIGHTS = Metric(
    name="lost_highlights",
    title="Lost highlights",
    better=Better.LOWER,
    source="Share of clipped samples",
    meaning="It tells how much of the result is at 255 where a photograph is not, from 0 to 1",
    caution="Darkening the result lowers it, though no detail comes back",
    formula=lost_highlights,
    bounds=(0, 1),
)

NOISE_GAIN = Metric(
    name="noise_gain",
    title="Noise gain",
    better=Better.LOWER,
    source="Immerkaer, Computer Vision and Image Understanding 1996",
    meaning="It compares the noise of the result in smooth areas with that of the noisier photograph",
    caution="Blur lowers it: lost detail counts as lost noise",
    formula=noise_gain,
)
