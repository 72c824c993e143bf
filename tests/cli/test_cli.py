"""The command line as a user calls it: what is printed where, exit codes, and sentences instead of tracebacks."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from fusion.benchmark.speed import MethodRow
from fusion.cli import main
from fusion.io.image import save
from fusion.methods import METHODS
from fusion.methods.base import Method
from fusion.metrics import BENCHMARK, mef_ssim
from fusion.metrics.base import Scorer
from fusion.pipeline import Session, fuse
from fusion.runtime import memory
from fusion.settings import Settings
from fusion.training.loop import trainable
from tests.shared_session import load, load_pair

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


def test_a_picture_in_a_folder_is_named_after_its_photographs(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exposures lie there as well, and nothing is replaced."""
    files = [tmp_path / f"IMG_{number}.png" for number in (1234, 1235)]
    for source, file in zip(pair, files, strict=True):
        file.write_bytes(Path(source).read_bytes())
    before = {file: file.read_bytes() for file in files}
    command = ["fuse", *map(str, files), "-m", "mertens", "-o", str(tmp_path), "--json"]
    for arguments, name in (
        ([], "IMG_1234-1235_mertens.jpg"),
        ([], "IMG_1234-1235_mertens-2.jpg"),
        (["--format", "tiff", "--bits", "16"], "IMG_1234-1235_mertens.tif"),
    ):
        assert main([*command, *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["out"] == str(tmp_path / name)
        assert load(tmp_path / name).bits == (16 if arguments else 8)
    assert {file: file.read_bytes() for file in files} == before


@pytest.mark.parametrize(
    ("name", "arguments", "code", "why"),
    [
        ("a.gif", [], 1, "ends in .jpg"),
        ("a.png", ["--format", "tiff"], 1, "The name of a tiff file ends in .tif, .tiff"),
        ("a.jpg", ["--bits", "16"], 2, "A JPEG has 8 bits a channel"),
    ],
)
def test_a_format_that_does_not_fit_is_refused_before_anything_is_read(
    name: str, arguments: list[str], code: int, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = [str(tmp_path / "no.jpg"), str(tmp_path / "none.jpg")]
    assert main(["fuse", *missing, "-m", "mertens", "-o", str(tmp_path / name), *arguments]) == code
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "ending", "bits"), [("jpeg", ".jpg", 8), ("tiff", ".tif", 16)])
def test_every_command_saves_every_format(kind: str, ending: str, bits: int, pair: list[str], tmp_path: Path) -> None:
    arguments = ["-m", "mertens", "--no-align", "--format", kind, "--bits", str(bits), "--quality", "90"]
    assert main(["fuse", *pair, "-o", str(tmp_path / f"a{ending}"), *arguments]) == 0
    expected = (tmp_path / f"a{ending}").read_bytes()
    assert main(["compare", *pair, "-o", str(tmp_path / "compared"), *arguments]) == 0
    assert (tmp_path / "compared" / f"mertens{ending}").read_bytes() == expected
    folder = tmp_path / "in"
    folder.mkdir()
    for source, name in zip(pair, ("a_A.png", "a_B.png"), strict=True):
        (folder / name).write_bytes(Path(source).read_bytes())
    assert main(["fuse-folder", str(folder), "-o", str(tmp_path / "out"), *arguments]) == 0
    assert (tmp_path / "out" / f"a{ending}").read_bytes() == expected
    assert f'href="a{ending}"' in (tmp_path / "out" / "report.html").read_text("utf-8")


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

    from fusion.benchmark.flops import FLOPS_SIDE, flops
    from fusion.methods.base import Needs, Planes

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)

        def forward(self, under: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
            return self.conv(under) + over

    method = Method("tiny", "Tiny", "none", origin="ours", summary="Tiny.", architecture=Tiny, needs=Needs(Planes.LUMA))
    assert flops(method) == 2 * 9 * 4 * FLOPS_SIDE**2


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_benchmark_can_count_every_methods_flops(method: Method) -> None:
    from fusion.benchmark.flops import flops

    assert flops(method) > 0 or method.parameters in (0, 128)  # neither a rule nor MEFLUT's table has a convolution


def test_training_in_one_line(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--data", str(dataset), "--out", str(tmp_path), "--crop", "32", "--batch", "1", "--json"]
    assert main(["train", "iat", *run, "--steps", "2"]) == 0
    assert main(["train", "iat", *run, "--steps", "3", "--resume"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts[0]["steps"] == 3


def test_every_network_trains_in_one_line(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = shutil.copytree(dataset, tmp_path / "data")
    for scene in data.iterdir():  # some networks are trained on references
        shutil.copy(next(scene.glob("*_B.png")), scene / "reference.png")
    options = ["--data", str(data), "--out", str(tmp_path), "--crop", "48", "--batch", "1", "--steps", "1", "--json"]
    assert main(["train", "all", *options]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [fact["name"] for fact in facts] == trainable()
    for fact in facts:
        assert fact["held_out_loss"] > 0
        assert (tmp_path / fact["name"] / "best.safetensors").is_file()


WRONG_USE = [
    (["fuse", "a.png", "b.png", "-m", "nonsense", "-o", "c.png"], "There is no method called nonsense"),
    (["compare", "a.png", "b.png", "-m", "nonsense", "-o", "c"], "There is no method called nonsense"),
    (["compare", "a.png", "b.png", "-m", ",", "-o", "c"], "Name at least one method"),
    (["metrics", "a.png", "b.png", "c.png", "--metric", "nonsense"], "There is no metric called nonsense"),
    (["train", "mertens", "--data", "nowhere", "--steps", "1"], "mertens cannot be trained"),
    (["train", "meflut", "--data", "x", "--references", "y", "--steps", "1"], "meflut is not trained on references"),
    (["train", "meflut", "--data", "x", "--steps", "0"], "greater than or equal to 1"),
    (["train", "meflut", "--data", "x", "--minutes", "0"], "give a number above 0"),
    (["train", "meflut", "--data", "x", "--steps", "1", "--rate", "nan"], "give a number above 0"),
    (["speed", "--megapixels", "-1"], "give a number above 0"),
    (["speed", "--megapixels", "1", "six"], "give a number above 0"),
    (["fuse", "a.png", "b.png", "-o", "c.png", "--memory-mb", "0"], "greater than or equal to 1"),
    (["fuse", "a.png", "b.png", "-o", "c.jpg", "--quality", "101"], "less than or equal to 100"),
    (["fuse", "a.png", "b.png", "-o", "c.png", "-O", "contrast"], "give a name and a value"),
    (["fuse", "a.png", "b.png", "-o", "a" * 300], "is too long for this system"),
    (["fuse", "a.png", "b" * 300, "-o", "c.png"], "is too long for this system"),
    (["train", "iat", "--data", "nowhere"], "Say how long to train"),
    (["study", "report"], "Give either -o STUDY"),
    (["study", "report", "-o", "study", "--analyse", "a.json", "b.json"], "Give either -o STUDY"),
    (["fuse", "a.png"], "Missing argument 'OVER'"),
    (["fuse", "a.png", "b.png", "-o", "c.png", "--mode", "slow"], "'slow' is not one of 'auto', 'exact', 'fast'"),
    (["fuse", "a.png", "b.png", "-o", "c.png", "--wrong"], "No such option: --wrong"),
    (["fuse", "-2.jpg", "+2.jpg", "-o", "c.png"], "Put -- before file names that begin with a dash"),
    (["fues"], "Did you mean 'fuse'?"),
    ([], "Missing command"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG_USE, ids=lambda value: str(value)[:40])
def test_wrong_use_exits_with_2_and_one_line(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_files_that_begin_with_a_dash_are_fused_after_two_dashes(
    pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for source, name in zip(pair, ("-2.png", "+2.png"), strict=True):
        shutil.copy(source, name)
    assert main(["fuse", "-m", "mertens", "-o", "out.png", "--", "-2.png", "+2.png"]) == 0
    assert Path("out.png").is_file()


def test_a_defect_is_shown_with_its_usual_traceback(
    pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    hook = sys.excepthook
    monkeypatch.setattr("fusion.pipeline.registered", broken)
    with pytest.raises(ZeroDivisionError):
        main(["fuse", *pair, "-o", str(tmp_path / "out.png")])
    assert sys.excepthook is hook


def test_a_package_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "fusion.training.loop", None)
    assert main(["train", "iat", "--data", "pairs", "--steps", "1"]) == 2
    assert capsys.readouterr().err.startswith("This needs the package fusion.training.loop, which is not installed")


def test_a_stop_exits_with_130(
    pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fusion.pipeline.registered", stopped)
    assert main(["fuse", *pair, "-o", str(tmp_path / "out.png")]) == 130
    assert capsys.readouterr().err == "Stopped.\n"


def links(folder: Path, source: Path) -> list[str]:
    """Other names of one file: through a relative path, a symbolic link, and a hard link."""
    (folder / "deeper").mkdir()
    (folder / "symbolic.png").symlink_to(source)
    (folder / "hard.png").hardlink_to(source)
    return [str(folder / "deeper" / ".." / source.name), str(folder / "symbolic.png"), str(folder / "hard.png")]


def test_no_result_replaces_an_exposure(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for source, file in zip(pair, files, strict=True):
        shutil.copy(source, file)
    before, given = [file.read_bytes() for file in files], [str(file) for file in files]
    for out in (given[0], given[1], *links(tmp_path, files[0])):
        assert main(["fuse", *given, "-m", "mertens", "-o", out]) == 2
        assert f"{out} would replace the exposure {tmp_path}" in capsys.readouterr().err
    assert main(["fuse", *given, "-m", "mertens", "-o", str(tmp_path / "c.png"), "--weights", given[1]]) == 2
    assert not (tmp_path / "c.png").exists()
    files[0].rename(tmp_path / "mertens.png")
    assert main(["compare", str(tmp_path / "mertens.png"), given[1], "-m", "mertens", "-o", str(tmp_path)]) == 2
    assert [(tmp_path / "mertens.png").read_bytes(), files[1].read_bytes()] == before
    assert not (tmp_path / "metrics.csv").exists()


def test_no_result_of_a_folder_replaces_an_exposure(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in" / "x", tmp_path / "out"
    folder.mkdir(parents=True)
    shutil.copy(pair[0], folder / "x_A.png")
    (out / ".fusion").mkdir(parents=True)
    shutil.copy(pair[1], out / "x.png")
    (folder / "x_B.png").symlink_to(out / "x.png")
    assert main(["fuse-folder", str(tmp_path / "in"), "-o", str(out), "-m", "mertens"]) == 2
    assert "would replace the exposure" in capsys.readouterr().err
    assert (out / "x.png").read_bytes() == Path(pair[1]).read_bytes()


def test_fuse_says_what_it_wrote(pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.png"
    assert main(["fuse", *pair, "-m", "mertens", "--no-align", "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == f"Wrote {out}, 80 × 96 pixels."
    assert said.out == ""


def test_every_command_prints_the_same_notes_and_has_them_in_json(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The brighter exposure comes first, and something is elsewhere in it, which is removed."""
    folder = tmp_path / "in"
    folder.mkdir()
    brighter, darker = load(pair[1]).photo.clone(), load(pair[0]).photo
    brighter[:, 30:60, 20:50] = torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)
    files = [str(folder / "scene_A.png"), str(folder / "scene_B.png")]
    save(brighter, files[0])
    save(darker, files[1])
    chosen = ["--no-align", "--deghost", "--json", "-m", "mertens"]

    def told(*arguments: str) -> tuple[Any, str]:
        assert main([*arguments, *chosen]) == 0
        captured = capsys.readouterr()
        return json.loads(captured.out), captured.err

    fused, said = told("fuse", *files, "-o", str(tmp_path / "fused.png"))
    notes = fused["notes"]
    assert "The first picture is brighter than the second" in notes[0]
    assert "it was taken from one exposure" in notes[1]
    compared, also_said = told("compare", *files, "-o", str(tmp_path / "compared"))
    assert [row["notes"] for row in compared] == [notes]
    of_folder, said_of_folder = told("fuse-folder", str(folder), "-o", str(tmp_path / "folder"))
    assert [row["notes"] for row in of_folder["done"]] == [notes]
    for note in notes:
        assert note in said
        assert note in also_said
        assert note in said_of_folder


def test_metrics_of_a_picture_that_alignment_cropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is measured against the exposures as they were cropped, whatever their order; another size is refused."""
    photos = [load(ROOT / "examples" / "courtyard" / f"{name}.png").photo for name in ("under", "over")]
    files = [tmp_path / f"{name}.png" for name in ("under", "over")]
    for photo, file, (down, right) in zip(photos, files, ((0, 0), (7, 11)), strict=True):
        save(photo[:, 100 + down : 340 + down, 100 + right : 420 + right], file)
    names = [str(file) for file in files]
    out = tmp_path / "fused.png"
    assert main(["fuse", *names, "-m", "mertens", "-o", str(out), "--no-repair"]) == 0
    assert load(out).photo.shape < load(files[0]).photo.shape
    capsys.readouterr()
    assert main(["metrics", *reversed(names), str(out), "--metric", "mef_ssim", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["mef_ssim"]
    with Session() as session:
        scene = session.prepare(files, Settings(repair=False))
        again = session.fuse(scene, "mertens")
    assert measured == pytest.approx(Scorer(scene.pair, [mef_ssim.METRIC])(again.photo)["mef_ssim"], abs=1e-4)
    save(load(out).photo[:, 1:], out)
    assert main(["metrics", *names, str(out)]) == 1
    assert "differs in size from its sources" in capsys.readouterr().err


def test_one_metric_can_be_asked_for(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    names = [BENCHMARK[2].name, BENCHMARK[0].name]
    assert main(["metrics", *pair, pair[0], "--json", "--metric", names[0], "--metric", names[1]]) == 0
    scores = printed(capsys)
    assert isinstance(scores, dict)
    assert list(scores) == names
    assert main(["metrics", *pair, pair[0], "--metric", names[0]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(names[0])


ROWS = [MethodRow("mertens", "exact", size, 0.5, 1.0, 100.0, 0.7) for size in (1.0, 6.0)]


def test_speed_prints_each_row_as_soon_as_it_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    so_far: list[int] = []
    printed: list[str] = []

    def measured(names: list[str], sizes: list[float], mode: str, *, say: Callable[[str], None]) -> Iterator[MethodRow]:
        assert (names, sizes, mode) == (["mertens"], [1, 6], "auto")
        for row in ROWS:
            printed.extend(capsys.readouterr().out.splitlines())
            so_far.append(len(printed))
            say("mertens ...")
            yield row

    monkeypatch.setattr("fusion.benchmark.speed.method_rows", measured)
    assert main(["speed", "-m", "mertens", "--megapixels", "1", "6"]) == 0
    printed.extend(capsys.readouterr().out.splitlines())
    assert so_far == [0, 2]
    assert [line.split()[:3] for line in printed] == [
        ["method", "mode", "megapixels"],
        ["mertens", "exact", "1.0000"],
        ["mertens", "exact", "6.0000"],
    ]


def test_speed_prints_its_json_at_the_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def measured(*_: object, **__: object) -> Iterator[MethodRow]:
        return iter(ROWS)

    monkeypatch.setattr("fusion.benchmark.speed.method_rows", measured)
    assert main(["speed", "-m", "mertens", "--megapixels", "1", "--megapixels", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": [asdict(row) for row in ROWS]}


def test_tables_that_are_piped_are_plain_and_complete() -> None:

    command = [sys.executable, "-m", "fusion", "methods"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"COLUMNS": "20"})
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + len(METHODS)
    assert not {"\x1b", "…"} & set(done.stdout)
    for method, line in zip(METHODS, lines[1:], strict=True):
        assert line.startswith(f"{method.name} ")
        assert method.paper in line


@pytest.mark.parametrize(
    "arguments", [["--help"], ["fuse", "--help"], ["fuse", "a.png"], ["train", "x", "--data", "y", "--steps", "0"]]
)
def test_help_and_wrong_use_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from fusion.cli import main; main(sys.argv[1:]);"
        "sys.exit(', '.join({'torch', 'numpy', 'cv2', 'gradio', 'scipy'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


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
    assert "finds no CUDA device" in capsys.readouterr().err


def test_an_untrained_method_says_so(pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_WEIGHTS", str(tmp_path))
    assert main(["fuse", *pair, "-m", "mambamef", "-o", str(tmp_path / "a.png")]) == 1
    assert not (tmp_path / "a.png").exists()
