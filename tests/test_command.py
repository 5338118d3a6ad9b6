"""Options of a command that are written as dataclasses."""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from grounded.command import options, program, progress
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


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/a.json"), "/data/a.json: No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded"),
        (PermissionError(errno.EACCES, "Permission denied", "b"), "b: Permission denied"),
    ],
)
def test_what_the_system_refuses_is_one_sentence(error: OSError, sentence: str) -> None:
    def write() -> None:
        raise error

    result = CliRunner().invoke(program(write), [])
    assert (result.exit_code, result.stderr) == (1, f"error: {sentence}\n")


def test_mistakes_of_our_own_are_not_dressed_up() -> None:
    def write() -> None:
        raise OSError("no word of the system's")

    assert isinstance(CliRunner().invoke(program(write), []).exception, OSError)


def test_a_name_of_thousands_of_characters_is_not_echoed_whole() -> None:
    message = str(ConfigError(f"{'x' * 5000} is no model\nmissing: a\nmissing: b"))
    assert len(message) < 700 and message.startswith("xxx") and message.endswith("is no model\nmissing: a\nmissing: b")


def test_a_log_gets_a_line_at_most_every_ten_percent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="grounded.command"), progress() as show:
        for number in range(1001):
            show("encoding", number / 1000)
        show("reading", 0.0)
    assert caplog.messages == [f"encoding: {percent} %" for percent in range(0, 101, 10)] + ["reading: 0 %"]
