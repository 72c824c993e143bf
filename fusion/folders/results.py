"""The settings of a run over a folder of brackets, and its result for each bracket.

`OUT/<name>.png` is a result, or a file with another format's ending. `OUT/.fusion/<name>.json` is its record: a hash of
what it was made from, the hash of its bytes, its metrics and thumbnails.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fusion.exposures.brackets import Bracket
from fusion.io.results_folder import RECORDS
from fusion.settings import DEFAULTS, Settings


@dataclass(frozen=True)
class FolderRun:
    """The settings that all brackets of a run share.

    >>> run = FolderRun(Path("photos"), Path("fused"))
    >>> run.result_path(Bracket("desk", (), "name")).as_posix()
    'fused/desk.png'
    """

    folder: Path
    """The folder of the sources."""
    out: Path
    """The folder of the results."""
    method: str = "virtual-bracket"
    settings: Settings = DEFAULTS
    """How each bracket is fused. All settings are part of what a result was made from."""

    def result_path(self, bracket: Bracket) -> Path:
        """The path of a bracket's fused picture."""
        return self.out / f"{bracket.name}{self.settings.saving.ending}"

    def record_path(self, bracket: Bracket) -> Path:
        """The path of a bracket's record."""
        return self.out / RECORDS / f"{bracket.name}.json"


@dataclass(frozen=True)
class BracketRecord:
    """The record of a finished result."""

    made_from: str
    """A hash of the sources' names and bytes, the method, the settings, the weights, and the metrics' names."""
    result: str
    """The hash of the file's bytes."""
    size: tuple[int, int]
    """Width and height in pixels."""
    notes: tuple[str, ...]
    """Sentences that say what was changed when the sources were read, and what was done because memory was short."""
    scores: dict[str, float]
    """Values by the metrics' names."""
    thumbnails: tuple[str, ...]
    """JPEGs in base64: the sources from dark to bright, then the result."""


@dataclass(frozen=True)
class FusedBracket:
    """A bracket whose result is finished."""

    bracket: Bracket
    record: BracketRecord
    kept: bool
    """Whether an earlier run finished it."""


@dataclass(frozen=True)
class FailedBracket:
    """A bracket that has no result."""

    bracket: Bracket
    reason: str
    """Why it failed, as a sentence."""


BracketResult: TypeAlias = FusedBracket | FailedBracket
