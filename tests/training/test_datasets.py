from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fusion.errors import DatasetError
from fusion.training.datasets import Crops, PairFiles, centres, find_pairs, split


def test_scenes_are_found_whatever_the_case(dataset: Path, tmp_path: Path) -> None:
    assert [pair.scene for pair in find_pairs(dataset)] == [f"scene{i}" for i in range(6)]
    for name in ("sky_a.TIF", "sky_B.JPG", "sky.jpg", "._sky_a.TIF"):
        (tmp_path / "sky").mkdir(exist_ok=True)
        (tmp_path / "sky" / name).touch()
    assert [(p.under.name, p.over.name) for p in find_pairs(tmp_path)] == [("sky_a.TIF", "sky_B.JPG")]


def test_scenes_may_be_called_as_the_examples_are(tmp_path: Path) -> None:
    for name in ("one/under.png", "one/over.png", "one/reference.png", "one/under_B.txt.png", "two/Under.JPG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=r"scene two has 1 pictures called under or \*_A and 0"):
        find_pairs(tmp_path)
    (tmp_path / "two" / "two_B.png").touch()  # the two ways may be mixed
    files = [(p.under.name, p.over.name, p.reference and p.reference.name) for p in find_pairs(tmp_path)]
    assert files == [("under.png", "over.png", "reference.png"), ("Under.JPG", "two_B.png", None)]


def test_a_scene_with_two_pictures_for_one_is_refused(tmp_path: Path) -> None:
    for name in ("under.png", "x_A.png", "over.png"):
        (tmp_path / "scene").mkdir(exist_ok=True)
        (tmp_path / "scene" / name).touch()
    with pytest.raises(DatasetError, match="scene scene has 2 pictures called under"):
        find_pairs(tmp_path)


def test_folders_of_another_layout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not a folder"):
        find_pairs(tmp_path / "none")
    with pytest.raises(DatasetError, match=r"no pairs were found in .*<scene>/under\.\*.*/MEFB"):
        find_pairs(tmp_path)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "x_A.png").touch()
    with pytest.raises(DatasetError, match=r"scene half has 1 pictures called under or \*_A and 0"):
        find_pairs(tmp_path)


def test_a_scene_is_never_on_both_sides() -> None:
    names = [f"s{i:03d}{twin}" for i in range(100) for twin in ("", "-mod")]
    pairs = [PairFiles(name, Path(), Path()) for name in names]
    fit, held_out = split(pairs)
    assert len(held_out) == 4  # two scenes and their moderate twins
    assert {p.scene.removesuffix("-mod") for p in fit}.isdisjoint(p.scene.removesuffix("-mod") for p in held_out)
    assert len(fit) + len(held_out) == 200


def test_crops_depend_on_seed_and_step_alone(dataset: Path) -> None:
    pairs = find_pairs(dataset)
    crops, again = Crops(pairs, 32, 2.0, 7), Crops(pairs, 32, 2.0, 7)
    crops.batch(0, range(2))
    for step in (3, 4):
        (chosen, under, over), (chosen2, under2, over2) = crops.batch(step, range(4)), again.batch(step, range(4))
        assert chosen == chosen2
        assert torch.equal(under, under2)
        assert torch.equal(over, over2)
    assert not torch.equal(crops.batch(3, range(4))[1], crops.batch(4, range(4))[1])


def test_both_crops_show_the_same_place(dataset: Path) -> None:
    _, under, over = Crops(find_pairs(dataset), 48, 1.5, 0).batch(0, range(8))
    # The scenes were made so that over = 2 under + 0.4, each rounded to 8 bits and then, perhaps, averaged.
    assert under.shape == (8, 3, 48, 48)
    assert float((over - (2 * under + 0.4)).abs().max()) < 3 / 255


def test_centres(dataset: Path) -> None:
    under, over = centres(find_pairs(dataset)[:2], 64)
    assert under.shape == over.shape == (2, 3, 64, 64)
