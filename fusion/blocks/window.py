"""Feature maps to non-overlapping square windows of tokens, and back."""

from __future__ import annotations

from torch import Tensor


def to_windows(features: Tensor, side: int) -> Tensor:
    """(B, C, H, W), H and W multiples of `side`, to tokens (B * H/side * W/side, side * side, C).

    Windows row by row over the picture, tokens row by row in a window.
    """
    batch, channels, height, width = features.shape
    x = features.view(batch, channels, height // side, side, width // side, side)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, channels)


def from_windows(tokens: Tensor, side: int, height: int, width: int) -> Tensor:
    """The inverse of `to_windows`: (B, C, height, width), stored channels last."""
    channels = tokens.shape[-1]
    x = tokens.view(-1, height // side, width // side, side, side, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, channels).permute(0, 3, 1, 2)
