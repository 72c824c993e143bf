"""Every experiment has a usage line that works, and does nothing when it is imported."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fusion.benchmark.experiments import __main__ as listing
from fusion.benchmark.experiments import ablation, colour, control, fast, gaps, metrics, parts, reference
from fusion.benchmark.experiments.reference import find_maps
from fusion.errors import DatasetError, FusionError
from fusion.io.colour import by_colourfulness

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "fusion" / "benchmark" / "experiments"
OTHERS = {"__init__", "__main__", "command", "dng"}


@pytest.fixture
def one_pair(dataset: Path, tmp_path: Path) -> Path:
    """A dataset of a single small pair, in the layout of the examples."""
    (tmp_path / "scene").mkdir()
    shutil.copy(dataset / "scene0" / "0_A.png", tmp_path / "scene" / "under.png")
    shutil.copy(dataset / "scene0" / "0_B.png", tmp_path / "scene" / "over.png")
    return tmp_path


def started(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_list_has_every_experiment_and_a_sentence_on_each() -> None:
    assert set(listing.EXPERIMENTS) == {path.stem for path in FOLDER.glob("*.py")} - OTHERS
    told = started("fusion.benchmark.experiments")
    assert (told.returncode, told.stderr) == (0, "")
    for name in listing.EXPERIMENTS:
        assert re.search(rf"^{name} +[A-Z].*\.$", told.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", listing.EXPERIMENTS)
def test_a_usage_line_names_the_arguments_that_there_are(name: str) -> None:
    module = import_module(f"fusion.benchmark.experiments.{name}")
    usage = re.search(rf"^ *python -m fusion\.benchmark\.experiments\.{name} (.+)$", module.__doc__ or "", re.MULTILINE)
    assert usage
    arguments = usage[1].split(" > ")[0].split()
    body = ast.parse((FOLDER / f"{name}.py").read_text()).body
    main = next(node for node in body if getattr(node, "name", "") == "main")
    assert isinstance(main, ast.FunctionDef)
    assert len(arguments) == len(main.args.args) - len(main.args.defaults)
    assert module.DURATION.startswith("This takes")


def test_importing_them_prints_and_loads_nothing() -> None:
    modules = ", ".join(f"fusion.benchmark.experiments.{name}" for name in listing.EXPERIMENTS)
    code = f"from fusion.runtime import weights; weights.load = None; import {modules}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_wrong_folder_is_one_sentence(tmp_path: Path) -> None:
    done = started("fusion.benchmark.experiments.colour", str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == colour.DURATION
    assert "is not a folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_each_part_of_pyramef_is_a_row(one_pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ablation.main(one_pair)
    rows = dict(re.findall(r"^\| (.+) \| (\d\.\d{4}) \|$", capsys.readouterr().out, re.MULTILINE))
    assert list(rows) == list(ablation.VARIANTS)
    assert rows["trained: PyraMEF"] != rows["trained, then not relaxed"]


def test_each_part_of_virtual_bracket_is_a_row(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = tmp_path / "labelled"
    shutil.copytree(dataset, labelled)
    for scene in labelled.iterdir():
        shutil.copy(next(scene.glob("*_B.png")), scene / "x_GT.png")
    parts.main(labelled, 64)
    rows = dict(
        re.findall(r"^\| (.+) \| (\d+\.\d\d \| \d\.\d{4} \| \d+\.\d\d) \|$", capsys.readouterr().out, re.MULTILINE)
    )
    assert list(rows) == list(parts.VARIANTS)
    assert rows["trained: Virtual Bracket"] != rows["the rule: rendered bracket, weights of good exposure"]
    assert rows["trained: Virtual Bracket"] != rows["trained, without its detail"]


def test_both_merges_of_colour_are_rows(one_pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colour.main(one_pair)
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+).* \| \d+\.\d\d \| \d\.\d{3} \| \d\.\d\d \|$", capsys.readouterr().out, re.MULTILINE
    )
    assert rows == [(method, merge) for method in colour.METHODS for merge in ("published", "natural")]


def test_the_control_stands_beside_the_networks_on_luma(one_pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    control.main(one_pair)
    _, _, *rows = capsys.readouterr().out.splitlines()
    cells = {name: values for _, name, *values, _ in (map(str.strip, row.split("|")) for row in rows)}
    assert list(cells) == list(control.ROWS)
    assert {"`lemamba`", "`mambadfuse`", "`mambamef`", "control (1, –, 1)", "control (1, –, 0)"} <= cells.keys()
    assert [name for name, (_, clipped, _) in cells.items() if not clipped] == ["`mertens` (1, 1, 1)"]
    assert cells["control (1, –, 1)"] != cells["control (1, –, 0)"]


def test_the_other_colours_of_the_control_do_not_fit() -> None:
    blue, luma = torch.tensor([0.0, 0.0, 0.9]).view(1, 3, 1, 1), torch.full((1, 1, 1, 1), 0.4)
    assert float(control.clipped((blue, blue), luma).max()) > 1.1
    assert float(by_colourfulness((blue, blue), luma).max()) <= 1


def test_fast_results_come_close_to_exact_ones(one_pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fast.main(one_pair)
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == ["pyramef", "mefnet", "deepfuse", "lightfuse"]
    assert all(float(row.split(" | ")[3].strip(" |")) > 0.7 for row in rows)


def test_one_metric_can_be_chosen(one_pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics.main(one_pair, ["vif"])
    told = capsys.readouterr().out
    assert told.count("best in") == 8
    assert "VIF (vif), higher, 0 to inf" in told
    metrics.main(one_pair, ["reference_ssim"])
    assert capsys.readouterr().out == ""  # the pair has no reference
    shutil.copy(one_pair / "scene" / "over.png", one_pair / "scene" / "reference.png")
    metrics.main(one_pair, ["reference_ssim"])
    assert re.search(r"1\.0000  best in  1 of 1  over", capsys.readouterr().out)
    with pytest.raises(FusionError, match="no metric called nothing; choose from score"):
        metrics.main(one_pair, ["nothing"])


def table(text: str) -> tuple[list[str], dict[str, list[float]]]:
    """The header's cells, and each method's figures, of the table in a printed page."""
    header, _, *rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return header, {row[0].strip("`"): [float(cell) for cell in row[1:]] for row in rows}


def test_the_references_of_a_map_and_of_a_folder(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    light = cv2.resize(rng.uniform(0.3, 1, (18, 25, 3)), (200, 144)) * np.exp2(np.linspace(3, -7, 200))[:, None]

    def read_map(_: Path) -> np.ndarray:  # without the package OpenEXR
        return light.astype(np.float32)

    monkeypatch.setattr(reference, "read_map", read_map)
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "hall.exr").touch()
    pairs = tmp_path / "labelled"
    shutil.copytree(dataset, pairs)
    for scene in pairs.iterdir():
        shutil.copy(next(scene.glob("*_B.png")), scene / "x_GT.png")
    methods = ["mertens", "spdmef"]
    reference.main(tmp_path / "maps", ["hall"], method=methods, pairs=[pairs], held_out=[pairs], side=64)
    text = capsys.readouterr().out
    header, figures = table(text)
    width = len(reference.SHOWN)
    titles = [cell.split(":")[0] for cell in header if ":" in cell]
    assert titles == [*(one.title for one in reference.VARIANTS), "labelled", "labelled, held out"]
    assert header[:3] == ["still: PSNR (dB) ↑", "SSIM ↑", "ΔE2000 ↓"]
    assert list(figures) == methods
    assert all(len(row) == len(header) == width * len(titles) for row in figures.values())
    assert "labelled (6 pairs) and labelled, held out (1 pairs), reduced to a longest side of 64 pixels" in text
    assert "MAPS --recipe spd" in text
    reference.main(tmp_path / "maps", ["hall"], recipe="mertens", method=methods)
    former_header, former = table(capsys.readouterr().out)
    assert former_header == header[: width * len(reference.VARIANTS)]
    lead, former_lead = (rows["spdmef"][0] - rows["mertens"][0] for rows in (figures, former))
    assert lead > former_lead  # each method is nearer to the references of its own recipe
    with pytest.raises(DatasetError, match="has no reference"):
        reference.main(tmp_path / "maps", ["hall"], method=methods, pairs=[dataset])


def test_brackets_with_small_gaps_are_as_spd_mef_fuses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    light = cv2.resize(rng.uniform(0.3, 1, (18, 25, 3)), (200, 144)) * np.exp2(np.linspace(3, -7, 200))[:, None]

    def read_map(_: Path) -> np.ndarray:  # without the package OpenEXR
        return light.astype(np.float32)

    monkeypatch.setattr(gaps, "read_map", read_map)
    (tmp_path / "hall.exr").touch()
    gaps.main(tmp_path, ["hall"])
    header, figures = table(capsys.readouterr().out)
    assert header[-3:] == ["to the reference, dB: `virtual-bracket`", "`spdmef`", "`mertens`"]
    assert [float(stops) for stops in figures] == list(gaps.STOPS)
    near = [row[0] for row in figures.values()]
    assert min(near[:4]) > 90  # up to two stops, they are equal
    assert near[-1] < 40


def test_maps_are_found_whatever_the_case(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "desk.exr").touch()
    assert find_maps(tmp_path, ["Desk"]) == {"Desk": tmp_path / "deep" / "desk.exr"}
    with pytest.raises(DatasetError, match="no map called Ocean"):
        find_maps(tmp_path, ["Desk", "Ocean"])
