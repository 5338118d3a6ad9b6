"""The Space: build the page, wire its events, turn errors into messages."""

from __future__ import annotations

import html
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import spaces  # before anything that touches CUDA

# isort: split
import gradio as gr
import typer

from grounded.command import Keeping, options, program
from grounded.errors import ConfigError, GroundedError
from grounded.grounder import Grounder
from grounded.memory import share_memory_among_threads
from grounded.serving import MAX_TEXT, Remote, Service, run, seconds_needed
from grounded.shelf import Shelf
from grounded.space.endpoints import AnswerData, Endpoints, sentence
from grounded.space.examples import Example, offers, read_examples
from grounded.space.files import FORMS, LIMITS
from grounded.space.visits import CLOSER, Session, Visits
from grounded.timeline import Reply, Timeline

log = logging.getLogger("grounded.app")

EXAMPLES = Path(__file__).parent / "examples"
QUEUE = 64  # waiting questions; the next one is told that the queue is full
SESSION_SECONDS = 1800  # how long a conversation is kept after its last question
TRUST = {
    "tiny": "It knows a world of moving shapes (circles, squares, triangles, stars, rings and moons that move, spin, "
    "grow, shrink, blink and bounce) and nothing else: on other videos it guesses.",
    "phi3.5": "It was trained on real videos of up to some minutes. It can be wrong and sure of it: watch the moment.",
    "llama3": "It was trained on real videos of up to some minutes. It can be wrong and sure of it: watch the moment.",
}
# One step darker than Gradio's own where its greys and its buttons have too little contrast.
THEME = gr.themes.Default(primary_hue="indigo", secondary_hue="indigo", neutral_hue="slate").set(
    body_text_color_subdued="*neutral_600",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)
CLOCK = """() => {
  const video = document.querySelector("#player video");
  return video ? video.currentTime.toFixed(2) : "0";
}"""
RANGE = """(timeline) => (timeline && timeline.selected || [0, 0]).map((seconds) => Number(seconds).toFixed(2))"""
LANE: dict[str, Any] = {
    "concurrency_id": "model",
    "concurrency_limit": 8,
}  # questions in work; the model itself takes one at a time
CUTTER: dict[str, Any] = {"concurrency_id": "cutter", "concurrency_limit": 2}  # clips, previews and probes
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "multiple"}


def shelf(examples: list[Example], task: str) -> gr.Dataset:
    """Return the examples of a task as buttons."""
    labels = [[offer.label] for offer in offers(examples, task)]
    return gr.Dataset(
        label="Examples",
        components=["textbox"],
        samples=labels,
        type="index",
        samples_per_page=20,
        visible=bool(labels),
        elem_classes="shelf",
    )


def serve(endpoints: Endpoints) -> None:
    """Give each endpoint its name, its schema and its place in the queue; nothing of it shows on the page."""
    with gr.Group(visible=False):
        film = gr.Video(label="video", sources=["upload"], include_audio=True)
        words, number = gr.Textbox(label="text"), gr.Number(label="number")
        count, first, yes = gr.Number(3, label="count"), gr.Number(0, label="first"), gr.Checkbox(False, label="yes")
        answer, options, answers = AnswerData(label="answer"), gr.JSON(label="options"), gr.JSON(label="answers")
        file = gr.File(label="file")
    for endpoint, inputs, output in (
        (endpoints.ground, [film, words, count, yes], answer),
        (endpoints.refer, [film, number, number], answer),
        (endpoints.choose, [film, words, options], answer),
        (endpoints.caption, [film], answer),
        (endpoints.ask, [film, words], answer),
        (endpoints.export, [answers, words, film, first], file),
    ):
        gr.on([], endpoint, inputs, output, api_name=endpoint.__name__, **LANE)


