"""Modules import only those below them, and none runs what a file or a visitor says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "fusion").rglob("*.py"))


def test_a_layer_imports_only_those_below_it() -> None:
    """The layers stand in pyproject.toml; one that is missing there fails as well.

    The linter runs in a process of its own, since it switches off the loggers of the process that it runs in.
    """
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_decodes_and_computes_nothing() -> None:
    tree = ast.parse((ROOT / "app.py").read_text(encoding="utf-8"))
    modules = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    modules |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not modules & {"torch", "numpy", "cv2", "PIL"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import fusion, sys; print([m for m in ('torch', 'numpy', 'cv2', 'gradio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUNNING = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
FOREIGN = {
    *("torch.load", "torch.save", "torch.hub.load", "torch.jit.load", "pandas.read_pickle"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
}
PROCESSES = {"run", "Popen", "call", "check_call", "check_output"}


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression, as far as it is one."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def foreign_code(source: str) -> list[str]:
    """What in a program could run what a file or a visitor says."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLING]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = {module.split(".")[0], *(f"{module}.{alias.name}" for alias in node.names)}
            found += sorted(names & (UNPICKLING | FOREIGN))
        elif isinstance(node, ast.Attribute) and dotted(node) in FOREIGN:
            found.append(dotted(node))
        elif isinstance(node, ast.Call):
            called = dotted(node.func)
            if called.startswith(("os.exec", "os.spawn")) or (called in RUNNING):
                found.append(called)
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            if "shell" in named or (isinstance(allowed := named.get("allow_pickle"), ast.Constant) and allowed.value):
                found.append(f"{called} with shell or pickle")
            if called.split(".")[0] == "subprocess" and called.split(".")[-1] in PROCESSES:
                command = node.args[0] if node.args else named.get("args")
                if not isinstance(command, (ast.List, ast.Name)):  # a name is a list's by its type
                    found.append(f"{called} of text")
    return found


@pytest.mark.parametrize("path", [*FILES, ROOT / "app.py"], ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_what_a_file_or_a_visitor_says(path: Path) -> None:
    assert foreign_code(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch; torch.load('a.pt')",
        "from torch import load",
        "import numpy as np; np.load('a.npy', allow_pickle=True)",
        "eval(input())",
        "exec('a')",
        "import os; os.system('ls')",
        "import os; os.execv('a', [])",
        "import subprocess; subprocess.run('ls', shell=True)",
        "import subprocess; subprocess.run('ls')",
        "import subprocess; subprocess.Popen(f'ls {name}')",
    ],
)
def test_foreign_code_is_noticed(source: str) -> None:
    assert foreign_code(source)
