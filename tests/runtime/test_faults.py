"""What breaks around the program: weights, the disk, the clock, the network, a library. Processes of their own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import torch

import fusion
from fusion.io.image import load, save
from fusion.methods import METHODS
from fusion.runtime import weights
from tests.server import Server, served

ROOT = Path(__file__).resolve().parents[2]

# Python imports `sitecustomize` before anything else. Every write into the program's folder and every connection to
# another computer is noted and fails; each look at the clock finds it a second earlier than before.
ADVERSE = """
import itertools, os, sys, time

inside, noted = os.environ["FAULTS_ROOT"], os.environ["FAULTS_NOTED"]
steps, clock = itertools.count(), time.time
time.time = lambda: clock() - 2 * next(steps)

def watch(event, details):
    if event == "open" and isinstance(details[0], str) and os.path.abspath(details[0]).startswith(inside):
        if (details[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", details[0])
    elif event in ("os.mkdir", "os.rename", "os.remove"):
        if os.path.abspath(os.fsdecode(details[0])).startswith(inside):
            raise OSError(30, "Read-only file system", details[0])
    elif event == "socket.connect" and isinstance(details[1], tuple) and not local(details[1][0]):
        refuse(details[1])
    elif event == "socket.getaddrinfo" and not local(details[0]):
        refuse(details[0])

def local(host):
    host = host.decode() if isinstance(host, bytes) else host
    return not host or host in ("localhost", "::1", "0.0.0.0") or host.startswith("127.")

def refuse(where):
    with open(noted, "a") as file:
        print(where, file=file)
    raise OSError(101, "Network is unreachable")

sys.addaudithook(watch)
"""


@pytest.fixture(scope="module")
def adverse(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Surroundings for a process: a read-only program, no home, no network, a broken mamba_ssm, a clock that turns."""
    folder = tmp_path_factory.mktemp("adverse")
    (folder / "sitecustomize.py").write_text(ADVERSE)
    for name in ("mamba_ssm", "causal_conv1d"):
        (folder / f"{name}.py").write_text("raise RuntimeError('undefined symbol: _ZN3c104cuda9SetDeviceEi')")
    (folder / "noted").touch()
    return {
        "PYTHONPATH": str(folder),
        "HOME": "/dev/null/nowhere",  # not even root can make that
        "FAULTS_ROOT": f"{ROOT}{os.sep}",
        "FAULTS_NOTED": str(folder / "noted"),
    }


def connections(adverse: dict[str, str]) -> str:
    return Path(adverse["FAULTS_NOTED"]).read_text()


def surroundings(**changes: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    return kept | changes


def test_the_command_line_needs_none_of_that(adverse: dict[str, str], pair: tuple[Path, Path], tmp_path: Path) -> None:
    names = ["pyramef", "mertens"]
    code = (
        "import sys, time; from fusion.blocks.selective_scan import execution; from fusion.cli import main;"
        "assert time.time() > time.time();"
        "print(execution('cuda'), file=sys.stderr); sys.exit(main())"
    )
    write = [sys.executable, "-c", "open('fusion/new', 'w')"]
    assert subprocess.run(write, cwd=ROOT, env=surroundings(**adverse), stderr=subprocess.DEVNULL).returncode
    command = [sys.executable, "-c", code, "compare", *map(str, pair), "-m", ",".join(names), "-o", str(tmp_path)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=ROOT, env=surroundings(**adverse))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[0] in ("triton", "reference")  # what a GPU gets in place of mamba_ssm
    assert all(row["seconds"] > 0 for row in json.loads(done.stdout))
    for name in names:
        save(fusion.fuse(*pair, method=name), tmp_path / "expected.png")
        ours, expected = (load(tmp_path / f"{one}.png").photo for one in (name, "expected"))
        assert float((ours - expected).abs().max()) <= 1 / 255  # a scan of another kind may round otherwise
    assert connections(adverse) == ""


# Weights.


def _missing(folder: Path, name: str) -> None:
    (folder / f"{name}.safetensors").unlink()


def _truncated(folder: Path, name: str) -> None:
    path = folder / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _one_bit(folder: Path, name: str) -> None:
    path = folder / f"{name}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _pickled(folder: Path, name: str) -> None:
    path = folder / f"{name}.safetensors"
    torch.save({"weight": torch.zeros(2, 3)}, path)
    _vouch(folder, name)


def _nan(folder: Path, name: str) -> None:
    network = next(method for method in METHODS if method.name == name).untrained()
    next(network.parameters()).data.fill_(torch.nan)
    weights.ship(name, network, {}, folder)


def _of_another(folder: Path, name: str) -> None:
    weights.ship(name, torch.nn.Linear(3, 2), {}, folder)


def _vouch(folder: Path, name: str) -> None:
    """The manifest says that the file is what it should be."""
    import hashlib

    known = weights.entries(folder)[name]["sha256"]
    now = hashlib.sha256((folder / f"{name}.safetensors").read_bytes()).hexdigest()
    manifest = folder / "MANIFEST.toml"
    manifest.write_text(manifest.read_text().replace(known, now))


DAMAGE: dict[str, tuple[Callable[[Path, str], None], str]] = {
    "lightfuse": (_missing, "is missing"),
    "deepfuse": (_truncated, "is damaged"),
    "mefnet": (_one_bit, "is damaged"),
    "meflut": (_pickled, "does not fit"),
    "pyramef": (_nan, "not finite"),
    "lemamba": (_of_another, "does not fit"),
}
"""A kind for each of six methods, and what is said of it."""


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's weights, six of them useless."""
    folder = tmp_path_factory.mktemp("damaged")
    for path in weights.default_folder().iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for name, (damage, _) in DAMAGE.items():
        damage(folder, name)
    return folder


@pytest.mark.parametrize("name", DAMAGE)
def test_bad_weights_end_the_command_in_one_line(
    name: str, damaged: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "fusion", "fuse", *map(str, pair), "-m", name, "-o", str(tmp_path / "out.png")]
    before = _processor_seconds()  # others may keep the processor busy meanwhile
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=surroundings(FUSION_WEIGHTS=str(damaged))
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert DAMAGE[name][1] in line
    assert str(damaged) not in line
    assert done.stdout == ""
    assert not (tmp_path / "out.png").exists()
    assert _processor_seconds() - before < 5


def _processor_seconds() -> float:
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


@pytest.fixture(scope="module")
def page(adverse: dict[str, str], damaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Everything is broken at once."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in adverse.items():
            patch.setenv(key, value)
        patch.setenv("FUSION_WEIGHTS", str(damaged))
        with served(tmp_path_factory.mktemp("page"), "app.py") as server:
            yield server


def test_the_page_greys_what_cannot_run_and_the_rest_works(
    page: Server, adverse: dict[str, str], pair: tuple[Path, Path], tmp_path: Path
) -> None:
    rows = {row["name"]: row for row in page.ask("methods")}
    assert {name for name, row in rows.items() if not row["available"]} == set(DAMAGE)
    shown = httpx.get(f"{page.address}/config").text
    for name, (_, reason) in DAMAGE.items():
        assert reason in rows[name]["reason"]
        assert rows[name]["reason"] in shown
    files = [page.upload(path) for path in pair]
    made = page.ask("fuse", files=files, method="mertens")
    save(fusion.fuse(*pair, method="mertens"), tmp_path / "expected.png")
    assert httpx.get(made["file"]["url"]).content == (tmp_path / "expected.png").read_bytes()
    assert made["seconds"] > 0
    assert "does not fit" in (page.refusal("fuse", files=files, method="meflut") or "")
    assert "Traceback" not in page.log
    assert connections(adverse) == ""


# The disk.


def test_a_full_disk_is_said_and_leaves_nothing(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """No file may grow beyond 4 KB: what the process writes ends there, as on a full disk."""
    command = [sys.executable, "-m", "fusion", "fuse", *map(str, pair), "-m", "mertens", "-o", f"{tmp_path}/out.png"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.returncode == 1
    assert done.stderr == "The picture cannot be saved; check that its folder exists and has room.\n"
    assert list(tmp_path.iterdir()) == []
