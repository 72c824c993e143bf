"""The examples in the docstrings of the methods run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from fusion import methods

MODULES = ["fusion.methods", *(f"fusion.methods.{module.name}" for module in pkgutil.iter_modules(methods.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
