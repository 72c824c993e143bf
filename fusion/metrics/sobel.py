"""The 3x3 Sobel gradient of a plane."""

from __future__ import annotations

import numpy as np

from fusion.metrics.planes import Plane


def sobel(plane: Plane, border: int) -> tuple[Plane, Plane]:
    """The x and y derivatives with weights 1 2 1 (a unit ramp gives 8); `border` is one of OpenCV's BORDER_*."""
    import cv2

    gx = cv2.Sobel(plane, cv2.CV_64F, 1, 0, borderType=border)
    gy = cv2.Sobel(plane, cv2.CV_64F, 0, 1, borderType=border)
    return np.asarray(gx, np.float64), np.asarray(gy, np.float64)
