"""What the README says is true."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from fusion.cli import main
from fusion.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    path.relative_to(ROOT) for folder in (".", "docs", "weights", "examples") for path in (ROOT / folder).glob("*.md")
)
FRONT = dict(line.split(": ", 1) for line in README.split("---")[1].strip().splitlines())


def test_gradio_is_one_version_everywhere() -> None:
    pinned = re.findall(r"^gradio==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned == [FRONT["sdk_version"]] == [version("gradio")]


def test_the_front_matter_is_valid_for_spaces() -> None:
    assert len(FRONT["short_description"]) <= 60
    assert (FRONT["sdk"], FRONT["app_file"]) == ("gradio", "app.py")


def test_it_is_one_screen_and_a_little() -> None:
    assert len(README.split("---", 2)[2].splitlines()) <= 130


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_file_it_names_exists(document: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", (ROOT / document).read_text(encoding="utf-8")):
        assert (ROOT / document.parent / target).exists(), f"{target} does not exist"


def test_two_commands_of_one_line_each() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("app.py")
    assert commands[1].endswith("-m pytest -n 2")


def test_the_table_names_every_method() -> None:
    named = re.findall(r"^\| \[`([a-z0-9-]+)`\]\(.*\) \| .* \|$", README, re.MULTILINE)
    assert [name for name in dict.fromkeys(named) if name in {m.name for m in METHODS}] == [m.name for m in METHODS]
    for method in METHODS:
        assert f"{method.parameters:,}" in README


COMMANDS = {
    command
    for document in DOCUMENTS
    for command in re.findall(r"python -m fusion ([a-z][a-z-]+)", (ROOT / document).read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert command in capsys.readouterr().out


def test_no_heavy_or_forbidden_requirement() -> None:
    text = (ROOT / "requirements.txt").read_text().lower()
    for package in ("torchvision", "timm", "piq", "pyiqa", "mamba", "causal"):
        assert not re.search(rf"^{package}", text, re.MULTILINE), package


def test_every_environment_variable_is_documented() -> None:
    """Those that the program reads for its user; what it sets for libraries has its reason where it is set."""
    told = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    read: set[str] = set()
    for file in [*(ROOT / "fusion").rglob("*.py"), ROOT / "app.py"]:
        text = file.read_text(encoding="utf-8")
        read |= set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", text))
        read |= set(re.findall(r"\badd\(\"--[a-z-]+\", \"([A-Z_]+)\"", text))
    assert len(read) >= 7
    for variable in read - {"TMPDIR"}:
        assert f"`{variable}`" in told, variable
