"""What commands print: results on stdout, as tables or as JSON; messages and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]
"""A line of a table: values by the names of their columns."""

_UNBROKEN = 100_000
"""The width of a table that is not printed on a terminal: its lines are never broken."""
_NARROWEST = 12
"""The least width of a column whose later cells are not known yet."""


def say(message: str) -> None:
    """Print a message for the person at the terminal, on stderr."""
    print(message, file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """Print a result as one line of JSON."""
    print(json.dumps(value))


def print_rows(rows: Sequence[Row], *, as_json: bool = False) -> None:
    """Print rows of equal columns, as JSON or as a table. Only on a terminal are long cells broken."""
    if as_json:
        print_json(rows)
        return
    if not rows:
        return

    from rich.console import Console
    from rich.table import Column, Table

    columns = (Column(name, overflow="fold") for name in rows[0])
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    width = None if sys.stdout.isatty() else _UNBROKEN
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)


class GrowingTable:
    """A table that is printed row by row, each as soon as it is known."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def add(self, row: Row) -> None:
        """Print a row, and before the first one the names of the columns."""
        cells = [_cell(value) for value in row.values()]
        if not self._widths:
            self._widths = [max(len(name), len(cell), _NARROWEST) for name, cell in zip(row, cells, strict=True)]
            self._print(list(row))
        self._print(cells)

    def _print(self, cells: Sequence[str]) -> None:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True))
        print(line.rstrip(), flush=True)


@contextmanager
def progress(title: str, total: float) -> Generator[Callable[..., None], None, None]:
    """A bar on stderr, where that is a terminal, as long as the `with` block runs.

    Yields a function that takes `completed=` or `advance=`, in the units of `total`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)

        def move(*, completed: float | None = None, advance: float | None = None) -> None:
            bar.update(task, completed=completed, advance=advance)

        yield move


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
