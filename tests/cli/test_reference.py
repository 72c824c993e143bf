"""Every command, argument and option has a help text that stands on its own, and the reference has all of them."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest
from typer.core import TyperArgument, TyperCommand, TyperOption

from fusion.cli import COMMANDS, options
from fusion.cli.reference import command_line, commands, parameters
from fusion.errors import Refusal
from fusion.io.image import Bits
from fusion.methods.base import Mode

EVERY = [(command, parameter) for command in commands() for parameter in parameters(command)]


def sentences(text: str | None) -> bool:
    """Whether a text begins with a capital letter and ends with a full stop."""
    return bool(text) and text[0].isupper() and text.endswith(".") and "\n" not in text


def named(value: object) -> str:
    return str(value.name) if isinstance(value, (TyperCommand, TyperArgument, TyperOption)) else str(value)


@pytest.mark.parametrize(("command", "parameter"), EVERY, ids=named)
def test_every_argument_and_option_has_a_sentence(
    command: TyperCommand, parameter: TyperArgument | TyperOption
) -> None:
    assert sentences(parameter.help), f"{command.name} {parameter.name}: {parameter.help}"


@pytest.mark.parametrize("command", commands(), ids=named)
def test_every_command_says_what_it_does_and_has_an_example(command: TyperCommand) -> None:
    *told, example = inspect.cleandoc(command.help or "").split("\n\n")
    assert all(sentences(one.replace("\n", " ")) for one in told)
    assert example.startswith(f"Example: python -m fusion {command.name}")


def test_the_reference_has_every_command_and_option() -> None:
    page = command_line()
    assert page.count("\n## ") == len(COMMANDS) == len(commands())
    for command in commands():
        section = page.partition(f"\n## {command.name}\n")[2].partition("\n## ")[0]
        for parameter in parameters(command):
            names = [*parameter.opts, *parameter.secondary_opts] if isinstance(parameter, TyperOption) else []
            assert all(f"`{name}`" in section for name in names)
            assert str(parameter.help) in section


def test_choices_are_those_of_the_library() -> None:
    assert get_args(get_args(options.Mode)[0]) == get_args(Mode)
    assert get_args(get_args(options.Bits)[0]) == get_args(Bits)


def test_every_error_code_has_a_sentence() -> None:
    for refusal in Refusal:
        assert Refusal(refusal.value) is refusal
        assert refusal == refusal.value
        assert sentences(refusal.meaning)
