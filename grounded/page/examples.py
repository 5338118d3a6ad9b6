"""Examples: the videos of a folder, each with questions for every task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


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
    """One question about one example, as the fields of its task's tab."""

    label: str
    path: Path
    fields: tuple[str, ...]


def offers(examples: Sequence[Example], task: str) -> list[Offer]:
    """Return what can be asked with one click in the tab of a task."""
    found = []
    for example in examples:
        asked: list[tuple[str, tuple[str, ...]]] = []
        match task:
            case "ground":
                asked = [(query, (query,)) for query in example.ground]
            case "refer":
                asked = [(f"{start:g} s to {end:g} s", (f"{start:g}", f"{end:g}")) for start, end in example.refer]
            case "choose":
                asked = [(question, (question, "\n".join(options))) for question, options in example.choose]
            case "caption":
                asked = [("all events", ())]
            case "ask":
                asked = [(question, (question,)) for question in example.ask]
        found += [Offer(f"{example.title}: {label}", example.path, fields) for label, fields in asked]
    return found
