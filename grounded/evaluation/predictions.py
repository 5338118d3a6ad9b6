"""Prediction files: our own JSON Lines, written as answers come, and the finding of a file's format."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import time_tokens
from ..errors import DataError
from ..types import Answer, Moment, Option
from .items import Benchmark, Document, Item, Prediction, Submission

OURS = "grounded JSON Lines"


def to_record(prediction: Prediction, item: Item) -> dict[str, Any]:
    """Return the plain data of one line: key, video and task of the item, and the answer or the error.

    The answer's curve is left out: hundreds of numbers a line, and no score reads them.
    """
    record: dict[str, Any] = {"key": item.key, "video": item.video, "task": item.task}
    if prediction.answer is not None:
        record["answer"] = {name: value for name, value in prediction.answer.to_dict().items() if name != "curve"}
    if prediction.error:
        record["error"] = prediction.error
    if prediction.saliency:
        record["saliency"] = list(prediction.saliency)
    return record


def from_record(record: Mapping[str, Any]) -> Prediction:
    """Return the prediction of one line; DataError where a field is missing or of another kind."""
    try:
        data = record.get("answer")
        answer = None
        if data is not None:
            fields: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
            }
            fields["moments"] = tuple(Moment(**moment) for moment in data.get("moments", ()))
            fields["options"] = tuple(Option(**option) for option in data.get("options", ()))
            answer = Answer(**fields)
        saliency = tuple(float(score) for score in record.get("saliency", ()))
        return Prediction(str(record["key"]), answer, str(record.get("error", "")), saliency)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"a prediction line cannot be read ({error!r}): {json.dumps(record)[:200]}") from error


def write(path: Path, items: Iterable[Item], predictions: Mapping[str, Prediction]) -> None:
    """Write the predictions as JSON Lines in the order of the items; whole or not at all."""
    lines = [json.dumps(to_record(predictions[i.key], i), ensure_ascii=False) for i in items if i.key in predictions]
    scratch = path.with_name(path.name + ".part")
    scratch.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    scratch.replace(path)


def read_lines(path: Path) -> dict[str, Prediction]:
    """Return the predictions of one of our files by key; the later of two lines counts.

    A last line that was cut off, as a killed run leaves it, is passed over.
    """
    text = path.read_text(encoding="utf-8", errors="replace")  # a cut may go through a letter
    return {said.key: said for said in map(from_record, _json_lines(path, text))}


def mend(path: Path) -> None:
    """Take off a last line that was cut off; end it, if only the end of line is missing."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole == len(content):
        return
    with path.open("r+b") as file:
        try:
            json.loads(content[whole:])
        except ValueError:
            file.truncate(whole)
        else:
            file.seek(0, os.SEEK_END)
            file.write(b"\n")


def _json_lines(path: Path, text: str) -> list[Any]:
    """Return the values of JSON Lines, without a last line that was cut off."""
    values = []
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise DataError(f"{path}, line {number} is not JSON: {error}") from error
    return values


def load(path: Path) -> Document:
    """Read a file as JSON, JSON Lines (a list of values) or text, whichever it is.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not text.strip():
        raise DataError(f"{path} is empty")
    try:
        return Document(path, json.loads(text))
    except json.JSONDecodeError:
        pass
    try:
        return Document(path, _json_lines(path, text) or text)
    except DataError:
        return Document(path, text)


def records(document: Document, *fields: str) -> list[dict[str, Any]] | None:
    """Return the document as a list of objects that all have ``fields``, or None if it is something else.

    One object alone is a list of one: a JSON Lines file of one line looks like it.
    """
    content = [document.content] if isinstance(document.content, dict) else document.content
    if not isinstance(content, list) or not content:
        return None
    if any(not isinstance(entry, dict) or any(name not in entry for name in fields) for entry in content):
        return None
    return content


def read(paths: Sequence[Path], benchmark: Benchmark, items: Sequence[Item]) -> Submission:
    """Read predictions for ``items`` in any format that the benchmark knows; several files are taken together.

    Raises:
        DataError: a file is in no known format, or names no question of the benchmark.
    """
    parts = [_read_one(load(path), benchmark, items) for path in paths]
    predictions: dict[str, Prediction] = {}
    for part in parts:
        for key, prediction in part.predictions.items():
            predictions[key] = _merge(predictions.get(key), prediction)
    known = {item.key for item in items}
    strange = [key for key in predictions if key not in known]
    if len(strange) == len(predictions):
        example = f", such as {strange[0]!r}" if strange else ""
        raise DataError(f"none of the {len(strange)} predictions names a question of {benchmark.title}{example}")
    notes = [note for part in parts for note in part.notes]
    if strange:
        notes.append(f"{len(strange)} predictions name no question of the benchmark, such as {strange[0]!r}")
    return Submission(
        format=" + ".join(dict.fromkeys(part.format for part in parts)),
        predictions={key: predictions[key] for key in predictions if key in known},
        notes=tuple(notes),
        right={key: letter for part in parts for key, letter in part.right.items()},
    )


def _read_one(document: Document, benchmark: Benchmark, items: Sequence[Item]) -> Submission:
    ours = records(document, "key", "task")
    if ours is not None:
        return Submission(OURS, {str(record["key"]): from_record(record) for record in ours})
    for reader in benchmark.formats:
        try:
            submission = reader(document, items)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{document.path} begins like a prediction file, but cannot be read: {error!r}") from error
        if submission is not None:
            return submission
    known = [OURS, *(str(reader.__doc__).split("\n")[0].rstrip(".") for reader in benchmark.formats)]
    raise DataError(f"{document.path} is in no format known for {benchmark.title}; known are: " + "; ".join(known))


def _merge(first: Prediction | None, second: Prediction) -> Prediction:
    """Join what two files say of one question: NExT-GQA keeps moments and choices apart."""
    if first is None or first.answer is None or second.answer is None:
        return second
    one, other = first.answer, second.answer
    joined = dataclasses.replace(
        other,
        text=other.text or one.text,
        raw=other.raw or one.raw,
        moments=other.moments or one.moments,
        options=other.options or one.options,
        choice=other.choice or one.choice,
    )
    return Prediction(first.key, joined, second.error, second.saliency or first.saliency)


def answer(
    item: Item, text: str = "", moments: Iterable[Moment] = (), choice: str | None = None, duration: float | None = None
) -> Prediction:
    """Return the prediction that somebody's file makes for an item; ``duration`` is in seconds, as they measured it.

    Moments with a time that is no number are left out: they say nothing. An unknown duration becomes 0.
    """
    seconds = duration or item.duration or 0.0
    return Prediction(
        item.key,
        Answer(
            task=item.task,
            question=item.question,
            text=time_tokens.read_times(text, seconds) if seconds else text,
            raw=text,
            duration=seconds,
            moments=tuple(m for m in moments if math.isfinite(m.start) and math.isfinite(m.end)),
            choice=choice,
        ),
    )
