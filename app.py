"""The Space: the page's layout, and its events wired to their handlers."""

from __future__ import annotations

import dataclasses
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
import gradio.queueing
import typer
from starlette.middleware import Middleware

import grounded.page.timeline
from grounded.command import CachedModelOptions, options, program
from grounded.engine.disk_cache import DiskCache, content_key
from grounded.engine.grounder import Grounder
from grounded.errors import ConfigError, GroundedError
from grounded.library.cli import token_cache
from grounded.library.database import Library
from grounded.library.searching import LibrarySearch
from grounded.malloc import share_memory_among_threads
from grounded.page.api import Endpoints, inputs_of, sentence
from grounded.page.examples import Example, picture, read_examples
from grounded.page.files import LIMITS, own_folder
from grounded.page.guard import WAITING, FairQueue, Guard
from grounded.page.handlers import PageHandlers
from grounded.page.layout import CLOSER, Layout, Panel, Session
from grounded.page.library import LibraryHandlers
from grounded.page.parameters import Data
from grounded.page.questions import CLOCK, RANGE
from grounded.page.timeline import KEPT, OWN, Gallery, Reply, Results, Timeline
from grounded.page.tools import TOOLS, ToolServer
from grounded.serving import MAX_TEXT, Costs, Job, LocalModel, RemoteModel, Service, Services, fit_together, run_jobs
from grounded.weights import pick_device
from grounded.weights.catalogue import find_known

log = logging.getLogger("grounded.app")

EXAMPLES = Path(__file__).parent / "examples"
SESSION_SECONDS = 1800  # how long a conversation is kept after its last question
HUB = "https://huggingface.co/"
LINKS = {
    "Paper": "https://arxiv.org/abs/2410.03290",
    "Released model": f"{HUB}WHB139426/Grounded-Video-LLM",
}
REAL_MODEL = "The real one needs a GPU: `python app.py --model phi3.5`."
FONT = gr.themes.LocalFont("Source Sans Pro", weights=(400, 700))  # Gradio's 600, its default, has 55 characters
# One step darker than Gradio's own where its greys and its buttons have too little contrast.
THEME = gr.themes.Default(
    primary_hue="indigo", secondary_hue="indigo", neutral_hue="slate", font=[FONT, "system-ui", "sans-serif"]
).set(
    body_text_color_subdued="*neutral_600",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    link_text_color_dark="*primary_300",
    link_text_color_visited_dark="*primary_300",
)
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


def build(services: Services, examples: list[Example], library: LibrarySearch | None = None) -> gr.Blocks:
    """Return the page and the API of one model, or of several to choose among."""
    with gr.Blocks(title="grounded", analytics_enabled=False, delete_cache=(3600, 7200)) as page:
        serve_api(Endpoints(services, library), services.names)
        session = gr.State(Session(), time_to_live=SESSION_SECONDS)
        with gr.Column(elem_id="head"):  # it has its place before what it holds is loaded
            title = gr.Markdown(introduction(services, services.names[0]), elem_id="title")
            model = model_choice(services, title)
            films = [{"title": e.title, "label": e.ground[0], "picture": picture(e)} for e in examples]
            gallery = Gallery({"films": films, "chosen": -1}, elem_id="gallery")
        with gr.Row(elem_id="work"):
            with gr.Column(scale=3, min_width=320, elem_id="stage"):
                player = gr.Video(label="Video", sources=["upload"], elem_id="player", include_audio=True)
                timeline = Timeline(elem_id="timeline")
            with gr.Column(scale=2, min_width=320), gr.Tabs(overflow_behavior="wrap") as tabs:
                tab_of = {task: tab() for task, tab in TABS.items()}
                field, find, results = library_tab() if library else (None, None, None)
        panels = {task: tab.panel for task, tab in tab_of.items()}
        layout = Layout(player, timeline, session, tabs, gallery, model, panels)
        handlers = PageHandlers(services, examples, layout)
        for task, tab in tab_of.items():
            wire_task(handlers, task, tab)
        wire_stage(handlers, page)
        wire_gallery(handlers, tab_of["ground"])
        if library:
            wire_library(LibraryHandlers(library, handlers, results), field, find)
    gradio.queueing.Queue = FairQueue  # Gradio makes its queue itself, and takes none
    page.queue(default_concurrency_limit=8, max_size=2 * WAITING)  # a FairQueue refuses before that, in a sentence
    return page


