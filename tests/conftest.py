"""Small things that several test files need."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fusion.image import save

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes of 96 x 80 in the layout `<scene>/*_A.png`, `*_B.png`."""
    folder = tmp_path_factory.mktemp("dataset")
    rng = torch.Generator().manual_seed(0)
    for index in range(6):
        scene = folder / f"scene{index}"
        scene.mkdir()
        coarse = torch.rand(1, 3, 12, 10, generator=rng)
        picture = torch.nn.functional.interpolate(coarse, (96, 80), mode="bicubic")[0].clamp(0, 1)
        save(picture * 0.3, scene / f"{index}_A.png")
        save(picture * 0.6 + 0.4, scene / f"{index}_B.png")
    return folder
