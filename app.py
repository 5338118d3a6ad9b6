"""The Space: the page's layout, and its events wired to their handlers."""

from __future__ import annotations

import html
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import spaces  # before anything that touches CUDA

# isort: split
import gradio as gr
import gradio.mcp
import typer

import grounded.page.timeline
from grounded.command import CachedModelOptions, options, program
from grounded.engine.disk_cache import DiskCache, content_key
from grounded.engine.grounder import Grounder
from grounded.errors import ConfigError, GroundedError
from grounded.malloc import share_memory_among_threads
from grounded.page.api import Endpoints, inputs_of, sentence
from grounded.page.examples import Example, picture, read_examples
from grounded.page.files import LIMITS
from grounded.page.handlers import CLOSER, Layout, PageHandlers, Panel, Session
from grounded.page.parameters import Data
from grounded.page.timeline import Gallery, Reply, Timeline
from grounded.page.tools import TOOLS, ToolServer
from grounded.serving import MAX_TEXT, Costs, Job, LocalModel, RemoteModel, Service, run_jobs
from grounded.types import Answer

log = logging.getLogger("grounded.app")

EXAMPLES = Path(__file__).parent / "examples"
QUEUE = 64  # waiting questions; the next one is told that the queue is full
SESSION_SECONDS = 1800  # how long a conversation is kept after its last question
LINKS = {
    "Paper": "https://arxiv.org/abs/2410.03290",
    "Released model": "https://huggingface.co/WHB139426/Grounded-Video-LLM",
}
REAL_MODEL = "The real one needs a GPU: `python app.py --model phi3.5`."
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
# Questions in work; the model itself takes one at a time.
MODEL_QUEUE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 8}
# Clips, previews and probes.
FILE_QUEUE: dict[str, Any] = {"concurrency_id": "files", "concurrency_limit": 2}
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "multiple"}


@dataclass(frozen=True)
class Tab:
    """One task's tab: its panel, what its question is made from, and the events that ask it."""

    panel: Panel
    inputs: list[Any]
    triggers: list[Any]


def build(service: Service, examples: list[Example]) -> gr.Blocks:
    """Return the page and the API of one service."""
    with gr.Blocks(title="grounded", analytics_enabled=False, delete_cache=(3600, 7200)) as page:
        serve_api(Endpoints(service))
        session = gr.State(Session(), time_to_live=SESSION_SECONDS)
        gr.Markdown(introduction(service), elem_id="title")
        films = [{"title": e.title, "label": e.ground[0], "picture": picture(e)} for e in examples]
        gallery = Gallery({"films": films, "chosen": -1}, visible=bool(films), elem_id="gallery")
        with gr.Row(elem_id="work"):
            with gr.Column(scale=3, min_width=320, elem_id="stage"):
                player = gr.Video(label="Video", sources=["upload"], elem_id="player", include_audio=True)
                timeline = Timeline(elem_id="timeline")
            with gr.Column(scale=2, min_width=320), gr.Tabs(overflow_behavior="wrap") as tabs:
                tab_of = {task: tab(service) for task, tab in TABS.items()}
        panels = {task: tab.panel for task, tab in tab_of.items()}
        handlers = PageHandlers(service, examples, Layout(player, timeline, session, tabs, gallery, panels))
        for task, tab in tab_of.items():
            wire_task(handlers, task, tab)
        wire_stage(handlers, page)
        wire_gallery(handlers, tab_of["ground"])
    page.queue(default_concurrency_limit=8, max_size=QUEUE)
    return page


def introduction(service: Service) -> str:
    """Return what the page says first, as Markdown."""
    links = [f"[{name}]({address})" for name, address in LINKS.items()]
    if space := os.environ.get("SPACE_ID"):
        links.insert(1, f"[Code](https://huggingface.co/spaces/{space}/tree/main)")
    more = f" {REAL_MODEL}" if service.knowledge.only else ""
    model = f"**{html.escape(service.family.name)}** answers. {service.knowledge.sentence}{more}"
    return f"# Ask in words, get the seconds\n{model} {' · '.join(links)}"


