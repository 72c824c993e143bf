"""Folders of files that come with the program: the trained weights and the example photographs."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def data_folder(name: str) -> Path:
    """The folder called `name`, "weights" or "examples".

    An installed package holds it. In a checkout it lies beside the package, where people look for it.
    """
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
