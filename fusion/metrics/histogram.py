"""Histograms of 8-bit levels and their entropies."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.planes import Levels

Counts: TypeAlias = NDArray[np.int64]


def histogram(levels: Levels) -> Counts:
    """(256,): how often each level occurs."""
    return np.bincount(levels.ravel(), minlength=256)


def joint_histogram(a: Levels, b: Levels) -> Counts:
    """(65536,): how often each pair of levels occurs at the same pixel."""
    return np.bincount((a.astype(np.int32) * 256 + b).ravel(), minlength=256 * 256)


def entropy(counts: Counts) -> float:
    """-sum p log2 p over the bins in use, in bits."""
    p = counts[counts > 0] / counts.sum()
    # A single bin gives -0.0 without the sum's zero.
    return float(0.0 - np.sum(p * np.log2(p)))


def mutual_information(a: Levels, b: Levels) -> float:
    """H(a) + H(b) - H(a, b), in bits."""
    return entropy(histogram(a)) + entropy(histogram(b)) - entropy(joint_histogram(a, b))
