"""The wheel: built without a network, installed outside the checkout, and used there.

Every version of Python that pyproject.toml names is looked for, as `python3.12` or among pyenv's. All that are found
install and import the wheel. The one that runs this suite also fuses, compares and runs `benchmark --check`, and so do
the interpreters that the environment variable WHEEL_PYTHONS lists, separated as in PATH: each must have the base
dependencies.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
VERSIONS = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PROJECT)
PYTHONS = [sys.executable, *filter(None, os.environ.get("WHEEL_PYTHONS", "").split(os.pathsep))]

USE = """
import sys

for name in ("accelerate", "gradio", "matplotlib", "prometheus_client", "rawpy", "ray", "starlette"):
    sys.modules[name] = None  # importing an extra's package fails

import fusion
from fusion.pipeline import Fused, Scored

pair = sys.argv[1:]
picture = fusion.fuse(*pair, method="pyramef")
assert picture.shape == (3, 240, 320)
assert 0 <= picture.min() < picture.max() <= 1
events = list(fusion.compare(*pair, ["mertens", "deepfuse"]))
assert [event.method.name for event in events if isinstance(event, Fused)] == ["mertens", "deepfuse"]
assert all(event.scores for event in events if isinstance(event, Scored))
print(fusion.__file__)
"""


def run(*command: str | Path, folder: Path, timeout: float = 600) -> str:
    """What a command prints, run in `folder` with nothing that leads back to the checkout."""
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FUSION_"))}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=surroundings, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, ROOT, folder=folder)
    (built,) = folder.glob("*.whl")
    return built


def environment(python: str | Path, wheel: Path, folder: Path) -> Path:
    """A fresh environment that holds the wheel alone; the folder of its programs."""
    run(python, "-m", "venv", folder / "env", folder=folder)
    programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel, folder=folder)
    return programs


def site_packages(python: str | Path, folder: Path) -> Path:
    return Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip())


def interpreter(version: str) -> Path | None:
    """A Python of this version that can make environments."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    named = shutil.which(f"python{version}")
    for candidate in [*([Path(named)] if named else []), *pyenv.glob(f"versions/{version}.*/bin/python")]:
        # A pyenv shim exists even where its version is not activated, and Debian's Python can lack ensurepip.
        if subprocess.run([candidate, "-c", "import ensurepip, venv"], capture_output=True).returncode == 0:
            return candidate
    return None


def test_the_wheel_holds_the_package_the_weights_and_the_examples(wheel: Path) -> None:
    expected = {
        f"{inside}/{file.relative_to(ROOT / folder).as_posix()}"
        for inside, folder in (("fusion", "fusion"), ("fusion/weights", "weights"), ("fusion/examples", "examples"))
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if not name.startswith("mambamef-")} == expected
    assert len(names) == len(set(names))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_wheel_installs_and_imports_on_every_python_that_it_names(
    version: str, wheel: Path, tmp_path: Path
) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    programs = environment(python, wheel, tmp_path)
    installed = site_packages(programs / "python", tmp_path)
    run(programs / "python", "-W", "error", "-m", "compileall", "-q", installed / "fusion", folder=tmp_path)
    code = "import sys, fusion, fusion.errors; print('%d.%d' % sys.version_info[:2], fusion.__file__)"
    told = run(programs / "python", "-W", "error", "-c", code, folder=tmp_path)
    assert told.split() == [version, str(installed / "fusion" / "__init__.py")]


@pytest.fixture(scope="module", params=PYTHONS)
def programs(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and sees the packages of an interpreter."""
    folder = tmp_path_factory.mktemp("installed")
    programs = environment(request.param, wheel, folder)
    dependencies = site_packages(programs / "python", folder) / "dependencies.pth"
    dependencies.write_text(str(site_packages(request.param, folder)))
    return programs


def test_the_wheel_fuses_compares_and_checks_itself(programs: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    package = site_packages(programs / "python", tmp_path) / "fusion" / "__init__.py"
    assert run(programs / "python", "-c", USE, *pair, folder=tmp_path).strip() == str(package)
    run(programs / "mambamef", "fuse", *pair, "-m", "mertens", "-o", "fused.png", folder=tmp_path)
    run(programs / "mambamef", "compare", *pair, "-m", "mertens,deepfuse", "-o", "out", folder=tmp_path)
    run(programs / "mambamef", "benchmark", "--check", "-m", "mertens,pyramef", "--jobs", "2", folder=tmp_path)
    assert (tmp_path / "fused.png").read_bytes().startswith(b"\x89PNG")
    assert {file.stem for file in (tmp_path / "out").glob("*.png")} >= {"mertens", "deepfuse"}
    assert {file.name for file in tmp_path.iterdir()} == {"fused.png", "out"}


@pytest.mark.parametrize("programs", [sys.executable], indirect=True)
def test_the_page_starts_beside_the_installed_package(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image of the Dockerfile holds app.py alone in its folder."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "pictures"))
    shutil.copy(ROOT / "app.py", tmp_path)
    assert "--port" in run(programs / "python", "app.py", "--help", folder=tmp_path)