def serve_api(endpoints: Endpoints) -> None:
    """Give each endpoint its name, its schema and its place in the queue; nothing of it shows on the page."""
    with gr.Group(visible=False):
        answer, file = Data(schema=Answer.json_schema(), label="answer"), gr.File(label="file")
        for name in TOOLS:
            method = getattr(endpoints, name)
            output = file if name == "export" else answer
            gr.on([], method, inputs_of(method), output, api_name=name, **MODEL_QUEUE)


def shelf() -> gr.Dataset:
    """Return the place where a task offers questions about the example on the stage."""
    return gr.Dataset(
        label="Try", components=["textbox"], samples=[], type="index", samples_per_page=20, visible=False,
        elem_classes="shelf",
    )  # fmt: skip


def ground_tab(service: Service) -> Tab:
    with gr.Tab("Find a moment", id="ground"):
        with gr.Row(elem_classes="ask"):
            query = gr.Textbox(
                label="What to look for", placeholder="a blue circle moves left", max_length=MAX_TEXT, max_lines=4,
                scale=3, min_width=180,
            )  # fmt: skip
            find = gr.Button("Find it", variant="primary", scale=1, min_width=90)
        examples = shelf()
        with gr.Accordion("Settings", open=False):
            best = gr.Slider(1, 10, 3, step=1, label="Moments, at most")
            closer = gr.Checkbox(False, label="Look closer", info=CLOSER)
        reply = Reply(elem_id="found", elem_classes="reply-place")
    panel = Panel((query, best, closer), reply, examples)
    return Tab(panel, [query, best, closer], [find.click, query.submit])


def refer_tab(service: Service) -> Tab:
    with gr.Tab("Describe a range", id="refer"):
        with gr.Row():
            start = gr.Textbox("", label="From", placeholder="12.5 or 0:12.5", min_width=120)
            end = gr.Textbox("", label="To", placeholder="25 or 0:25", min_width=120)
        with gr.Row():
            for field, label in ((start, "From the player's position"), (end, "To the player's position")):
                gr.Button(label, size="sm", min_width=120).click(None, None, field, js=CLOCK, **PRIVATE)
        describe = gr.Button("What happens here?", variant="primary")
        examples = shelf()
        panel = Panel((start, end), Reply(elem_id="described", elem_classes="reply-place"), examples)
    return Tab(panel, [start, end], [describe.click, start.submit, end.submit])


def choose_tab(service: Service) -> Tab:
    with gr.Tab("Multiple choice", id="choose"):
        question = gr.Textbox(label="Question", placeholder="What happens first?", max_length=MAX_TEXT)
        options = gr.Textbox(label="Options, one a line", lines=4, max_length=26 * MAX_TEXT)
        choose = gr.Button("Choose", variant="primary")
        examples = shelf()
        panel = Panel((question, options), Reply(elem_id="chosen", elem_classes="reply-place"), examples)
    return Tab(panel, [question, options], [choose.click])


def caption_tab(service: Service) -> Tab:
    with gr.Tab("List events", id="caption"):
        caption = gr.Button("List all events", variant="primary")
        examples = shelf()
        panel = Panel((), Reply(elem_id="captioned", elem_classes="reply-place"), examples)
    return Tab(panel, [], [caption.click])


def ask_tab(service: Service) -> Tab:
    with gr.Tab("Ask", id="ask"):
        reply = Reply(elem_id="said", elem_classes="thread")
        with gr.Row(elem_classes="ask"):
            question = gr.Textbox(
                label="Question", placeholder="What is the last event?", max_length=MAX_TEXT, scale=3, min_width=180
            )
            ask = gr.Button("Ask", variant="primary", scale=1, min_width=90)
        examples = shelf()
        restart = gr.Button("New conversation", size="sm")
    return Tab(Panel((question,), reply, examples), [question, reply, restart], [ask.click, question.submit])


TABS = {"ground": ground_tab, "refer": refer_tab, "choose": choose_tab, "caption": caption_tab, "ask": ask_tab}


