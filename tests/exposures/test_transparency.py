"""Transparent parts of exposures count for nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from fusion.exposures.transparency import filled, largest_rectangle
from fusion.io.image import ExposurePair
from fusion.pipeline import Session
from fusion.settings import Settings
from tests.shared_session import load_pair


def scene(height: int = 60, width: int = 80) -> torch.Tensor:
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic")[0].clamp(0, 1)


def test_an_opaque_bracket_stays_as_it_is() -> None:
    pair = ExposurePair(scene() / 4, scene())
    assert filled(pair) is pair


def test_what_is_transparent_comes_from_the_next_exposure() -> None:
    light, mask = scene(), torch.ones(60, 80, dtype=torch.bool)
    mask[:, :20] = False
    pair = filled(ExposurePair(light / 4 * mask, light, between=(light / 2,), masks=(mask, None, None)))
    assert torch.equal(pair.under[:, :, :20], light[:, :, :20] / 2)
    assert torch.equal(pair.under[:, :, 40:], light[:, :, 40:] / 4)
    assert pair.notes == ("Transparent parts of the exposures were taken from the other exposures.",)
    assert pair.masks == ()


def test_what_no_exposure_shows_is_cropped() -> None:
    light, mask = scene(), torch.ones(60, 80, dtype=torch.bool)
    mask[:, :20] = mask[:5] = False
    pair = filled(ExposurePair(light / 4, light, masks=(mask, mask)))
    assert pair.size == (55, 60)
    assert torch.equal(pair.over, light[:, 5:, 20:])


def test_the_largest_rectangle() -> None:
    shown = np.ones((500, 700), bool)
    shown[:40, :650] = False
    shown[300, 10] = False
    rows, columns = largest_rectangle(shown)
    assert shown[rows, columns].all()
    height, width = rows.stop - rows.start, columns.stop - columns.start
    assert height * width >= 0.97 * 460 * 689


def test_files_are_filled_before_they_are_fused(tmp_path: Path) -> None:
    light = (scene(120, 160).permute(1, 2, 0).numpy() * 0.6 + 0.2) * 65535
    for name, gain, rim in (("a.tif", 0.6, 0), ("b.tif", 1.0, 24)):
        pixels = np.dstack((light * gain, np.full((120, 160), 65535)))
        pixels[:, :rim] = 0
        assert cv2.imwrite(str(tmp_path / name), np.rint(pixels).astype(np.uint16))
    pair = load_pair(tmp_path / "a.tif", tmp_path / "b.tif")
    assert pair.masks[0] is None
    assert pair.masks[1] is not None
    with Session("cpu") as session:
        prepared = session.prepare([tmp_path / "b.tif", tmp_path / "a.tif"], Settings(align=False)).pair
    assert torch.equal(prepared.over[..., :24], pair.under[..., :24])
    assert torch.equal(prepared.over[..., 40:], pair.over[..., 40:])
