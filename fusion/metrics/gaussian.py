"""Gaussian window means."""

from __future__ import annotations

import numpy as np

from fusion.metrics.planes import Plane


def gaussian_mean(plane: Plane, size: int, sigma: float) -> Plane:
    """Means under a size x size Gaussian that sums to 1, only where it lies inside: (H - size + 1, W - size + 1)."""
    import cv2

    offset = np.arange(size) - (size - 1) / 2
    window = np.exp(-(offset**2) / (2 * sigma**2))
    window /= window.sum()
    means = np.asarray(cv2.sepFilter2D(plane, cv2.CV_64F, window, window), np.float64)
    margin = size // 2
    return means[margin : plane.shape[0] - margin, margin : plane.shape[1] - margin]
