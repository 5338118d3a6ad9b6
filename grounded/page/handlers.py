"""Handlers: what the page's events do. A visitor's rows live in the browser, the little else in a Session.

They return ``{component: new value}``; components that are not named stay as they are.
"""

from __future__ import annotations

import filecmp
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from .. import video
from ..errors import DataError, GroundedError, QuestionError, TimeError
from ..export import read_answer
from ..serving import MAX_TEXT, Answered, Cancelled, PartialText, Progress, Service
from ..time_tokens import parse_seconds
from ..types import TASKS, Question, Turn
from ..video import transcode
from . import files
from .examples import Example, offers
from .timeline import Reply, Timeline

Updates = dict[Any, Any]  # component -> its new value
CLOSER = "Finds what is short in a long video."
MAY_LOSE = "One look at a long video may miss what is short: “Look closer” searches it part by part."


@dataclass(frozen=True)
class Session:
    """What the server keeps of one visitor: the file behind a preview, and the conversation."""

    original: str = ""
    preview: str = ""  # the name of the preview file
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Panel:
    """The components of one task's tab: what is asked, the answer, the examples."""

    fields: tuple[gr.components.Component, ...]
    reply: Reply
    examples: gr.Dataset


@dataclass(frozen=True)
class Layout:
    """The components that handlers change."""

    player: gr.Video
    timeline: Timeline
    session: gr.State
    tabs: gr.Tabs
    closer: gr.Checkbox
    file: gr.File
    panels: Mapping[str, Panel]  # by task

    @property
    def stage(self) -> list[Any]:
        """What every question is asked with."""
        return [self.player, self.session, self.timeline]

    @property
    def of_a_video(self) -> list[Any]:
        """The components that a new video on the stage changes; see `emptied`."""
        return [self.timeline, self.session, self.closer, *(panel.reply for panel in self.panels.values())]

    def emptied(self) -> Updates:
        """Return the values of `of_a_video` for a video about which nothing was asked yet."""
        return {
            self.timeline: Timeline.empty | {"film": time.time_ns() // 1_000_000},
            self.session: Session(),
            self.closer: gr.Checkbox(info=CLOSER),
            **{panel.reply: dict(Reply.empty) for panel in self.panels.values()},
        }


# How a task's fields become its question. Each raises a GroundedError where they cannot.
QUESTIONS: dict[str, Callable[..., Question]] = {
    "ground": lambda query, best, fine: Question("ground", query or "", best=int(best or 3), fine=bool(fine)),
    "refer": lambda start, end: Question("refer", start=parse_seconds(start or ""), end=parse_seconds(end or "")),
    "choose": lambda text, options: Question("choose", text or "", options=options_in(options or "")),
    "caption": lambda: Question("caption"),
    "ask": lambda text: Question("ask", text or ""),
}


def options_in(text: str) -> tuple[str, ...]:
    """Return the options written one a line."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def selection(timeline: dict[str, Any]) -> tuple[float, float]:
    """Return the range that is chosen on a timeline, in seconds.

    Raises:
        TimeError: there is none.
    """
    try:
        start, end = timeline["selected"]
        return float(start), float(end)
    except (KeyError, TypeError, ValueError):
        raise TimeError("no range is chosen: drag over the strip below the video, or click a moment") from None


def original_file(path: str | None, session: Session | None) -> str:
    """Return the file that a question is about: the original where the player shows a preview."""
    if not path:
        raise QuestionError("there is no video yet: upload one, or click an example")
    is_preview = session is not None and session.preview and Path(path).name == session.preview
    return session.original if session and is_preview else path


def have_same_content(path: str, other: Path) -> bool:
    """Say whether two files hold the same; one that is gone does not."""
    try:
        return filecmp.cmp(path, other, shallow=False)
    except OSError:
        return False


class Running:
    """The questions that are being answered, by visitor and task, so that they can be cancelled."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str], threading.Event] = {}

    def cancel(self, task: str, request: gr.Request) -> None:
        """End the visitor's running question of a task."""
        if (event := self._events.get((str(request.session_hash), task))) is not None:
            event.set()

    @contextmanager
    def started(self, task: str, request: gr.Request) -> Iterator[threading.Event]:
        """Give the event that ends this question; the visitor's earlier one of the task is cancelled."""
        self.cancel(task, request)
        key, event = (str(request.session_hash), task), threading.Event()
        self._events[key] = event
        try:
            yield event
        finally:
            event.set()
            if self._events.get(key) is event:
                del self._events[key]

    def is_newest(self, task: str, request: gr.Request, event: threading.Event) -> bool:
        """Say whether the visitor has asked nothing newer of the task."""
        return self._events.get((str(request.session_hash), task)) is event


class TaskHandlers:
    """The events of one task's tab."""

    def __init__(self, page: PageHandlers, task: str) -> None:
        self.page, self.task, self.panel = page, task, page.layout.panels[task]
        self.offers = offers(page.examples, task)

    def ask(self, request: gr.Request, path: Any, session: Any, timeline: Any, *fields: Any) -> Iterator[Updates]:
        """Answer what the tab's fields ask."""
        yield from self._answer(request, path, session, timeline, lambda: QUESTIONS[self.task](*fields))

    def describe(self, request: gr.Request, path: Any, session: Any, timeline: Any) -> Iterator[Updates]:
        """Say what happens in the range that is chosen on the timeline."""

        def question() -> Question:
            start, end = selection(timeline)
            return Question("refer", start=start, end=end)

        yield from self._answer(request, path, session, timeline, question)

    def converse(
        self, request: gr.Request, path: Any, session: Any, timeline: Any, text: Any, reply: Any
    ) -> Iterator[Updates]:
        """Ask the next question of a conversation, whose answers so far stay."""
        turns = session.turns if session else ()
        earlier = (reply.get("answers") or []) if turns else []
        question = Question("ask", text or "", turns=turns)
        yield from self._answer(request, path, session, timeline, lambda: question, earlier)

    def cancel(self, request: gr.Request) -> None:
        """End the visitor's running question of this task."""
        self.page.running.cancel(self.task, request)

    def show_example(self, request: gr.Request, path: Any, number: int) -> Updates:
        """Fill the fields with an example's question, and put its video on the stage unless it is there."""
        offer = self.offers[number]
        updates: Updates = dict(zip(self.panel.fields, offer.fields, strict=False))
        if path and have_same_content(path, offer.path):
            return updates
        return self.page.clear(request) | {self.page.layout.player: str(offer.path)} | updates

    def _answer(
        self,
        request: gr.Request,
        path: str | None,
        session: Session | None,
        timeline: dict[str, Any],
        make_question: Callable[[], Question],
        earlier: Sequence[Any] = (),
    ) -> Iterator[Updates]:
        """Yield what changes while a question is answered; ``earlier`` are answers to keep showing."""
        reply: dict[str, Any] = Reply.empty | {"answers": list(earlier)}
        shown, running = self.panel.reply, self.page.running
        with running.started(self.task, request) as event:
            try:
                yield {shown: reply | {"doing": {"what": "starting", "fraction": 0}}}
                question, file = make_question(), original_file(path, session)
                for step in self.page.service.ask(file, question, event):
                    match step:
                        case Progress(what, fraction):
                            yield {shown: reply | {"doing": {"what": what, "fraction": round(fraction, 2)}}}
                        case PartialText(text):
                            yield {shown: reply | {"doing": {"what": "answering", "fraction": 0}, "writing": text}}
                        case Answered():
                            yield self._show(step, question, file, session, timeline, reply)
            except Cancelled:
                if running.is_newest(self.task, request, event):  # otherwise the newer question has the word
                    yield {shown: reply | {"note": "Stopped."}}
            except GroundedError as error:
                yield {shown: reply | {"error": str(error)[:500]}}
            except gr.Error as error:  # such as ZeroGPU's quota: Gradio shows it too
                yield {shown: reply | {"error": str(error.message)[:500]}}
                raise

    def _show(
        self,
        answered: Answered,
        question: Question,
        file: str,
        session: Session | None,
        timeline: dict[str, Any],
        reply: dict[str, Any],
    ) -> Updates:
        """Return the updates that show an answer in its tab and on the timeline."""
        answer, layout = answered.answer, self.page.layout
        row = answer.to_dict() | {"id": uuid.uuid4().hex, "link": self.page.link(file, question)}
        may_lose = self.task == "ground" and not question.fine and self.page.service.may_lose(answer)
        note = MAY_LOSE if may_lose else answer.note[:500]
        updates: Updates = {
            self.panel.reply: reply | {"answers": [*reply["answers"], row], "note": note},
            layout.timeline: Timeline.with_row(timeline, row),
        }
        if self.task == "ask":
            updates[layout.session] = replace(session or Session(), turns=answered.turns)
        return updates


class PageHandlers:
    """The events of the stage and of the page as a whole."""

    def __init__(self, service: Service, examples: Sequence[Example], layout: Layout) -> None:
        self.service, self.examples, self.layout = service, examples, layout
        self.running = Running()
        self.tasks = {task: TaskHandlers(self, task) for task in TASKS}

    def clear(self, request: gr.Request) -> Updates:
        """End all the visitor's questions and empty the stage."""
        for task in (*TASKS, "open"):
            self.running.cancel(task, request)
        return self.layout.emptied()

    def open(self, request: gr.Request, path: str | None, timeline: dict[str, Any]) -> Iterator[Updates]:
        """Probe a new video; make a preview where browsers do not play it."""
        layout = self.layout
        if not path:
            return
        with self.running.started("open", request) as replaced:
            try:
                info = video.probe(path, limits=files.LIMITS)
                step = self.service.family.step(info.duration)
                timeline = timeline | {"duration": info.duration, "step": step}
                windows = self.service.windows(info.duration)
                hint = f"{CLOSER[:-1]}; asks up to {windows} more parts of this one." if windows else CLOSER
                updates: Updates = {layout.timeline: timeline, layout.closer: gr.Checkbox(info=hint)}
                if transcode.plays_in_browsers(info, Path(path).suffix):
                    yield updates
                    return
                note = f"Browsers do not play {info.codec} in this container: a small preview is being made."
                yield updates | {layout.timeline: timeline | {"note": note}}
                target = files.scratch("mp4", f"preview-{uuid.uuid4().hex}")
                transcode.preview(path, target, limits=files.CLIP_LIMITS)
                if replaced.is_set():  # another video is on the stage by now
                    return
                note = "You see a small preview, since browsers do not play this file; answers come from the original."
                yield {
                    layout.player: str(target),
                    layout.session: Session(path, target.name),
                    layout.timeline: timeline | {"note": note},
                }
            except GroundedError as error:
                yield {layout.timeline: timeline | {"error": str(error)[:500]}}

    def export(self, path: Any, session: Any, timeline: Any, form: str) -> Updates:
        """Write the timeline's rows as a file."""

        def write() -> str:
            rows = timeline.get("rows")
            answers = [read_answer(row) for row in (rows if isinstance(rows, list) else [])]
            if not answers:
                raise DataError("there is nothing to export yet: ask something first")
            return files.written(answers, form, original_file(path, session))

        return self._give_file(timeline, write)

    def cut(self, path: Any, session: Any, timeline: Any) -> Updates:
        """Cut the chosen range out of the video."""
        return self._give_file(timeline, lambda: files.cut(original_file(path, session), *selection(timeline)))

    def _give_file(self, timeline: dict[str, Any], write: Callable[[], str]) -> Updates:
        try:
            file = gr.File(write(), visible=True)
        except GroundedError as error:
            return {self.layout.timeline: timeline | {"error": str(error)[:500]}}
        return {self.layout.file: file, self.layout.timeline: timeline | {"error": ""}}

    def restart_conversation(self) -> Updates:
        """Forget the conversation."""
        return {self.layout.session: Session(), self.layout.panels["ask"].reply: dict(Reply.empty)}

    def link(self, path: str, question: Question) -> str:
        """Return the query string that opens an example with a question; nothing for a visitor's own video."""
        for example in self.examples:
            if have_same_content(path, example.path):
                parameters = {"example": example.path.stem, "task": question.task, "text": question.text}
                if question.task == "refer":
                    parameters |= {"from": f"{question.start:g}", "to": f"{question.end:g}"}
                if question.options:
                    parameters["options"] = "\n".join(question.options)
                if question.fine:
                    parameters["fine"] = "1"
                return "?" + urlencode(parameters)
        return ""

    def arrive(self, request: gr.Request) -> Updates:
        """Fill the page from a link."""
        parameters = dict(request.query_params)
        example = next((each for each in self.examples if each.path.stem == parameters.get("example")), None)
        if example is None:
            return {self.layout.player: gr.skip()}
        task, text = parameters.get("task", "ground"), parameters.get("text", "")[:MAX_TEXT]
        values = {
            "ground": (text,),
            "refer": (parameters.get("from", "")[:20], parameters.get("to", "")[:20]),
            "choose": (text, parameters.get("options", "")[: 26 * MAX_TEXT]),
            "ask": (text,),
        }.get(task, ())
        layout = self.layout
        updates: Updates = {layout.player: str(example.path), layout.timeline: layout.emptied()[layout.timeline]}
        if task in layout.panels:
            updates |= {layout.tabs: gr.Tabs(selected=task)}
            updates |= dict(zip(layout.panels[task].fields, values, strict=False))
        if task == "ground":
            updates[layout.closer] = parameters.get("fine") == "1"
        return updates
