"""The command `annotate`: timed captions in, a grounded question set out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError

if TYPE_CHECKING:
    from .calls import Settings
    from .items import Source
    from .pipeline import Made, Plan

RELEASED = "released"


def annotate(
    captions: Annotated[Path, typer.Option(help="The timed captions; for vtt and srt also a folder of them.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", help="activitynet, qvhighlights, vtt, srt, json; released: a finished set, read back."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The set, in the training format; its other files are written beside it.")],
    endpoint: Annotated[
        str, typer.Option(help="Any OpenAI-compatible endpoint, such as http://localhost:8000/v1.")
    ] = "",
    model: Annotated[str, typer.Option(help="The name of the model at the endpoint.")] = "",
    key_variable: Annotated[
        str, typer.Option(help="The environment variable that holds the key.")
    ] = "GROUNDED_API_KEY",
    videos: Annotated[Path | None, typer.Option(help="The folder of the videos, for their names and lengths.")] = None,
    events: Annotated[bool, typer.Option(help="Ask about each event.")] = True,
    pairs: Annotated[bool, typer.Option(help="Ask about each two events that follow each other.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="Only the first so many videos; 0 is all.")] = 0,
    language: Annotated[str, typer.Option(help="The language of the questions, as an ISO 639-1 code.")] = "en",
    prompts: Annotated[
        Path | None, typer.Option(help="A folder with your own question.txt, judge.txt, blind.txt.")
    ] = None,
    embedding: Annotated[str, typer.Option(help="An embedding model: a folder or hub id; '' is MiniLM.")] = "",
    options: Annotated[int, typer.Option(min=2, max=26, help="Options of a question, the right one among them.")] = 5,
    low: Annotated[float, typer.Option(help="Least similarity of a wrong option to the right answer.")] = 0.2,
    high: Annotated[float, typer.Option(help="Greatest similarity of a wrong option to the right answer.")] = 0.9,
    blind: Annotated[
        int, typer.Option(min=0, help="How often each question is asked without its video; 0 is never.")
    ] = 3,
    judge: Annotated[bool, typer.Option("--judge", help="Let a second call judge each question.")] = False,
    judge_model: Annotated[str, typer.Option(help="The model that judges; '' is the one that writes.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Draws the distractors and the letters.")] = 0,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="The model's; not sent where it is not given.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply; models that reason need more.")] = 512,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls at the same time.")] = 4,
    timeout: Annotated[float, typer.Option(help="Seconds that a reply may take.")] = 120.0,
    price_in: Annotated[float, typer.Option(min=0, help="Price of a million prompt tokens.")] = 0.0,
    price_out: Annotated[float, typer.Option(min=0, help="Price of a million reply tokens.")] = 0.0,
    budget: Annotated[float | None, typer.Option(min=0, help="Stop before more than this is spent, in all.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Call nothing: tell the calls and what they may cost.")
    ] = False,
) -> None:
    """Make questions whose answer comes with the moment that proves it; a killed run goes on where it was."""
    if out.suffix != ".json" or out == captions:
        raise ConfigError(f"--out {out} must be a file of its own that ends with .json")
    if form == RELEASED:
        _convert(captions, out)
        return
    from . import captions as files
    from .calls import Settings
    from .distractors import Rule
    from .items import sources
    from .pipeline import Plan

    found, notes = files.read(captions, form, videos)
    wanted = sources(found[: limit or None], events, pairs)
    if not wanted:
        raise ConfigError("there is nothing to ask about: let --events or --pairs be on")
    plan = Plan(language, blind, judge, Rule(count=options - 1, low=low, high=high, seed=seed))
    settings = Settings(
        endpoint=endpoint,
        model=model,
        key=os.environ.get(key_variable, ""),
        temperature=temperature,
        max_tokens=max_tokens,
        concurrency=concurrency,
        timeout=timeout,
        price_in=price_in,
        price_out=price_out,
        budget=budget,
    )
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if dry_run:
        _tell_estimate(wanted, plan, settings, prompts)
        return
    if not endpoint or not model:
        raise ConfigError("--endpoint and --model say whom to ask; --dry-run needs neither")
    made = _run(wanted, plan, settings, prompts, embedding, judge_model, out, notes)
    typer.echo(f"{len(made.items):,} of {len(made.fates):,} questions are kept: {out}")
    for reason, number in made.reasons.items():
        typer.echo(f"{number:8,} {reason}")
    typer.echo(f"The report is {out.with_suffix('.html')}")


def _run(
    wanted: list[Source],
    plan: Plan,
    settings: Settings,
    prompts: Path | None,
    embedding: str,
    judge_model: str,
    out: Path,
    notes: tuple[str, ...],
) -> Made:
    import dataclasses

    from . import checks, embeddings, output, report
    from .asking import PROMPTS, Wordings
    from .calls import Endpoint
    from .journal import Journal
    from .pipeline import make

    wordings = Wordings(prompts or PROMPTS)
    embed, detect = embeddings.load(embedding), checks.detector()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder {out.parent} cannot be made: {error}") from error
    journal = Journal(out.with_suffix(".calls.jsonl"))
    try:
        writer = Endpoint(settings, journal)
        judge = writer if not judge_model else Endpoint(dataclasses.replace(settings, model=judge_model), journal)
        with _bar() as show:
            made = make(wanted, writer, wordings, plan, embed, detect, judge, show)
        spent = f"{journal.tokens_in:,} tokens in and {journal.tokens_out:,} out were paid for: {writer.spent:.4f}"
    finally:
        journal.close()
    output.write_set(out, made.items)
    output.write_lines(out.with_suffix(".dropped.jsonl"), [output.dropped(f) for f in made.fates if f.item is None])
    told = report.page(
        out.stem,
        made.items,
        notes=(*notes, *made.notes, f"{spent}."),
        reasons=made.reasons,
        repairs=made.repairs,
        guessers=made.guessers,
    )
    output.write_text(out.with_suffix(".html"), told)
    return made


def _convert(source: Path, out: Path) -> None:
    from . import output, report

    items, notes = output.read_released(source)
    output.write_set(out, items)
    output.write_text(out.with_suffix(".html"), report.page(out.stem, items, notes=notes))
    for line in (*notes, f"{len(items):,} grounded answers are in {out}"):
        typer.echo(line)


def _tell_estimate(wanted: list[Source], plan: Plan, settings: Settings, prompts: Path | None) -> None:
    from .asking import PROMPTS, Wordings
    from .pipeline import estimate

    told = estimate(wanted, Wordings(prompts or PROMPTS), plan)
    for kind, number in told.calls.items():
        typer.echo(f"{number:8,} calls: {kind}")
    typer.echo(f"{told.tokens_in:8,} tokens in and {told.tokens_out:,} out, about; retries cost more")
    if settings.price_in or settings.price_out:
        typer.echo(f"{settings.cost(told.tokens_in, told.tokens_out):8.2f} at these prices, about")


@contextmanager
def _bar() -> Iterator[Any]:
    """Give a function (kind, calls done, calls in all) that draws a bar."""
    from tqdm import tqdm

    with tqdm(unit="call", disable=not sys.stderr.isatty()) as bar:

        def show(kind: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_description(kind)

        yield show
