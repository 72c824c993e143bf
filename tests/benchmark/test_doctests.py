"""The examples in the docstrings of the benchmark and of what is written beside pictures."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    *(ROOT / "fusion" / "benchmark").glob("*.py"),
    *(ROOT / "fusion" / "outputs").glob("*.py"),
    ROOT / "fusion" / "benchmark" / "experiments" / "dng.py",
    ROOT / "fusion" / "cli" / "docs.py",
    ROOT / "fusion" / "training" / "datasets.py",
]
MODULES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in FILES if ">>>" in file.read_text("utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    results = doctest.testmod(import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
