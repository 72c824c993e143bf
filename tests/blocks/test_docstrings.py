"""The examples in the docstrings of the blocks run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from fusion import blocks

NEEDS_TRITON = "scan_triton"
MODULES = [module.name for module in pkgutil.iter_modules(blocks.__path__) if module.name != NEEDS_TRITON]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"fusion.blocks.{name}")).failed == 0
