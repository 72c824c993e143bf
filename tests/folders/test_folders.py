"""A folder of brackets: which results are made again after kills, failures and changes."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean

import psutil
import pytest
import torch

from fusion.benchmark.measure import measure_files
from fusion.cli import main
from fusion.exposures.brackets import Bracket, find_brackets
from fusion.folders import run as folder_module
from fusion.folders.results import BracketResult, FailedBracket, FolderRun, FusedBracket
from fusion.folders.run import BracketFuser, fuse_folder
from fusion.io.image import save
from fusion.io.results_folder import RECORDS
from fusion.io.saving import Saving
from fusion.metrics import METRICS
from fusion.pipeline import fuse
from fusion.runtime import weights
from fusion.settings import DEFAULTS, Settings
from fusion.training.datasets import find_pairs
from tests.shared_session import load

ROOT = Path(__file__).resolve().parents[2]


def make(bracket: Bracket, run: FolderRun) -> BracketResult:
    """Fuse a bracket with a session of its own."""
    fuser = BracketFuser(run)
    with fuser.session:
        return fuser(bracket)


@pytest.fixture(scope="module")
def undisturbed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run over `dataset` that nothing disturbs."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert main(["fuse-folder", str(dataset), "-o", str(out), "-m", "mertens"]) == 0
    return out


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(folder: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fusion", "fuse-folder", str(folder), "-o", str(out), "-m", "mertens", *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def first(dataset: Path) -> Bracket:
    return find_brackets(dataset)[0][0]


def until(happened: Callable[[], object], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_folder_in_one_line(dataset: Path, undisturbed: Path, tmp_path: Path) -> None:
    scenes = sorted(path.name for path in dataset.iterdir())
    records = {f"{RECORDS}/{scene}.json" for scene in scenes}
    assert {*tree(undisturbed)} == {"report.html", *(f"{scene}.png" for scene in scenes), *records}
    save(fuse(dataset / "scene0" / "0_A.png", dataset / "scene0" / "0_B.png", method="mertens"), tmp_path / "0.png")
    assert (undisturbed / "scene0.png").read_bytes() == (tmp_path / "0.png").read_bytes()


def test_the_number_of_processes_changes_nothing(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sums of a network depend on the number of threads, so every process uses one."""
    pairs = tmp_path / "pairs"
    for scene in ("scene0", "scene1", "scene2"):
        shutil.copytree(dataset / scene, pairs / scene)
    for jobs in "12":
        run = ["fuse-folder", str(pairs), "-o", str(tmp_path / jobs), "-m", "pyramef", "--jobs", jobs, "--json"]
        assert main(run) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["scene"] for row in rows["done"]] == ["scene0", "scene1", "scene2"]
    assert tree(tmp_path / "1") == tree(tmp_path / "2")


