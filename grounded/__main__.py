"""The command line: every task on a video file, and the work around the models."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .annotation import cli as annotation
from .command import CachedModelOptions, Commands, options, progress
from .evaluation import cli as evaluation
from .library import cli as film_library
from .tiny import cli as tiny
from .tiny.world import cli as world
from .training import cli as training

if TYPE_CHECKING:
    from .engine.encoded_video import EncodedVideo
    from .types import Answer, OnProgress

app = typer.Typer(
    cls=Commands,
    help="Find moments in videos: ask in words, get the seconds; give seconds, get words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Video = Annotated[Path, typer.Argument(help="The video file.", metavar="VIDEO", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]


@app.callback()
def main(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is being done.")] = False) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")
    if not verbose:
        logging.getLogger("transformers").setLevel(logging.ERROR)


@options
def ground(
    loading: CachedModelOptions,
    video: Video,
    query: Annotated[str, typer.Argument(help="What to look for, in words.")],
    fine: Annotated[
        bool, typer.Option("--fine", help="Search a long video part by part: slower, and finds what is short.")
    ] = False,
    constrained: Annotated[
        bool, typer.Option("--constrained", help="Let the model write nothing but a span inside the video.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find when something happens."""
    with progress(as_json) as show:
        answer = _watch(loading, video, show, {"query": query}).ground(
            query, fine=fine, constrained=constrained, on_progress=show
        )
    _print(answer, as_json)
    if answer.windows:
        typer.echo(f"{answer.windows} parts of the video were searched", err=True)


@options
def refer(
    loading: CachedModelOptions,
    video: Video,
    start: Annotated[str, typer.Argument(help="Where the range begins: seconds (12.5) or 0:12.")],
    end: Annotated[str, typer.Argument(help="Where it ends.")],
    as_json: AsJson = False,
) -> None:
    """Say what happens in a range."""
    from .time_tokens import parse_seconds

    with progress(as_json) as show:
        span = parse_seconds(start), parse_seconds(end)
        answer = _watch(loading, video, show, span=span).refer(*span)
    _print(answer, as_json)


@options
def choose(
    loading: CachedModelOptions,
    video: Video,
    question: Annotated[str, typer.Argument(help="The question.")],
    options: Annotated[list[str], typer.Argument(help="Two options or more.")],
    as_json: AsJson = False,
) -> None:
    """Choose one of several answers."""
    texts = {"question": question} | {f"option {number}": option for number, option in enumerate(options, 1)}
    with progress(as_json) as show:
        answer = _watch(loading, video, show, texts).choose(question, options)
    _print(answer, as_json)


@options
def caption(loading: CachedModelOptions, video: Video, as_json: AsJson = False) -> None:
    """List the events of the whole video."""
    with progress(as_json) as show:
        answer = _watch(loading, video, show).caption()
    _print(answer, as_json)


@options
def ask(
    loading: CachedModelOptions,
    video: Video,
    questions: Annotated[list[str], typer.Argument(help="One question, or several turns of a conversation.")],
    as_json: AsJson = False,
) -> None:
    """Ask anything about a video."""
    with progress(as_json) as show:
        texts = {f"question {number}": question for number, question in enumerate(questions, 1)}
        conversation = _watch(loading, video, show, texts).conversation()
    for question in questions:
        _print(conversation.ask(question), as_json)


def page(arguments: Annotated[list[str] | None, typer.Argument(help="As `python app.py --help` says.")] = None) -> None:
    """Open the page."""
    import runpy

    here = Path(__file__).parent
    app_file = next(path for path in (here / "app.py", here.parent / "app.py") if path.is_file())
    sys.argv = [str(app_file), *(arguments or [])]
    runpy.run_path(str(app_file), run_name="__main__")


def convert(
    llm: Annotated[str, typer.Option(help="phi3.5 or llama3.")],
    to: Annotated[Path, typer.Option(help="The folder to write.")],
    source: Annotated[
        str, typer.Option("--from", help="The released files: a folder or a hub id.")
    ] = "WHB139426/Grounded-Video-LLM",
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    quantize: Annotated[
        str, typer.Option(help="none, int8 or int4: store weights as they are used, to load fast.")
    ] = "none",
    device: Annotated[str, typer.Option(help="Where int4 weights are to run: auto, cuda, mps or cpu.")] = "auto",
    image_heads: Annotated[int | None, typer.Option(min=1, help="Heads of the image tower, where not 16.")] = None,
    video_heads: Annotated[int | None, typer.Option(min=1, help="Heads of the video tower, where not 16.")] = None,
) -> None:
    """Convert the released files into one folder that loads without a second copy in memory."""
    with progress(quiet=False) as show:
        from . import weights

        weights.convert(
            source,
            llm,
            to,
            dtype,
            lambda done, total: show("writing", done / total),
            quantize=quantize,
            device=device,
            image_heads=image_heads,
            video_heads=video_heads,
        )
    typer.echo(f"{to} holds {llm}, ready for --model {to}")


