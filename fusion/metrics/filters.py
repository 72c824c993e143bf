"""The filters and window statistics that several metrics share, on float64 planes and on tensors.

Metrics that keep what they derive work on NumPy planes (H, W); those that networks are trained with work on tensors
(B, C, H, W) and have gradients. Gaussian windows and their means inside the picture are the same for both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fusion.metrics.picture import Levels, Plane

# Planes


def at_least(side: int, levels: Levels) -> Plane:
    """Return the plane in float64; sides below `side` are extended at their far end by mirrored copies.

    >>> at_least(3, np.array([[1, 2]], np.uint8)).tolist()
    [[1.0, 2.0, 2.0], [1.0, 2.0, 2.0], [1.0, 2.0, 2.0]]
    """
    missing = [(0, max(0, side - length)) for length in levels.shape]
    return np.pad(levels, missing, mode="symmetric").astype(np.float64)


def stretched(levels: Levels) -> Levels:
    """Return the plane with its levels spread over 0 to 255 and rounded half up; zeros where it is flat.

    >>> stretched(np.array([[10, 20, 30]], np.uint8)).tolist()
    [[0, 128, 255]]
    """
    low, high = int(levels.min()), int(levels.max())
    if low == high:
        return np.zeros_like(levels)
    return np.floor((levels.astype(np.float64) - low) / (high - low) * 255 + 0.5).astype(np.uint8)


def share(a: Plane, b: Plane) -> Plane:
    """Return a / (a + b), and 1/2 where the sum is 0.

    >>> share(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]])).tolist()
    [[0.75, 0.5]]
    """
    total = a + b
    return np.divide(a, total, out=np.full_like(total, 0.5), where=total != 0)


def sobel(plane: Plane, border: int) -> tuple[Plane, Plane]:
    """Return the x and y derivatives, (H, W) each, with weights 1 2 1; `border` is one of OpenCV's BORDER_*.

    A ramp that rises by one level a pixel gives 8.

    >>> import cv2
    >>> sobel(np.array([[0.0, 1.0, 2.0]]), cv2.BORDER_REPLICATE)[0].tolist()
    [[4.0, 8.0, 4.0]]
    """
    import cv2

    gx = cv2.Sobel(plane, cv2.CV_64F, 1, 0, borderType=border)
    gy = cv2.Sobel(plane, cv2.CV_64F, 0, 1, borderType=border)
    return np.asarray(gx, np.float64), np.asarray(gy, np.float64)


# Windows


def gaussian_window(size: int, sigma: float, like: Tensor) -> Tensor:
    """Return the Gaussian (size,) that sums to 1, on the device and in the dtype of `like`."""
    offset = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    window = torch.exp(-(offset**2) / (2 * sigma**2))
    return window / window.sum()


def gaussian(size: int, sigma: float) -> NDArray[np.float64]:
    """Return the Gaussian (size,) that sums to 1, in float64.

    >>> gaussian(3, 1).round(3).tolist()
    [0.274, 0.452, 0.274]
    """
    return gaussian_window(size, sigma, torch.empty((), dtype=torch.float64)).numpy()


def gaussian_mean(plane: Plane, size: int, sigma: float) -> Plane:
    """Return the means under a size x size Gaussian, only where it lies inside: (H - size + 1, W - size + 1)."""
    return _filtered_inside(plane, gaussian(size, sigma))


def padded_sum(plane: Plane, window: NDArray[np.float64]) -> Plane:
    """Return sums (H, W) under the outer product of `window` with itself; beyond the plane's border there are zeros."""
    import cv2

    return np.asarray(cv2.sepFilter2D(plane, cv2.CV_64F, window, window, borderType=cv2.BORDER_CONSTANT), np.float64)


class Moments(NamedTuple):
    """A plane, and the mean and variance of its windows."""

    plane: Plane
    mean: Plane
    variance: Plane


def moments(plane: Plane, size: int, sigma: float, flat: float) -> Moments:
    """Return the moments of a plane under size x size Gaussians; variances below `flat` count as 0.

    A variance is the difference of two large sums, of which rounding leaves something in a flat window.
    """
    mean = gaussian_mean(plane, size, sigma)
    variance = gaussian_mean(plane * plane, size, sigma) - mean * mean
    variance[variance < flat] = 0
    return Moments(plane, mean, variance)


def covariance(x: Moments, y: Moments, size: int, sigma: float) -> Plane:
    """Return the covariance of every window of two planes."""
    return gaussian_mean(x.plane * y.plane, size, sigma) - x.mean * y.mean


# Tensors


def filter_valid(planes: Tensor, window: Tensor) -> Tensor:
    """Correlate (B, C, H, W) with window x window where that lies inside: (B, C, H - n + 1, W - n + 1).

    >>> filter_valid(torch.ones(1, 1, 4, 5), torch.full((3,), 1 / 3)).shape
    torch.Size([1, 1, 2, 3])
    """
    batch, channels, height, width = planes.shape
    if planes.device.type == "cpu" and planes.dtype in (torch.float32, torch.float64) and not planes.requires_grad:
        # OpenCV has no gradients and takes a third of the time.
        filtered = [_filtered_inside(plane, window.numpy()) for plane in planes.flatten(0, 1).numpy()]
        return torch.from_numpy(np.stack(filtered)).unflatten(0, planes.shape[:2])
    x = planes.reshape(batch * channels, 1, height, width)
    x = F.conv2d(F.conv2d(x, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return x.view(batch, channels, *x.shape[-2:])


def halve(planes: Tensor) -> Tensor:
    """Return (B, C, H, W) at half the size, rounded up: 2 x 2 means, odd sides' last row or column being repeated.

    >>> halve(torch.tensor([[[[0.0, 2.0, 5.0], [4.0, 6.0, 7.0]]]])).tolist()
    [[[[3.0, 6.0]]]]
    """
    height, width = planes.shape[-2:]
    return F.avg_pool2d(F.pad(planes, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def _filtered_inside(plane: NDArray[Any], window: NDArray[Any]) -> NDArray[Any]:
    """Correlate a plane with window x window where that lies inside, in the plane's own precision."""
    import cv2

    margin = len(window) // 2
    filtered = np.asarray(cv2.sepFilter2D(plane, -1, window, window))
    return filtered[margin : plane.shape[0] - margin, margin : plane.shape[1] - margin]
