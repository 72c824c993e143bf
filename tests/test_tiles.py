from __future__ import annotations

import numpy as np
import pytest
import torch

from fusion.tiles import mirror, pad_to_multiple, tiles


@pytest.mark.parametrize(("height", "width"), [(8, 8), (64, 64), (72, 200), (512, 520), (16, 1000)])
def test_cores_cover_every_pixel_once(height: int, width: int) -> None:
    seen = torch.zeros(height, width)
    for tile in tiles(height, width, 64, 24, 8):
        seen[tile.core_rows, tile.core_columns] += 1
    assert bool((seen == 1).all())


def test_a_tile_has_its_halo_and_starts_on_the_grid() -> None:
    for tile in tiles(400, 400, 64, 20, 8):
        for core, read in ((tile.core_rows, tile.rows), (tile.core_columns, tile.columns)):
            assert read.start % 8 == 0
            assert core.start - read.start == min(24, core.start)
            assert read.stop - core.stop == min(24, 400 - core.stop)


def test_inner_is_the_core_within_the_tile() -> None:
    picture = torch.arange(100.0 * 90).view(1, 100, 90)
    for tile in tiles(100, 90, 32, 5):
        part = picture[:, tile.rows, tile.columns]
        assert torch.equal(part[tile.inner], picture[:, tile.core_rows, tile.core_columns])


def test_a_side_off_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        tiles(64, 64, 60, 8, 8)


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_mirror_is_numpys_reflect(length: int) -> None:
    values = np.arange(length)
    padded = np.pad(values, 9, mode="reflect")
    assert mirror(torch.arange(-9, length + 9), length).tolist() == padded.tolist()


def test_padding_mirrors_at_the_far_sides_only() -> None:
    planes = torch.arange(12.0).view(1, 3, 4)
    padded = pad_to_multiple(planes, 8)
    expected = np.pad(planes.numpy(), ((0, 0), (0, 5), (0, 4)), mode="reflect")
    assert np.array_equal(padded.numpy(), expected)
    assert pad_to_multiple(planes, 1) is planes
