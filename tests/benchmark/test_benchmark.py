"""A benchmark's report: equal bytes after a kill, external pictures, failures, statistics, the regression check."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy import stats

from fusion.benchmark import latex, published, regression
from fusion.benchmark.measure import measure_files
from fusion.benchmark.results import Mean, MetricInfo, Scores, Summary, load_scores, load_summary, load_times, picture
from fusion.benchmark.scene import BenchmarkRun, BenchmarkScene, ExternalMethod, SceneMeasurer, finished
from fusion.benchmark.statistics import holm, interval, mean_ranks, summarise, wilcoxon
from fusion.cli import main
from fusion.errors import ImageError
from fusion.io.image import save
from fusion.io.results_folder import RECORDS
from fusion.metrics import BENCHMARK
from fusion.metrics.reference import REFERENCE
from fusion.pipeline import fuse
from fusion.training.datasets import find_pairs
from tests.shared_session import load

ROOT = Path(__file__).resolve().parents[2]
VARYING = ("times.csv", "times.html", "environment.json", RECORDS)
"""What a run may write differently: its records hold times."""


@pytest.fixture(scope="module")
def pairs(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes: one of upper-case .TIF, one of JPEG, one with a reference; and pictures of theirs made elsewhere."""
    folder = tmp_path_factory.mktemp("benchmark")
    shutil.copytree(dataset, folder / "set")
    for scene, suffix in (("scene1", ".TIF"), ("scene2", ".JPG")):
        for file in (folder / "set" / scene).iterdir():
            pixels = np.asarray(cv2.imread(str(file)))
            file.unlink()
            assert cv2.imwrite(str(file.with_suffix(suffix)), pixels)
    shutil.copy(dataset / "scene3" / "3_B.png", folder / "set" / "scene3" / "3_gt.PNG")
    (folder / "theirs").mkdir()
    for pair in find_pairs(folder / "set"):
        save(load(pair.over).photo, folder / "theirs" / f"{pair.scene.capitalize()}_Theirs.png")
    return folder


def command(pairs: Path, out: Path, *options: str) -> list[str]:
    theirs = f"Theirs={pairs / 'theirs'}"
    return ["benchmark", str(pairs / "set"), "-m", "mertens,meflut", "--fused", theirs, "-o", str(out), *options]


