"""List the experiments.

python -m fusion.benchmark.experiments
"""

from __future__ import annotations

import ast
from pathlib import Path

EXPERIMENTS = (
    *("ablation", "align", "brackets", "cards", "colour", "control", "fast", "formats", "gaps", "ghosts", "golden"),
    *("labels", "light", "metrics", "opinions", "parts", "reference"),
)
"""The names of the experiments; each is a file of this folder."""


def summary(name: str) -> str:
    """The first sentence of an experiment's docstring, read without running the file."""
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0].replace("\n", " ")


def main() -> None:
    """Print the name and the first sentence of every experiment."""
    for name in EXPERIMENTS:
        print(f"{name:10} {summary(name)}")
    print("\nRun one with: python -m fusion.benchmark.experiments.NAME; --help says what it takes.")


if __name__ == "__main__":
    main()
