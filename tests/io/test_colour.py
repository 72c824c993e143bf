from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from fusion.io.colour import chroma, fit_gamut, luma, merge_chroma, to_rgb


def test_luma_and_chroma_are_those_of_opencv() -> None:
    photo = torch.rand(3, 9, 11)
    theirs = cv2.cvtColor(photo.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2YCrCb)
    ours = torch.cat((luma(photo), chroma(photo).flip(0))).permute(1, 2, 0).numpy()
    # OpenCV rounds its factors to three digits: 0.713 for 0.5 / 0.701.
    assert np.abs(ours - theirs).max() < 5e-4


def test_to_rgb_is_the_inverse() -> None:
    photo = torch.rand(2, 3, 5, 7)
    assert torch.allclose(to_rgb(luma(photo), chroma(photo)), photo, atol=1e-6)


def test_greys_have_neutral_chroma() -> None:
    assert torch.allclose(chroma(torch.full((3, 2, 2), 0.3)), torch.full((2, 2, 2), 0.5), atol=1e-7)


@pytest.mark.parametrize(
    ("a", "b", "merged"),
    [
        (0.5, 0.5, 0.5),  # both neutral
        (0.5, 0.7, 0.7),  # the colourful one alone counts
        (0.4, 0.7, 0.5 + (-0.1 * 0.1 + 0.2 * 0.2) / 0.3),  # by hand, from the formula
        (0.4, 0.6, 0.5),  # opposite and equally strong
    ],
)
def test_merged_chroma(a: float, b: float, merged: float) -> None:
    planes = merge_chroma(torch.full((2, 1, 1), a), torch.full((2, 1, 1), b))
    assert planes.flatten().tolist() == pytest.approx([merged, merged], abs=1e-6)


def test_merged_chroma_of_three() -> None:
    planes = [torch.full((2, 1, 1), level) for level in (0.4, 0.7, 0.9)]
    wanted = 0.5 + (-(0.1**2) + 0.2**2 + 0.4**2) / 0.7
    assert merge_chroma(*planes).flatten().tolist() == pytest.approx([wanted, wanted], abs=1e-6)


def test_colours_that_do_not_fit_lose_saturation_not_luma() -> None:
    rng = torch.Generator().manual_seed(0)
    y, cbcr = torch.rand(1, 20, 30, generator=rng), torch.rand(2, 20, 30, generator=rng)
    fitted, plain = fit_gamut(y, cbcr), to_rgb(y, cbcr)
    assert float(fitted.min()) >= -1e-6
    assert float(fitted.max()) <= 1 + 1e-6
    assert torch.allclose(luma(fitted), y, atol=1e-5)
    fits = ((plain >= 0) & (plain <= 1)).all(0)
    assert bool(fits.any())
    assert torch.allclose(fitted[:, fits], plain[:, fits], atol=1e-5)
    grey = fit_gamut(torch.tensor([[[1.2, -0.1]]]), torch.full((2, 1, 2), 0.7))
    assert torch.allclose(grey, torch.tensor([1.2, -0.1]).expand(3, 1, 2), atol=1e-6)
