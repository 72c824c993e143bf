"""Q_P: how much of the sources' phase congruency arrives in the fused picture.

Source: Zhao, Laganiere, Liu, "Performance assessment of combinative pixel-level image fusion based on an absolute
feature measurement", 2007, on Kovesi's phase congruency ("Image features from phase congruency", Videre 1999; "Phase
congruency detects corners and edges", DICTA 2003), with the settings of MEFB (Zhang, Information Fusion 2021): R, G and
B apart, on the scale 0 to 255, the picture counting as periodic.

A feature is where the responses to log-Gabor filters of several scales are in phase, whatever its contrast. Per
orientation, with R_s the complex responses and R their sum,

    energy   sum_s (Re(R_s R*) - |Im(R_s R*)|) / |R|, less what noise would give, and weighted down
             where few scales respond
    PC       energy / sum_s |R_s|

and over all orientations: the phase congruency (energies over amplitudes) and the largest and smallest moment of PC,
which tell edges and corners. Each of these three maps of the result is correlated, in Gaussian windows, with those of
the sources and with a map that takes the stronger source at every pixel; the best of the three counts, at pixels where
a source has a feature. The three means are multiplied.

Two habits of MEFB's code are kept: filters are made on a grid that is a little off for odd sides, and the low-pass is
off by another half a pixel. Responses are in single precision, for speed; `python -m
fusion.benchmark.experiments.golden` prints how far the values then are from MEFB's.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import gaussian, padded_sum
from fusion.metrics.picture import Picture, Plane, Sources

_SCALES = 4
_ORIENTATIONS = 6
_SHORTEST_WAVE = 3
_WAVE_RATIO = 2.1
_BANDWIDTH = math.log(0.55)
_ANGLE = math.pi / _ORIENTATIONS / 1.2
_LOWPASS, _SHARPNESS = 0.45, 15
_NOISE_DEVIATIONS = 2.0
_NOISE_OVERESTIMATED = 1.7
_NARROW, _STEEPNESS = 0.5, 10
_EPS = 1e-4

_FEATURE = 0.1
_C = 1e-4
_STRIP = 32

Response: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Filters:
    """Log-Gabor filters of one size, zero frequency first: radial[s] * angular[o]."""

    radial: list[Response]
    angular: list[Response]
    noise: list[float]
    """For each orientation, the energy of all scales' response to noise, over that of the shortest scale's."""


def _filters(sources: Sources) -> _Filters:
    """Return the filters for pictures of the sources' size."""
    height, width = sources.shape[:2]

    def grid(divisors: tuple[int, int]) -> tuple[Plane, Plane]:
        y, x = (
            (np.arange(side) - side // 2) / divisor for side, divisor in zip((height, width), divisors, strict=True)
        )
        return y[:, None], x[None]

    y, x = grid((max(height - height % 2, 1), max(width - width % 2, 1)))
    radius, angle = np.fft.ifftshift(np.hypot(y, x)), np.fft.ifftshift(np.arctan2(-y, x))
    radius[0, 0] = 1
    lowpass = np.fft.fftshift(1 / (1 + (np.hypot(*grid((height, width))) / _LOWPASS) ** (2 * _SHARPNESS)))
    radial: list[Plane] = []
    for scale in range(_SCALES):
        octaves = np.log(radius * (_SHORTEST_WAVE * _WAVE_RATIO**scale)) / _BANDWIDTH
        radial.append(np.exp(-(octaves**2) / 2) * lowpass)
        radial[-1][0, 0] = 0
    angular: list[Plane] = []
    for orientation in range(_ORIENTATIONS):
        apart = np.abs(np.angle(np.exp(1j * (angle - orientation * math.pi / _ORIENTATIONS))))
        angular.append(np.exp(-((apart / _ANGLE) ** 2) / 2))
    together = np.add.reduce(radial)
    noise: list[float] = []
    for spread in angular:
        bank = together * spread
        even = (bank + np.roll(bank[::-1, ::-1], (1, 1), (0, 1))) / 2
        shortest = float(np.sum((radial[0] * spread) ** 2))
        noise.append(float(np.sum(even**2)) / shortest if shortest > 0 else 0.0)  # 0 for a single pixel
    return _Filters([f.astype(np.float32) for f in radial], [f.astype(np.float32) for f in angular], noise)


class _Features(NamedTuple):
    congruency: Plane
    """0 to 1."""
    edges: Plane
    """The largest moment."""
    corners: Plane
    """The smallest moment."""


def _noise_energy(shortest: Response, gain: float) -> float:
    """Return the energy that noise alone would hardly exceed, from the shortest scale's responses (H, W, 2)."""
    power = np.median(np.einsum("yxc,yxc->yx", shortest, shortest)) / math.log(2)
    rayleigh = math.sqrt(power * gain)
    mean, deviation = rayleigh * math.sqrt(math.pi / 2), rayleigh * math.sqrt(2 - math.pi / 2)
    return float(mean + _NOISE_DEVIATIONS * deviation) / _NOISE_OVERESTIMATED


def _energy(responses: list[Response], noise: float) -> tuple[Response, Response]:
    """Return the energy and the sum of amplitudes of one orientation, from its scales' responses (h, W, 2)."""
    import cv2

    parts = [cv2.split(response) for response in responses]
    # Not by cv2.magnitude, whose last bit depends on where in memory its arguments are.
    amplitudes = [np.sqrt(even * even + odd * odd) for even, odd in parts]
    total = np.add.reduce(amplitudes)
    even, odd = (np.add.reduce(part) for part in zip(*parts, strict=True))
    squared = even * even + odd * odd
    aside = sum(np.abs(e * odd - o * even) for e, o in parts)
    energy = np.maximum((squared - aside) / (np.sqrt(squared) + _EPS) - noise, 0)
    breadth = total / (np.maximum.reduce(amplitudes) + _EPS) / _SCALES
    return energy / (1 + np.exp((_NARROW - breadth) * _STEEPNESS)), total


def _features(picture: Picture, filters: _Filters) -> _Features:
    import cv2

    levels = picture.pixels
    height, width = levels.shape
    spectrum = np.asarray(cv2.dft(levels.astype(np.float32), flags=cv2.DFT_COMPLEX_OUTPUT), np.float32)
    energies, amplitudes, xx, yy, xy = np.zeros((5, height, width))
    for orientation, (spread, gain) in enumerate(zip(filters.angular, filters.noise, strict=True)):
        responses = [
            np.asarray(
                cv2.dft(spectrum * (radial * spread)[..., None], flags=cv2.DFT_INVERSE | cv2.DFT_SCALE), np.float32
            )
            for radial in filters.radial
        ]
        noise = _noise_energy(responses[0], gain)
        cos, sin = math.cos(orientation * math.pi / _ORIENTATIONS), math.sin(orientation * math.pi / _ORIENTATIONS)
        for top in range(0, height, _STRIP):  # so much stays in the processor's cache
            rows = slice(top, top + _STRIP)
            energy, amplitude = _energy([response[rows] for response in responses], noise)
            energies[rows] += energy
            amplitudes[rows] += amplitude
            squared = np.divide(energy, amplitude, out=energy, where=amplitude > 0) ** 2
            xx[rows] += squared * (cos * cos)
            yy[rows] += squared * (sin * sin)
            xy[rows] += squared * (cos * sin)
    # Moments of the covariance over the orientations, which are half as many in each of its dimensions.
    middle = (xx + yy) / _ORIENTATIONS
    reach = (np.hypot(xy, 2 * (xx - yy)) / _ORIENTATIONS + _EPS) / 2
    return _Features(energies / (amplitudes + _EPS), middle + reach, middle - reach)


def _mean(plane: Plane) -> Plane:
    return padded_sum(plane, gaussian(11, 1.5))


def _correlation(fused: Plane, sources: list[Plane], seen: list[NDArray[np.bool_]]) -> float:
    """Return the best correlation with any of the masked `sources`, over the pixels of the last mask in `seen`.

    A source that is masked out at a pixel correlates 0 there.
    """
    mean = _mean(fused)
    variance = _mean(fused * fused) - mean * mean
    best = np.full_like(fused, -1)
    for plane, mask in zip(sources, seen, strict=True):
        source = plane * mask
        source_mean = _mean(source)
        source_variance = _mean(source * source) - source_mean * source_mean
        covariance = _mean(source * fused) - source_mean * mean
        alike = (covariance + _C) / (np.sqrt(np.abs(source_variance * variance)) + _C)
        np.maximum(best, np.where(mask, alike, 0), out=best)
    return float(best.sum() / seen[-1].sum())


def _of_plane(fused: Picture, sources: Sources, filters: _Filters) -> float:
    f = _features(fused, filters)
    a, b = (source.derive(_features, filters) for source in sources)
    stronger = a.congruency > b.congruency
    best = _Features(*(np.where(stronger, x, y) for x, y in zip(a, b, strict=True)))
    seen = [source.congruency > _FEATURE for source in (a, b, best)]
    if not seen[-1].any():
        return 1.0
    maps = zip(f, a, b, best, strict=True)
    return math.prod(_correlation(one, others, seen) for one, *others in maps)


def phase_congruency_kept(fused: Picture, sources: Sources) -> float:
    """Return Q_P: how much of the photographs' edges and corners, weak ones too, is in the fused picture.

        Q = c(phase congruency) c(largest moment) c(smallest moment)

    c is the mean, over the pixels where a source has a feature, of the best local correlation of the fused picture's
    map with a source's; the maps are defined at the top of `fusion.metrics.phase_congruency`. It is averaged over R, G
    and B. Range: -1 to 1; 1 where no source has a feature, because nothing was lost. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Zhao, Laganiere, Liu, "Performance assessment of combinative pixel-level image fusion based on an
    absolute feature measurement", 2007.

    >>> import numpy as np
    >>> from fusion.metrics import phase_congruency
    >>> from fusion.metrics.picture import Sources
    >>> edge = np.zeros((24, 24, 3), np.uint8)
    >>> edge[:, 6:18] = 200
    >>> round(phase_congruency.METRIC.measure(edge // 2, Sources(edge, edge)), 4)
    1.0
    >>> turned = np.ascontiguousarray(edge.transpose(1, 0, 2))
    >>> phase_congruency.METRIC.measure(turned, Sources(edge, edge)) < 0.1
    True
    """
    filters = sources.derive(_filters)
    # Two channels at once: nearly all of the time goes into transforms, which use one core.
    with ThreadPoolExecutor(2) as pool:
        return float(np.mean(list(pool.map(partial(_of_plane, filters=filters), fused.channels, sources.channels))))


METRIC = Metric(
    name="qp",
    title="Q_P",
    better=Better.HIGHER,
    source="Zhao, Laganiere, Liu, 2007; MEFB",
    meaning="It tells how much of the photographs' edges and corners, weak ones too, is in the result; 1 is the most",
    caution="A copy of one photograph and the plain mean of both score above a careful fusion",
    formula=phase_congruency_kept,
    agreement=0.40,
    bounds=(-1, 1),
    mefb="Qp",
)