def wire_task(handlers: PageHandlers, task: str, tab: Tab) -> None:
    """Wire the events of one task's tab."""
    layout, events, panel = handlers.layout, handlers.tasks[task], tab.panel
    changed = [panel.reply, layout.timeline, layout.session]
    ask: Any = events.ask
    inputs = tab.inputs
    if task == "ask":
        *inputs, restart = tab.inputs
        ask, changed = events.converse, [*changed, *panel.fields]
        restart.click(
            handlers.restart_conversation, layout.session, [layout.session, panel.reply], queue=False, **PRIVATE
        )
    call = (ask, [*layout.stage, *inputs], changed)
    gr.on(tab.triggers, *call, **PRIVATE, **MODEL_QUEUE)
    filled = [panel.reply, *panel.fields]
    chosen = panel.examples.click(events.show_example, [layout.timeline, panel.examples], filled, **PRIVATE)
    chosen.then(*call, **PRIVATE, **MODEL_QUEUE)
    panel.reply.cancel(events.cancel, None, None, queue=False, **PRIVATE)
    if task == "refer":
        layout.timeline.describe(events.describe, layout.stage, changed, **PRIVATE, **MODEL_QUEUE)
        layout.timeline.describe(lambda: gr.Tabs(selected="refer"), None, layout.tabs, queue=False, **PRIVATE)
        layout.timeline.select(None, layout.timeline, list(panel.fields), js=RANGE, **PRIVATE)


def wire_stage(handlers: PageHandlers, page: gr.Blocks) -> None:
    """Wire what a new video, its timeline and a visitor's arrival do."""
    layout = handlers.layout
    player, timeline = layout.player, layout.timeline
    emptied = gr.on([player.upload, player.clear], handlers.clear, None, layout.of_a_video, queue=False, **PRIVATE)
    opened = [player, layout.session, timeline, layout.closer]
    emptied.then(handlers.open, [player, timeline], opened, **PRIVATE, **FILE_QUEUE)
    timeline.export(handlers.export, layout.stage, timeline, **PRIVATE, **FILE_QUEUE)
    timeline.cut(handlers.cut, layout.stage, timeline, **PRIVATE, **FILE_QUEUE)
    arrived = page.load(handlers.arrive, None, layout.all, queue=False, **PRIVATE)
    answered = [timeline, layout.session, *(panel.reply for panel in layout.panels.values())]
    arrived.then(handlers.greet, layout.stage, answered, **PRIVATE, **MODEL_QUEUE)


def wire_gallery(handlers: PageHandlers, ground: Tab) -> None:
    """Wire a click on an example's picture: the film comes on the stage, and a question about it is answered."""
    layout, panel = handlers.layout, ground.panel
    shown = layout.gallery.choose(handlers.show_film, layout.gallery, layout.all, **PRIVATE)
    changed = [panel.reply, layout.timeline, layout.session]
    shown.then(handlers.tasks["ground"].ask, [*layout.stage, *ground.inputs], changed, **PRIVATE, **MODEL_QUEUE)


def on_zero_gpu(grounder: Grounder) -> RemoteModel:
    """Return the model of a ZeroGPU Space, whose workers are forks that take and give plain data and CPU tensors."""
    costs = Costs(grounder.family)

    @spaces.GPU(duration=costs.grant)
    def work(jobs: Sequence[Job]) -> Iterator[Any]:
        try:
            yield from run_jobs(grounder, jobs)
        except GroundedError as error:  # a worker passes on the text of a gr.Error alone
            raise sentence(error) from error

    return RemoteModel(grounder, work)


@options
def main(
    loading: CachedModelOptions,
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
    if zero and loading.cache:
        log.warning("--cache has no effect on ZeroGPU: the weights are at hand in a worker alone")
    if zero and preload:
        log.warning("--preload has no effect on ZeroGPU: a GPU is granted to a visitor's question alone")
    grounder = loading.load()
    cache = DiskCache(loading.cache) if loading.cache else None
    model = on_zero_gpu(grounder) if zero else LocalModel(grounder, cache)
    examples = read_examples(EXAMPLES)
    familiar = {content_key(example.path) for example in examples}
    service = Service(grounder.family, model, limits=LIMITS, familiar=familiar)
    for example in examples if preload and not zero else ():
        service.watch(example.path)
    launch(build(service, examples), server_name=host, server_port=port, share=share)


def launch(page: gr.Blocks, **settings: Any) -> Any:
    """Serve a page with what holds for all of them."""
    gradio.mcp.GradioMCPServer = ToolServer  # Gradio makes its server of tools itself, and takes none
    return page.launch(
        theme=THEME,
        css_paths=Path(grounded.page.timeline.__file__).parent / "page.css",
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
