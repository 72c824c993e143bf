"""Hot pixels and drifting white balance are mended; stars, edges and ordinary brackets stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fusion.exposures.defects import repaired
from fusion.io.image import ExposurePair, as_pair
from tests.shared_session import load

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def bracket(seed: int = 0) -> list[torch.Tensor]:
    """Three exposures of a smooth scene with noise, (3, 120, 160) each."""
    rng = torch.Generator().manual_seed(seed)
    light = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 10, generator=rng), (120, 160), mode="bilinear")[0]
    frames = [((light + 0.055) * factor - 0.055).clamp(0, 1) for factor in (0.4, 0.65, 1.0)]  # sRGB of other exposures
    return [(frame + 0.002 * torch.randn(frame.shape, generator=rng)).clamp(0, 1) for frame in frames]


def test_hot_pixels_of_a_long_exposure_go() -> None:
    frames = bracket()
    places = torch.randperm(120 * 160, generator=torch.Generator().manual_seed(1))[:30]
    clean = frames[2].clone()
    frames[2].flatten(1)[:, places] = 1.0
    mended = repaired(as_pair(*frames)).frames[2]
    off = (mended - clean).flatten(1)[:, places].abs().amax(0)
    assert float(off.median()) < 0.03
    untouched = torch.ones(120 * 160, dtype=torch.bool)
    untouched[places] = False
    assert float((mended - frames[2]).flatten(1)[:, untouched].abs().max()) == 0


def test_stars_that_all_exposures_show_stay() -> None:
    frames = bracket()
    places = torch.randperm(120 * 160, generator=torch.Generator().manual_seed(1))[:30]
    for frame, value in zip(frames, (0.5, 0.75, 1.0), strict=True):
        frame.flatten(1)[:, places] = value
    assert repaired(as_pair(*frames)).notes == as_pair(*frames).notes


@pytest.mark.parametrize(
    "name", sorted(folder.name for folder in EXAMPLES.iterdir() if (folder / "under.png").exists())
)
def test_examples_are_left_alone(name: str) -> None:
    pair = as_pair(*(load(EXAMPLES / name / f"{side}.png").photo for side in ("under", "over")))
    assert repaired(pair) is pair


@pytest.mark.parametrize("drift", [0.12, 0.4])
def test_a_drifting_white_balance_is_evened_out(drift: float) -> None:
    frames = bracket()
    gains = torch.tensor([2**-drift, 1.0, 2**drift])[:, None, None]
    drifting = [
        frame if k == 1 else ((frame + 0.055) * gains ** (1 / 2.4) - 0.055).clamp(0, 1)
        for k, frame in enumerate(frames)
    ]
    mended = repaired(as_pair(*drifting))
    assert any("white balance" in note for note in mended.notes)

    def apart(pair: ExposurePair) -> float:
        return max(float((a - b)[:, b.amax(0) < 0.9].abs().mean()) for a, b in zip(pair.frames, frames, strict=True))

    assert apart(mended) < 0.25 * apart(as_pair(*drifting))


def test_white_stays_white() -> None:
    frames = bracket()
    gains = torch.tensor([0.75, 1.0, 1.3])[:, None, None] ** (1 / 2.4)
    frames[2] = ((frames[2] + 0.055) * gains - 0.055).clamp(0, 1)
    frames[2][:, :20] = 1.0
    mended = repaired(as_pair(*frames))
    assert any("white balance" in note for note in mended.notes)
    assert bool((mended.over[:, :20] == 1).all())
