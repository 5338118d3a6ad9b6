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
