"""SPD-MEF against a plain loop over its patches."""

from __future__ import annotations

import numpy as np
import torch

from fusion.methods.spdmef import SPDMEF, patch_side


def by_patches(exposures: list[np.ndarray], side: int, q: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """The sum of all fused patches that lie inside the picture, and how many hold each pixel. Frames are (3, H, W)."""
    _, height, width = exposures[0].shape
    total, count = np.zeros_like(exposures[0]), np.zeros((height, width))
    for top in range(height - side + 1):
        for left in range(width - side + 1):
            here = (slice(None), slice(top, top + side), slice(left, left + side))
            patches = [photo[here] for photo in exposures]
            means = np.array([patch.mean() for patch in patches])
            contrasts = np.maximum([patch.std() for patch in patches], 1e-3)
            weights = contrasts**q / (contrasts**q).sum()
            shares = zip(weights, patches, means, contrasts, strict=True)
            structure = np.sum([w * (x - m) / c for w, x, m, c in shares], axis=0)
            structure = structure / max(float(np.sqrt((structure**2).mean())), 0.05)
            lights = np.exp(
                -((np.array([photo.mean() for photo in exposures]) - 0.5) ** 2) / (2 * 0.2**2)
                - (means - 0.5) ** 2 / (2 * 0.5**2)
            )
            total[here] += contrasts.max() * structure + (lights * means).sum() / lights.sum()
            count[here[1:]] += 1
    return total / np.maximum(count, 1), count


def test_it_equals_a_loop_over_patches() -> None:
    rng = np.random.default_rng(0)
    scene = rng.random((3, 24, 20))
    exposures = [np.clip(scene * factor + 0.05 * rng.random(scene.shape), 0, 1) for factor in (0.3, 0.8, 1.6)]
    fused = SPDMEF()(*(torch.from_numpy(photo)[None].double() for photo in exposures))[0].numpy()
    expected, count = by_patches(exposures, 3)
    inside = count == 9  # all patches that hold the pixel lie inside the picture
    inside[[2, -3]], inside[:, [2, -3]] = False, False
    assert inside.sum() > 200
    assert np.abs(fused - expected.clip(0, 1))[:, inside].max() < 1e-6


def test_flat_pictures_stay_flat() -> None:
    levels = [0.0, 0.4, 1.0]
    fused = SPDMEF()(*(torch.full((1, 3, 32, 32), level) for level in levels))
    assert float(fused.std()) < 1e-6
    assert 0.35 < float(fused.mean()) < 0.6


def test_patches_grow_with_the_picture() -> None:
    assert [patch_side(side, side // 2) for side in (16, 512, 768, 1200, 3000, 6000)] == [3, 3, 3, 5, 15, 29]
