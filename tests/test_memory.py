"""How much memory networks may use, and that they keep to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fusion import memory
from fusion.image import ExposurePair
from fusion.method import Fuser
from fusion.methods import METHODS


def test_the_budget_is_half_of_what_is_free_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(memory.BUDGET, raising=False)
    monkeypatch.setattr(memory, "free", lambda: 1000)
    assert memory.budget() == 500
    monkeypatch.setenv(memory.BUDGET, "3")
    assert memory.budget() == 3 << 20


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"memory.max": "5000", "memory.current": "2000"}, 3000),
        ({"memory.max": "max", "memory.current": "2000"}, None),
        ({"memory/memory.limit_in_bytes": "700", "memory/memory.usage_in_bytes": "900"}, 0),
        ({}, None),
    ],
    ids=["second version", "no limit", "first version, exceeded", "none"],
)
def test_a_containers_limit_is_read(tmp_path: Path, files: dict[str, str], free: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    read = memory._free_in_container(tmp_path)  # pyright: ignore[reportPrivateUsage]
    assert read == free if free is not None else read > 1 << 60


def test_a_network_sees_no_more_than_the_budget_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    hungry = next(method for method in METHODS if method.working_bytes and not method.largest)
    fuser = Fuser(replace(hungry, working_bytes=1 << 10))
    monkeypatch.setenv(memory.BUDGET, "4")
    height, width = fuser.seen(100, 80, "exact")
    assert 3500 < height * width <= 4200
    scene = torch.rand(3, 100, 80, generator=torch.Generator().manual_seed(0))
    assert fuser(ExposurePair(scene / 3, (1 + scene) / 2), mode="exact").shape == (3, 100, 80)
