"""The grey plane on which structural metrics are measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusion.metrics.base import Pixels

# The Y row of the NTSC matrix, in full precision as MATLAB's rgb2gray has it; MEFB measures on that.
_WEIGHTS = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])


def grey(pixels: Pixels) -> NDArray[np.uint8]:
    """(H, W), 0 to 255, rounded half up: BT.601 luma of (H, W, 3)."""
    return np.floor(pixels @ _WEIGHTS + 0.5).astype(np.uint8)