def model_choice(services: Services, title: gr.Markdown) -> gr.Dropdown | gr.State:
    """Return the field that chooses a model; nothing of it shows where there is one alone."""
    if len(services.names) == 1:
        return gr.State("")
    choice = gr.Dropdown(
        list(services.names), value=services.names[0], label="Model", elem_id="model", filterable=False,
        info="Loaded when it is first asked.",
    )  # fmt: skip
    choice.change(lambda name: introduction(services, name), choice, title, queue=False, **PRIVATE)
    return choice


def introduction(services: Services, name: str) -> str:
    """Return what the page says first about a model, as Markdown."""
    knowledge = services.knowledge(name)
    known = find_known(name)
    is_other = known is not None and known.family != "grounded_videollm"
    addresses = {"Released model": f"{HUB}{known.hub_id}"} if known and is_other else dict(LINKS)
    if space := os.environ.get("SPACE_ID"):
        addresses["Code"] = f"{HUB}spaces/{space}/tree/main"
        if name == "tiny":
            addresses["Model card"] = f"{HUB}spaces/{space}/blob/main/grounded/weights/tiny/README.md"
    links = [f"[{text}]({address})" for text, address in addresses.items()]
    more = f" {REAL_MODEL}" if knowledge.only and len(services.names) == 1 else ""
    model = f"**{html.escape(name)}** answers. {knowledge.sentence}{more}"
    return f"# Ask in words, get the seconds\n{model} {' · '.join(links)}"


def serve_api(endpoints: Endpoints, models: Sequence[str]) -> None:
    """Give each endpoint its name, its schema and its place in the queue; nothing of it shows on the page."""
    with gr.Group(visible=False):
        for name, tool in TOOLS.items():
            if name == "search" and endpoints.library is None:
                continue
            method = getattr(endpoints, name)
            output = gr.File(label="file") if name == "export" else Data(schema=tool.output, label="answer")
            gr.on([], method, inputs_of(method, models), output, api_name=name, **MODEL_QUEUE)


def shelf() -> gr.Dataset:
    """Return the place where a task offers questions about the example on the stage."""
    return gr.Dataset(
        label="Try", components=["textbox"], samples=[], type="index", samples_per_page=20,
        elem_classes="shelf",
    )  # fmt: skip


def ground_tab() -> Tab:
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


def refer_tab() -> Tab:
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


def choose_tab() -> Tab:
    with gr.Tab("Multiple choice", id="choose"):
        question = gr.Textbox(label="Question", placeholder="What happens first?", max_length=MAX_TEXT)
        options = gr.Textbox(label="Options, one a line", lines=4, max_length=26 * MAX_TEXT)
        choose = gr.Button("Choose", variant="primary")
        examples = shelf()
        panel = Panel((question, options), Reply(elem_id="chosen", elem_classes="reply-place"), examples)
    return Tab(panel, [question, options], [choose.click])


def caption_tab() -> Tab:
    with gr.Tab("List events", id="caption"):
        caption = gr.Button("List all events", variant="primary")
        examples = shelf()
        panel = Panel((), Reply(elem_id="captioned", elem_classes="reply-place"), examples)
    return Tab(panel, [], [caption.click])


def ask_tab() -> Tab:
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


def library_tab() -> tuple[gr.Textbox, gr.Button, Results]:
    with gr.Tab("Library", id="library"):
        with gr.Row(elem_classes="ask"):
            query = gr.Textbox(
                label="Search all films", max_length=MAX_TEXT, max_lines=4, scale=3, min_width=180,
                elem_id="library-query",
            )  # fmt: skip
            find = gr.Button("Search", variant="primary", scale=1, min_width=90)
        results = Results(elem_id="results", elem_classes="reply-place")
    return query, find, results


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
    if task == "ground":
        closer = [*layout.stage, panel.reply, panel.fields[1]]
        panel.reply.closer(events.look_closer, closer, changed, **PRIVATE, **MODEL_QUEUE)
    panel.reply.cancel(events.cancel, None, None, queue=False, **PRIVATE)
    if task == "refer":
        layout.timeline.describe(events.describe, layout.stage, changed, **PRIVATE, **MODEL_QUEUE)
        layout.timeline.describe(lambda: gr.Tabs(selected="refer"), None, layout.tabs, queue=False, **PRIVATE)
        layout.timeline.select(None, layout.timeline, list(panel.fields), js=RANGE, **PRIVATE)


