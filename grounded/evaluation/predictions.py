"""Prediction files: our own JSON Lines, written as answers come, and files of any format that is known."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import files, time_tokens
from ..errors import DataError
from ..types import Answer, Moment
from .items import Benchmark, BenchmarkItem, Prediction, PredictionSet

OURS = "grounded JSON Lines"

# No score reads the curve's hundreds of numbers; the rest is the same for a whole run, or differs from run to run.
_NOT_WRITTEN = ("curve", "model", "step", "seconds", "watch_seconds", "cached")
_EMPTY = Answer(task="", question="", text="", raw="", duration=0.0).to_dict()
_TEXTS = {"question": "", "text": "", "raw": ""}  # fields that every answer has, and that are not written when empty


def to_record(prediction: Prediction, item: BenchmarkItem) -> dict[str, Any]:
    """Return the plain data of one line: key, video and task of the item, and the answer or the error."""
    record: dict[str, Any] = {"key": item.key, "video": item.video, "task": item.task}
    if prediction.answer is not None:
        record["answer"] = _answer_record(prediction.answer)
    if prediction.error:
        record["error"] = prediction.error
    if prediction.saliency:
        record["saliency"] = list(prediction.saliency)
    return record


def _answer_record(answer: Answer) -> dict[str, Any]:
    """Return an answer as plain data, without what is empty or not needed."""
    fields = {name: value for name, value in answer.to_dict().items() if name not in _NOT_WRITTEN}
    fields = {name: value for name, value in fields.items() if value != _EMPTY[name] or name == "duration"}
    for name in {"moments", "options"} & fields.keys():
        fields[name] = [{key: part for key, part in each.items() if part not in (None, "")} for each in fields[name]]
    return fields


def from_record(record: Mapping[str, Any]) -> Prediction:
    """Return the prediction of one line; DataError where a field is missing or of another kind."""
    try:
        answer = None if record.get("answer") is None else Answer.from_dict(_TEXTS | record["answer"])
        saliency = tuple(float(score) for score in record.get("saliency", ()))
        return Prediction(str(record["key"]), answer, str(record.get("error", "")), saliency)
    except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"a prediction line cannot be read ({error!r}): {json.dumps(record)[:200]}") from error


def write(path: Path, items: Iterable[BenchmarkItem], predictions: Mapping[str, Prediction]) -> None:
    """Write the predictions as JSON Lines in the order of the items; whole or not at all."""
    files.write_lines(path, (to_record(predictions[item.key], item) for item in items if item.key in predictions))


def read_lines(path: Path) -> dict[str, Prediction]:
    """Return the predictions of one of our files by key; the later of two lines counts.

    A last line that was cut off, as a killed run leaves it, is passed over.
    """
    text = path.read_text(encoding="utf-8", errors="replace")  # a cut may go through a letter
    return {prediction.key: prediction for prediction in map(from_record, _json_lines(path, text))}


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


def load(path: Path) -> Any:
    """Return the content of a file: a JSON value, the list of values of JSON Lines, or text.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not text.strip():
        raise DataError(f"{path} is empty")
    with suppress(json.JSONDecodeError):
        return json.loads(text)
    with suppress(DataError):
        return _json_lines(path, text) or text
    return text


def records(content: Any, *fields: str) -> list[dict[str, Any]] | None:
    """Return the content of a file as a list of objects that all have ``fields``, or None if it is something else.

    One object alone is a list of one: a JSON Lines file of one line looks like it.
    """
    entries = [content] if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        return None
    all_there = all(isinstance(entry, dict) and entry.keys() >= set(fields) for entry in entries)
    return entries if all_there else None


