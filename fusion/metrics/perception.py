"""Metrics that look through a model of the eye: Chen and Blum's Q_CB, Chen and Varshney's Q_CV.

Both work on R, G and B apart, each stretched to 0 ... 255 and rounded, as in MEFB (Zhang, Information Fusion 2021); a
flat plane, which MEFB divides by zero, becomes zeros. The eye's contrast sensitivity, of r cycles a degree, multiplies
the spectrum: the picture counts as periodic, and as wide and high as a fixed angle, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fusion.metrics.base import Better, Metric, kept_for_pair
from fusion.metrics.gaussian import padded_sum
from fusion.metrics.planes import Levels, Plane, mean_over_rgb, share, stretched
from fusion.metrics.sobel import sobel


def _seen(plane: Plane, sensitivity: Callable[[Plane], Plane], degrees: float) -> Plane:
    """`plane` as the eye sees it where its height and its width span `degrees`."""
    import cv2

    v, u = (np.fft.fftfreq(side) * side / degrees for side in plane.shape)
    gain = sensitivity(np.hypot(v[:, None], u))
    spectrum = cv2.dft(plane, flags=cv2.DFT_COMPLEX_OUTPUT) * gain[..., None]
    return np.asarray(cv2.dft(spectrum, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT), np.float64)


# Chen and Blum's


def _difference_of_gaussians(r: Plane) -> Plane:
    """Sensitivity; Chen, Blum 2009, with their constants."""
    return np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))


def _bell(sigma: float) -> Plane:
    """(31,): the Gaussian by its formula; cut off at 15, it does not quite sum to 1."""
    offset = np.arange(-15, 16)
    return np.exp(-(offset**2) / (2 * sigma**2)) / (np.sqrt(2 * np.pi) * sigma)


def _contrast(levels: Levels) -> Plane:
    """Peli's local contrast, masked: c^3 / (c^2 + 0.0001) of c = |mean under sigma 2 / mean under sigma 4 - 1|.

    Both means see zeros beyond the border. 0 where the wider mean is 0, where MEFB divides by it. In patches as flat as
    Museum1's the contrast is rounding alone, and Q_CB then up to 0.0001 from MEFB's (`python -m
    fusion.benchmark.experiments.golden`).
    """
    plane = _seen(stretched(levels).astype(np.float64), _difference_of_gaussians, 15)
    near, far = (padded_sum(plane, _bell(sigma)) for sigma in (2, 4))
    contrast = np.abs(np.divide(near, far, out=np.ones_like(far), where=far != 0) - 1)
    return contrast**3 / (contrast**2 + 1e-4)


@kept_for_pair
@lru_cache(maxsize=6)
def _contrast_of_source(levels: bytes, size: tuple[int, int]) -> Plane:
    """Kept for the planes of one pair, since several results of it are measured one after the other."""
    return _contrast(np.frombuffer(levels, np.uint8).reshape(size))


def _qcb(fused: Levels, under: Levels, over: Levels) -> float:
    """Mean over the pixels of how much of the sources' contrast is kept, weighted by its square; 0 to 1.

    Kept: the smaller of both contrasts over the larger; 1 where both are 0, which MEFB leaves undefined.
    """
    f, a, b = _contrast(fused), *(_contrast_of_source(plane.tobytes(), plane.shape) for plane in (under, over))
    kept: list[Plane] = []
    for source in (a, b):
        larger = np.maximum(f, source)
        kept.append(np.divide(np.minimum(f, source), larger, out=np.ones_like(f), where=larger > 0))
    weight = share(a * a, b * b)
    return float((weight * kept[0] + (1 - weight) * kept[1]).mean())


# Chen and Varshney's

_BLOCK = 16


def _mannos_sakrison(r: Plane) -> Plane:
    """Sensitivity; Mannos, Sakrison, IEEE Transactions on Information Theory 1974."""
    return 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))


def _block_sums(plane: Plane) -> Plane:
    """Sums over 16 x 16 blocks; those at the far borders are filled up with zeros."""
    height, width = (-(-side // _BLOCK) for side in plane.shape)
    padded = np.zeros((height * _BLOCK, width * _BLOCK))
    padded[: plane.shape[0], : plane.shape[1]] = plane
    return padded.reshape(height, _BLOCK, width, _BLOCK).sum((1, 3))


class _Saliency(NamedTuple):
    plane: Plane
    """The plane, stretched."""
    blocks: Plane
    """Sum of the fifth powers of the Sobel magnitude, the border being of zeros."""


@kept_for_pair
@lru_cache(maxsize=6)
def _saliency_of_source(levels: bytes, size: tuple[int, int]) -> _Saliency:
    """Kept for the planes of one pair, since several results of it are measured one after the other."""
    import cv2

    plane = stretched(np.frombuffer(levels, np.uint8).reshape(size)).astype(np.float64)
    gx, gy = sobel(plane, cv2.BORDER_CONSTANT)
    return _Saliency(plane, _block_sums((gx * gx + gy * gy) ** 2.5))


def _qcv(fused: Levels, under: Levels, over: Levels) -> float:
    """Mean squared difference from the sources as the eye sees it, blocks weighted by their edges; 0 and more.

    Where no block has an edge, all count alike. Source: Chen, Varshney, Information Fusion 2007.
    """
    f = stretched(fused).astype(np.float64)
    weighted = weights = plain = 0.0
    for levels in (under, over):
        source = _saliency_of_source(levels.tobytes(), levels.shape)
        error = _block_sums(_seen(source.plane - f, _mannos_sakrison, 4) ** 2) / _BLOCK**2
        weighted += float((source.blocks * error).sum())
        weights += float(source.blocks.sum())
        plain += float(error.mean()) / 2
    return weighted / weights if weights > 0 else plain


QCB = Metric(
    name="qcb",
    title="Q_CB",
    better=Better.HIGHER,
    source="Chen, Blum, Image and Vision Computing 2009; MEFB",
    meaning="How much of the contrast that an eye sees in the photographs is kept, 0 to 1",
    caution="Over-sharpening raises it",
    measure=mean_over_rgb(_qcb),
    bounds=(0, 1),
    mefb="Qcb",
)

QCV = Metric(
    name="qcv",
    title="Q_CV",
    better=Better.LOWER,
    source="Chen, Varshney, Information Fusion 2007; MEFB",
    meaning="How far the result is from the photographs to an eye, near strong edges above all",
    caution="A copy of one photograph and the plain mean of both score better than a careful fusion",
    measure=mean_over_rgb(_qcv),
    mefb="Qcv",
)
