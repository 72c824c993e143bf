"""PyraMEF: its formula against the metric it comes from, its relaxation, its colours."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean

import pytest
import torch

from fusion.io import colour
from fusion.io.image import ExposurePair, as_pair
from fusion.methods.exposed_colour import carry_colour
from fusion.methods.mertens import exposure_fusion
from fusion.methods.patch_structure import gaussian, patch_statistics
from fusion.methods.pyramef import PyraMEF, pyramid
from fusion.metrics import mef_ssim as metric
from fusion.pipeline import fuse_pair
from tests.shared_session import load_pair

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def desk() -> tuple[torch.Tensor, torch.Tensor]:
    """Both photographs, (1, 3, h, w), a quarter of the size."""
    pair = load_pair(EXAMPLES / "desk" / "under.png", EXAMPLES / "desk" / "over.png")
    under, over = (torch.nn.functional.avg_pool2d(photo[None], 4) for photo in (pair.under, pair.over))
    return under, over


def lumas_of(pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return torch.cat([colour.luma(photo) for photo in pair], 1)


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
        mertens = quality(colour.luma(exposure_fusion(torch.stack(desk))))
    assert mertens < unrelaxed < relaxed


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_metric_of_many_is_that_of_a_loop_over_patches(count: int) -> None:
    rng = torch.Generator().manual_seed(1)
    fused, *sources = (torch.rand(20, 20, generator=rng, dtype=torch.float64) for _ in range(count + 1))
    fused = (fused + 2 * sources[-1]) / 3
    sources[0][:12] = 0.3  # flat
    window = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    weight = torch.outer(window, window) / window.sum() ** 2

    def moment(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((weight * a * b).sum() - (weight * a).sum() * (weight * b).sum())

    scores: list[float] = []
    for y in range(10):
        for x in range(10):
            here = slice(y, y + 11), slice(x, x + 11)
            around = [255 * (source[here] - source[here].mean()) for source in sources]
            contrasts = [float(patch.norm()) + 1e-3 for patch in around]
            together = sum(around, torch.zeros(11, 11, dtype=torch.float64))
            agreement = float(together.norm()) / sum(float(patch.norm()) for patch in around)
            power = min(max(math.tan(math.pi / 2 * min(agreement, 1)), 0), 10)
            shares = [(contrast / 11) ** power for contrast in contrasts]
            structures = [s / sum(shares) / c * patch for s, c, patch in zip(shares, contrasts, around, strict=True)]
            structure = sum(structures, torch.zeros_like(together))
            target = max(contrasts) * structure / structure.norm()
            own = 255 * fused[here]
            score = (2 * moment(target, own) + 58.5225) / (moment(target, target) + moment(own, own) + 58.5225)
            scores.append(score)
    planes = (plane[None, None] for plane in (fused, *sources))
    assert float(metric.mef_ssim(*planes)) == pytest.approx(fmean(scores), abs=1e-6)


def test_a_batch_of_brackets_is_fused_one_by_one(desk: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    network = PyraMEF()
    dark, bright = lumas_of(desk).split(1, 1)
    bracket = [torch.cat((frame, frame.flip(-1))) for frame in (dark, (dark + bright) / 2, bright)]
    with torch.inference_mode():
        together = network(*bracket)
        alone = torch.cat([network(*(frame[k : k + 1] for frame in bracket)) for k in (0, 1)])
    assert torch.allclose(together, alone, atol=1e-4)


def test_four_at_once_keep_more_of_all_than_step_by_step(desk: tuple[torch.Tensor, torch.Tensor]) -> None:
    frames = [(desk[0][0] * 4**k).clamp(0, 1) for k in range(4)]
    at_once = fuse_pair(as_pair(*frames), "pyramef")
    step_by_step = frames[-1]
    for frame in reversed(frames[:-1]):
        step_by_step = fuse_pair(ExposurePair(frame, step_by_step), "pyramef")
    seen = [colour.luma(photo)[None] for photo in frames]

    def quality(photo: torch.Tensor) -> float:
        return float(metric.mef_ssim(colour.luma(photo)[None], *seen))

    assert quality(at_once) > quality(step_by_step) + 0.005


def test_two_equal_photographs_come_back(desk: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    middle = colour.luma((desk[0] + desk[1]) / 2)
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
    fused = carry_colour((photo * 0.8, photo * 1.2), colour.luma(photo))
    assert float((fused - photo).abs().max()) < 0.02


def test_a_clipped_colour_counts_less_than_a_whole_one() -> None:
    """Red that is clipped to white in one exposure stays red in the result."""
    red = torch.tensor([0.6, 0.2, 0.2])[None, :, None, None].expand(1, 3, 24, 24)
    fused = carry_colour((red, torch.ones_like(red)), torch.full((1, 1, 24, 24), 0.5))
    assert float((fused[:, 0] - fused[:, 1]).mean()) > 0.3