def wire_stage(handlers: PageHandlers, page: gr.Blocks) -> None:
    """Wire what a new video, its timeline and a visitor's arrival do."""
    layout = handlers.layout
    player, timeline = layout.player, layout.timeline
    emptied = gr.on([player.upload, player.clear], handlers.clear, player, layout.of_a_video, queue=False, **PRIVATE)
    opened = [player, layout.session, timeline, layout.closer]
    emptied.then(handlers.open, [player, timeline, layout.model], opened, **PRIVATE, **FILE_QUEUE)
    of_a_file = [player, layout.session, timeline]
    timeline.export(handlers.export, of_a_file, timeline, **PRIVATE, **FILE_QUEUE)
    timeline.cut(handlers.cut, of_a_file, timeline, **PRIVATE, **FILE_QUEUE)
    arrived = page.load(handlers.arrive, timeline, layout.all, js=KEPT, queue=False, **PRIVATE)
    restored = arrived.then(None, [player, timeline], player, js=OWN, **PRIVATE)
    restored.then(handlers.open, [player, timeline, layout.model], opened, **PRIVATE, **FILE_QUEUE)
    answered = [timeline, layout.session, *(panel.reply for panel in layout.panels.values())]
    arrived.then(handlers.greet, layout.stage, answered, **PRIVATE, **MODEL_QUEUE)


def wire_gallery(handlers: PageHandlers, ground: Tab) -> None:
    """Wire a click on an example's picture: the film comes on the stage, and a question about it is answered."""
    layout, panel = handlers.layout, ground.panel
    shown = layout.gallery.choose(handlers.show_film, layout.gallery, layout.all, **PRIVATE)
    changed = [panel.reply, layout.timeline, layout.session]
    shown.then(handlers.tasks["ground"].ask, [*layout.stage, *ground.inputs], changed, **PRIVATE, **MODEL_QUEUE)


def wire_library(handlers: LibraryHandlers, query: gr.Textbox, find: gr.Button) -> None:
    """Wire a search of the library, and a click on a result: its film comes on the stage, at the moment."""
    layout, results = handlers.page.layout, handlers.results
    gr.on([find.click, query.submit], handlers.search, query, results, **PRIVATE, **MODEL_QUEUE)
    chosen = results.choose(handlers.open, results, [results, *layout.all], **PRIVATE)
    opened = [layout.player, layout.session, layout.timeline, layout.closer]
    chosen.then(handlers.page.open, [layout.player, layout.timeline, layout.model], opened, **PRIVATE, **FILE_QUEUE)


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
    models: Annotated[
        str, typer.Option(envvar="GROUNDED_MODELS", help="Several models to choose among on the page, with commas.")
    ] = "",
    library: Annotated[
        Path | None, typer.Option(help="The folder of a library (`python -m grounded index`), which gets a tab.")
    ] = None,
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
    if zero and library:
        raise ConfigError("ZeroGPU has a GPU for visitors' questions alone: leave out --library there")
    with own_folder():
        serve(loading, models, preload and not zero, library, server_name=host, server_port=port, share=share)


def serve(loading: CachedModelOptions, models: str, preload: bool, library: Path | None, **settings: Any) -> None:
    """Load the model, or the first of several, and serve the page until the end."""
    examples = read_examples(EXAMPLES)
    if models:
        services = choose_among(models.split(","), loading, examples)
    else:
        services = Services.of(load_service(loading, examples))
    with services.use() as service:  # what cannot be loaded is told before the page opens
        for example in examples if preload else ():
            service.watch(example.path)
        searcher = None
        if library and isinstance(service.model, LocalModel):
            opened = Library(library)
            searcher = LibrarySearch(opened, service.model.grounder, token_cache(opened))
    launch(build(services, examples, searcher), **settings)


def load_service(loading: CachedModelOptions, examples: Sequence[Example]) -> Service:
    """Load a model and return what serves it."""
    grounder = loading.load()
    cache = DiskCache(loading.cache) if loading.cache else None
    model = on_zero_gpu(grounder) if "SPACES_ZERO_GPU" in os.environ else LocalModel(grounder, cache)
    familiar = {content_key(example.path) for example in examples}
    return Service(grounder.family, model, limits=LIMITS, familiar=familiar)


def choose_among(models: Sequence[str], loading: CachedModelOptions, examples: Sequence[Example]) -> Services:
    """Return the services of models that visitors choose among; folders and hub ids go by their last part."""
    if "SPACES_ZERO_GPU" in os.environ:
        raise ConfigError("ZeroGPU packs the weights of one model when it starts: give it --model, not --models")
    models = [model.strip() for model in models]
    names = [Path(model).name.lower() for model in models]
    model_of = dict(zip(names, models, strict=True))

    def make(name: str) -> Service:
        return load_service(dataclasses.replace(loading, model=model_of[name]), examples)

    return Services(make, names, fit_together(models, pick_device(loading.device)))


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
        app_kwargs={"middleware": [Middleware(Guard)]},
        **settings,
    )


if __name__ == "__main__":
    program(main)()
