"""VIF for fusion: how much of the information a viewer gets from the sources is left in the fused picture.

Source: Han, Cai, Cao, Xu, "A new image fusion performance metric based on visual information fidelity",
Information Fusion 2013, which builds on Sheikh, Bovik, TIP 2006; with the settings of MEFB's code
(Zhang 2021): R, G and B apart, pixel domain, Gaussian windows that lie inside the picture.

    g         gain, cov(source, fused) / var(source)
    noise     variance of the viewer's noise, 0.005 * 255^2
    signal    g cov = g^2 var(source)
    residue   var(fused) - signal: what the fused picture shows besides the source
    VID       log(1 + signal / (residue + noise)): information that arrives
    VIND      log(1 + var(source) / noise): information that is there

g is 0 where source or fused picture is flat or where they oppose each other. At each pixel the source with the
smallest gain counts. Where gains are equal (mostly 0) the brighter source counts, which is the one place where the
order of the sources matters. The paper has two sources; with more, the same rule holds. A scale's value is
sum VID / sum VIND, and 1 where no source shows anything, because nothing was lost. More contrast than the sources have
gives values above 1.

One deviation from MEFB is known. MEFB sums its windows in two dimensions, which leaves some flat bright patches with
more variance from rounding than the 1e-10 below which it takes them for flat (1.6e-10 at level 254), so that chance
decides which source counts there. Here they are flat. On MEFB's pair Window2, where 254 fills a quarter of `over`, its
value is up to 0.007 lower, and other orders of summation alone move it by as much.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import Moments, at_least, covariance, gaussian_mean, moments
from fusion.metrics.picture import Picture, Plane, Sources, mean_over_rgb

_NOISE = 0.005 * 255**2
_SCALES = ((17, 1.0), (9, 0.0), (5, 0.15), (3, 1.0))
"""Window side (sigma is a fifth of it) and weight. Each scale after the first is made with its own window."""

_SMALLEST_SIDE = 41  # the fourth scale then has one window
_FLAT = 2e-10  # rounding leaves up to 6e-11 of variance in a flat window


def _sigma(size: int) -> float:
    """Return the sigma that belongs to a window of this side."""
    return size / 5


def _scales(picture: Picture) -> list[Moments | None]:
    """Return the moments at four scales, each half the size of the one before; None where the scale has no weight."""
    plane = at_least(_SMALLEST_SIDE, picture.pixels)
    found: list[Moments | None] = []
    for scale, (size, weight) in enumerate(_SCALES):
        if scale > 0:
            plane = gaussian_mean(plane, size, _sigma(size))[::2, ::2]
        found.append(moments(plane, size, _sigma(size), _FLAT) if weight else None)
    return found


def _gain(source: Moments, fused: Moments, size: int) -> Plane:
    """Return g of every window."""
    cov = covariance(source, fused, size, _sigma(size))
    related = (cov > 0) & (source.variance > 0) & (fused.variance > 0)
    return np.divide(cov, source.variance, out=np.zeros_like(cov), where=related)


def _fidelity(fused: Moments, sources: Sequence[Moments], size: int) -> float:
    """Return the value of one scale. The sources go from the darkest to the brightest."""
    *darker, brightest = sources
    gain, variance = _gain(brightest, fused, size), brightest.variance
    for source in reversed(darker):
        other = _gain(source, fused, size)
        variance = np.where(other < gain, source.variance, variance)
        gain = np.minimum(other, gain)
    there = float(np.sum(np.log1p(variance / _NOISE)))
    signal = gain**2 * variance
    noise = np.maximum(fused.variance - signal, 0) + _NOISE
    return float(np.sum(np.log1p(signal / noise))) / there if there > 0 else 1.0


@mean_over_rgb
def visual_fidelity(fused: Picture, sources: Sources) -> float:
    """Return VIF for fusion: how much of what the photographs show a viewer is still seen in the fused picture.

    Each of four scales gives sum VID / sum VIND, which the top of `fusion.metrics.vif` defines; the value is their mean
    with weights 1, 0, 0.15 and 1. Sides below 41 are mirrored up to 41. It is averaged over R, G and B. Range: 0 and
    more; 1 where all three pictures are equal, and above 1 where the fused picture has more contrast than the
    photographs. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two or more photographs of the same size, from the darkest to the brightest.

    Reference: Han, Cai, Cao, Xu, "A new image fusion performance metric based on visual information fidelity",
    Information Fusion 2013.

    >>> import numpy as np
    >>> from fusion.metrics import vif
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(50, dtype=np.uint8)[:, None, None] * 5, (1, 50, 3))
    >>> round(vif.METRIC.measure(ramp, Sources(ramp, ramp)), 4)
    1.0
    >>> round(vif.METRIC.measure(ramp // 2, Sources(ramp, ramp)), 4)
    0.3321
    """
    total = 0.0
    for scale, (size, weight) in enumerate(_SCALES):
        f = fused.derive(_scales)[scale]
        there = [moments for source in sources if (moments := source.derive(_scales)[scale])]
        if f and there:
            total += weight * _fidelity(f, there, size)
    return total / sum(weight for _, weight in _SCALES)


METRIC = Metric(
    name="vif",
    title="VIF",
    better=Better.HIGHER,
    source="Han, Cai, Cao, Xu, Information Fusion 2013; MEFB",
    meaning="It tells how much of what the photographs show a viewer is still seen in the result",
    caution="A copy of the over-exposed photograph scores above a careful fusion, and sharpening raises it",
    formula=visual_fidelity,
    agreement=0.76,
    many=True,
    mefb="VIF",
)
