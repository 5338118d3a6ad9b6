"""Timeline and Reply: custom HTML components whose script draws a JSON value with text nodes and real buttons.

What a visitor or a model wrote must never reach a template: Gradio runs templates as JavaScript. So the templates here
are static files, and everything that changes travels in ``value``, which the scripts read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

_FOLDER = Path(__file__).parent
MAX_ROWS = 40


def _file(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


class _Drawn(gr.HTML):
    """An HTML component that shows a JSON value; the files ``stem``.html, .css and .js draw it."""

    stem = ""
    empty: dict[str, Any] = {}

    def __init__(self, value: dict[str, Any] | None = None, **kwargs: Any) -> None:
        # Gradio makes components anew from their configuration: what it passes for the files is the same text.
        files = {
            "html_template": _file(f"{self.stem}.html"),
            "css_template": _file(f"{self.stem}.css"),
            "js_on_load": _file(f"{self.stem}.js"),
            "apply_default_css": False,
        }
        super().__init__(value=value or dict(self.empty), **(kwargs | files))

    def preprocess(self, payload: Any) -> dict[str, Any]:
        return payload if isinstance(payload, dict) else dict(self.empty)

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any]:
        return dict(self.empty) if value is None else value

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

    def example_payload(self) -> dict[str, Any]:
        return dict(self.empty)

    def example_value(self) -> dict[str, Any]:
        return dict(self.empty)


class Timeline(_Drawn):
    """Rows of moments under a player; see timeline.js for what it does.

    Value: ``film``, a number that grows with each video put on the stage; ``duration`` and ``step`` in seconds, 0 where
    they are not known; ``rows``, each an answer as plain data
    (`Answer.to_dict`) with an ``id`` of its own; ``selected``, a range [start, end] in seconds, or None; ``note`` and
    ``error``, sentences about the video.
    Events: ``select`` (a range was dragged or a segment clicked), ``describe`` and ``cut`` (asked for that range).
    """

    stem = "timeline"
    empty = {"film": 0, "duration": 0, "step": 0, "rows": [], "selected": None, "note": "", "error": ""}

    @staticmethod
    def with_row(value: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        """Return a value with one more row; the oldest goes where there are too many."""
        rows = value.get("rows")
        kept = [*(rows if isinstance(rows, list) else []), row][-MAX_ROWS:]
        return value | {"rows": kept, "duration": row["duration"], "step": row["step"], "error": ""}


class Reply(_Drawn):
    """What is being done, what is being written, and answers whose times can be clicked.

    Value: ``doing`` {"what", "fraction"} or None; ``writing`` the text so far; ``error`` and ``note`` sentences;
    ``answers``, each as plain data, the latest last. Event: ``cancel``.
    """

    stem = "reply"
    empty = {"doing": None, "writing": "", "error": "", "note": "", "answers": []}
