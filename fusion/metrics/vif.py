"""VIF for fusion: how much of the information a viewer gets from the sources is left in the fused picture.

Source: Han, Cai, Cao, Xu, "A new image fusion performance metric based on visual information fidelity",
Information Fusion 2013, which builds on Sheikh, Bovik, TIP 2006; with the settings of MEFB's code
(Zhang 2021): R, G and B apart, pixel domain, Gaussian windows that lie inside the picture.

    g         gain, cov(source, fused) / var(source)
    noise     variance of the viewer's noise, 0.005 * 255^2
    residue   var(fused) - g cov: what the fused picture shows besides the source
    VID       log10(1 + g^2 var(source) / (residue + noise)): information that arrives
    VIND      log10(1 + var(source) / noise): information that is there

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

import numpy as np

from fusion.metric import Better, Metric
from fusion.metrics.gaussian import gaussian_mean
from fusion.metrics.planes import Levels, Plane, at_least, mean_over_rgb

_NOISE = 0.005 * 255**2
_SCALES = ((17, 1.0), (9, 0.0), (5, 0.15), (3, 1.0))
"""Window side (sigma is a fifth of it) and weight. Each scale after the first is made with its own window."""

_SMALLEST_SIDE = 41  # the fourth scale then has one window
_FLAT = 2e-10  # rounding leaves up to 6e-11 of variance in a flat window


def _window_mean(plane: Plane, size: int) -> Plane:
    return gaussian_mean(plane, size, size / 5)


def _information(source: Plane, fused: Plane, size: int) -> tuple[Plane, Plane, Plane]:
    """g, VID and VIND of every window."""
    ms, mf = _window_mean(source, size), _window_mean(fused, size)
    var_s = _window_mean(source * source, size) - ms * ms
    var_f = _window_mean(fused * fused, size) - mf * mf
    cov = _window_mean(source * fused, size) - ms * mf

    var_s[var_s < _FLAT] = 0
    var_f[var_f < _FLAT] = 0
    related = (cov > 0) & (var_s > 0) & (var_f > 0)
    gain = np.divide(cov, var_s, out=np.zeros_like(cov), where=related)
    residue = np.maximum(var_f - gain * cov, 0)
    return gain, np.log10(1 + gain**2 * var_s / (residue + _NOISE)), np.log10(1 + var_s / _NOISE)


def _fidelity(fused: Plane, under: Plane, over: Plane, size: int) -> float:
    """The value of one scale."""
    gain_a, arrives_a, there_a = _information(under, fused, size)
    gain_b, arrives_b, there_b = _information(over, fused, size)
    choose_a = gain_a < gain_b
    there = float(np.sum(np.where(choose_a, there_a, there_b)))
    return float(np.sum(np.where(choose_a, arrives_a, arrives_b))) / there if there > 0 else 1.0


def _vif(fused: Levels, under: Levels, over: Levels) -> float:
    """Weighted mean over four scales, each half the size of the one before. Sides below 41 are mirrored up to 41."""
    planes = [at_least(_SMALLEST_SIDE, levels) for levels in (fused, under, over)]
    total = 0.0
    for scale, (size, weight) in enumerate(_SCALES):
        if scale > 0:
            planes = [_window_mean(plane, size)[::2, ::2] for plane in planes]
        if weight > 0:
            total += weight * _fidelity(planes[0], planes[1], planes[2], size)
    return total / sum(weight for _, weight in _SCALES)


METRIC = Metric(
    name="vif",
    title="VIF",
    better=Better.HIGHER,
    source="Han, Cai, Cao, Xu, Information Fusion 2013; MEFB",
    meaning="How much of what the photographs show a viewer is still seen in the result",
    measure=mean_over_rgb(_vif),
)
