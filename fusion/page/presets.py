"""Sets of choices that go together, as data: what is ticked, switched on and changed when one of them is taken."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fusion.methods.base import Options


@dataclass(frozen=True)
class Preset:
    """One set of choices; whatever it does not name is as the page starts with it."""

    name: str
    methods: tuple[str, ...] | None
    """None: all that are available."""
    align: bool = True
    deghost: bool = False
    exact: bool = False
    """Networks see every pixel."""
    options: Mapping[str, Options] = field(default_factory=dict[str, Options])
    """By a method's name."""

    def ticked(self, available: Collection[str]) -> list[str]:
        """Its methods, as far as they are `available`."""
        return [name for name in available if self.methods is None or name in self.methods]


PRESETS: tuple[Preset, ...] = tuple(
    Preset(**entry) for entry in json.loads(Path(__file__).with_name("presets.json").read_text(encoding="utf-8"))
)
