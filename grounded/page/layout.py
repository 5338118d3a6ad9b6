"""Layout: the components that handlers change, and what they hold for a video about which nothing was asked yet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ..types import Turn
from .examples import Example, Offer, offers
from .timeline import Gallery, Reply, Timeline

Updates = dict[Any, Any]  # component -> its new value
CLOSER = "Finds what is short in a long video."


@dataclass(frozen=True)
class Session:
    """What the server keeps of one visitor: the file behind a preview, and the conversation."""

    original: str = ""
    preview: str = ""  # the name of the preview file
    turns: tuple[Turn, ...] = ()
    model: str = ""  # which answered them


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
    gallery: Gallery
    model: Any  # the name of the chosen model, or nothing where there is one alone
    panels: Mapping[str, Panel]  # by task

    @property
    def closer(self) -> Any:
        """The checkbox that lets a query look closer."""
        return self.panels["ground"].fields[2]

    @property
    def stage(self) -> list[Any]:
        """What every question is asked with."""
        return [self.player, self.session, self.timeline, self.model]

    @property
    def of_a_video(self) -> list[Any]:
        """The components that a new video on the stage changes; see `emptied`."""
        panels = [part for panel in self.panels.values() for part in (panel.reply, panel.examples)]
        return [self.timeline, self.session, self.gallery, self.closer, *panels]

    @property
    def all(self) -> list[Any]:
        """What a visitor's arrival changes."""
        fields = [field for panel in self.panels.values() for field in panel.fields if field is not self.closer]
        return [self.player, self.tabs, self.model, *self.of_a_video, *fields]

    def emptied(self, example: Example | None = None, source: str = "") -> Updates:
        """Return the values of `of_a_video` for a video about which nothing was asked yet."""
        film = {"film": time.time_ns() // 1_000_000, "example": example.path.stem if example else "", "source": source}
        updates: Updates = {
            self.timeline: Timeline.empty | film,
            self.session: Session(),
            self.closer: gr.Checkbox(info=CLOSER),
        }
        for task, panel in self.panels.items():
            updates[panel.reply] = dict(Reply.empty)
            updates[panel.examples] = shelf(offers(example, task))
        return updates


def shelf(found: Sequence[Offer]) -> gr.Dataset:
    """Return the change that offers these questions as buttons."""
    return gr.Dataset(samples=[[offer.label] for offer in found], visible=bool(found))