def read(paths: Sequence[Path], benchmark: Benchmark, items: Sequence[BenchmarkItem]) -> PredictionSet:
    """Read predictions for ``items`` in any format that the benchmark knows; several files are taken together.

    Raises:
        DataError: a file is in no known format, or names no question of the benchmark.
    """
    parts = [_read_one(path, benchmark, items) for path in paths]
    predictions: dict[str, Prediction] = {}
    for part in parts:
        for key, prediction in part.predictions.items():
            predictions[key] = _merge(predictions.get(key), prediction)
    known = {item.key for item in items}
    unknown = [key for key in predictions if key not in known]
    if len(unknown) == len(predictions):
        example = f", such as {unknown[0]!r}" if unknown else ""
        raise DataError(f"none of the {len(unknown)} predictions names a question of {benchmark.title}{example}")
    notes = [note for part in parts for note in part.notes]
    if unknown:
        notes.append(f"{len(unknown)} predictions name no question of the benchmark, such as {unknown[0]!r}")
    return PredictionSet(
        format=" + ".join(dict.fromkeys(part.format for part in parts)),
        predictions={key: predictions[key] for key in predictions if key in known},
        notes=tuple(notes),
        right={key: letter for part in parts for key, letter in part.right.items()},
    )


def _read_one(path: Path, benchmark: Benchmark, items: Sequence[BenchmarkItem]) -> PredictionSet:
    content = load(path)
    ours = records(content, "key", "task")
    if ours is not None:
        return PredictionSet(OURS, {str(record["key"]): from_record(record) for record in ours})
    for reader in benchmark.formats:
        try:
            predictions = reader(content, items)
        except DataError as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise DataError(f"{path} begins like a prediction file, but cannot be read: {error!r}") from error
        if predictions is not None:
            return predictions
    known = [OURS, *(str(reader.__doc__).split("\n")[0].rstrip(".") for reader in benchmark.formats)]
    raise DataError(f"{path} is in no format known for {benchmark.title}; known are: " + "; ".join(known))


def _merge(first: Prediction | None, second: Prediction) -> Prediction:
    """Join what two files hold for one question: NExT-GQA keeps moments and choices apart."""
    if first is None or first.answer is None or second.answer is None:
        return second
    names = ("text", "raw", "moments", "options", "choice")
    joined = {name: getattr(second.answer, name) or getattr(first.answer, name) for name in names}
    answer = dataclasses.replace(second.answer, **joined)
    return Prediction(first.key, answer, second.error, second.saliency or first.saliency)


def moments_from(spans: Iterable[Sequence[Any]]) -> tuple[Moment, ...]:
    """Return the moments of (start, end), (start, end, score) or (start, end, score, text) in other people's files.

    One with a time or a score that is not a finite number is left out: it says nothing.
    """
    moments = []
    for start, end, *more in spans:
        score = None if not more or more[0] is None else float(more[0])
        numbers = (float(start), float(end), 0.0 if score is None else score)
        if all(map(math.isfinite, numbers)):
            moments.append(Moment(numbers[0], numbers[1], score, *more[1:]))
    return tuple(moments)


def make_prediction(
    item: BenchmarkItem,
    text: str = "",
    moments: Iterable[Moment] = (),
    choice: str | None = None,
    duration: float | None = None,
    saliency: tuple[float, ...] = (),
) -> Prediction:
    """Return the prediction that somebody's file makes for an item; ``duration`` is in seconds, as they measured it.

    An unknown duration becomes 0.
    """
    seconds = duration or item.duration or 0.0
    answer = Answer(
        task=item.task,
        question=item.question,
        text=time_tokens.read_times(text, seconds) if seconds else text,
        raw=text,
        duration=seconds,
        moments=tuple(moments),
        choice=choice,
    )
    return Prediction(item.key, answer, saliency=saliency)


class PredictionCollector:
    """Gathers the predictions of one file for the items they are about, and counts those about no item."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._predictions: dict[str, Prediction] = {}
        self._unmatched = 0

    def add(self, item: BenchmarkItem | None, text: str = "", **fields: Any) -> None:
        """Add what the file holds for an item; ``fields`` are those of `make_prediction`."""
        if item is None:
            self._unmatched += 1
        else:
            self._predictions[item.key] = make_prediction(item, text, **fields)

    def result(self, right: Mapping[str, str] | None = None) -> PredictionSet:
        """Return what was gathered, with a note on predictions about no item; ``right`` as in `PredictionSet`."""
        count = self._unmatched
        notes = (f"{count} predictions name no question of the benchmark",) if count else ()
        return PredictionSet(self._form, self._predictions, notes, right or {})
