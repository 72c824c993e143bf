"""Histograms of 8-bit levels and their entropies."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.planes import Levels

Counts: TypeAlias = NDArray[np.int64]


def histogram(levels: Levels) -> Counts:
    """(256,): how often each level occurs."""
    return _counts(levels)


def joint_histogram(a: Levels, b: Levels) -> Counts:
    """(65536,): how often each pair of levels occurs at the same pixel."""
    return _counts(a, b)


def _counts(*planes: Levels) -> Counts:
    """How often each combination of levels occurs, the last plane's level fastest."""
    import cv2

    # OpenCV counts in float32, which is exact up to 2^24.
    rows = max(1, (1 << 24) // planes[0].shape[1])
    channels, sizes, ranges = list(range(len(planes))), [256] * len(planes), [0, 256] * len(planes)
    total = np.zeros(sizes, np.int64)
    for top in range(0, planes[0].shape[0], rows):
        strips = [np.ascontiguousarray(plane[top : top + rows]) for plane in planes]
        total += cv2.calcHist(strips, channels, None, sizes, ranges).astype(np.int64).reshape(sizes)
    return total.ravel()


def entropy(counts: Counts) -> float:
    """-sum p log2 p over the bins in use, in bits."""
    p = counts[counts > 0] / counts.sum()
    # A single bin gives -0.0 without the sum's zero.
    return float(0.0 - np.sum(p * np.log2(p)))


def mutual_information(a: Levels, b: Levels) -> float:
    """H(a) + H(b) - H(a, b), in bits."""
    return entropy(histogram(a)) + entropy(histogram(b)) - entropy(joint_histogram(a, b))