def build(service: Service, examples: list[Example]) -> gr.Blocks:
    """Return the page and the API of one service."""
    visits = Visits(service, examples)
    name = service.grounder.config.name
    with gr.Blocks(title="grounded", analytics_enabled=False, delete_cache=(3600, 7200)) as page:
        serve(Endpoints(service))
        session = gr.State(Session(), time_to_live=SESSION_SECONDS)
        gr.Markdown(
            f"# grounded\nFind *when* something happens in a video. **{html.escape(name)}** answers. "
            + TRUST.get(name, "What this model can be trusted with is not known here."),
            elem_id="title",
        )
        with gr.Row():
            with gr.Column(scale=3, min_width=320, elem_id="stage"):
                player = gr.Video(label="Video", sources=["upload"], elem_id="player", include_audio=True)
                timeline = Timeline(elem_id="timeline")
            with gr.Column(scale=2, min_width=320):
                with gr.Tabs(overflow_behavior="wrap") as tabs:
                    with gr.Tab("Ground", id="ground"):
                        query = gr.Textbox(
                            label="What to look for",
                            placeholder="a blue circle moves left",
                            max_length=MAX_TEXT,
                            max_lines=4,
                        )
                        best = gr.Slider(1, 10, 3, step=1, label="Moments, at most")
                        closer = gr.Checkbox(False, label="Look closer", info=CLOSER)
                        find = gr.Button("Find it", variant="primary")
                        found = Reply(elem_id="found")
                        shelf_ground = shelf(examples, "ground")
                    with gr.Tab("Refer", id="refer"):
                        with gr.Row():
                            start = gr.Textbox("", label="From", placeholder="12.5 or 0:12.5", min_width=120)
                            end = gr.Textbox("", label="To", placeholder="25 or 0:25", min_width=120)
                        with gr.Row():
                            start_here = gr.Button("From the player's position", size="sm", min_width=120)
                            end_here = gr.Button("To the player's position", size="sm", min_width=120)
                        describe = gr.Button("What happens here?", variant="primary")
                        described = Reply(elem_id="described")
                        shelf_refer = shelf(examples, "refer")
                    with gr.Tab("Choose", id="choose"):
                        asked = gr.Textbox(label="Question", placeholder="What happens first?", max_length=MAX_TEXT)
                        options = gr.Textbox(label="Options, one a line", lines=4, max_length=26 * MAX_TEXT)
                        choose = gr.Button("Choose", variant="primary")
                        chosen = Reply(elem_id="chosen")
                        shelf_choose = shelf(examples, "choose")
                    with gr.Tab("Captions", id="caption"):
                        caption = gr.Button("List all events", variant="primary")
                        captioned = Reply(elem_id="captioned")
                        shelf_caption = shelf(examples, "caption")
                    with gr.Tab("Ask", id="ask"):
                        said = Reply(elem_id="said")
                        free = gr.Textbox(
                            label="Question",
                            placeholder="When does it happen? What is the last event?",
                            max_length=MAX_TEXT,
                        )
                        shelf_ask = shelf(examples, "ask")
                        with gr.Row():
                            converse = gr.Button("Ask", variant="primary", min_width=120)
                            anew = gr.Button("New conversation", min_width=120)
                with gr.Accordion("Export", open=False):
                    with gr.Row():
                        form = gr.Dropdown(list(FORMS), value="json", label="Rows of the timeline as", min_width=140)
                        write = gr.Button("Export", min_width=120, elem_id="write-export")
                    file = gr.File(label="Your file", interactive=False, visible=False, elem_id="file-export")

        replies = (found, described, chosen, captioned, said)
        stage = [player, session, timeline]
        questions = (
            ("ground", [find.click, query.submit], visits.ground, [query, best, closer], found, shelf_ground, [query]),
            (
                "refer",
                [describe.click, start.submit, end.submit],
                visits.refer,
                [start, end],
                described,
                shelf_refer,
                [start, end],
            ),
            ("choose", [choose.click], visits.choose, [asked, options], chosen, shelf_choose, [asked, options]),
            ("caption", [caption.click], visits.caption, [], captioned, shelf_caption, []),
            ("ask", [converse.click, free.submit], visits.converse, [free, said], said, shelf_ask, [free]),
        )
        for task, triggers, handler, inputs, reply, examples_of, fields in questions:
            call = (handler, [*stage, *inputs], [reply, timeline, session])
            gr.on(triggers, *call, **PRIVATE, **LANE)
            put = (visits.taker(task), [player, examples_of], [player, *fields, timeline, session, closer, *replies])
            examples_of.click(*put, **PRIVATE).then(*call, **PRIVATE, **LANE)
            reply.cancel(visits.stopper(task), None, None, queue=False, **PRIVATE)
        timeline.describe(visits.describe, stage, [described, timeline, session], **PRIVATE, **LANE)
        timeline.describe(lambda: gr.Tabs(selected="refer"), None, tabs, queue=False, **PRIVATE)
        timeline.select(None, timeline, [start, end], js=RANGE, **PRIVATE)
        timeline.cut(visits.cut, stage, [file, timeline], **PRIVATE, **CUTTER)
        write.click(visits.export, [*stage, form], [file, timeline], **PRIVATE, **CUTTER)
        start_here.click(None, None, start, js=CLOCK, **PRIVATE)
        end_here.click(None, None, end, js=CLOCK, **PRIVATE)
        anew.click(lambda: (Session(), dict(Reply.empty)), None, [session, said], queue=False, **PRIVATE)
        emptied = gr.on(
            [player.upload, player.clear],
            visits.clear,
            None,
            [timeline, session, closer, *replies],
            queue=False,
            **PRIVATE,
        )
        emptied.then(visits.open, [player, timeline], [player, session, timeline, closer], **PRIVATE, **CUTTER)
        fields = [closer, query, start, end, asked, options, free]
        page.load(visits.arrive, None, [player, timeline, tabs, *fields], queue=False, **PRIVATE)
    page.queue(default_concurrency_limit=8, max_size=QUEUE)
    return page


