"""Feature maps cut into square windows of tokens that do not overlap, and put together again."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor


def to_windows(features: Tensor, side: int) -> Tensor:
    """(B, C, H, W), H and W multiples of `side`, to tokens (B * H/side * W/side, side * side, C).

    Windows are in the order of rows over the picture, and tokens in the order of rows within their window.

    >>> import torch
    >>> to_windows(torch.arange(16.0).view(1, 1, 4, 4), 2)[0, :, 0]
    tensor([0., 1., 4., 5.])
    """
    return rearrange(features, "b c (h y) (w x) -> (b h w) (y x) c", y=side, x=side)


def from_windows(tokens: Tensor, side: int, height: int, width: int) -> Tensor:
    """The inverse of `to_windows`: (B, C, height, width), stored channels last.

    >>> import torch
    >>> features = torch.rand(2, 5, 16, 24)
    >>> torch.equal(from_windows(to_windows(features, 8), 8, 16, 24), features)
    True
    """
    h, w = height // side, width // side
    maps = rearrange(tokens, "(b h w) (y x) c -> b (h y) (w x) c", h=h, w=w, y=side, x=side)
    return rearrange(maps, "b h w c -> b c h w")
