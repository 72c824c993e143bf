"""The best structure of a patch in closed form, and the picture all of whose patches are nearest to it.

Source: Ma, Zeng, Wang, "Perceptual Quality Assessment for Multi-Exposure Image Fusion", TIP 2015, equations 4 to 9, on
which MEF-SSIM rests. Of exposures x_k, the ideal patch has the strongest contrast of them all and is

    sum_k gain_k (x_k - mu_k)    plus any mean.

A pixel belongs to many patches. With G the Gaussian mean over a patch and y_k the pixel in exposure k, the picture F
in which every pixel is the mean of what all patches around it ask for obeys

    F = G G F + S,   S = sum_k G(gain_k) y_k - G(gain_k mu_k).

`relax` repeats this equation as an assignment, from a good first guess.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.blocks.box_mean import box_mean
from fusion.metrics.filters import filter_valid, gaussian_window
from fusion.metrics.mef_ssim import products, structure_gains

_PATCH = 11
_SIGMA = 1.5
_FLOOR = 0.25**2  # squared levels of 0 to 255: a contrast below the step of 8 bits counts as none


class PatchStatistics(NamedTuple):
    """Statistics of n lumas in the patch around each pixel."""

    log_gains: Tensor
    """(B, n, h, w): logarithms of the gains in the ideal patch."""
    log_contrasts: Tensor
    """(B, n, h, w): logarithms of the standard deviations."""
    correlation: Tensor
    """(B, n (n - 1) / 2, h, w): the correlation of every two lumas, from -1 to 1."""


@torch.no_grad()
def patch_statistics(lumas: Tensor) -> PatchStatistics:
    """The statistics of lumas (B, n, h, w) from 0 to 1 over patches of 11 x 11 pixels, clipped at the border."""
    levels = (lumas - 0.5) * 255
    planes = levels, levels**2, products(levels)
    mean, square, product = box_mean(torch.cat(planes, 1), _PATCH).split([part.shape[1] for part in planes], 1)
    variance = (square - mean**2).clamp_min(_FLOOR)
    deviation = variance.sqrt()
    limit = products(deviation)
    covariance = (product - products(mean)).clamp(-limit, limit)
    gains = structure_gains(variance, covariance).clamp_min(1e-4)
    return PatchStatistics(gains.log(), (deviation / 255).log(), covariance / limit)


def log_contrast(luma: Tensor) -> Tensor:
    """The logarithm of the patches' standard deviation in a luma (B, 1, h, w): (B, 1, h, w)."""
    mean, square = box_mean(torch.cat((luma, luma**2), 1), _PATCH).split(1, 1)
    return (square - mean**2).clamp_min(_FLOOR / 255**2).log() / 2


def relax(fused: Tensor, lumas: Tensor, detail: Tensor, gains: Tensor, times: int) -> Tensor:
    """Add `detail` by its gains to `fused`, then bring the result `times` nearer to what its patches ask for.

    `fused` is (B, 1, h, w); `lumas`, their `detail` and `gains` are (B, N, h, w).
    """
    smooth_gains = gaussian(gains)
    wanted = (smooth_gains * lumas - gaussian(gains * gaussian(lumas))).sum(1, keepdim=True)
    fused = fused + (smooth_gains * detail).sum(1, keepdim=True)
    for _ in range(times):
        fused = (gaussian(fused, _SIGMA * 2**0.5, 6) + wanted).clamp(0, 1)  # one filter in place of two: G G
    return fused


def gaussian(planes: Tensor, sigma: float = _SIGMA, radius: int = _PATCH // 2) -> Tensor:
    """Gaussian means of planes (B, C, h, w), whose border pixels are repeated beyond the border.

    They are computed in float32, since relaxation adds up what half precision would lose.
    """
    with torch.autocast("cuda" if planes.is_cuda else "cpu", enabled=False):
        window = gaussian_window(2 * radius + 1, sigma, planes)
        return filter_valid(F.pad(planes, (radius,) * 4, mode="replicate"), window)
