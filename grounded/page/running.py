"""Which questions are being answered for whom, so that they can be cancelled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr


class Running:
    """The questions that are being answered, by visitor and task, so that they can be cancelled."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str], threading.Event] = {}
        self._dropped: dict[tuple[str, str], threading.Event] = {}  # until they end or another is asked

    def cancel(self, task: str, request: gr.Request) -> None:
        """End the visitor's running question of a task."""
        if (event := self._events.get((str(request.session_hash), task))) is not None:
            event.set()

    def drop(self, task: str, request: gr.Request) -> None:
        """End the visitor's running question of a task; nothing of it is to be shown any more."""
        key = (str(request.session_hash), task)
        if (event := self._events.pop(key, None)) is not None:
            self._dropped[key] = event
            event.set()

    @contextmanager
    def started(self, task: str, request: gr.Request) -> Iterator[threading.Event]:
        """Give the event that ends this question; the visitor's earlier one of the task is cancelled."""
        self.cancel(task, request)
        key, event = (str(request.session_hash), task), threading.Event()
        self._events[key] = event
        self._dropped.pop(key, None)
        try:
            yield event
        finally:
            event.set()
            for events in (self._events, self._dropped):
                if events.get(key) is event:
                    events.pop(key, None)

    def is_newest(self, task: str, request: gr.Request, event: threading.Event) -> bool:
        """Say whether the visitor has asked nothing newer of the task."""
        return self._events.get((str(request.session_hash), task)) is event

    def is_dropped(self, task: str, request: gr.Request, event: threading.Event) -> bool:
        """Say whether a question was dropped, and the visitor has asked nothing of the task since."""
        return self._dropped.get((str(request.session_hash), task)) is event
