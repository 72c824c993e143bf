"""How an experiment is started from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from fusion.errors import FusionError

Dataset: TypeAlias = Annotated[
    Path,
    typer.Argument(metavar="DATASET", help="A folder of pairs: <scene>/under.*, over.*, or <scene>/*_A.*, *_B.*."),
]
Maps: TypeAlias = Annotated[
    Path, typer.Argument(metavar="MAPS", help="A folder of HDR radiance maps (.exr), at any depth.")
]


def run(experiment: Callable[..., None], duration: str) -> None:
    """Run an experiment with the arguments of the command line.

    `duration` is a sentence that says how long it takes; it is printed to stderr first. A user's mistake ends with one
    sentence and exit code 1, and wrong use ends with exit code 2.
    """
    if "--help" not in sys.argv:
        print(duration, file=sys.stderr)
    try:
        typer.run(experiment)
    except FusionError as error:
        sys.exit(str(error))
