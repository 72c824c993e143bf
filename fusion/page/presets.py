"""Presets: named sets of methods, switches and options. They stand in presets.json."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fusion.methods.base import Options


@dataclass(frozen=True)
class Preset:
    """A named set of choices. What it does not name is as the page starts with it."""

    name: str
    methods: tuple[str, ...] | None
    """Names of methods; None ticks all that are available."""
    align: bool = True
    deghost: bool = False
    exact: bool = False
    """Run networks at full size."""
    published_colour: bool = False
    """Merge the colours of methods that fuse brightness alone as their authors do."""
    options: Mapping[str, Options] = field(default_factory=dict[str, Options])
    """Options by the method's name."""

    def ticked(self, available: Collection[str]) -> list[str]:
        """Return the preset's methods, as far as they are `available`."""
        return [name for name in available if self.methods is None or name in self.methods]


PRESETS: tuple[Preset, ...] = tuple(
    Preset(**entry) for entry in json.loads(Path(__file__).with_name("presets.json").read_text(encoding="utf-8"))
)
