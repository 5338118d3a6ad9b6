"""The library's tab: what its events do. Films are known by content: a visitor's browser names none by path."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr

from ..errors import GroundedError
from ..export import read_answer
from ..library.database import SHOWN, printable
from ..library.output import picture
from ..library.searching import LibraryMoment, LibrarySearch
from ..types import Question
from . import files
from .handlers import PageHandlers
from .layout import Updates
from .timeline import Results, Timeline

PICTURES = 2  # decoded at the same time


class LibraryHandlers:
    """The events of the library's tab, whose results open on the page's stage."""

    def __init__(self, searcher: LibrarySearch, page: PageHandlers, results: Results) -> None:
        self.searcher, self.page, self.results = searcher, page, results

    def search(self, query: str | None) -> Iterator[Updates]:
        """Show what was found, first without pictures."""
        yield {self.results: Results.empty | {"note": "Asking the films…"}}
        try:
            answer = self.searcher.search(query or "")
        except GroundedError as error:
            yield {self.results: Results.empty | {"error": str(error)[:500]}}
            return
        note = f"{answer.parts} films, or parts of long ones, were asked in {answer.seconds:.2f} s."
        if answer.absent > 0.5:
            note = f"In none of the films, to {100 * answer.absent:.0f} %. The likeliest of them:"
        value = Results.empty | {"note": note, "films": [self._card(found) for found in answer.moments]}
        yield {self.results: value}
        with ThreadPoolExecutor(PICTURES) as pool:
            pictures = pool.map(lambda found: picture(found, files.LIMITS), answer.moments)
            cards = [card | {"picture": each} for card, each in zip(value["films"], pictures, strict=True)]
        yield {self.results: value | {"films": cards}}

    def _card(self, found: LibraryMoment) -> dict[str, Any]:
        service, answer = self.page.services.find(), found.answer
        if service is not None and found.kind == SHOWN:
            answer = service.rated(answer, Question("ground", answer.question), found.content)
        kind = {"title": printable(found.path.name), "kind": found.kind, "content": found.content}
        return kind | {"answer": answer.to_dict(), "picture": ""}

    def open(self, request: gr.Request, results: dict[str, Any]) -> Updates:
        """Put the film of a result on the stage, with its moment on the timeline; `PageHandlers.open` probes it."""
        layout = self.page.layout
        try:
            card = results["films"][int(results["chosen"])]
            answer = read_answer(card["answer"])
            path = self.searcher.library.path_of(str(card["content"])).resolve()
        except (GroundedError, LookupError, TypeError, ValueError):
            return {self.results: gr.skip()}
        if not path.is_file():
            return {self.results: results | {"error": f"{printable(path.name)} is not there any more."}}
        gr.set_static_paths([path])  # served from where it is: a copy of a film takes long
        updates = self.page.clear(request)
        row = answer.to_dict() | {"id": uuid.uuid4().hex}
        timeline = Timeline.with_row(updates[layout.timeline], row)
        return updates | {layout.player: str(path), layout.timeline: timeline}
