"""Gaussian windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.planes import Plane


def gaussian(size: int, sigma: float) -> NDArray[np.float64]:
    """(size,): a Gaussian that sums to 1."""
    offset = np.arange(size) - (size - 1) / 2
    window = np.exp(-(offset**2) / (2 * sigma**2))
    return window / window.sum()


def gaussian_mean(plane: Plane, size: int, sigma: float) -> Plane:
    """Means under a size x size Gaussian that sums to 1, only where it lies inside: (H - size + 1, W - size + 1)."""
    import cv2

    window = gaussian(size, sigma)
    means = np.asarray(cv2.sepFilter2D(plane, cv2.CV_64F, window, window), np.float64)
    margin = size // 2
    return means[margin : plane.shape[0] - margin, margin : plane.shape[1] - margin]


def padded_sum(plane: Plane, window: NDArray[np.float64]) -> Plane:
    """Sums under the outer product of `window` with itself, of its size: beyond its border there are zeros."""
    import cv2

    return np.asarray(cv2.sepFilter2D(plane, cv2.CV_64F, window, window, borderType=cv2.BORDER_CONSTANT), np.float64)