def test_what_is_found_is_listed_and_a_dry_run_does_nothing_else(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(dataset, tmp_path / "in")
    shutil.copy(dataset / "scene0" / "0_A.png", tmp_path / "in" / "alone.png")
    run = ["fuse-folder", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--dry-run"]
    assert main([*run, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["brackets"][0] == {
        "scene": "scene0",
        "found_by": "name",
        "files": ["scene0/0_A.png", "scene0/0_B.png"],
    }
    assert [one["file"] for one in listed["skipped"]] == ["alone.png"]
    assert main(run) == 0
    told = capsys.readouterr()
    assert "scene5  name      scene5/5_A.png, scene5/5_B.png" in told.out
    assert "skipped alone.png: neither its name" in told.err
    assert not (tmp_path / "out").exists()


def test_only_what_changed_is_made_again(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "scene0", tmp_path / "in" / "scene0")
    bracket = first(tmp_path / "in")

    def made(method: str = "mertens", settings: Settings = DEFAULTS) -> bool:
        outcome = make(bracket, FolderRun(tmp_path / "in", tmp_path / "out", method, settings))
        assert isinstance(outcome, FusedBracket)
        return not outcome.kept

    source, result = tmp_path / "in" / bracket.files[0], tmp_path / "out" / "scene0.png"
    assert made()
    os.utime(source)  # the content counts
    assert not made()
    whole = result.read_bytes()
    for damage in (lambda: result.write_bytes(whole[:-1]), result.unlink):
        damage()
        assert made()
        assert result.read_bytes() == whole
    record = tmp_path / "out" / RECORDS / "scene0.json"
    record.write_text("{}")
    assert made()
    for settings in (Settings(saving=Saving(bits=16)), Settings(mode="exact"), Settings(memory_mb=4000)):
        assert made(settings=settings)
        assert not made(settings=settings)
    assert made("mertens-torch")
    assert not made("mertens-torch")
    assert made()
    assert not made()
    save(torch.zeros(3, 96, 80), source)
    assert made()
    assert result.read_bytes() != whole


@pytest.mark.parametrize(
    ("method", "other", "made"), [("mambamef", "mefnet", False), ("mambamef", "iat", True), ("meflut", "iat", False)]
)
def test_other_weights_make_other_results(
    method: str, other: str, made: bool, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "weights"
    shutil.copytree(weights.default_folder(), manifest)
    monkeypatch.setenv("FUSION_WEIGHTS", str(manifest))
    # Its networks stay loaded, whatever the manifest says later.
    fuser = BracketFuser(FolderRun(dataset, tmp_path / "out", method))
    assert isinstance(fuser(first(dataset)), FusedBracket)
    text = (manifest / "MANIFEST.toml").read_text(encoding="utf-8")
    hash_ = weights.entries()[other]["sha256"]
    (manifest / "MANIFEST.toml").write_text(text.replace(hash_, "0" * 64), encoding="utf-8")
    again = fuser(first(dataset))
    fuser.session.close()
    assert isinstance(again, FusedBracket)
    assert again.kept != made


def test_a_bad_scene_stops_nothing_and_leaves_nothing_old(
    dataset: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(dataset, tmp_path / "in")
    shutil.copytree(undisturbed, tmp_path / "out")
    (tmp_path / "in" / "scene2" / "2_B.png").write_bytes(b"not a picture")
    run = ["fuse-folder", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-m", "mertens"]
    assert main([*run, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [row["scene"] for row in told["failed"]] == ["scene2"]
    assert "not a JPEG, PNG" in told["failed"][0]["reason"]
    assert [row["kept"] for row in told["done"]] == [True] * 5
    before, after = tree(undisturbed), tree(tmp_path / "out")
    assert before.keys() - after.keys() == {"scene2.png", f"{RECORDS}/scene2.json"}
    assert "not a JPEG, PNG" in after["report.html"].decode()
    shutil.copy(dataset / "scene2" / "2_B.png", tmp_path / "in" / "scene2")
    assert main(run) == 0
    assert tree(tmp_path / "out") == before


def test_a_missing_file_and_a_full_disk_are_failures_of_one_scene(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = FolderRun(dataset, tmp_path / "out", "mertens")
    gone = make(Bracket("gone", (Path("a.png"), Path("b.png")), "name"), run)
    assert gone == FailedBracket(gone.bracket, "A file cannot be read or written (No such file or directory).")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fusion.io.image.write_atomically", full)
    failed = make(first(dataset), run)
    assert isinstance(failed, FailedBracket)
    assert "has room" in failed.reason
    assert tree(tmp_path) == {}


def killed_and_resumed(folder: Path, out: Path, expected: dict[str, bytes], kills: int, *options: str) -> list[int]:
    """Kill a run at random moments, then let it finish. Returns how many results there were at each kill.

    Whatever is there under its final name at any moment must be what the undisturbed run wrote.
    """
    rng = random.Random(0)
    counts: list[int] = []

    def check() -> int:
        for path in out.rglob("*"):
            if path.is_file() and not path.name.endswith(".part"):
                assert path.read_bytes() == expected[str(path.relative_to(out))], f"{path.name} is not whole"
        return len([*out.glob("*.png")])

    for _ in range(kills):
        process, before = start(folder, out, *options), check()
        until(lambda process=process, before=before: check() > before or process.poll() is not None)
        end = time.monotonic() + rng.uniform(0, 0.4)
        until(lambda end=end: check() and time.monotonic() > end)
        process.kill()
        process.wait()
        counts.append(check())
    process = start(folder, out, *options)
    until(lambda: check() and process.poll() is not None)
    assert process.returncode == 0
    return counts


def test_killed_again_and_again_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    pairs, expected = tmp_path / "pairs", tmp_path / "expected"
    for number in range(8):
        scene = pairs / f"scene{number}"
        scene.mkdir(parents=True)
        picture = torch.rand(3, 300, 400, generator=torch.Generator().manual_seed(number))
        save(picture * 0.3, scene / "under.png")
        save(picture * 0.6 + 0.4, scene / "over.png")
    assert start(pairs, expected).wait() == 0
    out = tmp_path / "out"
    (out / RECORDS).mkdir(parents=True)
    (out / f".{'0' * 32}.part").write_bytes(b"half")
    counts = killed_and_resumed(pairs, out, tree(expected), kills=6)
    assert counts == sorted(counts)
    assert tree(out) == tree(expected)


def workers(of: int, name: str) -> list[psutil.Process]:
    """The descendants of a process whose command line contains `name`."""
    found: list[psutil.Process] = []
    for process in psutil.Process(of).children(recursive=True):
        with suppress(psutil.Error):  # gone meanwhile
            if name in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_a_worker_that_is_killed_is_replaced(dataset: Path, undisturbed: Path, tmp_path: Path) -> None:
    run = start(dataset, tmp_path / "out")
    until(lambda: workers(run.pid, "spawn_main"))
    workers(run.pid, "spawn_main")[0].kill()
    assert run.wait() == 0
    assert tree(tmp_path / "out") == tree(undisturbed)


def test_workers_do_not_outlive_a_killed_run(dataset: Path, tmp_path: Path) -> None:
    run = start(dataset, tmp_path / "out", "--jobs", "2")
    until(lambda: len(workers(run.pid, "spawn_main")) == 2)
    left = workers(run.pid, "spawn_main")
    run.kill()
    run.wait()
    assert psutil.wait_procs(left, timeout=60)[1] == []


def test_a_scene_that_ends_its_process_twice_has_failed(dataset: Path, tmp_path: Path) -> None:
    before = {process.pid for process in workers(os.getpid(), "spawn_main")}
    with ThreadPoolExecutor(1) as thread:
        one = [first(dataset)]
        outcomes = thread.submit(fuse_folder, one, FolderRun(dataset, tmp_path / "out", "mertens"))
        killed: set[int] = set()
        while not outcomes.done() and len(killed) < 2:
            for process in workers(os.getpid(), "spawn_main"):
                if process.pid not in before | killed:
                    process.send_signal(signal.SIGKILL)
                    killed.add(process.pid)
            time.sleep(0.01)
    assert [type(outcome) for outcome in outcomes.result()] == [FailedBracket]
    assert "ended twice" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_ray_gives_the_same_bytes_though_a_worker_is_killed(dataset: Path, undisturbed: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray.data", exc_type=ImportError)
    run = start(dataset, tmp_path / "out", "--engine", "ray", "--jobs", "2")
    until(lambda: len(workers(run.pid, "ray::Map(_fuse_row)")) == 2)
    workers(run.pid, "ray::Map(_fuse_row)")[0].kill()
    assert run.wait() == 0
    assert tree(tmp_path / "out") == tree(undisturbed)


class Page(HTMLParser):
    """The tags of a page, the addresses that it loads or links to, and the text that it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_stands_alone_and_tells_the_means(dataset: Path, undisturbed: Path) -> None:
    text = (undisturbed / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("img") == 6 * 3
    assert not {"script", "link", "iframe"} & {*page.tags}
    assert all(re.match(r"data:image/jpeg;base64,|#scene-|scene\d\.png$", address) for address in page.addresses)
    assert str(dataset) not in text
    assert "http:" not in text
    assert "https:" not in text
    pairs = [(pair.under, pair.over, undisturbed / f"{pair.scene}.png") for pair in find_pairs(dataset)]
    scores = [measure_files(files[:2], files[2], METRICS[:2]) for files in pairs]
    row = text.split('<tr class="mean">')[1].split("</tr>")[0]
    means = [fmean(one[metric.name] for one in scores) for metric in METRICS[:2]]
    assert re.findall(r"<td>(.*?)</td>", row)[:2] == [f"{mean:.4f}" for mean in means]


def test_three_exposures_are_one_scene(dataset: Path, tmp_path: Path) -> None:
    middle = load(dataset / "scene0" / "0_A.png").photo * 1.5
    (tmp_path / "in").mkdir()
    shutil.copy(dataset / "scene0" / "0_A.png", tmp_path / "in" / "sky_-2.png")
    save(middle, tmp_path / "in" / "sky_0.png")
    shutil.copy(dataset / "scene0" / "0_B.png", tmp_path / "in" / "sky_+2.png")
    assert main(["fuse-folder", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-m", "mertens"]) == 0
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert page.tags.count("img") == 4
    assert "From sky_-2.png, sky_0.png, sky_+2.png." in page.text


def test_names_are_text_in_the_report(dataset: Path, tmp_path: Path) -> None:
    name = "<script>&\"'%2e#\udcff"
    for end in "AB":
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(dataset / "scene0" / f"0_{end}.png", tmp_path / "in" / f"{name}_{end}.png")
        shutil.copy(dataset / "scene0" / f"0_{end}.png", tmp_path / "in" / f"<b>{end}.png")
    assert main(["fuse-folder", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-m", "mertens"]) == 0
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "b"} & {*page.tags}
    assert "<script>&\"'%2e#?" in page.text
    assert "<b>A.png" in page.text
    assert "%3Cscript%3E%26%22%27%252e%23%FF.png" in page.addresses


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["nowhere", "-o", "out"], "is not a folder"),
        (["empty", "-o", "out"], "There are no pairs or brackets"),
        (["in", "-o", "in"], "holds files that this program did not make"),
        (["in", "-o", "in/scene0/0_A.png"], "holds files|cannot be written"),
        (["in", "-o", "out", "-m", "nonsense"], "There is no method called nonsense"),
        (["in", "-o", "out", "--jobs", "0"], "greater than or equal to 1"),
        (["in", "-o", "out", "--engine", "ray"], "needs Ray: pip install"),
    ],
)
def test_wrong_use(
    options: list[str],
    sentence: str,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(folder_module, "import_module", missing)
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    shutil.copytree(dataset, "in")
    before = tree(tmp_path)
    assert main(["fuse-folder", *options]) == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert tree(tmp_path) == before
