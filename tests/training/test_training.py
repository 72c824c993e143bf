"""The loop: it learns, is interrupted and resumed without a trace, and what it ships loads."""

from __future__ import annotations

import csv
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fusion.errors import DatasetError, FusionError, WeightsError
from fusion.runtime import weights
from fusion.training import loop
from fusion.training.log import read
from fusion.training.loop import train, trainee

ROOT = Path(__file__).resolve().parents[2]


def losses(run: Path) -> list[float]:
    with (run / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_iat_learns(dataset: Path, tmp_path: Path) -> None:
    facts = train(trainee("iat", crop=32, batch=2), dataset, tmp_path, steps=25)
    curve = losses(tmp_path)
    assert facts["steps"] == len(curve) == 25
    assert sum(curve[-5:]) < 0.8 * sum(curve[:5])


STEPS = 240


def train_in_a_child(data: Path, run: Path) -> None:
    """What the killed child runs: many checkpoints, each step short."""
    subject = trainee("meflut", crop=48, batch=2)
    train(subject, data, run, steps=STEPS, resume=True, seconds_between_saves=0.02)


def test_killed_twenty_times_it_goes_on_as_if_nothing_had_been(dataset: Path, tmp_path: Path) -> None:
    train_in_a_child(dataset, tmp_path / "whole")
    whole = losses(tmp_path / "whole")
    assert len(whole) == STEPS

    # Children fork from a server that has torch loaded, and what its optimisers load: they reach their first step
    # within a fraction of a second.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fusion.training.loop", "accelerate", "tqdm", "torch._dynamo"])
    rng, kills, run = random.Random(0), 0, tmp_path / "killed"
    checkpoint = run / "checkpoint.safetensors"
    deadline = time.monotonic() + 180
    while kills < 20 and time.monotonic() < deadline:
        child = context.Process(target=train_in_a_child, args=(dataset, run))
        child.start()
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while child.is_alive() and (checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0) == before:
            time.sleep(0.005)  # some kills before, most after it has gone on by at least one checkpoint
            if kills % 5 == 0 and rng.random() < 0.02:
                break
        time.sleep(rng.uniform(0, 0.05))
        child.kill()
        child.join()
        kills += child.exitcode == -signal.SIGKILL
        if child.exitcode == 0:
            break  # it came to its end before it could be killed
    train_in_a_child(dataset, run)
    assert kills == 20
    assert losses(run) == whole


def test_two_processes_equal_one_with_twice_the_batch(dataset: Path, tmp_path: Path) -> None:
    def run(folder: str, processes: int, batch: int) -> dict[str, torch.Tensor]:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = ["train", "deepfuse", "--data", str(dataset), "--out", str(tmp_path / folder), "--steps=3"]
        command += [f"--batch={batch}", "--crop=48", "--full-precision"]
        environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        arguments = [*launcher, "-m", "fusion", *command]
        subprocess.run(arguments, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=240)
        return load_file(tmp_path / folder / "checkpoint.safetensors")

    with ThreadPoolExecutor() as both:
        one, two = both.map(run, ("one", "two"), (1, 2), (4, 2))
    assert losses(tmp_path / "one") == pytest.approx(losses(tmp_path / "two"), rel=1e-4)
    start = trainee("deepfuse").network.state_dict()
    moved, apart = 0.0, 0.0
    for key, value in start.items():
        moved += float((one[f"network.{key}"] - value).square().sum())
        apart += float((one[f"network.{key}"] - two[f"network.{key}"]).square().sum())
    # Adam divides by the gradient's own size: where that is nearly zero, rounding decides. Hence a norm over all.
    assert moved > 0
    assert apart < 1e-3 * moved


def test_the_log_and_its_picture(dataset: Path, tmp_path: Path) -> None:
    train(trainee("meflut", crop=48, batch=1), dataset, tmp_path, steps=4)
    rows = read(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["held_out"]) > 0
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_shipped_weights_can_be_trained_further() -> None:
    fresh, shipped = (trainee("iat", shipped=start).network.state_dict() for start in (False, True))
    assert any(not torch.equal(fresh[key], shipped[key]) for key in fresh)


def test_the_best_network_ships(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_WEIGHTS", str(tmp_path / "weights"))
    subject = trainee("iat", crop=32, batch=2)
    train(subject, dataset, tmp_path / "run", steps=2)
    loop.ship(trainee("iat"), tmp_path / "run", {"data": "made up"})
    entry = weights.entries(tmp_path / "weights")["iat"]
    assert (entry["steps"], entry["data"], entry["parameters"]) == (2, "made up", 89_060)
    network = trainee("iat").network
    weights.load("iat", network, tmp_path / "weights")


def test_what_cannot_be_trained_is_said(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="mertens cannot be trained"):
        trainee("mertens")
    with pytest.raises(FusionError, match="What can: iat, virtual-bracket, pyramef"):
        trainee("nonsense")
    with pytest.raises(WeightsError, match="missing or damaged"):
        loop.ship(trainee("iat"), tmp_path, {})
    with pytest.raises(DatasetError):
        train(trainee("iat"), tmp_path / "none", tmp_path, steps=1)


def test_a_checkpoint_of_another_network_is_refused(dataset: Path, tmp_path: Path) -> None:
    subject = trainee("iat", crop=32, batch=1)
    train(subject, dataset, tmp_path, steps=1)
    subject.network.register_parameter("extra", torch.nn.Parameter(torch.zeros(1)))
    with pytest.raises(WeightsError, match="belongs to another network"):
        train(subject, dataset, tmp_path, steps=2, resume=True)


@pytest.mark.parametrize(
    ("step", "steps", "seconds", "minutes", "share"),
    [(5, 10, 0.0, None, 0.5), (0, None, 30.0, 1.0, 0.5), (5, 10, 54.0, 1.0, 0.9)],
)
def test_the_budget(step: int, steps: int | None, seconds: float, minutes: float | None, share: float) -> None:
    assert loop._spent(step, steps, seconds, minutes) == share  # pyright: ignore[reportPrivateUsage]
