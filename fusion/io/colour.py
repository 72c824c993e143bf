"""Luma and chroma in full-range BT.601 (the YCbCr of JPEG), on float tensors with values from 0 to 1.

Y = 0.299 R + 0.587 G + 0.114 B; Cb and Cr are centred on 0.5. Source: ITU-T T.871 (JFIF), section 7,
divided by 255. MambaMEF's own code uses the studio-swing form instead; its black at 16/255 would leave
a network's 0-to-1 output partly outside the colour solid, so this project uses the full range everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_KR, _KG, _KB = 0.299, 0.587, 0.114
_CB_SCALE, _CR_SCALE = 2 * (1 - _KB), 2 * (1 - _KR)  # 1.772 and 1.402


def luma(photo: Tensor) -> Tensor:
    """The luma Y (..., 1, H, W) of RGB (..., 3, H, W), both from 0 to 1.

    >>> round(float(luma(torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1))), 4)
    0.5925
    """
    red, green, blue = photo.unbind(-3)
    return (_KR * red + _KG * green + _KB * blue).unsqueeze(-3)


def chroma(photo: Tensor) -> Tensor:
    """Cb and Cr, (..., 2, H, W), of RGB (..., 3, H, W), all from 0 to 1. Greys have 0.5 in both.

    >>> chroma(torch.full((3, 1, 1), 0.25)).flatten().tolist()
    [0.5, 0.5]
    """
    red, _, blue = photo.unbind(-3)
    y = luma(photo).squeeze(-3)
    return torch.stack(((blue - y) / _CB_SCALE + 0.5, (red - y) / _CR_SCALE + 0.5), dim=-3)


def to_rgb(y: Tensor, cbcr: Tensor) -> Tensor:
    """Convert Y (..., 1, H, W) and CbCr (..., 2, H, W) to RGB (..., 3, H, W), which is not clamped to 0 ... 1.

    >>> photo = torch.rand(3, 4, 6)
    >>> torch.allclose(to_rgb(luma(photo), chroma(photo)), photo, atol=1e-6)
    True
    """
    y = y.squeeze(-3)
    cb, cr = (cbcr - 0.5).unbind(-3)
    red = y + _CR_SCALE * cr
    blue = y + _CB_SCALE * cb
    green = (y - _KR * red - _KB * blue) / _KG
    return torch.stack((red, green, blue), dim=-3)


def fit_gamut(y: Tensor, cbcr: Tensor) -> Tensor:
    """Convert to RGB as `to_rgb` does, but desaturate a colour outside 0 ... 1 until it fits. Its luma does not change.

    A luma outside 0 ... 1 gives a grey outside 0 ... 1. Shapes are those of `to_rgb`.

    >>> fit_gamut(torch.full((1, 1, 1), 0.9), torch.tensor([0.5, 0.9]).view(2, 1, 1)).max() <= 1
    tensor(True)
    """
    difference = to_rgb(y, cbcr) - y
    room = torch.where(difference > 0, (1 - y).clamp_min(0), y.clamp_min(0))
    share = (room / difference.abs().clamp_min(1e-6)).amin(-3, keepdim=True).clamp_max(1)
    return y + share * difference


def merge_chroma(*planes: Tensor) -> Tensor:
    """Fuse the CbCr planes (..., 2, H, W) of the exposures, each weighted by its distance from neutral.

    C = (C1 |C1 - t| + C2 |C2 - t|) / (|C1 - t| + |C2 - t|) with t = 0.5, and t where both are neutral.
    Source: Prabhakar et al., DeepFuse, ICCV 2017, eq. 2. Known weakness: the weight is colourfulness
    alone, so the chroma of a clipped or noisy picture counts as much as that of a clean one.

    >>> neutral, reddish = torch.full((2, 1, 1), 0.5), torch.full((2, 1, 1), 0.75)
    >>> merge_chroma(neutral, reddish).flatten().tolist()
    [0.75, 0.75]
    """
    merged = total = torch.zeros_like(planes[0])
    for plane in planes:
        colour = plane - 0.5
        weight = colour.abs()
        merged, total = merged + colour * weight, total + weight
    return 0.5 + torch.where(total > 1e-8, merged / total.clamp_min(1e-8), torch.zeros_like(merged))


def by_colourfulness(photos: Sequence[Tensor], y: Tensor) -> Tensor:
    """Colour a fused luma (..., 1, H, W): RGB (..., 3, H, W) with the merged chroma of the photographs (..., 3, H, W).

    A colour outside 0 ... 1 is desaturated. Clipping it channel by channel would change the luma that was fused.
    """
    return fit_gamut(y, merge_chroma(*map(chroma, photos)))
