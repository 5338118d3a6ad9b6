"""What the commands share: errors that end as one sentence, and the options that choose a model."""

from __future__ import annotations

import errno
import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from .errors import GroundedError
from .files import reason

if TYPE_CHECKING:
    from .engine.grounder import Grounder
    from .types import OnProgress

log = logging.getLogger(__name__)


@contextmanager
def _sentences() -> Iterator[None]:
    """Let expected errors, and what the system refuses (no room, no permission), end as one line and exit code 1."""
    try:
        yield
    except GroundedError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        if error.errno in (None, errno.EPIPE):  # no word of the system's; whoever read our output has left
            raise
        log.info("the system refuses", exc_info=True)
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error: {place}{reason(error)}", err=True)
        raise typer.Exit(1) from error


class Command(TyperCommand):
    """A command whose errors are sentences; see `program`."""

    def invoke(self, ctx: Any) -> Any:
        with _sentences():
            return super().invoke(ctx)


class Commands(TyperGroup):
    """A group of commands whose errors are sentences."""

    def invoke(self, ctx: Any) -> Any:
        with _sentences():
            return super().invoke(ctx)


def program(function: Callable[..., None]) -> typer.Typer:
    """Return a function as a program of its own."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(cls=Command)(function)
    return app


@contextmanager
def progress(quiet: bool = False) -> Iterator[OnProgress]:
    """Give a function (what is being done, fraction done) that draws a bar with the time left on a terminal.

    Elsewhere a line at most every 10 % goes to the log.
    """
    from tqdm import tqdm

    is_terminal = sys.stderr.isatty()
    style = "{desc:<30} {bar:30} {percentage:3.0f} % {remaining} left"
    bar = tqdm(total=100, bar_format=style, disable=quiet or not is_terminal)
    last = ("", 0)

    def show(what: str, fraction: float) -> None:
        nonlocal last
        step = int(100 * fraction) if is_terminal else int(10 * fraction) * 10
        if (what, step) == last:
            return
        if what != last[0]:
            bar.reset()
            bar.set_description_str(what, refresh=False)
        last = what, step
        bar.n = step
        bar.refresh()
        if not is_terminal:
            log.info("%s: %d %%", what, step)

    try:
        yield show
    finally:
        bar.leave = False
        bar.close()


@dataclass(frozen=True)
class ModelOptions:
    """The model that answers, as chosen on the command line or by environment variables."""

    model: Annotated[
        str,
        typer.Option(
            envvar="GROUNDED_MODEL",
            help="auto, a name that `models` lists, a folder, or a hub id.",
        ),
    ] = "auto"
    device: Annotated[str, typer.Option(envvar="GROUNDED_DEVICE", help="auto, cuda, mps or cpu.")] = "auto"
    dtype: Annotated[str, typer.Option(envvar="GROUNDED_DTYPE", help="auto, bfloat16, float16 or float32.")] = "auto"
    quantize: Annotated[
        str,
        typer.Option(envvar="GROUNDED_QUANTIZE", help="Store weights as int8 or int4, where memory is short; or none."),
    ] = "none"
    offload: Annotated[
        bool,
        typer.Option("--offload-towers", envvar="GROUNDED_OFFLOAD", help="Keep the towers off the GPU between videos."),
    ] = False

    def load(self, device: str | None = None) -> Grounder:
        """Load the model, on another ``device`` where one is given; errors as in `grounder.load`."""
        from .engine.grounder import load

        return load(
            self.model,
            device=device or self.device,
            dtype=self.dtype,
            quantize=self.quantize,
            offload=self.offload,
        )


@dataclass(frozen=True)
class CachedModelOptions(ModelOptions):
    """The model that answers, and where visual tokens are kept."""

    cache: Annotated[
        Path | None,
        typer.Option(envvar="GROUNDED_CACHE", help="A folder that keeps visual tokens: a video is watched once."),
    ] = None


def process_share(device: str) -> tuple[int, int, str]:
    """Return this process's number, how many there are, and its device, as `accelerate launch` or `torchrun` say."""
    index, count = (int(os.environ.get(name) or default) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    if count > 1 and device in ("auto", "cuda"):
        import torch

        if torch.cuda.is_available():
            device = f"cuda:{int(os.environ.get('LOCAL_RANK') or index) % torch.cuda.device_count()}"
    return index, count, device


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Spread the parameters of a command that are dataclasses, such as `ModelOptions`, into options of their own."""
    parameters = inspect.signature(command, eval_str=True).parameters
    groups: dict[str, Any] = {
        name: each.annotation for name, each in parameters.items() if is_dataclass(each.annotation)
    }
    fields = {name: inspect.signature(group, eval_str=True).parameters for name, group in groups.items()}

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field: given.pop(field) for field in fields[name]})
        command(**given)

    own = [each for name, each in parameters.items() if name not in groups]
    spread = [each for group in fields.values() for each in group.values()]
    keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *spread)]
    run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    run.__annotations__ = {}
    return run
