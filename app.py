"""The Space: build the page, wire its events, turn errors into messages."""

from __future__ import annotations

import html
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import spaces  # before anything that touches CUDA

# isort: split
import gradio as gr
import typer

from grounded import video
from grounded.errors import GroundedError, QuestionError
from grounded.grounder import load
from grounded.serving import Doing, Question, Served, Service, Writing, run, seconds_needed
from grounded.time_tokens import parse_seconds

log = logging.getLogger("grounded.app")

LIMITS = video.Limits(seconds=120.0, max_duration=2 * 3600.0, max_bytes=1 << 30)
QUEUE = 64  # waiting questions; one more is told that the queue is full


def sentence(error: Exception) -> gr.Error:
    """Return an error that a page shows as text: gr.Error renders HTML, and a message may quote a visitor."""
    return gr.Error(html.escape(str(error)[:500]), print_exception=False)


def answer(service: Service, path: str | None, question: Callable[[], Question]) -> Iterator[tuple[str, Any]]:
    """Yield (text, result) while a question is answered."""
    try:
        if not path:
            raise QuestionError("there is no video yet: upload one first")
        for event in service.ask(path, question()):
            match event:
                case Doing(what, fraction):
                    yield f"{what} … {100 * fraction:.0f} %", None
                case Writing(text):
                    yield text, None
                case Served():
                    yield event.answer.text, event.to_dict()
    except GroundedError as error:
        raise sentence(error) from error


def last(results: Iterator[tuple[str, Any]]) -> Any:
    """Return the result that an iterator of `answer` ends with."""
    return [result for _, result in results][-1]


