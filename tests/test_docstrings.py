"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("io", "runtime", "exposures", "folders")
FILES = [file for room in ROOMS for file in sorted((ROOT / "fusion" / room).glob("*.py"))]
MODULES = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in FILES if ">>>" in f.read_text("utf-8")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    results = doctest.testmod(import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
