"""Metrics that look through a model of the eye: Chen and Blum's Q_CB, Chen and Varshney's Q_CV.

Both work on R, G and B apart, each stretched to 0 to 255 and rounded, as in MEFB (Zhang, Information Fusion 2021); a
flat plane, which MEFB divides by zero, becomes zeros. The eye's contrast sensitivity at r cycles a degree multiplies
the spectrum. The picture counts as periodic, and its height and its width span a fixed angle, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fusion.metrics.base import Better, Metric
from fusion.metrics.filters import padded_sum, share, sobel, stretched
from fusion.metrics.picture import Picture, Plane, Sources, mean_over_rgb


def _seen(plane: Plane, sensitivity: Callable[[Plane], Plane], degrees: float) -> Plane:
    """Return the plane as the eye sees it where its height and its width span `degrees`."""
    import cv2

    v, u = (np.fft.fftfreq(side) * side / degrees for side in plane.shape)
    gain = sensitivity(np.hypot(v[:, None], u))
    spectrum = cv2.dft(plane, flags=cv2.DFT_COMPLEX_OUTPUT) * gain[..., None]
    return np.asarray(cv2.dft(spectrum, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT), np.float64)


# Chen and Blum's


def _difference_of_gaussians(r: Plane) -> Plane:
    """Return the eye's sensitivity by Chen, Blum 2009, with their constants."""
    return np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))


def _bell(sigma: float) -> Plane:
    """Return the Gaussian (31,) by its formula; cut off at 15, it does not quite sum to 1."""
    offset = np.arange(-15, 16)
    return np.exp(-(offset**2) / (2 * sigma**2)) / (np.sqrt(2 * np.pi) * sigma)


def _contrast(picture: Picture) -> Plane:
    """Return Peli's local contrast, masked: c^3 / (c^2 + 0.0001).

    c = |mean under sigma 2 / mean under sigma 4 - 1|, and both means see zeros beyond the border. It is 0 where the
    wider mean is 0, where MEFB divides by it. In patches as flat as Museum1's, rounding alone makes the contrast, and
    Q_CB then differs from MEFB's by up to 0.0001 (`python -m fusion.benchmark.experiments.golden`).
    """
    plane = _seen(stretched(picture.pixels).astype(np.float64), _difference_of_gaussians, 15)
    near, far = (padded_sum(plane, _bell(sigma)) for sigma in (2, 4))
    contrast = np.abs(np.divide(near, far, out=np.ones_like(far), where=far != 0) - 1)
    return contrast**3 / (contrast**2 + 1e-4)


@mean_over_rgb
def contrast_kept(fused: Picture, sources: Sources) -> float:
    """Return Q_CB: how much of the contrast that an eye sees in the photographs is kept in the fused picture.

        Q = mean of (w q_under + (1 - w) q_over),   q = min(c_source, c_fused) / max(c_source, c_fused),
        w = c_under^2 / (c_under^2 + c_over^2)

    c is the local contrast of a picture as the eye sees it, masked; q is 1 where both contrasts are 0, which MEFB
    leaves undefined. It is averaged over R, G and B. Range: 0 to 1. Higher is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: two photographs of the same size.

    Reference: Chen, Blum, "A new automated quality assessment algorithm for image fusion", Image and Vision Computing
    2009.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (1, 8, 3))
    >>> round(QCB.measure(ramp, Sources(ramp, ramp)), 4), round(QCB.measure(ramp[::-1], Sources(ramp, ramp)), 4)
    (1.0, 0.3593)
    """
    f, a, b = _contrast(fused), *(source.derive(_contrast) for source in sources)
    kept: list[Plane] = []
    for source in (a, b):
        larger = np.maximum(f, source)
        kept.append(np.divide(np.minimum(f, source), larger, out=np.ones_like(f), where=larger > 0))
    weight = share(a * a, b * b)
    return float((weight * kept[0] + (1 - weight) * kept[1]).mean())


# Chen and Varshney's

_BLOCK = 16


def _mannos_sakrison(r: Plane) -> Plane:
    """Return the eye's sensitivity by Mannos, Sakrison, IEEE Transactions on Information Theory 1974."""
    return 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))


def _block_sums(plane: Plane) -> Plane:
    """Return sums over 16 x 16 blocks; those at the far borders are filled up with zeros."""
    height, width = (-(-side // _BLOCK) for side in plane.shape)
    padded = np.zeros((height * _BLOCK, width * _BLOCK))
    padded[: plane.shape[0], : plane.shape[1]] = plane
    return padded.reshape(height, _BLOCK, width, _BLOCK).sum((1, 3))


class _Saliency(NamedTuple):
    plane: Plane
    """The plane, stretched."""
    blocks: Plane
    """In each block, the sum of the fifth powers of the Sobel magnitude, with zeros beyond the border."""


def _saliency(picture: Picture) -> _Saliency:
    import cv2

    plane = stretched(picture.pixels).astype(np.float64)
    gx, gy = sobel(plane, cv2.BORDER_CONSTANT)
    return _Saliency(plane, _block_sums((gx * gx + gy * gy) ** 2.5))


@mean_over_rgb
def seen_difference(fused: Picture, sources: Sources) -> float:
    """Return Q_CV: the mean squared difference from the photographs as an eye sees it, near strong edges above all.

        Q = sum of (w d) / sum of w   over sources and 16 x 16 blocks

    d is the block's mean squared difference between source and fused picture after the eye's contrast sensitivity, w
    the sum of the fifth powers of the source's Sobel magnitude in the block. Where no block has an edge, all count
    alike. It is averaged over R, G and B. Range: 0 and more. Lower is better.

    Args:
        fused: 8-bit picture (H, W, 3), 0 to 255.
        sources: one or more photographs of the same size.

    Reference: Chen, Varshney, "A human perception inspired quality metric for image fusion based on regional
    information", Information Fusion 2007.

    >>> import numpy as np
    >>> from fusion.metrics.picture import Sources
    >>> ramp = np.tile(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (1, 8, 3))
    >>> QCV.measure(ramp, Sources(ramp, ramp)), round(QCV.measure(ramp[::-1], Sources(ramp, ramp)), 1)
    (0.0, 273.9)
    """
    f = stretched(fused.pixels).astype(np.float64)
    weighted = weights = plain = 0.0
    for one in sources:
        source = one.derive(_saliency)
        error = _block_sums(_seen(source.plane - f, _mannos_sakrison, 4) ** 2) / _BLOCK**2
        weighted += float((source.blocks * error).sum())
        weights += float(source.blocks.sum())
        plain += float(error.mean()) / len(sources)
    return weighted / weights if weights > 0 else plain


QCB = Metric(
    name="qcb",
    title="Q_CB",
    better=Better.HIGHER,
    source="Chen, Blum, Image and Vision Computing 2009; MEFB",
    meaning="It tells how much of the contrast that an eye sees in the photographs the result keeps, from 0 to 1",
    caution="Over-sharpening raises it",
    formula=contrast_kept,
    agreement=0.21,
    bounds=(0, 1),
    mefb="Qcb",
)

QCV = Metric(
    name="qcv",
    title="Q_CV",
    better=Better.LOWER,
    source="Chen, Varshney, Information Fusion 2007; MEFB",
    meaning="It tells how far the result looks from the photographs to an eye, and strong edges count most",
    caution="A copy of one photograph and the plain mean of both score better than a careful fusion",
    formula=seen_difference,
    agreement=-0.07,
    mefb="Qcv",
)