def upload(
    folder: Annotated[Path, typer.Argument(help="The folder of a converted model.")],
    hub_id: Annotated[str, typer.Argument(help="Where to put it on the hub: OWNER/NAME.", metavar="OWNER/NAME")],
    private: Annotated[bool, typer.Option(help="Let nobody else see it, if it is new.")] = False,
) -> None:
    """Put a converted model on the hub, so that it loads without converting (--model OWNER/NAME)."""
    from . import weights

    typer.echo(weights.upload(folder, hub_id, private))


def info(
    path: Annotated[Path, typer.Argument(help="A video file, or the folder of a converted model.")],
    as_json: AsJson = False,
) -> None:
    """Tell the facts of a video file or of a converted model."""
    with progress(quiet=True):
        facts = _model_facts(path) if path.is_dir() else _video_facts(path)
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {value}")


def models(as_json: AsJson = False) -> None:
    """List the models that are known by name: what each takes, what it is for, and how good it is said to be."""
    import dataclasses

    from .weights.catalogue import MODELS

    if as_json:
        facts = {name: dataclasses.asdict(model) for name, model in MODELS.items()}
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name, model in MODELS.items():
        typer.echo(f"{name}: {model.purpose}")
        typer.echo(f"  parameters  {model.parameters:g} billion")
        typer.echo(f"  disk        {model.disk:g} GB")
        typer.echo(f"  memory      {model.memory:g} GB ({model.memory_source})")
        typer.echo(f"  licence     {model.licence}")
        typer.echo(f"  figures     {f'{model.figures} ({model.source})' if model.figures else 'none known here'}")
        typer.echo(f"  from        {f'huggingface.co/{model.hub_id}' if model.hub_id else 'this package'}")
    typer.echo("auto: phi3.5 on a CUDA GPU, tiny elsewhere")


def _watch(
    loading: CachedModelOptions,
    video: Path,
    show: OnProgress,
    texts: Mapping[str, str] | None = None,
    span: tuple[float, float] | None = None,
) -> EncodedVideo:
    """Watch a video; what can be wrong with the file, a range or a text is found before the model is loaded."""
    from . import prompts, time_tokens
    from .engine.disk_cache import DiskCache
    from .video import probe

    for what, text in (texts or {}).items():
        prompts.safe(text, (), what)
    show("reading the file", 0.0)
    duration = probe(video).duration
    if span is not None:
        time_tokens.check_range(*span, duration)
    cache = DiskCache(loading.cache) if loading.cache else None
    show("loading the model", 0.0)
    encoded = loading.load().watch(video, cache=cache, on_progress=show)
    encoded.prepare(show)
    return encoded


def _video_facts(path: Path) -> dict[str, Any]:
    import dataclasses

    from .video import probe

    facts = {"file": path.name} | dataclasses.asdict(probe(path))
    return facts if facts["note"] else {name: value for name, value in facts.items() if name != "note"}


def _model_facts(folder: Path) -> dict[str, Any]:
    from .weights import pretrained, storage

    if pretrained.family_of(folder):
        return pretrained.facts(folder)
    config = storage.read_config(folder)
    return {
        "name": config.name,
        "language model": f"{config.llm['model_type']}, {config.llm['hidden_size']} wide, "
        f"{config.llm['num_hidden_layers']} layers",
        "frames": config.frames,
        "segments": config.segments,
        "visual tokens": config.visual_tokens,
        "temporal tokens": config.bins + 1,
        "bytes": storage.weight_bytes(folder),
    }


def _print(answer: Answer, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer.to_dict(), ensure_ascii=False))
        return
    if answer.task == "choose" and answer.choice:
        for option in answer.options:
            mark = ">" if option.letter == answer.choice else " "
            typer.echo(f"{mark} ({option.letter}) {100 * (option.score or 0):5.1f} %  {option.text}")
    elif answer.moments:
        for moment in answer.moments:
            sure = "" if moment.score is None else f"  {100 * moment.score:5.1f} %"
            typer.echo(f"{moment.start:8.2f} s  to {moment.end:8.2f} s{sure}  {moment.text}".rstrip())
    else:
        typer.echo(answer.text)


COMMANDS: dict[str, Callable[..., None]] = {
    "ground": ground,
    "refer": refer,
    "choose": choose,
    "caption": caption,
    "ask": ask,
    "index": film_library.index,
    "search": film_library.search,
    "library": film_library.library,
    "batch": evaluation.batch,
    "page": page,
    "info": info,
    "models": models,
    "convert": convert,
    "upload": upload,
    "release": training.release,
    "train": training.train,
    "train-tiny": tiny.train_tiny,
    "evaluate-tiny": tiny.evaluate_tiny,
    "world": world.world,
    "evaluate": evaluation.evaluate,
    "score": evaluation.score,
    "benchmarks": evaluation.benchmarks,
    "annotate": annotation.annotate,
}
for name, command in COMMANDS.items():
    passes_on = {"ignore_unknown_options": True, "help_option_names": []} if command is page else {}
    app.command(name, context_settings=passes_on)(command)

if __name__ == "__main__":
    app(prog_name="python -m grounded")
