"""Handlers: what the page's events do. A visitor's rows live in the browser, the little else in a Session.

They return ``{component: new value}``; components that are not named stay as they are.
"""

from __future__ import annotations

import filecmp
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from .. import video
from ..errors import DataError, GroundedError, QuestionError, TimeError
from ..export import read_answer
from ..serving import Answered, Cancelled, FirstAnswer, PartialText, Progress, Services
from ..types import TASKS, Question
from ..video import transcode
from . import files
from .examples import Example, offers
from .layout import CLOSER, Layout, Session, Updates
from .questions import FIELDS, QUESTIONS, fields_of, question_of
from .running import Running
from .timeline import Reply, Timeline

MAX_TOLD = 20  # answers of a conversation that stay
MAX_KNOWN = 500  # answers about examples that are kept
ARRIVED = "That link names no video that is here; this is an example."
GONE = "Your video is not here any more: upload it again."
MAY_LOSE = "One look at a long video may miss what is short."
STOPPED = "Stopped: this is the answer from one look at the whole video."


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


def seconds_text(seconds: float) -> str:
    """Return how long something takes as people say it: no finer than they can count on."""
    return f"{math.ceil(seconds / 60)} min" if seconds > 90 else f"{math.ceil(seconds / 10) * 10} s"


def have_same_content(path: str, other: Path) -> bool:
    """Say whether two files hold the same; one that is gone does not."""
    try:
        return filecmp.cmp(path, other, shallow=False)
    except OSError:
        return False


class TaskHandlers:
    """The events of one task's tab."""

    def __init__(self, page: PageHandlers, task: str) -> None:
        self.page, self.task, self.panel = page, task, page.layout.panels[task]

    def ask(
        self, request: gr.Request, path: Any, session: Any, timeline: Any, model: Any, *fields: Any
    ) -> Iterator[Updates]:
        """Answer what the tab's fields ask."""
        yield from self.answer(request, path, session, timeline, model, lambda: QUESTIONS[self.task](*fields))

    def look_closer(
        self, request: gr.Request, path: Any, session: Any, timeline: Any, model: Any, reply: Any, best: Any
    ) -> Iterator[Updates]:
        """Search the video part by part for what the latest answer is about."""
        query = (reply.get("answers") or [{}])[-1].get("question")
        yield from self.answer(request, path, session, timeline, model, lambda: QUESTIONS["ground"](query, best, True))

    def describe(self, request: gr.Request, path: Any, session: Any, timeline: Any, model: Any) -> Iterator[Updates]:
        """Say what happens in the range that is chosen on the timeline."""

        def question() -> Question:
            start, end = selection(timeline)
            return Question("refer", start=start, end=end)

        yield from self.answer(request, path, session, timeline, model, question)

    def converse(
        self, request: gr.Request, path: Any, session: Any, timeline: Any, model: Any, text: Any, reply: Any
    ) -> Iterator[Updates]:
        """Ask the next question of a conversation, whose answers so far stay; the field is free for another.

        What another model said is no part of it: each writes in its own way.
        """
        (field,) = self.panel.fields
        goes_on = session and session.model == model
        question = Question("ask", text or "", turns=session.turns if goes_on else ())
        yield {field: ""}
        earlier = (reply.get("answers") or [])[-MAX_TOLD:]
        for updates in self.answer(request, path, session, timeline, model, lambda: question, earlier):
            yield updates
            if updates.get(self.panel.reply, {}).get("error"):
                yield {field: text}

    def cancel(self, request: gr.Request) -> None:
        """End the visitor's running question of this task."""
        self.page.running.cancel(self.task, request)

    def show_example(self, timeline: dict[str, Any], number: int) -> Updates:
        """Fill the fields with a question about the example on the stage."""
        found = offers(self.page.example(timeline.get("example")), self.task)
        fields = found[number].fields if number < len(found) else ()
        return {self.panel.reply: gr.skip(), **dict(zip(self.panel.fields, fields, strict=False))}

    def answer(
        self,
        request: gr.Request,
        path: str | None,
        session: Session | None,
        timeline: dict[str, Any],
        model: str,
        make_question: Callable[[], Question],
        earlier: Sequence[Any] = (),
    ) -> Iterator[Updates]:
        """Yield what changes while a question is answered; ``earlier`` are answers to keep showing."""
        reply: dict[str, Any] = Reply.empty | {"answers": list(earlier)}
        shown, running, row_id, stopped = self.panel.reply, self.page.running, uuid.uuid4().hex, "Stopped."
        with running.started(self.task, request) as event:
            try:
                yield {shown: reply | {"doing": {"what": "starting", "fraction": 0}}}
                question, file = make_question(), original_file(path, session)
                link = self.page.link(file, timeline, question, model)
                if known := self.page.known(link):
                    yield self._show(known, question, link, session, timeline, model, earlier, row_id)
                    return
                for step in self.page.services.ask(file, question, event, model):
                    if not running.is_newest(self.task, request, event):
                        raise Cancelled("the question was dropped")
                    match step:
                        case Progress(what, fraction, left):
                            what += f", about {seconds_text(left)} left" if left is not None else ""
                            yield {shown: reply | {"doing": {"what": what, "fraction": round(fraction, 2)}}}
                        case PartialText(text):
                            yield {shown: reply | {"doing": {"what": "answering", "fraction": 0}, "writing": text}}
                        case FirstAnswer(first):
                            answered = Answered(first)
                            updates = self._show(answered, question, link, session, timeline, model, earlier, row_id)
                            reply, stopped = updates[shown], STOPPED
                            yield updates
                        case Answered():
                            self.page.keep(link, step)
                            yield self._show(step, question, link, session, timeline, model, earlier, row_id)
            except Cancelled:
                if running.is_newest(self.task, request, event):  # otherwise the newer question has the word
                    yield {shown: reply | {"note": stopped}}
                elif running.is_dropped(self.task, request, event):  # an update may have come after that
                    yield {shown: dict(Reply.empty)}
            except GroundedError as error:
                yield {shown: reply | {"error": str(error)[:500]}}
            except gr.Error as error:  # such as ZeroGPU's quota: Gradio shows it too
                yield {shown: reply | {"error": str(error.message)[:500]}}
                raise
            except Exception:
                yield {shown: reply | {"error": "Something went wrong that is not your doing; ask again."}}
                raise

    def _show(
        self,
        answered: Answered,
        question: Question,
        link: str,
        session: Session | None,
        timeline: dict[str, Any],
        model: str,
        earlier: Sequence[Any],
        row_id: str,
    ) -> Updates:
        """Return the updates that show an answer in its tab and on the timeline."""
        answer, layout = answered.answer, self.page.layout
        row = answer.to_dict() | {"id": row_id, "link": link}
        service = self.page.services.find(model)
        may_lose = self.task == "ground" and not question.fine and service is not None and service.may_lose(answer)
        note = MAY_LOSE if may_lose else answer.note[:500]
        reply = Reply.empty | {"answers": [*earlier, row], "note": note, "closer": may_lose}
        updates: Updates = {
            self.panel.reply: reply,
            layout.timeline: Timeline.with_row(timeline, row),
        }
        if self.task == "ask":
            updates[layout.session] = replace(session or Session(), turns=answered.turns, model=model)
        return updates


