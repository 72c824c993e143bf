"""The generated pages of `docs/` say what the program does today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusion.cli import main
from fusion.cli.docs import PAGES
from fusion.methods import METHODS
from fusion.metrics import BENCHMARK
from fusion.metrics.reference import REFERENCE

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_generated_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", str(DOCS), "--check"]) == 0, capsys.readouterr().err


def test_a_stale_or_missing_page_is_found_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in PAGES:
        (tmp_path / name).write_bytes((DOCS / name).read_bytes())
    (tmp_path / "methods.md").write_text("old")
    (tmp_path / "metrics.md").unlink()
    assert main(["docs", str(tmp_path), "--check"]) == 1
    assert f"{tmp_path / 'methods.md'} is out of date" in capsys.readouterr().err
    assert (tmp_path / "methods.md").read_text() == "old"
    assert main(["docs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": ["methods.md", "metrics.md"]}
    assert (tmp_path / "metrics.md").read_bytes() == (DOCS / "metrics.md").read_bytes()
    assert main(["docs", str(tmp_path / "none")]) == 2


def test_every_method_setting_and_metric_is_documented() -> None:
    methods = (DOCS / "methods.md").read_text(encoding="utf-8")
    for method in METHODS:
        assert f"| `{method.name}` | {method.title} |" in methods
        for option in method.options:
            assert f"| `{method.name}` | `{option.name}` | {option.low:g} to {option.high:g} |" in methods
    metrics = (DOCS / "metrics.md").read_text(encoding="utf-8")
    for metric in (*BENCHMARK, *REFERENCE):
        assert metrics.count(f"| `{metric.name}` |") == 2
        assert f"| {metric.meaning}. | {metric.caution}. |" in metrics


def test_every_table_has_rows_of_equal_length() -> None:
    for page in PAGES.values():
        for table in page().split("\n\n"):
            if table.startswith("|"):
                assert len({line.replace(r"\|", "").count("|") for line in table.splitlines()}) == 1
