"""SPD-MEF: each patch is split into mean, contrast and structure, which are fused separately; any number of exposures.

Paper: Ma, Li, Yong, Wang, Meng, Zhang, "Robust Multi-Exposure Image Fusion: A Structural Patch Decomposition Approach",
IEEE Transactions on Image Processing 2017, sections III-A and III-B. Rebuilt from the paper.

A patch holds the three channels of p x p pixels of exposure k. mu_k is its mean, c_k the deviation of all its values
from that, and s_k what is left: x_k = c_k s_k + mu_k. The fused patch is

    max_k c_k  *  s / rms(s)  +  sum_k L_k mu_k / sum_k L_k,       s = sum_k c_k^q s_k / sum_k c_k^q
    L_k = exp(-(g_k - .5)^2 / (2 * .2^2) - (mu_k - .5)^2 / (2 * .5^2)),       g_k the mean of exposure k,

and a pixel of the result is the mean over all patches that hold it. A patch's values need not be formed for that. With
C_ij the box mean of the products x_i x_j less mu_i mu_j, all of the above follows from C, and

    result = sum_k box(a_k) x_k + box(l - sum_k a_k mu_k),       a_k = max c * w_k / (c_k rms(s)).

| where     | the paper                               | here, and why                                              |
|-----------|-----------------------------------------|------------------------------------------------------------|
| patches   | 21 x 21 pixels, at a distance of 2      | at every pixel, and in proportion to the picture, which    |
|           |                                         | has 21 pixels at a longest side of about 4,500             |
| structure | q from how alike the structures are     | q = 3, which is nearest to what people chose               |
| motion    | ghosts are found by structure and left  | not in the method: exposures are cleaned before they are   |
|           | out                                     | fused                                                      |
| borders   | patches inside the picture              | windows that are cut at the border                         |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusion.blocks.box_mean import box_mean
from fusion.methods.base import Method, Needs, Planes
from fusion.runtime.tiles import by_strips

_LEAST_CONTRAST = 1e-3
"""A quarter of a step of 8 bits. Below that, float32 leaves nothing but rounding."""
_LEAST_AGREEMENT = 0.05
"""Where structures nearly cancel one another, what is left of them is not made stronger than twenty times."""
_GLOBAL_SPREAD, _LOCAL_SPREAD = 0.2, 0.5


def patch_side(height: int, width: int) -> int:
    """The side of the patches of a picture, odd: 3 pixels up to a longest side of about 1,000, and 21 at 4,500.

    >>> patch_side(384, 512), patch_side(3000, 4500)
    (3, 21)
    """
    return max(3, 2 * int(max(height, width) * 21 / 4500 / 2) + 1)


class SPDMEF(nn.Module):
    """Photographs (B, 3, H, W), two or more, to the fused one (B, 3, H, W). There are no parameters.

    `patch` multiplies the side of the patches, and `exponent` is q.
    """

    def __init__(self, *, patch: float = 1.0, exponent: float = 3.0) -> None:
        super().__init__()
        self.patch = patch
        self.exponent = exponent

    def forward(self, *exposures: Tensor) -> Tensor:
        """The fused photograph, clamped from 0 to 1."""
        height, width = size = exposures[0].shape[-2:]
        side = max(3, 2 * int(self.patch * patch_side(height, width) / 2) + 1)
        levels = [photo.mean((1, 2, 3), keepdim=True) for photo in exposures]

        def fused(rows: slice, seen: slice) -> Tensor:
            strip = fuse_patches([photo[..., seen, :] for photo in exposures], levels, side, self.exponent)
            return strip.narrow(-2, rows.start - seen.start, rows.stop - rows.start)

        return by_strips(fused, size, exposures[0].device, margin=side - 1).clamp(0, 1)


def fuse_patches(exposures: Sequence[Tensor], levels: Sequence[Tensor], side: int, exponent: float) -> Tensor:
    """Fuse all patches of `side` x `side` pixels of photographs (B, 3, H, W), whose means are `levels` (B, 1, 1, 1)."""
    count = len(exposures)
    means = [box_mean(photo.mean(1, keepdim=True), side) for photo in exposures]
    # Half of the matrix suffices, since it is symmetric.
    covariances = {
        (i, j): box_mean((exposures[i] * exposures[j]).mean(1, keepdim=True), side) - means[i] * means[j]
        for i in range(count)
        for j in range(i, count)
    }
    contrasts = [covariances[k, k].clamp_min(_LEAST_CONTRAST**2).sqrt() for k in range(count)]
    largest = torch.cat(contrasts, 1).amax(1, keepdim=True)
    powers = [(contrast / largest) ** exponent for contrast in contrasts]
    total = torch.cat(powers, 1).sum(1, keepdim=True)
    shares = [power / (total * contrast) for power, contrast in zip(powers, contrasts, strict=True)]
    square = sum((1 if i == j else 2) * shares[i] * shares[j] * c for (i, j), c in covariances.items())
    scale = largest / torch.as_tensor(square).clamp_min(_LEAST_AGREEMENT**2).sqrt()
    gains = [scale * share for share in shares]
    weights = [
        torch.exp(-((level - 0.5) ** 2) / (2 * _GLOBAL_SPREAD**2) - (mean - 0.5) ** 2 / (2 * _LOCAL_SPREAD**2))
        for level, mean in zip(levels, means, strict=True)
    ]
    lights, counted = torch.zeros(()), torch.zeros(())
    for weight, mean in zip(weights, means, strict=True):
        lights, counted = lights + weight * mean, counted + weight
    rest = lights / counted
    for gain, mean in zip(gains, means, strict=True):
        rest = rest - gain * mean
    fused = box_mean(rest, side)
    for gain, photo in zip(gains, exposures, strict=True):
        fused = fused + box_mean(gain, side) * photo
    return fused


METHOD = Method(
    name="spdmef",
    title="SPD-MEF",
    paper="Ma et al., Structural Patch Decomposition, IEEE TIP 2017",
    origin="adapted",
    summary="The classic whose pictures people chose most often fuses patches by mean, contrast and structure.",
    architecture=SPDMEF,
    needs=Needs(planes=Planes.RGB, many=True, cheap=True),
)
