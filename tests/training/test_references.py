"""Scenes with a reference: how they are found, what a crop holds, and that a network learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fusion.errors import DatasetError
from fusion.io.image import save
from fusion.training.loop import train, trainee
from fusion.training.references import ReferenceCrops, find_references, load_brackets, whole


def ramp(low: float, high: float) -> Tensor:
    return torch.linspace(low, high, 80).expand(3, 64, 80)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Seven scenes with references, and a second dataset with one further pair of the first and one stranger."""
    references, more = tmp_path / "references", tmp_path / "more"
    for index in range(7):
        for end, picture in (("A", ramp(0, 0.3)), ("B", ramp(0.4, 1)), ("GT", ramp(0.1, 0.9))):
            file = references / f"s{index}" / f"s{index}_{end}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            save(picture, file)
    for name in ("s0-mod", "stranger"):
        (more / name).mkdir(parents=True)
        save(torch.nn.functional.interpolate(ramp(0.05, 0.4)[None], scale_factor=2)[0], more / name / "x_A.png")
        save(torch.nn.functional.interpolate(ramp(0.2, 0.8)[None], scale_factor=2)[0], more / name / "x_B.png")
    (references / "train_references.csv").write_text("train_folder,reference_folder\ns0,s0\ns0-mod,s0\n")
    return references, more


def test_the_list_adds_pairs_of_the_same_scenes(folders: tuple[Path, Path]) -> None:
    references, more = folders
    assert [pair.scene for pair in find_references(references)] == [f"s{i}" for i in range(7)]
    pairs = find_references(references, more)
    assert [pair.scene for pair in pairs] == [*(f"s{i}" for i in range(7)), "s0-mod"]
    assert pairs[-1].reference == pairs[0].reference


def test_pairs_of_one_reference_are_one_bracket_of_its_size(folders: tuple[Path, Path]) -> None:
    brackets = load_brackets(find_references(*folders))
    assert [len(bracket.dark) for bracket in brackets] == [2, 1, 1, 1, 1, 1, 1]
    assert {photo.shape for photo in (*brackets[0].dark, *brackets[0].bright)} == {brackets[0].reference.shape}


def test_a_scene_without_reference_is_named(folders: tuple[Path, Path]) -> None:
    references, more = folders
    with pytest.raises(DatasetError, match="scene s0-mod has no reference"):
        find_references(more)
    (references / "train_references.csv").write_text("train_folder,reference_folder\nnowhere,s0\n")
    with pytest.raises(DatasetError, match="names nowhere and s0"):
        find_references(references, more)


def test_crops_depend_on_seed_and_step_alone_and_are_ordered(folders: tuple[Path, Path]) -> None:
    pairs = find_references(*folders)
    crops, again, counts = ReferenceCrops(pairs, 32, 7), ReferenceCrops(pairs, 32, 7), set[int]()
    for step in range(40):
        exposures, reference = crops.batch(step, range(2))
        counts.add(len(exposures))
        assert {photo.shape for photo in (*exposures, reference)} == {(2, 3, 32, 32)}
        assert 0 <= float(reference.min()) <= float(reference.max()) <= 1
        if step % 10 == 0:
            assert all(torch.equal(a, b) for a, b in zip(exposures, again.batch(step, range(2))[0], strict=True))
    assert counts == {2, 3, 4}


def test_some_crops_have_nothing_to_fuse(folders: tuple[Path, Path]) -> None:
    """Equal exposures, and a black or a white one, with the photograph that is left as the reference."""
    crops = ReferenceCrops(find_references(*folders), 16, 0)
    drawn = [crops.batch(step, [0]) for step in range(400)]
    assert any(float(exposures[0].max()) < 0.05 for exposures, _ in drawn)
    assert any(float(exposures[-1].min()) > 0.95 for exposures, _ in drawn)
    equal = [float((exposures[0] - exposures[-1]).abs().mean()) < 0.02 for exposures, _ in drawn]
    assert 0.01 < np.mean(equal) < 0.1


def test_whole_pictures_are_reduced_not_cut(folders: tuple[Path, Path]) -> None:
    (under, over), reference = whole(find_references(*folders), 40)[0]
    assert under.shape == over.shape == reference.shape == (1, 3, 32, 40)
    assert float(under.mean()) < float(reference.mean()) < float(over.mean())


def test_a_network_learns_from_references(folders: tuple[Path, Path], tmp_path: Path) -> None:
    references, more = folders
    subject = trainee("virtual-bracket", crop=64, batch=1)
    facts = train(subject, more, tmp_path / "run", references=references, steps=2)
    assert facts["steps"] == 2
    assert (tmp_path / "run" / "best.safetensors").exists()
    changed = trainee("virtual-bracket").network.state_dict()
    assert any(not torch.equal(changed[key], value) for key, value in subject.network.state_dict().items())
