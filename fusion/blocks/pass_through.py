"""Initial weights with which a network returns the luma of its input, so that training starts from a picture."""

from __future__ import annotations

import torch
from torch import nn


def pass_channel_0(convolution: nn.Module, gain: float = 1.0) -> None:
    """Let channel 0 of the result be channel 0 of the input times `gain`. The other channels keep their random weights.

    `convolution` is an `nn.Conv2d` with a bias and an odd kernel, padded to keep the size.

    >>> convolution = nn.Conv2d(3, 2, 3, padding=1)
    >>> pass_channel_0(convolution, 0.5)
    >>> x = torch.rand(1, 3, 8, 8)
    >>> torch.equal(convolution(x)[:, 0], x[:, 0] / 2)
    True
    """
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    centre = convolution.kernel_size[0] // 2
    with torch.no_grad():
        nn.init.zeros_(convolution.weight[0])
        nn.init.zeros_(convolution.bias)
        convolution.weight[0, 0, centre, centre] = gain