class PageHandlers:
    """The events of the stage and of the page as a whole."""

    def __init__(self, services: Services, examples: Sequence[Example], layout: Layout) -> None:
        self.services, self.examples, self.layout = services, examples, layout
        self.running = Running()
        self.tasks = {task: TaskHandlers(self, task) for task in TASKS}
        self._known: dict[str, Answered] = {}  # by link: answers about examples, the same for all visitors

    def example(self, name: Any) -> Example | None:
        """Return the example of a name."""
        return next((each for each in self.examples if each.path.stem == name), None)

    def known(self, link: str) -> Answered | None:
        """Return the answer to a linked question that was given before."""
        if (known := self._known.get(link)) is None:
            return None
        return replace(known, answer=replace(known.answer, cached=True, seconds=0.0, watch_seconds=0.0))

    def keep(self, link: str, answered: Answered) -> None:
        """Keep the answer to a linked question; the oldest goes where there are too many."""
        if link and not answered.answer.note:
            self._known = dict([*self._known.items(), (link, answered)][-MAX_KNOWN:])

    def clear(self, request: gr.Request, path: str | None = None) -> Updates:
        """End all the visitor's questions and empty the stage, for the video that was uploaded if one was."""
        for task in (*TASKS, "open"):
            self.running.drop(task, request)
        return self.layout.emptied(source=files.uploaded(path) if path else "")

    def open(self, request: gr.Request, path: str | None, timeline: dict[str, Any], model: str) -> Iterator[Updates]:
        """Probe a new video; make a preview where browsers do not play it."""
        layout = self.layout
        yield {layout.player: gr.skip()}  # Gradio empties every component of a handler that yields nothing
        if not path or timeline.get("example"):
            return
        with self.running.started("open", request) as replaced:
            try:
                info = video.probe(path, limits=files.LIMITS)
                service = self.services.find(model)
                step = service.family.step(info.duration) if service else 0
                frame = 1 / info.fps if info.fps else 0
                timeline = timeline | {"duration": info.duration, "step": step, "frame": frame}
                windows = service.most_windows(info.duration) if service else 0
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

    def export(self, path: Any, session: Any, timeline: Any) -> Updates:
        """Write the timeline's rows as a file, without those that are hidden."""

        def write() -> dict[str, Any]:
            rows, hidden = timeline.get("rows"), timeline.get("hidden") or []
            rows = [row for row in rows if row.get("id") not in hidden] if isinstance(rows, list) else []
            if not rows:
                raise DataError("there is nothing to export: ask something first, or show a hidden row")
            form = str(timeline.get("form"))
            answers = [read_answer(row) for row in rows]
            return files.download(files.written(answers, form, original_file(path, session)))

        return self._offer(timeline, "file", write)

    def cut(self, path: Any, session: Any, timeline: Any) -> Updates:
        """Cut the chosen range out of the video."""

        def write() -> dict[str, Any]:
            start, end = selection(timeline)
            return files.download(files.cut(original_file(path, session), start, end)) | {"start": start, "end": end}

        return self._offer(timeline, "clip", write)

    def _offer(self, timeline: dict[str, Any], what: str, write: Callable[[], dict[str, Any]]) -> Updates:
        try:
            return {self.layout.timeline: timeline | {"error": "", what: write()}}
        except GroundedError as error:
            return {self.layout.timeline: timeline | {"error": str(error)[:500], what: None}}

    def restart_conversation(self, request: gr.Request, session: Session | None) -> Updates:
        """Forget the conversation, also what is being answered of it; the file behind a preview stays."""
        self.running.drop("ask", request)
        session = replace(session or Session(), turns=())
        return {self.layout.session: session, self.layout.panels["ask"].reply: dict(Reply.empty)}

    def link(self, path: str, timeline: Mapping[str, Any], question: Question, model: str) -> str:
        """Return the query string that opens an example with a question; nothing for a visitor's own video."""
        example = self.example(timeline.get("example"))
        if example is None or question.turns or not have_same_content(path, example.path):
            return ""
        parameters: dict[str, Any] = {"example": example.path.stem, "task": question.task}
        names = FIELDS[question.task]
        parameters |= dict(zip(names, fields_of(question), strict=True))
        if len(self.services.names) > 1:
            parameters["model"] = model
        return "?" + urlencode(parameters)

    def show_film(self, request: gr.Request, gallery: dict[str, Any]) -> Updates:
        """Put an example on the stage, with the first question about it."""
        self.clear(request)
        number = gallery.get("chosen")
        example = self.examples[number if isinstance(number, int) and 0 <= number < len(self.examples) else 0]
        return self._stage(example, Question("ground", example.ground[0], best=3))

    def _stage(self, example: Example, question: Question) -> Updates:
        """Return what puts an example on the stage and a question about it into its fields."""
        layout = self.layout
        updates = layout.emptied(example) | {
            layout.player: str(example.path),
            layout.tabs: gr.Tabs(selected=question.task),
        }
        for field, value in zip(layout.panels[question.task].fields, fields_of(question), strict=True):
            updates[field] = gr.Checkbox(value, info=CLOSER) if field is layout.closer else value
        return updates

    def arrive(self, request: gr.Request, kept: dict[str, Any]) -> Updates:
        """Show what a link asks, or the video that the browser kept, or the first example; `greet` answers it.

        The browser kept a path and rows, so nothing is taken but what lies among the uploads. The page puts it on the
        stage itself: Gradio would convert what it does not know as playable.
        """
        asked_for = request.query_params.get("example")
        source = files.uploaded(str(kept.get("source") or "")) if asked_for is None else ""
        if source or not self.examples:
            updates = self.layout.emptied(source=source)
            updates[self.layout.timeline] |= {"rows": rows if isinstance(rows := kept.get("rows"), list) else []}
            return updates
        example, question, _ = self._linked(request)
        updates = self._stage(example, question)
        if (model := request.query_params.get("model")) in self.services.names:
            updates[self.layout.model] = model
        if asked_for not in (None, example.path.stem):
            updates[self.layout.timeline] |= {"note": ARRIVED}
        elif kept.get("source") and asked_for is None:
            updates[self.layout.timeline] |= {"note": GONE}
        return updates

    def greet(
        self, request: gr.Request, path: Any, session: Any, timeline: dict[str, Any], model: str
    ) -> Iterator[Updates]:
        """Answer the question that a visitor arrived with."""
        yield {self.layout.timeline: gr.skip()}  # as in `open`
        if not timeline.get("example"):
            return
        example, question, is_asked = self._linked(request)
        known = self.known(self.link(str(example.path), timeline, question, model))
        if known or is_asked or self.services.is_local:  # a GPU elsewhere is not asked unasked
            yield from self.tasks[question.task].answer(request, path, session, timeline, model, lambda: question)

    def _linked(self, request: gr.Request) -> tuple[Example, Question, bool]:
        """Return the example and the question of a visitor's link, or the first of each, and whether it was asked."""
        parameters = dict(request.query_params)
        example = self.example(parameters.get("example"))
        question = question_of(parameters) if example else None
        example = example or self.examples[0]
        return example, question or Question("ground", example.ground[0], best=3), question is not None
