"""PyraMEF: its formula against the metric it comes from, its relaxation, its colours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fusion import color
from fusion.image import load_pair
from fusion.methods.mertens import exposure_fusion
from fusion.methods.pyramef import PyraMEF, carry_colour, gaussian, patch_statistics, pyramid
from fusion.metrics import mef_ssim as metric

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def desk() -> tuple[torch.Tensor, torch.Tensor]:
    """Both photographs, (1, 3, h, w), a quarter of the size."""
    pair = load_pair(EXAMPLES / "desk" / "under.png", EXAMPLES / "desk" / "over.png")
    under, over = (torch.nn.functional.avg_pool2d(photo[None], 4) for photo in (pair.under, pair.over))
    return under, over


def lumas_of(pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return torch.cat([color.luma(photo) for photo in pair], 1)


def test_gains_are_those_of_the_metric_wherever_there_is_contrast(desk: tuple[torch.Tensor, torch.Tensor]) -> None:
    lumas = lumas_of(desk)
    target = metric._target(lumas.double() * 255 - 128)  # pyright: ignore[reportPrivateUsage]
    gains = patch_statistics(lumas).log_gains.exp()[..., 5:-5, 5:-5]  # the metric's patches lie inside
    contrast = patch_statistics(lumas).log_contrasts.exp().amin(1, keepdim=True)[..., 5:-5, 5:-5]
    clear = (contrast > 2 / 255).expand_as(gains)
    assert bool(clear.float().mean() > 0.2)
    difference = (gains - target.gains.float().clamp_min(1e-4))[clear].abs()
    assert float(difference.quantile(0.99)) < 0.01


def test_the_formula_alone_is_better_than_mertens_and_relaxation_is_why(
    desk: tuple[torch.Tensor, torch.Tensor],
) -> None:
    lumas = lumas_of(desk)

    def quality(fused: torch.Tensor) -> float:
        return float(metric.mef_ssim(fused.clamp(0, 1), lumas[:, :1], lumas[:, 1:]))

    def untrained(relaxations: tuple[int, int]) -> float:
        torch.manual_seed(0)
        return quality(PyraMEF(relaxations=relaxations)(*lumas.split(1, 1)))

    with torch.inference_mode():
        relaxed, unrelaxed = untrained((6, 2)), untrained((0, 0))
        mertens = quality(color.luma(exposure_fusion(torch.stack(desk))))
    assert mertens < unrelaxed < relaxed


def test_two_equal_photographs_come_back(desk: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    middle = color.luma((desk[0] + desk[1]) / 2)
    with torch.inference_mode():
        fused = PyraMEF()(middle, middle)
    assert float((fused - middle).abs().mean()) < 0.02


def test_the_pyramid_ends_in_time() -> None:
    sides = [min(level.shape[-2:]) for level in pyramid(torch.rand(1, 2, 100, 300))]
    assert sides == [100, 50, 25, 13]
    assert len(pyramid(torch.rand(1, 2, 9, 40))) == 1


def test_gaussian_means_keep_constants_and_full_precision() -> None:
    flat = torch.full((1, 1, 20, 20), 0.7)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(gaussian(flat), flat, atol=1e-6)


def test_colour_is_kept_where_nothing_is_clipped() -> None:
    photo = torch.tensor([0.5, 0.3, 0.2])[None, :, None, None].expand(1, 3, 24, 24)
    fused = carry_colour(photo * 0.8, photo * 1.2, color.luma(photo))
    assert float((fused - photo).abs().max()) < 0.02


def test_a_clipped_colour_counts_less_than_a_whole_one() -> None:
    """Red that is clipped to white in one exposure stays red in the result."""
    red = torch.tensor([0.6, 0.2, 0.2])[None, :, None, None].expand(1, 3, 24, 24)
    fused = carry_colour(red, torch.ones_like(red), torch.full((1, 1, 24, 24), 0.5))
    assert float((fused[:, 0] - fused[:, 1]).mean()) > 0.3