@pytest.fixture(scope="module")
def report(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run that nothing disturbs writes."""
    out = tmp_path_factory.mktemp("report") / "out"
    assert main(command(pairs, out)) == 0
    return out


def tree(out: Path) -> dict[str, bytes]:
    """All of a report that must be the same in each run."""
    files = [path for path in out.rglob("*") if path.is_file()]
    names = {path.relative_to(out): path for path in files}
    return {str(name): path.read_bytes() for name, path in names.items() if name.parts[0] not in VARYING}


def scene(folder: Path, name: str) -> BenchmarkScene:
    return BenchmarkScene(next(pair for pair in find_pairs(folder) if pair.scene == name), "")


def test_a_report_holds_what_the_library_gives(pairs: Path, report: Path, tmp_path: Path) -> None:
    summary, scores = load_summary(report), load_scores(report)
    methods = ("mertens", "meflut", "Theirs")
    assert [(one.name, one.kind, one.scenes) for one in summary.methods] == [
        ("mertens", "ours", 6),
        ("meflut", "ours", 6),
        ("Theirs", "outside", 6),
    ]
    assert {str(path.relative_to(report)) for path in (report / "pictures").rglob("*.*")} == {
        *(f"pictures/{method}/scene{i}.png" for method in methods for i in range(6)),
        *(f"pictures/{kind}/scene{i}.jpg" for kind in ("under", "over") for i in range(6)),
        "pictures/reference/scene3.jpg",
    }
    under, over = (pairs / "set" / "scene1" / f"1_{end}.TIF" for end in "AB")
    save(fuse(under, over, method="mertens", align=False), tmp_path / "fused.png")
    assert picture(report, "mertens", "scene1").read_bytes() == (tmp_path / "fused.png").read_bytes()
    assert scores["mertens"]["scene1"] == measure_files((under, over), tmp_path / "fused.png")
    for metric in BENCHMARK:
        values = [row[metric.name] for row in scores["mertens"].values()]
        assert summary.methods[0].means[metric.name].mean == pytest.approx(np.mean(values))


def test_references_are_used_where_there_are_some(report: Path) -> None:
    summary, scores = load_summary(report), load_scores(report)
    assert summary.dataset.referenced == ("scene3",)
    names = [metric.name for metric in REFERENCE]
    assert [metric.name for metric in summary.reference_metrics] == names
    for scenes in scores.values():
        assert not any(name in row for scene, row in scenes.items() for name in names if scene != "scene3")
    given = scores["Theirs"]["scene3"]  # the reference itself
    assert given["reference_psnr"] > 50 > scores["mertens"]["scene3"]["reference_psnr"]
    assert scores["Theirs"]["scene3"]["reference_ssim"] == 1
    assert summary.methods[2].means["reference_ssim"] == Mean(1.0)
    with (report / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    assert rows[0]["reference_psnr"] == ""


def test_times_are_told_apart(report: Path) -> None:
    times = load_times(report)
    assert {method: len(scenes) for method, scenes in times.items()} == {"mertens": 6, "meflut": 6}
    assert all(time.seconds > 0 for scenes in times.values() for time in scenes.values())
    if sys.platform.startswith("linux"):
        assert all((time.peak_mb or 0) > 0.1 for scenes in times.values() for time in scenes.values())
    facts = json.loads((report / "environment.json").read_text())
    assert {"date", "python", "packages", "processor"} <= set(facts)


def test_killed_and_finished_it_is_the_same_bytes(pairs: Path, report: Path, tmp_path: Path) -> None:
    """The second run has two processes."""
    out = tmp_path / "out"
    run = subprocess.Popen([sys.executable, "-m", "fusion", *command(pairs, out)], cwd=ROOT, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not (records := [*(out / RECORDS).rglob("*.json")]):
        assert run.poll() is None
        assert time.monotonic() < end
        time.sleep(0.002)
    run.kill()
    run.wait()
    assert not (out / "summary.json").exists()
    made = {path: path.stat().st_mtime_ns for path in records}
    assert main(command(pairs, out, "--jobs", "2")) == 0
    assert {path: path.stat().st_mtime_ns for path in records} == made
    assert tree(out) == tree(report)


def test_what_cannot_be_used_is_listed_and_stops_nothing(
    pairs: Path, report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pairs, tmp_path / "in")
    shutil.copytree(report, tmp_path / "out")
    (tmp_path / "in" / "set" / "scene0" / "0_B.png").write_bytes(b"not a picture")
    (tmp_path / "in" / "theirs" / "Scene4_Theirs.png").unlink()
    save(torch.zeros(3, 20, 20), tmp_path / "in" / "theirs" / "Scene5_Theirs.png")
    assert main(command(tmp_path / "in", tmp_path / "out", "--json")) == 1
    told = capsys.readouterr()
    assert [row["scenes"] for row in json.loads(told.out)] == [5, 5, 3]
    summary = load_summary(tmp_path / "out")
    assert "not a JPEG, PNG" in summary.methods[0].failures["scene0"]
    theirs = summary.methods[2].failures
    assert "tried scene4.*, scene4_Theirs.*, scene4-Theirs.* and scene4/*" in theirs["scene4"]
    assert "differs in size from its sources (80×96 and 20×20)" in theirs["scene5"]
    assert all(f"{scene}: {why}" in told.err for scene, why in theirs.items())
    for method, name in (("mertens", "scene0"), ("Theirs", "scene4"), ("Theirs", "scene5")):
        assert not picture(tmp_path / "out", method, name).exists()
        assert name not in load_scores(tmp_path / "out")[method]
    assert picture(tmp_path / "out", "mertens", "scene4").exists()
    assert not picture(tmp_path / "out", "under", "scene0").exists()


def test_only_what_changed_is_made_again(pairs: Path, tmp_path: Path) -> None:
    """The work is done in this process, since starting others would take longer."""
    one = scene(pairs / "set", "scene2")
    shutil.copytree(pairs / "theirs", tmp_path / "theirs")
    run = BenchmarkRun(tmp_path / "out", ("mertens",), (ExternalMethod("Theirs", tmp_path / "theirs"),))

    def made(run: BenchmarkRun = run, one: BenchmarkScene = one) -> list[str]:
        due = finished(one, run).due(run)
        assert SceneMeasurer(run)(one).failures == {}
        return due

    assert made() == ["mertens", "Theirs"]
    assert made() == []
    picture(run.out, "mertens", "scene2").unlink()
    assert made() == ["mertens"]
    shutil.copy(tmp_path / "theirs" / "Scene3_Theirs.png", tmp_path / "theirs" / "Scene2_Theirs.png")
    assert made() == ["Theirs"]
    for change in ({"mode": "exact"}, {"memory_mb": 100}, {"as_mefb": True}, {"code_sha256": "other"}):
        assert made(replace(run, **change)) == ["mertens", "Theirs"]
    assert made(replace(run, code_sha256="other"), replace(one, sha256="other")) == ["mertens", "Theirs"]


def test_as_mefb_results_of_jpegs_go_through_a_jpeg(pairs: Path, tmp_path: Path) -> None:
    """The JPEG is the one that Pillow writes and reads. A picture that came as JPEG is not compressed again."""
    from PIL import Image

    shutil.copytree(pairs / "theirs", tmp_path / "theirs")
    given = Image.open(tmp_path / "theirs" / "Scene2_Theirs.png")
    given.save(tmp_path / "once.jpg", quality=75)
    run = BenchmarkRun(tmp_path / "out", (), (ExternalMethod("Theirs", tmp_path / "theirs"),), as_mefb=True)
    lossy = np.asarray(Image.open(tmp_path / "once.jpg"), int)

    def kept(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        assert SceneMeasurer(run)(scene(pairs / "set", name)).failures == {}
        return np.asarray(Image.open(picture(run.out, "Theirs", name)), int)

    # The sources are smooth, so decoders differ in how they spread the colours of four pixels, by a level or two.
    assert np.abs(kept("scene2") - lossy).max() <= 2
    assert np.abs(kept("scene2") - np.asarray(given)).max() > 2
    assert np.array_equal(kept("scene1"), np.asarray(Image.open(tmp_path / "theirs" / "Scene1_Theirs.png")))
    (tmp_path / "theirs" / "Scene2_Theirs.png").unlink()
    shutil.copy(tmp_path / "once.jpg", tmp_path / "theirs" / "scene2.jpg")
    once = kept("scene2")
    save(load(tmp_path / "once.jpg").photo, tmp_path / "decoded.png")
    assert np.array_equal(once, np.asarray(Image.open(tmp_path / "decoded.png")))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["Church.png"], "Church.png"),
        (["church_DEM.TIF", "Church2.png", "Church_other.png"], "church_DEM.TIF"),
        (["Church-dem.jpg", "Church.txt"], "Church-dem.jpg"),
        (["Church/any.png"], "Church/any.png"),
        (["Church/dem.png", "Church/input.png"], "Church/dem.png"),
        (["Church_A.png", "Tower.png"], "tried Church.*, Church_DEM.*, Church-DEM.* and Church/*"),
        (["Church.png", "Church_DEM.png"], "2 pictures of this scene"),
        (["Church/a.png", "Church/b.png"], "2 pictures of this scene"),
    ],
)
def test_how_pictures_from_elsewhere_are_found(files: list[str], found: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    outside = ExternalMethod("DEM", tmp_path)
    if (tmp_path / found).exists():
        assert outside.find("Church") == tmp_path / found
    else:
        with pytest.raises(ImageError, match=re.escape(found)):
            outside.find("Church")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "Give a folder of pairs"),
        (["set"], "Give a folder of pairs"),
        (["set", "-o", "out", "--update"], "or --check"),
        (["nowhere", "-o", "out"], "is not a folder"),
        (["set", "-o", "set"], "holds files that this program did not make"),
        (["set", "-o", "out", "--fused", "theirs"], "NAME=DIR"),
        (["set", "-o", "out", "--fused", "A=nowhere"], "nowhere is not a folder"),
        (["set", "-o", "out", "--fused", "../x=theirs"], "cannot be a method's name"),
        (["set", "-o", "out", "--fused", "under=theirs"], "another method's or a folder's name"),
        (["set", "-o", "out", "-m", "mertens", "--fused", "mertens=theirs"], "another method's"),
        (["set", "-o", "out", "--fused", "A=theirs", "--fused", "A=theirs"], "another method's"),
    ],
)
def test_wrong_use(
    options: list[str],
    sentence: str,
    pairs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(pairs)
    before = tree(pairs)
    assert main(["benchmark", *options]) == 2
    assert sentence in capsys.readouterr().err
    assert tree(pairs) == before


UP = MetricInfo("up", "Q^AB/F", "higher", "", "", "", mefb="Qabf")
DOWN = MetricInfo("down", "50 % & more_", "lower", "", "", "")
EITHER = MetricInfo("either", "Either", "neither", "", "", "")


def table(**columns: list[float]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        name: {f"s{i}": dict.fromkeys(("up", "down", "either"), value) for i, value in enumerate(values)}
        for name, values in columns.items()
    }


def test_an_interval_is_that_of_resampled_means() -> None:
    values = np.random.default_rng(1).normal(5, 2, 40)
    found = interval(values)
    assert found == interval(values)
    assert found is not None
    drawn = np.random.default_rng(2).choice(values, (20000, 40)).mean(axis=1)
    assert found == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.03)
    assert interval([3.0, 3.0]) == (3, 3)
    assert interval([3.0]) is None


def test_holm_by_hand() -> None:
    """0.01 x 4, 0.03 x 3; 0.04 x 2 is less than the one before, and 0.5 x 1 stays."""
    assert holm([0.03, 0.5, 0.01, 0.04]) == pytest.approx([0.09, 0.5, 0.04, 0.09])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_wilcoxon_by_hand() -> None:
    """Five pairs that all differ in one direction: 2 of 2^5 signs are as far out."""
    assert wilcoxon(np.arange(5.0) + 1, np.zeros(5)) == pytest.approx(2 / 32)
    assert wilcoxon(np.ones(5), np.ones(5)) == 1


def test_ranks_by_hand() -> None:
    assert mean_ranks([np.array([1.0, 5]), np.array([2.0, 4]), np.array([2.0, 6])]) == [1.5, 1.75, 2.75]


def test_statistics_of_methods() -> None:
    scores = table(a=[1.0, 2, 3, 4, 5, 6], b=[1.1, 2.2, 3.3, 4.4, 5.5, 6.6], c=[9.0, 8, 7, 6, 5])
    found = summarise(scores, (UP, DOWN, EITHER))
    assert found["a"].means["up"].mean == 3.5
    assert found["c"].ranks["up"] == pytest.approx((1 * 4 + 2.5) / 5)  # over the scenes that all have
    assert found["a"].ranks["up"] == pytest.approx((3 * 4 + 2.5) / 5)
    assert "up" not in found["c"].p_against_best
    assert "down" not in found["a"].p_against_best
    differences = ([8, 6, 4, 2, 0], [7.9, 5.8, 3.7, 1.6, -0.5])
    ps = [float(stats.wilcoxon(one).pvalue) for one in differences]  # pyright: ignore[reportAttributeAccessIssue]
    assert [found["a"].p_against_best["up"], found["b"].p_against_best["up"]] == pytest.approx(holm(ps))
    for one in found.values():
        assert "either" in one.means
        assert "either" not in one.ranks.keys() | one.p_against_best.keys()
    assert found["a"].mean_rank([UP, EITHER]) == found["a"].ranks["up"]
    assert found["a"].mean_rank([EITHER]) is None
    alone = summarise(table(a=[1.0]), (UP,))["a"]
    assert (alone.means["up"], alone.ranks) == (Mean(1.0), {})


def test_published_rows_stand_beside_mefb_alone(report: Path) -> None:
    assert published.comparable(["Church", "tower"])
    assert not published.comparable(["Church", "scene0"])
    assert len(published.SCENES) == 100
    rows = published.rows((UP, DOWN))
    assert len(rows) == 21
    assert {tuple(row.means) for row in rows} == {("up",)}
    assert next(row for row in rows if row.name == "MEFNet").means["up"].mean == pytest.approx(0.6746, abs=5e-5)
    assert all(one.kind != "published" for one in load_summary(report).methods)
    columns = (ROOT / "fusion" / "benchmark" / "mefb_published.csv").read_text().splitlines()[0].split(",")
    assert {metric.mefb for metric in BENCHMARK} - {None} <= set(columns)


def test_latex_is_well_formed(report: Path) -> None:
    """Braces and environments close, rows are as long as their table says, and nothing special is left bare."""
    summary = load_summary(report)
    odd = replace(summary.methods[0], title="50 % of x_1 & {y} \\ ~é", means={"up": Mean(0.5), "down": Mean(2000.0)})
    beside = [replace(odd, name=name, means={"up": Mean(mean)}) for name, mean in (("b", 0.25), ("c", 0.7500001))]
    tied = replace(odd, name="d", means={"up": Mean(0.75), "down": Mean(1.0)})
    small = Summary(summary.dataset, (UP, DOWN), (), (odd, *beside, tied, *published.rows((UP,))))
    for text in (latex.table(summary), latex.table(small)):
        stack: list[str] = []
        for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
            if kind == "begin":
                stack.append(name)
            else:
                assert stack.pop() == name
        assert stack == []
        bare = re.sub(r"\\[\\{}&%$#_]", "", text)
        assert bare.count("{") == bare.count("}")
        assert "%" not in bare
        assert text.isascii()
        for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
            rows = [line for line in body.splitlines() if line.endswith(r"\\") and r"\multicolumn" not in line]
            assert {re.sub(r"\\&", "", row).count("&") for row in rows} == {len(columns) - 1}
    cells = [line.split(" & ") for line in latex.table(small).splitlines() if line.startswith("50 ")]
    # Alike as printed, alike marked; "&" within the name is a cell's end to this split.
    assert [row[-2] for row in cells] == [r"\underline{0.5000}", "0.2500", r"\textbf{0.7500}", r"\textbf{0.7500}"]
    assert [row[-1] for row in cells] == [r"\underline{2000} \\", r"-- \\", r"-- \\", r"\textbf{1.0000} \\"]
    assert r"50 \% of x\_1 \& \{y\} \textbackslash{} \textasciitilde{}?" in latex.table(small)
    assert r"$Q^{\mathrm{AB/F}}$" in latex.table(small)


def test_the_shipped_weights_are_as_good_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    """The regression check. Where a change is wanted: python -m fusion benchmark --check --update."""
    assert main(["benchmark", "--check", "--jobs", "2"]) == 0, capsys.readouterr().out


def test_a_drop_beyond_the_interval_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = regression.baseline()

    def changed(by: list[float]) -> list[tuple[str, str]]:
        now = json.loads(json.dumps(before))
        for row, change in zip(now["pyramef"].values(), by, strict=True):
            row["vif"] += change
        monkeypatch.setattr(regression, "measured", lambda *_: now)  # pyright: ignore[reportUnknownLambdaType]
        code = main(["benchmark", "--check", "--json"])
        drops = json.loads(capsys.readouterr().out)
        assert code == (1 if drops else 0)
        return [(drop["method"], drop["metric"]) for drop in drops]

    assert changed([0.0] * 8) == []
    assert changed([-0.0004] * 8) == []
    assert changed([-0.01, 0.01] * 4) == []
    assert changed([0.01] * 8) == []
    assert changed([-0.001] * 8) == [("pyramef", "vif")]
    assert changed([-0.02, -0.01] * 4) == [("pyramef", "vif")]


def test_names_are_compared_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = regression.baseline()
    before["old-method"] = before.pop("meflut")
    monkeypatch.setattr(regression, "BASELINE", tmp_path / "baseline.json")
    regression.BASELINE.write_text(json.dumps(before))
    monkeypatch.setattr(regression, "measured", lambda *_: pytest.fail("it measured"))  # pyright: ignore[reportUnknownLambdaType]
    assert main(["benchmark", "--check"]) == 2
    assert "lacks mef_ssim of meflut on candleglass" in capsys.readouterr().err


def test_an_update_writes_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rounding of another computer changes nothing; a change, a new method and a removed one do."""
    shipped = regression.BASELINE.read_bytes()
    monkeypatch.setattr(regression, "BASELINE", tmp_path / "baseline.json")
    regression.BASELINE.write_bytes(shipped)

    def updated(scores: Scores) -> str:
        monkeypatch.setattr(regression, "measured", lambda *_: scores)  # pyright: ignore[reportUnknownLambdaType]
        assert main(["benchmark", "--check", "--update"]) == 0
        return capsys.readouterr().err

    noisy = regression.baseline()
    for rows in noisy.values():
        for row in rows.values():
            row["vif"] += 1e-6
    assert updated(noisy).startswith("0 values")
    assert regression.BASELINE.read_bytes() == shipped
    noisy["pyramef"]["desk"]["vif"] += 0.01
    noisy["new-method"] = noisy.pop("meflut")
    count = sum(map(len, noisy["new-method"].values()))
    assert updated(noisy).startswith(f"{1 + 2 * count} values")
    now, before = regression.baseline(), json.loads(shipped)
    assert now["pyramef"]["desk"] == before["pyramef"]["desk"] | {"vif": noisy["pyramef"]["desk"]["vif"]}
    assert now["pyramef"]["room"] == before["pyramef"]["room"]
    assert list(now) == list(noisy)
