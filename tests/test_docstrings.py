"""The examples in the docstrings of the package and in the documentation give what they say."""

from __future__ import annotations

import doctest
import re
import shutil
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in (ROOT / "fusion").rglob("*.py")
    if ">>> " in file.read_text("utf-8")
)
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They start in the root of the repository, where the example photographs are."""
    monkeypatch.chdir(ROOT)
    module = import_module(name)
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


def test_the_guides_examples_run(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader would try them, on two small photographs."""
    monkeypatch.chdir(tmp_path)
    for source, name in zip(pair, ("under.jpg", "over.jpg"), strict=True):
        shutil.copy(source, tmp_path / name)  # the content decides what a file is, not its name
    namespace: dict[str, object] = {}
    for example in EXAMPLES:
        exec(example, namespace)
    assert (tmp_path / "fused.png").is_file()
    assert len(EXAMPLES) >= 7
