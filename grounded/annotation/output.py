"""Finished sets as files: the training format, one readable line for each item, and the released files read back."""

from __future__ import annotations

import dataclasses
import json
import re
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .. import prompts
from ..errors import DataError
from ..types import Moment
from .items import Item
from .pipeline import Fate

_KNOWN = {"question_id", "video_id", "video_file", "dataset_name", "conversation", "duration"}
_SPAN = re.compile(r"<(\d+(?:\.\d+)?)>\s*(?:to|and|-)\s*<(\d+(?:\.\d+)?)>")
_MARKERS = re.compile(r"<image>|<video>|<timestamp_grounding>")
_OPTION = re.compile(r"^\s*\(?([A-Z])[).:]\s*(.+?)\s*$", re.MULTILINE)


def conversations(items: Iterable[Item]) -> list[dict[str, Any]]:
    """Return items in the training format: each as an open question and, with options, as a multiple choice.

    Both are followed by the turn that asks for the moment. Times are seconds, as in ``<12.5>``.
    """
    entries = []
    for item in items:
        entries.append(_conversation(item, "open", item.question, item.answer))
        if item.options:
            asked = prompts.choose(item.question, item.options)
            entries.append(_conversation(item, "choice", asked, prompts.option_answer(item.letter, item.answer)))
    return entries


def _conversation(item: Item, form: str, question: str, answer: str) -> dict[str, Any]:
    times = ", ".join(f"<{_seconds(m.start)}> to <{_seconds(m.end)}>" for m in item.moments)
    said = [f"{prompts.IMAGE}\n{question}", answer, prompts.EVIDENCE, f"From {times}."]
    return {
        "question_id": f"{item.key}_{form}",
        "video_id": item.video,
        "video_file": item.file,
        "dataset_name": item.dataset,
        "conversation": [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(said)],
        **({} if item.duration is None else {"duration": item.duration}),
        **item.extra,
    }


def _seconds(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def record(item: Item) -> dict[str, Any]:
    """Return an item as plain data, in words that a reader understands without this page."""
    return {
        "key": item.key,
        "video": item.video,
        "file": item.file,
        "duration": item.duration,
        "question": item.question,
        "answer": item.answer,
        "moments": [[moment.start, moment.end] for moment in item.moments],
        "options": list(item.options),
        "letter": item.letter,
        "captions": list(item.captions),
        "dataset": item.dataset,
        **({"extra": dict(item.extra)} if item.extra else {}),
    }


def dropped(fate: Fate) -> dict[str, Any]:
    """Return a source that became no item as plain data: why, and what the model had written."""
    draft = None if fate.draft is None else dataclasses.asdict(fate.draft)
    events = [[event.start, event.end, event.text] for event in fate.source.events]
    return {"key": fate.source.key, "reason": fate.reason, "draft": draft, "events": events}


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in records))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from error


def read_released(path: Path) -> tuple[list[Item], tuple[str, ...]]:
    """Read the authors' annotation file: the grounded answers in it as items, fields unknown here in ``extra``.

    A conversation is a grounded answer if a question with its answer is followed by a turn that gives its times;
    others are passed over, and counted in the notes.

    Raises:
        DataError: the file is not in the format, or holds no grounded answer.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = [_released(entry) for entry in content]
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not an annotation file of Grounded-VideoLLM: {error!r}") from error
    items = [item for item in found if item is not None]
    if not items:
        raise DataError(f"{path} holds no answer with the moment that proves it")
    others = len(found) - len(items)
    return items, (f"{others} conversations are no grounded answers: passed over",) if others else ()


def _released(entry: dict[str, Any]) -> Item | None:
    said = [part["value"] for part in entry["conversation"]]
    turns = list(zip(said[::2], said[1::2], strict=True))
    if len(turns) < 2 or _SPAN.search(turns[0][1]):
        return None
    spans = _SPAN.findall(turns[1][1])
    if not spans:
        return None
    question, options = _asked(_MARKERS.sub("", turns[0][0]).strip())
    answer, letter = turns[0][1].strip(), ""
    if options:
        letter = prompts.chosen_letter(answer, len(options)) or ""
        answer = options[string.ascii_uppercase.index(letter)] if letter else answer
    duration = entry.get("duration")
    return Item(
        key=str(entry["question_id"]),
        video=str(entry["video_id"]),
        file=str(entry["video_file"]),
        duration=None if duration is None else float(duration),
        question=question,
        answer=answer,
        moments=tuple(Moment(float(start), float(end)) for start, end in spans),
        options=options if letter else (),
        letter=letter,
        dataset=str(entry.get("dataset_name", "")),
        extra={key: value for key, value in entry.items() if key not in _KNOWN},
    )


def _asked(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the question and the options of a turn; a question without options has none."""
    question, mark, rest = text.partition("\nOptions:")
    options = _OPTION.findall(rest) if mark else []
    if [letter for letter, _ in options] != list(string.ascii_uppercase[: len(options)]):
        return text, ()
    return question.removeprefix("Question:").strip(), tuple(option for _, option in options)


def write_set(out: Path, items: Sequence[Item]) -> None:
    """Write items in the training format to ``out`` and as readable lines beside it."""
    write_json(out, conversations(items))
    write_lines(out.with_suffix(".jsonl"), map(record, items))
