"""Options of a command that are written as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from grounded.command import options, program
from grounded.errors import ConfigError


@dataclass(frozen=True)
class Colours:
    ink: Annotated[str, typer.Option(help="The colour of the letters.")]
    paper: str = "white"

    def __post_init__(self) -> None:
        if self.ink == self.paper:
            raise ConfigError(f"{self.ink} on {self.paper} cannot be read")


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(min=1)] = 80


@options
def paint(colours: Colours, size: Size, text: Annotated[str, typer.Argument()], loud: bool = False) -> None:
    typer.echo(f"{text.upper() if loud else text} {colours} {size}")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(program(paint), list(arguments))
    return result.exit_code, result.output.strip()


def test_each_dataclass_of_a_command_becomes_options() -> None:
    assert run("hi", "--ink", "red", "--width", "3", "--loud") == (0, f"HI {Colours('red')} {Size(3)}")
    assert run("hi", "--ink", "red", "--paper", "blue") == (0, f"hi {Colours('red', 'blue')} {Size()}")


def test_options_that_a_dataclass_refuses_are_one_sentence() -> None:
    assert run("hi", "--ink", "white") == (1, "error: white on white cannot be read")
    assert run("hi")[0] == 2 and run("hi", "--ink", "red", "--width", "0")[0] == 2
