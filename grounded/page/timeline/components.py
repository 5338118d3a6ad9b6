"""Gallery, Results, Timeline and Reply: HTML components whose script draws a JSON value with text nodes and buttons.

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
            "js_on_load": _file("shared.js") + _file(f"{self.stem}.js"),
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


class Gallery(_Drawn):
    """The example videos as pictures.

    Value: ``films``, each with ``title``, ``label`` and ``picture`` (an address), and ``chosen``, the number of one.
    Event: ``choose``.
    """

    stem = "gallery"
    empty = {"films": [], "chosen": -1}


class Results(_Drawn):
    """Moments of the films of a library as cards.

    Value: ``films``, each with ``title``, ``kind``, ``content`` (its key), ``picture`` (an address, "" where there is
    none) and ``answer``, which has one moment; ``chosen``, the number of one; ``note`` and ``error``, sentences.
    Event: ``choose``.
    """

    stem = "results"
    empty = {"films": [], "chosen": -1, "note": "", "error": ""}


# Browser functions: what timeline.js kept of a visitor's own video, and its file for a player.
KEPT = """() => {
  try { return [JSON.parse(sessionStorage.getItem("grounded:own")) || {}]; } catch { return [{}]; }
}"""
OWN = """(player, { source }) => {
  const url = new URL(`gradio_api/file=${encodeURI(source)}`, location.href.split("?")[0]).href;
  const file = { path: source, url, orig_name: source?.split("/").pop(), meta: { _type: "gradio.FileData" } };
  return source ? file : player;
}"""


class Timeline(_Drawn):
    """A strip of the film, the chosen range, and rows of moments under a player; see timeline.js for what it does.

    Value: ``film``, a number that grows with each video put on the stage; ``example``, the name of the example that
    it is, if it is one; ``source``, the path of a visitor's own, which survives a reload; ``duration``, ``step``
    and ``frame`` (how long one lasts) in seconds, 0 where they are not known; ``rows``, each an answer as plain
    data (`Answer.to_dict`) with an ``id`` of its own; ``hidden``, the ids of folded rows; ``selected``, a range
    [start, end] in seconds, or None; ``form``, the format of an export; ``clip`` and ``file``, what was cut out and
    exported (`files.download`), or None; ``note`` and ``error``, sentences.
    Events: ``select`` (a range was dragged or a segment clicked), ``describe`` and ``cut`` (asked for that range), and
    ``export``.
    """

    stem = "timeline"
    empty = {
        "film": 0,
        "example": "",
        "source": "",
        "duration": 0,
        "step": 0,
        "frame": 0,
        "rows": [],
        "hidden": [],
        "selected": None,
        "form": "json",
        "clip": None,
        "file": None,
        "note": "",
        "error": "",
    }

    @staticmethod
    def with_row(value: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        """Return a value with one more row; the oldest goes where there are too many."""
        rows = value.get("rows")
        kept = [*(rows if isinstance(rows, list) else []), row][-MAX_ROWS:]
        return value | {"rows": kept, "duration": row["duration"], "step": row["step"], "error": ""}


class Reply(_Drawn):
    """What is being done, what is being written, and answers whose times can be clicked.

    Value: ``doing`` {"what", "fraction"} or None; ``writing`` the text so far; ``error`` and ``note`` sentences;
    ``closer``, whether a closer look is offered; ``answers``, each as plain data, the latest last. Events: ``cancel``
    and ``closer``.
    """

    stem = "reply"
    empty = {"doing": None, "writing": "", "error": "", "note": "", "closer": False, "answers": []}
