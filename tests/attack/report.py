"""What an attack measured, beside what was to be reached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    number: int
    """The number of the row in SECURITY.md."""
    asked: str
    goal: str
    measured: str
    met: bool


def table(rows: Iterable[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = ["| row | what was asked | goal | measured | met |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.number} | {row.asked} | {row.goal} | {row.measured} | {'yes' if row.met else '**no**'} |"
        for row in sorted(rows, key=lambda row: row.number)
    ]
    return "\n".join(lines)
