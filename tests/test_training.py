"""The loop: it learns, is interrupted and resumed without a trace, and what it ships loads."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from fusion import training, weights
from fusion.errors import DatasetError, FusionError, WeightsError
from fusion.training import train, trainee


def losses(run: Path) -> list[float]:
    with (run / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_iat_learns(dataset: Path, tmp_path: Path) -> None:
    facts = train(trainee("iat", crop=32, batch=2), dataset, tmp_path, steps=25)
    curve = losses(tmp_path)
    assert facts["steps"] == len(curve) == 25
    assert sum(curve[-5:]) < 0.8 * sum(curve[:5])


@pytest.mark.skipif(weights.missing("iat") is not None, reason="MambaMEF reads lumas that IAT corrected")
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(folder: str, **settings: Any) -> list[float]:
        train(trainee("mambamef", crop=48, batch=1), dataset, tmp_path / folder, steps=5, **settings)
        return losses(tmp_path / folder)

    whole = run("whole")
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_SAVES", 0.0)
    original = training._State.update  # pyright: ignore[reportPrivateUsage]

    def dies_at_step_3(self: Any, *arguments: Any) -> float:
        if self.step == 3:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(training._State, "update", dies_at_step_3)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(KeyboardInterrupt):
        run("killed")
    monkeypatch.setattr(training._State, "update", original)  # pyright: ignore[reportPrivateUsage]
    assert run("killed", resume=True) == whole


def test_the_best_network_ships(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    monkeypatch.setattr(weights.ship, "__defaults__", (tmp_path / "weights",))
    subject = trainee("iat", crop=32, batch=2)
    train(subject, dataset, tmp_path / "run", steps=2)
    training.ship(trainee("iat"), tmp_path / "run", {"data": "made up"})
    entry = weights.entries(tmp_path / "weights")["iat"]
    assert (entry["steps"], entry["data"], entry["parameters"]) == (2, "made up", 89_060)
    network = trainee("iat").network
    weights.load("iat", network, tmp_path / "weights")


def test_what_cannot_be_trained_is_said(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="mertens cannot be trained"):
        trainee("mertens")
    with pytest.raises(FusionError, match="What can: iat, mambamef"):
        trainee("nonsense")
    with pytest.raises(WeightsError, match="missing or damaged"):
        training.ship(trainee("iat"), tmp_path, {})
    with pytest.raises(DatasetError):
        train(trainee("iat"), tmp_path / "none", tmp_path, steps=1)


def test_a_checkpoint_of_another_network_is_refused(dataset: Path, tmp_path: Path) -> None:
    subject = trainee("iat", crop=32, batch=1)
    train(subject, dataset, tmp_path, steps=1)
    subject.network.register_parameter("extra", torch.nn.Parameter(torch.zeros(1)))
    with pytest.raises(WeightsError, match="another network"):
        train(subject, dataset, tmp_path, steps=2, resume=True)


@pytest.mark.parametrize(
    ("step", "steps", "seconds", "minutes", "share"),
    [(5, 10, 0.0, None, 0.5), (0, None, 30.0, 1.0, 0.5), (5, 10, 54.0, 1.0, 0.9)],
)
def test_the_budget(step: int, steps: int | None, seconds: float, minutes: float | None, share: float) -> None:
    assert training._spent(step, steps, seconds, minutes) == share  # pyright: ignore[reportPrivateUsage]
