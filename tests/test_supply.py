"""What is declared, installed and documented, and the image that is built of it: they must not drift apart."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from fusion.errors import Refusal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]  # installed there alone

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
VERSIONS = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))

NOT_OURS_TO_INSTALL = {"spaces"}
"""A Space has this package; it exists nowhere else."""


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(file: str) -> list[str]:
    """A requirements file's lines, without comments."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def names(requirements: Iterable[str]) -> set[str]:
    """The normalised names of the packages that these lines ask for."""
    return {normalised(re.split(r"[\[<>=;!~ ]", line, maxsplit=1)[0]) for line in requirements}


def pinned(file: str) -> dict[str, str]:
    """Versions by normalised name."""
    found = re.findall(r"^([\w.-]+)==([^\s;+]+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    return {normalised(name): version for name, version in found}


def imported(path: Path) -> set[str]:
    """The top-level names of all modules that a file imports, also by `import_module`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "import_module":
            found |= {str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)}
    return {name.split(".")[0] for name in found}


def distributions(files: Iterable[Path]) -> set[str]:
    """The normalised names of the packages from which these files import; a module that is not here names its own."""
    installed = packages_distributions()
    modules = set[str]().union(*map(imported, files)) - {*sys.stdlib_module_names, "", "app", "fusion", "tests"}
    return {normalised(installed.get(module, [module])[0]) for module in modules}


@pytest.mark.parametrize("module", ["numpy", "cv2", "PIL", "not_installed"])
def test_imports_are_found_wherever_they_stand(module: str, tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text(f"import os\ndef f():\n    from {module}.part import x\n")
    assert imported(file) == {"os", module}
    assert len(distributions([file])) == 1


def test_everything_that_is_imported_is_declared() -> None:
    program = [*(ROOT / "fusion").rglob("*.py"), ROOT / "app.py"]
    declared = names(PROJECT["dependencies"]).union(*map(names, EXTRAS.values()))
    assert distributions(program) <= declared | NOT_OURS_TO_INSTALL
    for_tests = declared | names(required("tests/requirements.txt"))
    assert distributions((ROOT / "tests").rglob("*.py")) <= for_tests


def test_requirements_are_those_of_the_project() -> None:
    assert sorted(required("requirements.txt")) == sorted(
        [*PROJECT["dependencies"], *EXTRAS["page"], *EXTRAS["training"]]
    )


def test_the_lock_has_the_constraints_versions_and_a_hash_for_each() -> None:
    lines = required("requirements.lock")
    assert all(re.fullmatch(r"[\w.-]+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    locked, constrained = pinned("requirements.lock"), pinned("constraints.txt")
    assert len(locked) == len(lines)
    assert locked == {name: version for name, version in constrained.items() if name in locked}
    asked = names([*required("requirements.txt"), *required("tests/requirements.txt")])
    assert asked - {"tomli"} <= set(locked)  # that one is for Python 3.10 alone


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    low, high = (int(version.split(".")[1]) for version in (VERSIONS[0], VERSIONS[-1]))
    assert [f"3.{minor}" for minor in range(low, high + 1)] == VERSIONS
    assert PROJECT["requires-python"] == f">=3.{low},<3.{high + 1}"
    assert f"Python 3.{low} to 3.{high}" in README
    assert re.search(r'^python_version: "(.*)"$', README, re.MULTILINE)[1] in VERSIONS  # pyright: ignore[reportOptionalSubscript]
    assert set(re.findall(r"^FROM python:(3\.\d+)-", DOCKERFILE, re.MULTILINE)) <= set(VERSIONS)
    tools = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'target-version = "py3{low}"' in tools
    assert f'pythonVersion = "3.{low}"' in tools


def test_every_refusal_is_explained() -> None:
    told = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for refusal in Refusal:
        assert f"| `{refusal.value}` | {refusal.meaning} |" in told


def test_security_names_files_and_tests_that_exist() -> None:
    rows = re.findall(r"^\| (\d+) \|.*$", SECURITY, re.MULTILINE)
    assert rows == [str(number) for number in range(1, 18)]
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"`(test_\w+\.py)`", SECURITY)) <= tests
    for name in set(re.findall(r"`((?:fusion|tests)[/.]\w[\w/.]*)`", SECURITY)):
        path = name if name.endswith(".py") else name.replace(".", "/")
        assert (ROOT / path).exists() or (ROOT / f"{path}.py").exists(), name


def test_the_image_is_of_a_fixed_base_runs_as_nobody_and_says_how_it_is() -> None:
    assert set(re.findall(r"^FROM (\S*)", DOCKERFILE, re.MULTILINE)) == {"python:3.12-slim-bookworm"}
    (user,) = re.findall(r"^USER (\d+)", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0
    assert "/healthz" in DOCKERFILE.partition("HEALTHCHECK")[2]
    assert all("--no-cache-dir" in line for line in re.findall(r"^RUN pip .*$", DOCKERFILE, re.MULTILINE))
    assert re.findall(r"^(?:CMD|ENTRYPOINT) (.)", DOCKERFILE, re.MULTILINE) == ["["]
    copied = [
        source for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for source in line.split()
    ]
    allowed = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(copied) == set(allowed)
    for source in copied:
        assert (ROOT / source).exists()
