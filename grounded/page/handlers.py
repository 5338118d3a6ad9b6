"""Handlers: what the events of the page do. A visitor's rows live in the browser, the little else in a Session."""

from __future__ import annotations

import filecmp
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from .. import video
from ..errors import DataError, GroundedError, QuestionError, TimeError
from ..export import read_answer
from ..prompts import Turn
from ..serving import MAX_TEXT, TASKS, Answered, Cancelled, PartialText, Progress, Question, Service
from ..time_tokens import parse_seconds
from ..video import transcode
from . import files
from .examples import Example, Offer, offers
from .timeline import Reply, Timeline

SKIP = gr.skip()  # leaves a component as it is
CLOSER = "Finds what is short in a long video."
LOST = "One look at a long video may miss what is short: “Look closer” searches it part by part."


@dataclass(frozen=True)
class Session:
    """What the server keeps of one visitor: the file behind a preview, and the conversation."""

    original: str = ""
    preview: str = ""  # the name of the preview file
    turns: tuple[Turn, ...] = ()


def options_in(text: str) -> tuple[str, ...]:
    """Return the options written one a line."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def price(looks: int = 0) -> gr.Checkbox:
    """Return the setting that lets a query look closer, saying how many looks that may take in this video."""
    told = f"Finds what is short in a long video; takes up to {looks} looks more at parts of this one."
    return gr.Checkbox(info=told if looks else CLOSER)


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


def same(path: str, other: Path) -> bool:
    """Say whether two files hold the same; one that is gone does not."""
    try:
        return filecmp.cmp(path, other, shallow=False)
    except OSError:
        return False


def stage() -> dict[str, Any]:
    """Return the timeline of a video that was just put on the stage."""
    return Timeline.empty | {"film": time.time_ns() // 1_000_000}


class Handlers:
    """What the page's events do. A visitor's rows live in the visitor's browser; `Session` holds the little else."""

    def __init__(self, service: Service, examples: Sequence[Example]) -> None:
        self.service = service
        self.examples = examples
        self._running: dict[tuple[str, str], threading.Event] = {}  # by visitor and task, while an answer is made

    def stop(self, task: str, request: gr.Request) -> None:
        """End the visitor's running question of a task."""
        if (running := self._running.get((str(request.session_hash), task))) is not None:
            running.set()

    def stopper(self, task: str) -> Callable[..., None]:
        """Return the event that ends a task's question; a function of its own, since Gradio reads its annotations."""

        def stop(request: gr.Request) -> None:
            self.stop(task, request)

        return stop

    def taker(self, task: str) -> Callable[..., tuple[Any, ...]]:
        """Return the event that puts an example of a task on the stage."""
        found = offers(self.examples, task)

        def take(path: Any, chosen: int, request: gr.Request) -> tuple[Any, ...]:
            return self.take(found[chosen], path, request)

        return take

    def clear(self, request: gr.Request) -> tuple[Any, ...]:
        """End all the visitor's questions and empty the stage: (timeline, session, closer, one reply a task)."""
        for task in (*TASKS, "open"):
            self.stop(task, request)
        return stage(), Session(), price(), *(dict(Reply.empty) for _ in TASKS)

    def open(self, path: str | None, timeline: dict[str, Any], request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Look at a new video: yield (player, session, timeline, closer), at last with a preview where needed.

        ``closer`` is as `price` gives it.
        """
        if not path:
            yield SKIP, SKIP, SKIP, SKIP
            return
        running, gone = (str(request.session_hash), "open"), threading.Event()
        self._running[running] = gone
        try:
            info = video.probe(path, limits=files.LIMITS)
            timeline = timeline | {"duration": info.duration, "step": self.service.step(info.duration)}
            closer = price(self.service.looks(info.duration))
            if transcode.plays_in_browsers(info, Path(path).suffix):
                yield SKIP, SKIP, timeline, closer
                return
            note = f"Browsers do not play {info.codec} in this container: a small preview is being made."
            yield SKIP, SKIP, timeline | {"note": note}, closer
            target = files.scratch("mp4", f"preview-{uuid.uuid4().hex}")
            transcode.preview(path, target, limits=files.CLIP_LIMITS)
            if gone.is_set():  # another video is on the stage by now
                return
            note = "You see a small preview, because browsers do not play this file; answers come from the original."
            yield str(target), Session(path, target.name), timeline | {"note": note}, SKIP
        except GroundedError as error:
            yield SKIP, SKIP, timeline | {"error": str(error)[:500]}, SKIP
        finally:
            if self._running.get(running) is gone:
                del self._running[running]

    def file(self, path: str | None, session: Session | None) -> str:
        """Return the file that a question is about: the original where the player shows a preview."""
        if not path:
            raise QuestionError("there is no video yet: upload one, or click an example")
        preview = session is not None and session.preview and Path(path).name == session.preview
        return session.original if session and preview else path

    def ask(
        self,
        task: str,
        path: str | None,
        session: Session | None,
        timeline: dict[str, Any],
        make: Callable[[], Question],
        request: gr.Request,
        before: list[Any] | None = None,
    ) -> Iterator[tuple[Any, Any, Any]]:
        """Yield (reply, timeline, session) while a question is answered; ``before`` are answers to keep showing."""
        reply: dict[str, Any] = Reply.empty | {"answers": before or []}
        stop = threading.Event()
        self.stop(task, request)  # who asks anew does not wait for the old answer
        running = str(request.session_hash), task
        self._running[running] = stop
        try:
            yield reply | {"doing": {"what": "starting", "fraction": 0}}, SKIP, SKIP
            question, file = make(), self.file(path, session)
            for event in self.service.ask(file, question, stop):
                match event:
                    case Progress(what, fraction):
                        yield reply | {"doing": {"what": what, "fraction": round(fraction, 2)}}, SKIP, SKIP
                    case PartialText(text):
                        yield reply | {"doing": {"what": "answering", "fraction": 0}, "writing": text}, SKIP, SKIP
                    case Answered(answer, turns):
                        row = answer.to_dict() | {"id": uuid.uuid4().hex, "link": self.link(file, question)}
                        if question.task == "refer":  # on the timeline, the range asked about holds what is said of it
                            row["moments"] = [{"start": question.start, "end": question.end, "text": row["text"]}]
                        kept = replace(session or Session(), turns=turns) if task == "ask" else SKIP
                        lost = task == "ground" and not question.fine and self.service.may_lose(answer)
                        note = LOST if lost else answer.note[:500]
                        answered = reply | {"answers": [*reply["answers"], row], "note": note}
                        yield answered, Timeline.with_row(timeline, row), kept
        except Cancelled:
            if self._running.get(running) is stop:  # otherwise the newer question has the word
                yield reply | {"note": "Stopped."}, SKIP, SKIP
        except GroundedError as error:
            yield reply | {"error": str(error)[:500]}, SKIP, SKIP
        except gr.Error as error:  # such as ZeroGPU's quota: Gradio shows it too
            yield reply | {"error": str(error.message)[:500]}, SKIP, SKIP
            raise
        finally:
            stop.set()
            if self._running.get(running) is stop:
                del self._running[running]

    def ground(
        self, path: Any, session: Any, timeline: Any, query: str, best: float, fine: bool, request: gr.Request
    ) -> Any:
        def make() -> Question:
            return Question("ground", query or "", best=int(best or 3), fine=bool(fine))

        yield from self.ask("ground", path, session, timeline, make, request)

    def refer(self, path: Any, session: Any, timeline: Any, start: str, end: str, request: gr.Request) -> Any:
        def make() -> Question:
            return Question("refer", start=parse_seconds(start or ""), end=parse_seconds(end or ""))

        yield from self.ask("refer", path, session, timeline, make, request)

    def describe(self, path: Any, session: Any, timeline: Any, request: gr.Request) -> Any:
        def make() -> Question:
            start, end = selection(timeline)
            return Question("refer", start=start, end=end)

        yield from self.ask("refer", path, session, timeline, make, request)

    def choose(self, path: Any, session: Any, timeline: Any, text: str, options: str, request: gr.Request) -> Any:
        yield from self.ask(
            "choose",
            path,
            session,
            timeline,
            lambda: Question("choose", text or "", options=options_in(options or "")),
            request,
        )

    def caption(self, path: Any, session: Any, timeline: Any, request: gr.Request) -> Any:
        yield from self.ask("caption", path, session, timeline, lambda: Question("caption"), request)

    def converse(self, path: Any, session: Any, timeline: Any, text: str, reply: Any, request: gr.Request) -> Any:
        turns = session.turns if session else ()
        said = reply.get("answers") if turns else []
        yield from self.ask(
            "ask", path, session, timeline, lambda: Question("ask", text or "", turns=turns), request, said
        )

    def export(self, path: Any, session: Any, timeline: Any, form: str) -> tuple[Any, Any]:
        """Write the timeline's rows as a file; returns (file, timeline)."""
        try:
            rows = timeline.get("rows")
            answers = [read_answer(row) for row in (rows if isinstance(rows, list) else [])]
            if not answers:
                raise DataError("there is nothing to export yet: ask something first")
            target = files.written(answers, form, self.file(path, session))
            return gr.File(target, visible=True), timeline | {"error": ""}
        except GroundedError as error:
            return SKIP, timeline | {"error": str(error)[:500]}

    def cut(self, path: Any, session: Any, timeline: Any) -> tuple[Any, Any]:
        """Cut the chosen range out of the video; returns (file, timeline)."""
        try:
            clip = files.cut(self.file(path, session), *selection(timeline))
            return gr.File(clip, visible=True), timeline | {"error": ""}
        except GroundedError as error:
            return SKIP, timeline | {"error": str(error)[:500]}

    def link(self, path: str, question: Question) -> str:
        """Return the query string that opens an example with a question; nothing for a visitor's own video."""
        for example in self.examples:
            if same(path, example.path):
                asked = {"example": example.path.stem, "task": question.task, "text": question.text}
                if question.task == "refer":
                    asked |= {"from": f"{question.start:g}", "to": f"{question.end:g}"}
                asked |= {"options": "\n".join(question.options)} if question.options else {}
                asked |= {"fine": "1"} if question.fine else {}
                return "?" + urlencode(asked)
        return ""

    def take(self, offer: Offer, path: Any, request: gr.Request) -> tuple[Any, ...]:
        """Put an example on the stage, unless it is there: (player, *fields, timeline, session, closer, *replies)."""
        if path and same(path, offer.path):
            return (SKIP, *offer.fields, *(SKIP,) * (3 + len(TASKS)))
        return str(offer.path), *offer.fields, *self.clear(request)

    def arrive(self, request: gr.Request) -> tuple[Any, ...]:
        """Fill the page from a link: (player, timeline, tabs, closer, query, from, to, question, options, free)."""
        asked = dict(request.query_params)
        example = next((each for each in self.examples if each.path.stem == asked.get("example")), None)
        if example is None:
            return (SKIP,) * 10
        task, text = asked.get("task", "ground"), asked.get("text", "")[:MAX_TEXT]
        fields = {
            "ground": (text, SKIP, SKIP, SKIP, SKIP, SKIP),
            "refer": (SKIP, asked.get("from", "")[:20], asked.get("to", "")[:20], SKIP, SKIP, SKIP),
            "choose": (SKIP, SKIP, SKIP, text, asked.get("options", "")[: 26 * MAX_TEXT], SKIP),
            "ask": (SKIP, SKIP, SKIP, SKIP, SKIP, text),
        }.get(task, (SKIP,) * 6)
        closer = asked.get("fine") == "1" if task == "ground" else SKIP
        return str(example.path), stage(), gr.Tabs(selected=task), closer, *fields
