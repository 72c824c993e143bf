"""How much arithmetic a method's network needs."""

from __future__ import annotations

import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from fusion.methods.base import Method
from fusion.methods.iat import IAT

FLOPS_SIDE = 512
"""Arithmetic is counted on a pair of this many pixels a side."""


def flops(method: Method) -> int:
    """The floating-point operations of a method's network, IAT included, on a pair of 512 × 512 pixels.

    Where the network sees a smaller copy (`Needs.largest`), these are the operations on the copy. PyTorch's counter
    counts convolutions and matrix products, two operations for each multiplication with its addition. It counts neither
    the selective scan nor element-wise operations.

    >>> from fusion.methods import deepfuse
    >>> round(flops(deepfuse.METHOD) / 1e9, 1)
    60.0
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = method.untrained().eval().requires_grad_(requires_grad=False)
        side = min(FLOPS_SIDE, math.isqrt(method.needs.largest)) if method.needs.largest else FLOPS_SIDE
        planes = torch.empty(1, method.needs.channels, side, side)
        if method.needs.enhanced:
            corrector = IAT().eval()
            for _ in range(2):
                corrector(planes[:, :1])
        network(planes, planes)
    return counter.get_total_flops()