def on_zero_gpu(grounder: Grounder) -> Remote:
    """Return what does the model's work in a ZeroGPU worker: a fork that takes and gives plain data and CPU tensors."""

    @spaces.GPU(duration=seconds_needed)
    def work(task: Any) -> Iterator[Any]:
        try:
            yield from run(grounder, task)
        except GroundedError as error:  # a worker passes on the text of a gr.Error alone
            raise sentence(error) from error

    return work


@options
def main(
    loading: Keeping,
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
    share_memory_among_threads()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    zero = "SPACES_ZERO_GPU" in os.environ
    if zero and (loading.quantize != "none" or loading.offload):  # weights go to its workers as they were loaded
        raise ConfigError("ZeroGPU has memory for full weights: leave out --quantize and --offload-towers there")
    if zero and loading.keep:
        log.warning("--keep has no effect on ZeroGPU: the weights are at hand in a worker alone")
    if zero and preload:
        log.warning("--preload has no effect on ZeroGPU: a GPU is granted to a visitor's question alone")
    shelf = Shelf(loading.keep) if loading.keep and not zero else None
    grounder = loading.load()
    service = Service(grounder, limits=LIMITS, shelf=shelf, remote=on_zero_gpu(grounder) if zero else None)
    examples = read_examples(EXAMPLES)
    for example in examples if preload and not zero else ():
        service.watch(example.path)
    launch(build(service, examples), server_name=host, server_port=port, share=share)


def launch(page: gr.Blocks, **settings: Any) -> Any:
    """Serve a page with what holds for all of them."""
    return page.launch(
        theme=THEME,
        css_paths=Path(__file__).parent / "grounded" / "timeline" / "page.css",
        mcp_server=True,
        ssr_mode=False,
        show_error=False,
        max_file_size=LIMITS.max_bytes,
        enable_monitoring=False,
        run_history=False,
        **settings,
    )


if __name__ == "__main__":
    program(main)()
