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
smaller gain counts, on a tie (mostly both 0) `over`: the one place where the order of the sources matters.
A scale's value is sum VID / sum VIND, and 1 where no source shows anything: nothing was lost. More contrast
than the sources have gives values above 1.

Known deviation: MEFB sums its windows in two dimensions, which leaves some flat bright patches with more variance
from rounding than the 1e-10 below which it takes them for flat (1.6e-10 at level 254), so that chance decides which
source counts there. Here they are flat. On MEFB's pair Window2, where 254 fills a quarter of `over`, its value is
up to 0.007 lower, and other orders of summation alone move it by as much.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fusion.metrics.base import Better, Metric, kept_for_pair
from fusion.metrics.gaussian import gaussian_mean
from fusion.metrics.planes import Levels, Plane, at_least, mean_over_rgb

_NOISE = 0.005 * 255**2
_SCALES = ((17, 1.0), (9, 0.0), (5, 0.15), (3, 1.0))
"""Window side (sigma is a fifth of it) and weight. Each scale after the first is made with its own window."""

_SMALLEST_SIDE = 41  # the fourth scale then has one window
_FLAT = 2e-10  # rounding leaves up to 6e-11 of variance in a flat window


def _window_mean(plane: Plane, size: int) -> Plane:
    return gaussian_mean(plane, size, size / 5)


class Moments(NamedTuple):
    """A plane at one scale, and the mean and variance of its windows."""

    plane: Plane
    mean: Plane
    variance: Plane


def _moments(levels: Levels) -> list[Moments | None]:
    """Of the four scales, each half the size of the one before; None where the scale's weight is zero."""
    plane = at_least(_SMALLEST_SIDE, levels)
    scales: list[Moments | None] = []
    for scale, (size, weight) in enumerate(_SCALES):
        if scale > 0:
            plane = _window_mean(plane, size)[::2, ::2]
        if weight == 0:
            scales.append(None)
            continue
        mean = _window_mean(plane, size)
        variance = _window_mean(plane * plane, size) - mean * mean
        variance[variance < _FLAT] = 0
        scales.append(Moments(plane, mean, variance))
    return scales


@kept_for_pair
@lru_cache(maxsize=6)
def _moments_of_source(levels: bytes, size: tuple[int, int]) -> list[Moments | None]:
    """Kept for the planes of one pair, since several results of it are measured one after the other."""
    return _moments(np.frombuffer(levels, np.uint8).reshape(size))


def _gain(source: Moments, fused: Moments, size: int) -> Plane:
    """g of every window."""
    cov = _window_mean(source.plane * fused.plane, size) - source.mean * fused.mean
    related = (cov > 0) & (source.variance > 0) & (fused.variance > 0)
    return np.divide(cov, source.variance, out=np.zeros_like(cov), where=related)


def _fidelity(fused: Moments, under: Moments, over: Moments, size: int) -> float:
    """The value of one scale."""
    gain_under, gain_over = _gain(under, fused, size), _gain(over, fused, size)
    variance = np.where(gain_under < gain_over, under.variance, over.variance)
    there = float(np.sum(np.log1p(variance / _NOISE)))
    signal = np.minimum(gain_under, gain_over) ** 2 * variance
    noise = np.maximum(fused.variance - signal, 0) + _NOISE
    return float(np.sum(np.log1p(signal / noise))) / there if there > 0 else 1.0


def _vif(fused: Levels, under: Levels, over: Levels) -> float:
    """Weighted mean over four scales. Sides below 41 are mirrored up to 41."""
    sources = [_moments_of_source(plane.tobytes(), plane.shape) for plane in (under, over)]
    total = 0.0
    for (size, weight), *moments in zip(_SCALES, _moments(fused), *sources, strict=True):
        f, u, o = moments
        if f and u and o:
            total += weight * _fidelity(f, u, o, size)
    return total / sum(weight for _, weight in _SCALES)


METRIC = Metric(
    name="vif",
    title="VIF",
    better=Better.HIGHER,
    source="Han, Cai, Cao, Xu, Information Fusion 2013; MEFB",
    meaning="How much of what the photographs show a viewer is still seen in the result",
    caution="A copy of the over-exposed photograph scores above a careful fusion, and sharpening raises it",
    measure=mean_over_rgb(_vif),
    mefb="VIF",
)
