from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fusion.runtime.tiles import extend, in_tiles, mirror, tile_grid


@pytest.mark.parametrize(("height", "width"), [(8, 8), (64, 64), (72, 200), (512, 520), (16, 1000)])
def test_tiles_cover_every_pixel_once(height: int, width: int) -> None:
    seen = torch.zeros(height, width)
    for tile in tile_grid(height, width, 64, 24):
        seen[tile.rows, tile.columns] += 1
    assert bool((seen == 1).all())


@pytest.mark.parametrize(("height", "width"), [(100, 90), (32, 32), (7, 200)])
def test_each_tile_is_read_with_its_surroundings(height: int, width: int) -> None:
    """The mean over three pixels on every side is the same in tiles as on the whole picture."""
    picture = torch.rand(1, 1, height, width)

    def mean(part: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(part, 7, stride=1, padding=3, count_include_pad=True)[0]

    whole = mean(extend(picture, 3))[:, 3:-3, 3:-3]
    assert torch.allclose(in_tiles(picture, mean, side=32, halo=3), whole, atol=1e-6)
    with_less = in_tiles(picture, mean, side=32, halo=0)
    assert not torch.allclose(with_less, whole, atol=1e-3)


def test_every_tile_lies_on_the_grid() -> None:
    """The means of 8 x 8 squares are the same as on the whole picture only if tiles lie on that grid."""
    picture = torch.rand(2, 1, 83, 130)

    def squares(part: Tensor) -> Tensor:
        means = torch.nn.functional.avg_pool2d(part[:1], 8)
        return means.repeat_interleave(8, -2).repeat_interleave(8, -1)[0]

    whole = squares(extend(picture, 0, 8))[:, :83, :130]
    assert torch.allclose(in_tiles(picture, squares, side=32, halo=3, multiple_of=8), whole)


def test_a_side_off_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        in_tiles(torch.zeros(1, 1, 64, 64), lambda part: part[0], side=60, halo=8, multiple_of=8)


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_mirror_is_numpys_reflect(length: int) -> None:
    values = np.arange(length)
    padded = np.pad(values, 9, mode="reflect")
    assert mirror(torch.arange(-9, length + 9), length).tolist() == padded.tolist()


def test_extending_mirrors_on_all_sides_and_fills_up_the_far_ones() -> None:
    planes = torch.arange(12.0).view(1, 3, 4)
    expected = np.pad(planes.numpy(), ((0, 0), (2, 7), (2, 6)), mode="reflect")
    assert np.array_equal(extend(planes, 2, 8).numpy(), expected)
    assert extend(planes, 0) is planes
