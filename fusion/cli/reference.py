"""The command reference as Markdown, written from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Literal, get_args, get_origin, get_type_hints

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from fusion.cli import PROGRAM, application


def command_line() -> str:
    """Every command with its arguments, options and defaults, as the Markdown of a page without its heading."""
    return "\n\n".join((_INTRODUCTION, *map(_section, commands())))


def commands() -> list[TyperCommand]:
    """Every command as typer reads it."""
    group = get_command(application())
    found = group.commands.values() if isinstance(group, TyperGroup) else ()
    return [command for command in found if isinstance(command, TyperCommand)]


def parameters(command: TyperCommand) -> list[TyperArgument | TyperOption]:
    """The arguments of a command, then its options."""
    told = [one for one in command.params if isinstance(one, (TyperArgument, TyperOption))]
    return sorted(told, key=lambda one: isinstance(one, TyperOption))


_INTRODUCTION = f"""`{PROGRAM} COMMAND --help` prints what this page says of one command. Results go to stdout and
messages to stderr. The exit code is 0 if everything was done, 1 if an item failed, 2 if the command was used wrongly,
and 130 if Ctrl-C stopped it. Put `--` before file names that begin with a dash."""


def _section(command: TyperCommand) -> str:
    """One command: what it does, how it is called, an example, and a table of what it takes."""
    text, _, example = inspect.cleandoc(command.help or "").partition("\n\nExample: ")
    taken = parameters(command)
    arguments = [_argument(one) for one in taken if isinstance(one, TyperArgument)]
    usage = " ".join((PROGRAM, str(command.name), "[OPTIONS]", *arguments))
    table = ["| Argument or option | Meaning | Default |", "|---|---|---|", *(_row(command, one) for one in taken)]
    lines = (f"## {command.name}", "", text, "", f"    {usage}", "", "Example:", "", f"    {example}", "", *table)
    return "\n".join(lines)


def _argument(argument: TyperArgument) -> str:
    """An argument as it stands in the usage line."""
    name = f"{argument.metavar}..." if argument.nargs != 1 else str(argument.metavar)
    return name if argument.required else f"[{name}]"


def _row(command: TyperCommand, parameter: TyperArgument | TyperOption) -> str:
    """A line of the table of arguments and options."""
    if isinstance(parameter, TyperArgument):
        what = f"`{_argument(parameter)}`"
    else:
        what = _quoted((*parameter.opts, *parameter.secondary_opts))
        if values := _choices(command, parameter) or (parameter.metavar and f"`{parameter.metavar}`"):
            what = f"{what}: {values}"
    return f"| {what} | {parameter.help} | {_default(parameter)} |"


def _choices(command: TyperCommand, option: TyperOption) -> str:
    """The words that an option takes, where there are few."""
    hints = get_type_hints(inspect.unwrap(command.callback)) if command.callback else {}
    kind = hints.get(str(option.name))
    kinds = (kind, *get_args(kind))
    return _quoted(str(word) for one in kinds if get_origin(one) is Literal for word in get_args(one))


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _default(parameter: TyperArgument | TyperOption) -> str:
    """What is used where the argument or option is not given."""
    value = parameter.default
    if parameter.required:
        return "required"
    if isinstance(value, bool):
        names = parameter.opts if value else parameter.secondary_opts
        return f"`{names[0]}`" if parameter.secondary_opts else ""
    if isinstance(value, (list, tuple)):
        return f"`{' '.join(f'{one:g}' for one in value)}`"
    return "" if value is None else f"`{value}`"
