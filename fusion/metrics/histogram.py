"""Histograms of 8-bit levels and their entropies."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.picture import Levels

Counts: TypeAlias = NDArray[np.int64]


def histogram(levels: Levels) -> Counts:
    """Count how often each level occurs: (256,).

    >>> histogram(np.array([[0, 9, 9]], np.uint8))[[0, 9]].tolist()
    [1, 2]
    """
    return _counts(levels)


def joint_histogram(a: Levels, b: Levels) -> Counts:
    """Count how often each pair of levels occurs at the same pixel: (65536,), the level of `b` being the fastest.

    >>> joint_histogram(np.array([[0, 1]], np.uint8), np.array([[3, 3]], np.uint8)).nonzero()[0].tolist()
    [3, 259]
    """
    return _counts(a, b)


def _counts(*planes: Levels) -> Counts:
    """Count how often each combination of levels occurs, the last plane's level being the fastest."""
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
    """Return the entropy -sum p log2 p over the bins in use, in bits.

    >>> entropy(np.array([2, 1, 1, 0]))
    1.5
    """
    p = counts[counts > 0] / counts.sum()
    # A single bin gives -0.0 without the sum's zero.
    return float(0.0 - np.sum(p * np.log2(p)))


def mutual_information(a: Levels, b: Levels) -> float:
    """Return the mutual information H(a) + H(b) - H(a, b), in bits.

    >>> halves = np.array([[0, 9]], np.uint8)
    >>> mutual_information(halves, halves)
    1.0
    """
    return entropy(histogram(a)) + entropy(histogram(b)) - entropy(joint_histogram(a, b))
