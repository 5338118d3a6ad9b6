"""The command `annotate`: timed captions in, a grounded question set out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import files
from ..command import options, progress
from ..errors import ConfigError
from .settings import CaptionSettings, EndpointSettings, QuestionSettings

if TYPE_CHECKING:
    from .chat import PromptFiles
    from .pipeline import QuestionSet
    from .questions import Source

RELEASED = "released"


@options
def annotate(
    captions: CaptionSettings,
    questions: QuestionSettings,
    endpoint: EndpointSettings,
    out: Annotated[Path, typer.Option(help="The set, in the training format; its other files are written beside it.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Call nothing: tell the calls and what they may cost.")
    ] = False,
) -> None:
    """Make questions whose answer comes with the moment that proves it; a killed run goes on where it was."""
    if out.suffix != ".json" or out.resolve() == captions.path.resolve():
        raise ConfigError(f"--out {out} must be a file of its own that ends with .json")
    if captions.format == RELEASED:
        _convert(captions.path, out)
        return
    from .captions import read
    from .chat import PROMPTS, PromptFiles
    from .questions import sources

    videos, notes = read(captions.path, captions.format, captions.videos)
    chosen = sources(videos[: captions.limit or None], captions.events, captions.pairs)
    if not chosen:
        raise ConfigError("there is nothing to ask about: let --events or --pairs be on")
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    prompts = PromptFiles(questions.prompts or PROMPTS)
    if dry_run:
        _print_estimate(chosen, prompts, questions, endpoint)
        return
    if not endpoint.url or not endpoint.model:
        raise ConfigError("--endpoint and --model say whom to ask; --dry-run needs neither")
    files.writable_folder(out.parent)
    result, spent = _run(chosen, prompts, questions, endpoint, out.with_suffix(".calls.jsonl"))
    _write(out, result, (*notes, *result.notes, spent))


def _run(
    sources: list[Source], prompts: PromptFiles, settings: QuestionSettings, endpoint: EndpointSettings, journal: Path
) -> tuple[QuestionSet, str]:
    """Make the set; return it and a sentence that says what it cost."""
    from ..library import embeddings
    from . import checks
    from .endpoint import Endpoint
    from .journal import Journal
    from .pipeline import Pipeline

    embed, detect = embeddings.load(settings.embedding), checks.detector()
    replies = Journal(journal)
    with progress() as show:
        writer = Endpoint(endpoint, replies, show)
        judge_model = settings.judge_model or endpoint.model
        judge = Endpoint(dataclasses.replace(endpoint, model=judge_model), replies, show)
        result = Pipeline(writer, judge, prompts, embed, detect, settings).run(sources)
        tokens = f"{replies.tokens_in:,} tokens in and {replies.tokens_out:,} out"
        return result, f"{tokens} were paid for: {writer.spent:.4f}."


def _write(out: Path, result: QuestionSet, notes: tuple[str, ...]) -> None:
    """Write the set, what was dropped, and the report; print what came out."""
    from . import output, report

    kept, reasons = result.questions, result.reasons
    output.write_set(out, kept)
    dropped = [output.dropped(candidate) for candidate in result.candidates if candidate.reason]
    files.write_lines(out.with_suffix(".dropped.jsonl"), dropped)
    page = report.page(out.stem, kept, notes=notes, reasons=reasons, repairs=result.repairs, baselines=result.baselines)
    files.write_text(out.with_suffix(".html"), page)
    typer.echo(f"{len(kept):,} of {len(result.candidates):,} questions are kept: {out}")
    for reason, count in reasons.items():
        typer.echo(f"{count:8,} {reason}")
    typer.echo(f"The report is {out.with_suffix('.html')}")


def _convert(released: Path, out: Path) -> None:
    from . import output, report

    questions, notes = output.read_released(released)
    output.write_set(out, questions)
    files.write_text(out.with_suffix(".html"), report.page(out.stem, questions, notes=notes))
    for line in (*notes, f"{len(questions):,} grounded answers are in {out}"):
        typer.echo(line)


def _print_estimate(
    sources: list[Source], prompts: PromptFiles, settings: QuestionSettings, endpoint: EndpointSettings
) -> None:
    from .pipeline import estimate

    cost = estimate(sources, prompts, settings)
    for kind, count in cost.calls.items():
        typer.echo(f"{count:8,} calls: {kind}")
    typer.echo(f"{cost.tokens_in:8,} tokens in and {cost.tokens_out:,} out, about; retries cost more")
    if endpoint.price_in or endpoint.price_out:
        typer.echo(f"{endpoint.cost(cost.tokens_in, cost.tokens_out):8.2f} at these prices, about")