def options_in(text: str) -> tuple[str, ...]:
    """Return the options written one a line."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def build(service: Service) -> gr.Blocks:
    """Return the page and the API of one service."""

    def ask_ground(path: str | None, query: str) -> Iterator[tuple[str, Any]]:
        yield from answer(service, path, lambda: Question("ground", query))

    def ask_refer(path: str | None, start: str, end: str) -> Iterator[tuple[str, Any]]:
        yield from answer(service, path, lambda: Question("refer", start=parse_seconds(start), end=parse_seconds(end)))

    def ask_choose(path: str | None, question: str, options: str) -> Iterator[tuple[str, Any]]:
        yield from answer(service, path, lambda: Question("choose", question, options_in(options)))

    def ask_caption(path: str | None) -> Iterator[tuple[str, Any]]:
        yield from answer(service, path, lambda: Question("caption"))

    def ask_anything(path: str | None, question: str) -> Iterator[tuple[str, Any]]:
        yield from answer(service, path, lambda: Question("ask", question))

    def ground(video: str, query: str) -> dict[str, Any]:
        """Find when something happens in a video.

        Args:
            video: The video file.
            query: What to look for, in words.
        """
        return last(ask_ground(video, query))

    def refer(video: str, start: float, end: float) -> dict[str, Any]:
        """Say what happens in a range of a video.

        Args:
            video: The video file.
            start: Where the range begins, in seconds.
            end: Where it ends, in seconds.
        """
        return last(answer(service, video, lambda: Question("refer", start=start, end=end)))

    def choose(video: str, question: str, options: list[str]) -> dict[str, Any]:
        """Choose one of several answers to a question about a video.

        Args:
            video: The video file.
            question: The question.
            options: Two options or more.
        """
        return last(answer(service, video, lambda: Question("choose", question, tuple(options))))

    def caption(video: str) -> dict[str, Any]:
        """List the events of a video, each with its start, its end and a caption.

        Args:
            video: The video file.
        """
        return last(ask_caption(video))

    def ask(video: str, question: str) -> dict[str, Any]:
        """Ask anything about a video.

        Args:
            video: The video file.
            question: The question; times such as "from 70.5 to 80 seconds" are understood.
        """
        return last(ask_anything(video, question))

    with gr.Blocks(title="grounded", analytics_enabled=False, delete_cache=(3600, 7200)) as page:
        gr.Markdown(f"# grounded\nThe model **{service.grounder.config.name}** answers.")
        player = gr.Video(label="Video", sources=["upload"], elem_id="player")
        tabs: list[tuple[gr.Button, Callable[..., Any], list[Any]]] = []
        with gr.Tab("Ground"):
            query = gr.Textbox(label="What to look for", max_length=2000)
            tabs.append((gr.Button("Find it", variant="primary"), ask_ground, [player, query]))
        with gr.Tab("Refer"):
            start, end = gr.Textbox("0", label="From"), gr.Textbox("1", label="To")
            tabs.append((gr.Button("Describe it", variant="primary"), ask_refer, [player, start, end]))
        with gr.Tab("Choose"):
            asked = gr.Textbox(label="Question", max_length=2000)
            options = gr.Textbox(label="Options, one a line", lines=4)
            tabs.append((gr.Button("Choose", variant="primary"), ask_choose, [player, asked, options]))
        with gr.Tab("Captions"):
            tabs.append((gr.Button("List the events", variant="primary"), ask_caption, [player]))
        with gr.Tab("Ask"):
            free = gr.Textbox(label="Question", max_length=2000)
            tabs.append((gr.Button("Ask", variant="primary"), ask_anything, [player, free]))
        text = gr.Textbox(label="Answer", interactive=False)
        result = gr.JSON(label="As data")
        for button, handler, inputs in tabs:
            button.click(handler, inputs, [text, result], api_visibility="private", concurrency_id="model")

        with gr.Group(visible=False):
            file, data = gr.Video(label="video", sources=["upload"]), gr.JSON(label="answer")
            words = gr.Textbox(label="query")
            seconds = gr.Number(label="start"), gr.Number(label="end")
            many = gr.JSON(label="options")
        for endpoint, inputs in (
            (ground, [file, words]),
            (refer, [file, *seconds]),
            (choose, [file, words, many]),
            (caption, [file]),
            (ask, [file, words]),
        ):
            gr.on([], endpoint, inputs, data, api_name=endpoint.__name__, concurrency_id="model")
    page.queue(default_concurrency_limit=8, max_size=QUEUE)
    return page


def main(
    model: Annotated[
        str, typer.Option(envvar="GROUNDED_MODEL", help="auto, tiny, phi3.5, llama3, a folder, or a hub id.")
    ] = "auto",
    device: Annotated[str, typer.Option(envvar="GROUNDED_DEVICE", help="auto, cuda, mps or cpu.")] = "auto",
    dtype: Annotated[str, typer.Option(envvar="GROUNDED_DTYPE", help="auto, bfloat16, float16 or float32.")] = "auto",
    host: Annotated[
        str | None, typer.Option(envvar="GRADIO_SERVER_NAME", help="The address to listen at; 0.0.0.0 for all.")
    ] = None,
    port: Annotated[int | None, typer.Option(envvar="GRADIO_SERVER_PORT", help="The port to listen at.")] = None,
    share: Annotated[bool, typer.Option(envvar="GRADIO_SHARE", help="Open a public link.")] = False,
    preload: Annotated[
        bool, typer.Option(envvar="GROUNDED_PRELOAD", help="Watch the examples before the page opens.")
    ] = False,
) -> None:
    """Open the page."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    try:
        grounder = load(model, device=device, dtype=dtype)
    except GroundedError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error

    @spaces.GPU(duration=seconds_needed)
    def on_gpu(work: Any) -> Iterator[Any]:
        try:
            yield from run(grounder, work)
        except GroundedError as error:  # a worker passes on the text of a gr.Error alone
            raise sentence(error) from error

    zero = bool(os.environ.get("SPACES_ZERO_GPU"))
    service = Service(grounder, limits=LIMITS, remote=on_gpu if zero else None)
    if preload:
        for path in sorted((Path(__file__).parent / "examples").glob("*.mp4")):
            service.watch(path)
    build(service).launch(
        server_name=host,
        server_port=port,
        share=share,
        mcp_server=True,
        ssr_mode=False,
        show_error=False,
        max_file_size=LIMITS.max_bytes,
        enable_monitoring=False,
        run_history=False,
    )


if __name__ == "__main__":
    typer.run(main)
