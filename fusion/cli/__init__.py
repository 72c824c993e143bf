"""The command line. Results go to stdout and messages to stderr.

The exit code is 0 if everything was done, 1 if an item failed, 2 if the command was used wrongly, and 130 if Ctrl-C
stopped it. What takes long to load is imported inside the commands, so that `--help` and a wrong option are answered
at once.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence

import typer
from typer.main import get_command

from fusion.cli import benchmark, docs, folders, fuse, training
from fusion.cli.output import say
from fusion.errors import FusionError, ImageError, NotEnoughMemoryError, WeightsError
from fusion.runtime import memory

PROGRAM = "python -m fusion"
COMMANDS: tuple[Callable[..., int], ...] = (
    fuse.methods,
    fuse.fuse,
    folders.fuse_folder,
    fuse.compare,
    fuse.metrics,
    benchmark.benchmark,
    training.train,
    training.ship,
    training.make_pairs,
    benchmark.speed,
    benchmark.study,
    benchmark.check_gpu,
    docs.docs,
)
"""Every command, in the order in which `--help` lists them. A command returns its exit code."""

_SPACED = ("--megapixels", "--analyse")
"""Options that take several values, separated by spaces."""
_DASHED_FILE = re.compile(r"-[^-].*\.\w+")
_STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, from `sys.argv` where no `arguments` are given, and return the exit code of the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        with memory.errors_translated():
            code = get_command(application()).main(_one_by_one(given), prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        say(_wrong_use(error, given))
        return error.exit_code
    except FusionError as error:
        say(str(error))
        return 1 if isinstance(error, (ImageError, NotEnoughMemoryError, WeightsError)) else 2
    except ModuleNotFoundError as error:  # a package of an extra, such as mambamef[training]
        say(f"This needs the package {error.name}, which is not installed: pip install {error.name}.")
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        say(f"{error.filename}: {error.strerror}.")
        return 2
    if code == _STOPPED:
        say("Stopped.")
    return code


def application() -> typer.Typer:
    """All commands as one application."""
    app = typer.Typer(
        name="fusion",
        help="Fuse photographs of one scene that were taken with different exposures.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    for command in COMMANDS:
        app.command()(command)
    return app


def _one_by_one(arguments: Sequence[str]) -> list[str]:
    """Write `--megapixels 1 6` as `--megapixels 1 --megapixels 6`, since typer takes one value for each option."""
    spread: list[str] = []
    option = ""
    for position, argument in enumerate(arguments):
        if argument == "--":
            return [*spread, *arguments[position:]]
        if argument.startswith("-"):
            option = argument if argument in _SPACED else ""
        elif option and spread[-1] != option:
            spread.append(option)
        spread.append(argument)
    return spread


def _wrong_use(error: typer.TyperException, arguments: Sequence[str]) -> str:
    """Say what is wrong with the arguments, and what helps."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else PROGRAM
    message = " ".join(error.format_message().split()).replace("Value error, ", "").removesuffix(".")
    sentence = message if message.endswith("?") else f"{message}."
    for name in filter(_DASHED_FILE.fullmatch, arguments):
        if message.endswith(f": {name[:2]}"):
            return f"{sentence} Put -- before file names that begin with a dash: {command} [OPTIONS] -- {name}"
    return f"{sentence} See {command} --help."
