"""The command line as a user calls it: what is printed where, exit codes, and sentences instead of tracebacks."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fusion.cli import main
from fusion.io.image import save
from fusion.metrics import BENCHMARK
from fusion.pipeline import fuse
from fusion.runtime import memory, weights
from fusion.training.loop import trainable
from tests.shared_session import load_pair

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pair(dataset: Path) -> list[str]:
    return [str(dataset / "scene0" / f"0_{end}.png") for end in "AB"]


def printed(capsys: pytest.CaptureFixture[str]) -> object:
    return json.loads(capsys.readouterr().out)


def test_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--json"]) == 0
    rows = printed(capsys)
    assert isinstance(rows, list)
    assert [set(row) for row in rows] == [
        {"name", "title", "paper", "parameters", "available", "reason", "options"}
    ] * len(rows)
    assert {"mambamef", "mertens", "mertens-torch"} <= {row["name"] for row in rows}
    assert all(row["available"] == (row["reason"] is None) for row in rows)


def test_fuse_writes_what_the_library_gives(pair: list[str], tmp_path: Path) -> None:
    assert main(["fuse", *pair, "-m", "mertens", "-o", str(tmp_path / "a.png")]) == 0
    save(fuse(*pair, method="mertens"), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_fuse_to_16_bits(pair: list[str], tmp_path: Path) -> None:
    assert main(["fuse", *pair, "-m", "mertens", "-o", str(tmp_path / "a.png"), "--bits", "16"]) == 0
    other = tmp_path / "darker.png"
    save(torch.zeros(3, 96, 80), other)
    deep = load_pair(other, tmp_path / "a.png")
    assert deep.bits == 16
    assert float((deep.over - fuse(*pair, method="mertens")).abs().max()) <= 0.5 / 65535 + 1e-6


def test_compare(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *pair, "-m", "mertens,mertens-torch", "-o", str(tmp_path), "--json"]) == 0
    rows = printed(capsys)
    with (tmp_path / "metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    assert isinstance(rows, list)
    assert [row["method"] for row in rows] == [row["method"] for row in table] == ["mertens", "mertens-torch"]
    assert float(table[0]["mef_ssim"]) == pytest.approx(rows[0]["mef_ssim"], abs=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {
        "mertens.png",
        "mertens-torch.png",
        "metrics.csv",
        "contact.png",
    }


def test_a_profile_says_where_the_seconds_went(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *pair, "-m", "mertens,meflut", "-o", str(tmp_path), "--profile", "--mode", "fast"]) == 0
    said = capsys.readouterr().err
    for step in (
        "reading and aligning",
        "correcting the exposure",
        "mertens: fusing",
        "meflut: measuring",
        "meflut: saving",
    ):
        assert re.search(rf"\d\.\d{{3}} s  {step}\n", said), step


def test_the_memory_that_networks_may_use(pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets: list[int | None] = []
    budget = memory.budget

    def noted(megabytes: int | None = None) -> int:
        budgets.append(megabytes)
        return budget(megabytes)

    monkeypatch.setattr(memory, "budget", noted)
    out = str(tmp_path / "out.png")
    assert main(["fuse", *pair, "-m", "pyramef", "-o", out, "--memory-mb", "700"]) == 0
    assert set(budgets) == {700}


def test_metrics(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fuse", *pair, "-m", "mertens", "-o", str(tmp_path / "a.png")])
    assert main(["metrics", *pair, str(tmp_path / "a.png"), "--json"]) == 0
    scores = printed(capsys)
    assert isinstance(scores, dict)
    assert list(scores) == [metric.name for metric in BENCHMARK]


def test_flops_of_a_convolution_by_hand() -> None:
    """LightFuse-like counts are easy to get wrong by 2: a 3 x 3 convolution of 1 to 4 channels on 512 x 512."""
    from torch import nn

    from fusion.benchmark.evaluation import FLOPS_SIDE, flops
    from fusion.methods.base import Method, Planes

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)

        def forward(self, under: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
            return self.conv(under) + over

    method = Method("tiny", "Tiny", "none", faithful=True, summary="Tiny.", build=Tiny, planes=Planes.LUMA)
    assert flops(method) == 2 * 9 * 4 * FLOPS_SIDE**2


def test_training_in_one_line(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--data", str(dataset), "--out", str(tmp_path), "--crop", "32", "--batch", "1", "--json"]
    assert main(["train", "iat", *run, "--steps", "2"]) == 0
    assert main(["train", "iat", *run, "--steps", "3", "--resume"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts[0]["steps"] == 3


def test_every_network_trains_in_one_line(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(dataset), "--out", str(tmp_path), "--crop", "48", "--batch", "1", "--steps", "1", "--json"]
    assert main(["train", "all", *options]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [fact["name"] for fact in facts] == trainable()
    for fact in facts:
        assert fact["held_out_loss"] > 0
        assert (tmp_path / fact["name"] / "best.safetensors").is_file()


WRONG_USE = [
    (["fuse", "a.png", "b.png", "-m", "nonsense", "-o", "c.png"], "There is no method called nonsense"),
    (["compare", "a.png", "b.png", "-m", "nonsense", "-o", "c"], "there is no method called nonsense"),
    (["compare", "a.png", "b.png", "-m", ",", "-o", "c"], "name at least one method"),
    (["train", "mertens", "--data", "nowhere", "--steps", "1"], "mertens cannot be trained"),
    (["train", "meflut", "--data", "x", "--steps", "0"], "give a whole number, 1 or more"),
    (["train", "meflut", "--data", "x", "--minutes", "0"], "give a number above 0"),
    (["train", "meflut", "--data", "x", "--steps", "1", "--rate", "nan"], "give a number above 0"),
    (["speed", "--megapixels", "-1"], "give a number above 0"),
    (["fuse", "a.png", "b.png", "-o", "c.png", "--memory-mb", "0"], "give a whole number, 1 or more"),
    (["train", "iat", "--data", "nowhere"], "Say how long to train"),
    (["fuse", "a.png"], "the following arguments are required"),
    (["fuse", "a.png", "b.png", "-o", "c.png", "--mode", "slow"], "invalid choice: 'slow'"),
    ([], "the following arguments are required"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG_USE, ids=lambda value: str(value)[:40])
def test_wrong_use_exits_with_2(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = exit_.code
    captured = capsys.readouterr()
    assert code == 2
    assert sentence in captured.err
    assert captured.out == ""


def test_a_picture_that_cannot_be_used_exits_with_1(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.png")
    assert main(["fuse", pair[0], str(tmp_path / "none.png"), "-m", "mertens", "-o", out]) == 1
    assert "The second picture does not exist" in capsys.readouterr().err
    assert main(["fuse", *pair, "-m", "mertens", "-o", str(tmp_path / "no" / "folder.png")]) == 1
    assert "cannot be saved" in capsys.readouterr().err
    save(torch.zeros(3, 20, 20), tmp_path / "small.png")
    assert main(["metrics", *pair, str(tmp_path / "small.png")]) == 1
    assert "differs in size" in capsys.readouterr().err


def test_a_file_where_a_folder_should_be_exits_with_2(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    assert main(["compare", *pair, "-m", "mertens", "-o", str(taken)]) == 2
    assert f"{taken}: File exists." in capsys.readouterr().err


def test_messages_go_to_stderr_and_nothing_is_a_traceback(pair: list[str], tmp_path: Path) -> None:
    arguments = ["compare", pair[1], pair[0], "-m", "mertens", "-o", str(tmp_path), "--json"]
    command = [sys.executable, "-m", "fusion", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    json.loads(done.stdout)
    assert "The first picture is brighter than the second" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_there_is_nothing_to_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-gpu", "-m", "mertens"]) == 2
    assert "sees no CUDA device" in capsys.readouterr().err


def test_an_untrained_method_says_so(pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.unusable, "__defaults__", (tmp_path,))
    assert main(["fuse", *pair, "-m", "mambamef", "-o", str(tmp_path / "a.png")]) == 1
    assert not (tmp_path / "a.png").exists()
