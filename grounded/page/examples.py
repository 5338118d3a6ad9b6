"""Examples: the videos of a folder, each with questions for every task."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from .questions import clock


@dataclass(frozen=True)
class Example:
    """A video in examples/ and the questions that come with it."""

    path: Path
    title: str
    ground: list[str]
    refer: list[list[float]]
    choose: list[tuple[str, list[str]]]
    ask: list[str]


def read_examples(folder: Path) -> list[Example]:
    """Return the examples of a folder; none where it has no list."""
    index = folder / "examples.json"
    if not index.is_file():
        return []
    entries = json.loads(index.read_text(encoding="utf-8"))
    return [Example(path=folder / entry.pop("file"), **entry) for entry in entries]


@dataclass(frozen=True)
class Offer:
    """One question about an example, as the fields of its task's tab."""

    label: str
    fields: tuple[str, ...]


def offers(example: Example | None, task: str) -> list[Offer]:
    """Return what can be asked about an example with one click in the tab of a task."""
    if example is None:
        return []
    match task:
        case "ground":
            return [Offer(query, (query,)) for query in example.ground]
        case "refer":
            ranges = [(clock(start), clock(end)) for start, end in example.refer]
            return [Offer(" – ".join(fields), fields) for fields in ranges]
        case "choose":
            return [Offer(question, (question, "\n".join(options))) for question, options in example.choose]
        case "ask":
            return [Offer(question, (question,)) for question in example.ask]
    return []


def picture(example: Example) -> str:
    """Return the picture beside an example's video as an address that holds it; empty where there is none."""
    file = example.path.with_suffix(".jpg")
    return "data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode() if file.is_file() else ""
