"""Initial weights with which a network returns its input's luma, so that training starts from a picture."""

from __future__ import annotations

import torch
from torch import nn


def pass_channel_0(convolution: nn.Module, gain: float = 1.0) -> None:
    """Channel 0 of the result is channel 0 of the input times `gain`; the other channels keep their random weights."""
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    centre = convolution.kernel_size[0] // 2
    with torch.no_grad():
        nn.init.zeros_(convolution.weight[0])
        nn.init.zeros_(convolution.bias)
        convolution.weight[0, 0, centre, centre] = gain
