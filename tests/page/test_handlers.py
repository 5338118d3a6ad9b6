"""What a visitor sees of a question that is no longer wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from grounded.page.handlers import PageHandlers
from grounded.page.layout import Panel, Session
from grounded.page.timeline import Reply
from grounded.serving import Answered, Cancelled, FirstAnswer, PartialText
from grounded.types import TASKS, Answer, Turn

REQUEST: Any = SimpleNamespace(session_hash="visitor", query_params={})
ANSWER = Answer("ask", "What?", "A ring.", "A ring.", 20.0)
EARLIER = {"answers": [ANSWER.to_dict()]}
SESSION = Session(turns=(Turn("What?", False, "A ring."),))


class Services:
    """Gives some of an answer; then it waits until it is stopped, unless ``is_quick``."""

    names = ("stub",)
    is_quick = False

    def find(self, name: str = "") -> None:
        return None

    def ask(self, path: str, question: Any, stop: threading.Event, model: str) -> Iterator[Any]:
        yield FirstAnswer(ANSWER) if question.task == "ground" else PartialText("A")
        if stop.is_set() and not self.is_quick:
            raise Cancelled("the question was cancelled")
        yield Answered(ANSWER, SESSION.turns)


class Layout(SimpleNamespace):
    def emptied(self, example: Any = None, source: str = "") -> dict[Any, Any]:
        return {}


@pytest.fixture
def page() -> PageHandlers:
    panels = {task: Panel((f"{task} field",), f"{task} reply", f"{task} examples") for task in TASKS}  # type: ignore
    layout: Any = Layout(panels=panels, timeline="timeline", session="session")
    return PageHandlers(Services(), [], layout)  # type: ignore[arg-type]


def shown_after(steps: Iterator[Any], reply: str, count: int, change: Callable[[], Any]) -> list[Any]:
    """Return what a reply is given after ``change``, which happens when it was given ``count`` values."""
    values = (updates for updates in steps if reply in updates)
    for _ in range(count):
        next(values)
    change()
    return list(values)


@pytest.mark.parametrize("is_quick", [False, True])
def test_a_new_conversation_stays_empty_while_an_answer_was_under_way(page: PageHandlers, is_quick: bool) -> None:
    page.services.is_quick = is_quick  # type: ignore[attr-defined]
    steps = page.tasks["ask"].converse(REQUEST, "film.mp4", SESSION, {}, "", "And then?", EARLIER)
    rest = shown_after(steps, "ask reply", 2, lambda: page.restart_conversation(REQUEST, SESSION))
    assert rest == [{"ask reply": Reply.empty}]


@pytest.mark.parametrize("is_quick", [False, True])
def test_an_answer_about_the_film_before_is_not_shown_under_the_next(page: PageHandlers, is_quick: bool) -> None:
    page.services.is_quick = is_quick  # type: ignore[attr-defined]
    steps = page.tasks["ground"].ask(REQUEST, "film.mp4", None, {}, "", "a ring", 3, True)
    rest = shown_after(steps, "ground reply", 2, lambda: page.clear(REQUEST))
    assert rest == [{"ground reply": Reply.empty}]


def test_a_question_that_is_stopped_says_so(page: PageHandlers) -> None:
    task = page.tasks["ask"]
    steps = task.converse(REQUEST, "film.mp4", SESSION, {}, "", "And then?", EARLIER)
    (last,) = shown_after(steps, "ask reply", 2, lambda: task.cancel(REQUEST))
    assert last == {"ask reply": Reply.empty | EARLIER | {"note": "Stopped."}}


def test_a_film_that_is_left_takes_no_answer_from_the_next(page: PageHandlers) -> None:
    task = page.tasks["ground"]

    def next_film() -> None:
        page.clear(REQUEST)
        page.services.is_quick = True  # type: ignore[attr-defined]
        list(task.ask(REQUEST, "next.mp4", None, {}, "", "a box", 3, False))
        page.services.is_quick = False  # type: ignore[attr-defined]

    steps = task.ask(REQUEST, "film.mp4", None, {}, "", "a ring", 3, True)
    assert shown_after(steps, "ground reply", 2, next_film) == []
    assert not page.running._events and not page.running._dropped
