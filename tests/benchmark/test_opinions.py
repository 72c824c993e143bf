"""The experiment on people's opinions: its figures by hand, and what it says of folders that it cannot use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion.benchmark.experiments import opinions
from fusion.benchmark.experiments.opinions import agreement, by_algorithm, find_opinions, left_out, ordered
from fusion.errors import DatasetError
from fusion.io.image import save
from fusion.metrics.score import Terms


def write(folder: Path, scores: dict[str, dict[str, float]], exposures: int = 3) -> Path:
    """Scenes whose exposures are ever brighter and whose fused pictures are grey."""
    for scene, given in scores.items():
        for kind, names in (("exposures", map(str, range(exposures))), ("fused", given)):
            (folder / scene / kind).mkdir(parents=True)
            for index, name in enumerate(names):
                rng = torch.Generator().manual_seed(index)
                save(torch.rand(3, 24, 32, generator=rng) / (4 - index % 4), folder / scene / kind / f"{name}.png")
    lines = [f"{scene},{name},{mos}" for scene, given in scores.items() for name, mos in given.items()]
    (folder / "scores.csv").write_text("\n".join(["scene,algorithm,mos", *lines]))
    return folder


GIVEN = {"a": {"x": 2.0, "y": 5.0, "z": 7.5}, "b": {"x": 3.0, "y": 4.0, "z": 9.0}}


def test_scenes_are_read_with_their_scores(tmp_path: Path) -> None:
    first, second = find_opinions(write(tmp_path, GIVEN))
    assert (first.name, second.name, len(first.exposures)) == ("a", "b", 3)
    assert first.scores == GIVEN["a"]
    assert [pixels.shape for pixels in first.pictures.values()] == [(24, 32, 3)] * 3
    assert by_algorithm([first, second])["a"].tolist() == [3, 4, 9]


def test_an_algorithm_of_one_scene_alone_is_as_good_as_the_others(tmp_path: Path) -> None:
    first, second = find_opinions(write(tmp_path, {"a": {**GIVEN["a"], "w": 6.0}, "b": GIVEN["b"]}))
    assert by_algorithm([first, second])["a"].tolist() == pytest.approx([3, 4, 9, 16 / 3])


def test_the_tables_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opinions.main(write(tmp_path, GIVEN))
    printed = capsys.readouterr().out
    assert "| Score | `score` |" in printed
    assert "## All exposures" in printed
    assert "the algorithm's name alone* | 1.000" in printed


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "a/fused/y.png").unlink(), "has no picture of y"),
    (lambda folder: (folder / "scores.csv").unlink(), "is missing, or is no table"),
    (lambda folder: (folder / "scores.csv").write_text("scene,algorithm,mos\na,x,high\n"), "is no table"),
    (lambda folder: (folder / "scores.csv").write_text("scene,algorithm,mos\na,x,11\n"), "go from 1 to 10"),
    (
        lambda folder: (folder / "scores.csv").write_text("scene,algorithm,mos\na,x,2\na,y,3\na,z,4\n"),
        "two or more",
    ),
    (lambda folder: [(folder / f"a/exposures/{i}.png").unlink() for i in (1, 2)], "a scene needs two"),
    (lambda folder: save(torch.rand(3, 24, 30), folder / "a/fused/y.png"), "differ in size"),
]


@pytest.mark.parametrize(("spoil", "said"), SPOILT)
def test_a_folder_that_cannot_be_used_gives_a_sentence(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    folder = write(tmp_path, GIVEN)
    spoil(folder)
    with pytest.raises(DatasetError, match=said):
        find_opinions(folder)


def test_agreement_by_hand() -> None:
    spearman, kendall = agreement(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3]))
    assert spearman == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert kendall == pytest.approx((5 - 1) / 6)
    assert agreement(np.ones(4), np.arange(4.0)) == (0, 0)


def test_exponents_are_chosen_without_the_scene_that_they_are_tried_on() -> None:
    """Two scenes follow structure and one follows colour, so that the others' choice is wrong for that one."""
    structure = [Terms(value, 1 - value, 0.5, 1, 1) for value in (0.2, 0.4, 0.6)]
    colour = [Terms(1 - value, value, 0.5, 1, 1) for value in (0.2, 0.4, 0.6)]
    people = dict.fromkeys("abc", np.arange(3.0))
    values, _ = left_out({"a": structure, "b": structure, "c": colour}, people)
    assert agreement(values["c"], people["c"])[0] == -1


def test_pairs_are_counted_by_the_difference_of_their_scores() -> None:
    shares = ordered({"a": np.array([10.0, 10.5, 20])}, {"a": np.array([2.0, 1, 3])})
    assert shares == [(0, 1), (0, 0), (0, 0), (1, 2)]
