"""Who may import whom: each layer only those above it in this list, and itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (
    ("errors", "files", "cancel"),
    ("memory",),
    ("color", "tiles", "blocks", "profiles", "encode", "resume"),
    ("decode",),
    ("child",),
    ("image", "weights"),
    ("align", "ghost", "enhance", "metric"),
    ("method", "metrics"),
    ("losses",),
    ("methods",),
    ("datasets", "pipeline", "brackets", "camera", "training_log"),
    ("training", "evaluation", "report", "speed", "radiance"),
    ("gpu", "folder", "benchmark"),
    ("page", "cli"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in (ROOT / "fusion").rglob("*.py") if path.parts[-2:] != ("fusion", "__init__.py"))


def part(module: str) -> str:
    return module.split(".")[1]


def imported(path: Path) -> list[str]:
    """Modules of this package that a file imports, as `fusion.x`."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "fusion":
            found += [f"fusion.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fusion."):
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("fusion.")]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_layer_imports_only_layers_above_it(path: Path) -> None:
    own = path.relative_to(ROOT / "fusion").parts[0].removesuffix(".py")
    if own == "__main__":
        return
    assert own in LEVEL, f"{own} has no layer: add it to LAYERS"
    for module in imported(path):
        other = part(module)
        assert other == own or LEVEL[other] < LEVEL[own], f"{path.name} imports {module}, which is not above it"


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


def test_no_pickle_on_any_path() -> None:
    for path in [*FILES, ROOT / "app.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
                assert node.attr not in {"load", "save"}, f"{path.name} calls torch.{node.attr}"
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert "pickle" not in names, f"{path.name} imports pickle"
