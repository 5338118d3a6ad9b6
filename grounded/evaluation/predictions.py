"""Prediction files: our own JSON Lines, written as answers come, and files of any format that is known."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .. import files, time_tokens
from ..errors import DataError
from ..types import Answer, Moment
from .items import Benchmark, BenchmarkItem, Prediction, PredictionSet

OURS = "grounded JSON Lines"

# What can be odd in a file; each stands in a note behind its count.
UNKNOWN = "predictions name no question of the benchmark"
REPEATED = "predictions are about a question that has one already; the last counts"
NO_MOMENT = "moments are missing where the file has a place for one"
NO_NUMBER = "moments have a time or a score that is no number, and are left out"
NO_TEXT = "sentences are null, and count as empty"
NO_DURATION = "durations are no numbers; the annotation's counts instead, where it holds one"
NO_OPTION = "choices name no option, and count as none"

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
    predictions: dict[str, Prediction] = {}
    for place, record in _json_lines(path, text).entries.items():
        with reading_entry(f"{path}, {place}"):
            prediction = from_record(record)
        predictions[prediction.key] = prediction
    return predictions


@dataclass(frozen=True)
class JsonLines:
    """The values of JSON Lines by their place, such as "line 3"."""

    entries: dict[str, Any]


def _json_lines(path: Path, text: str) -> JsonLines:
    """Return the values of JSON Lines, without a last line that was cut off."""
    entries: dict[str, Any] = {}
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entries[f"line {number}"] = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number < len(lines):
                raise DataError(f"{path}, line {number} is not JSON: {error}") from error
    return JsonLines(entries)


@contextmanager
def reading_entry(place: str) -> Iterator[None]:
    """Turn whatever goes wrong while one entry of a file is understood into a DataError that names its place."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(f"{place} cannot be read: {error!r}") from error


def load(path: Path, oddities: Counter[str] | None = None) -> Any:
    """Return the content of a file: a JSON value, `JsonLines`, or text; ``oddities`` counts keys that stand twice.

    Raises:
        DataError: the file cannot be read, is empty, or is JSON with a mistake in it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not text.strip():
        raise DataError(f"{path} is empty")
    counted = Counter[str]() if oddities is None else oddities
    with suppress(ValueError, RecursionError):
        return json.loads(text, object_pairs_hook=partial(_object, oddities=counted))
    return _json_lines(path, text) if text.lstrip().startswith(("{", "[")) else text


def _object(pairs: list[tuple[str, Any]], oddities: Counter[str]) -> dict[str, Any]:
    content = dict(pairs)
    oddities[REPEATED] += len(pairs) - len(content)
    return content


def records(content: Any, *fields: str) -> dict[str, dict[str, Any]] | None:
    """Return the objects of a file by their place in it, or None if the first has not all ``fields``.

    One object alone is a list of one: a JSON Lines file of one line looks like it.

    Raises:
        DataError: the first object has all fields, and another one has not.
    """
    if isinstance(content, JsonLines):
        entries = content.entries
    elif isinstance(content, list):
        entries = {f"entry {number}": entry for number, entry in enumerate(content, start=1)}
    else:
        entries = {"line 1": content}
    for number, (place, entry) in enumerate(entries.items()):
        lacking = [name for name in fields if not isinstance(entry, dict) or name not in entry]
        if lacking and number == 0:
            return None
        if lacking:
            raise DataError(f"{place} lacks {', '.join(lacking)}: {json.dumps(entry)[:80]}")
    return entries or None


def read(paths: Sequence[Path], benchmark: Benchmark, items: Sequence[BenchmarkItem]) -> PredictionSet:
    """Read predictions for ``items`` in any format that the benchmark knows; several files are taken together.

    Raises:
        DataError: a file is in no known format, or names no question of the benchmark.
    """
    parts = [_read_one(path, benchmark, items) for path in paths]
    predictions: dict[str, Prediction] = {}
    oddities: Counter[str] = Counter()
    for part in parts:
        oddities.update(part.oddities)
        for key, prediction in part.predictions.items():
            oddities[REPEATED] += _says_the_same_kind(predictions.get(key), prediction)
            predictions[key] = _merge(predictions.get(key), prediction)
    known = {item.key for item in items}
    unknown = [key for key in predictions if key not in known]
    oddities[UNKNOWN] += len(unknown)
    if len(unknown) == len(predictions):
        example = f", such as {unknown[0]!r}" if unknown else ""
        count = oddities[UNKNOWN]
        raise DataError(f"none of the {count:,} predictions names a question of {benchmark.title}{example}")
    return PredictionSet(
        format=" + ".join(dict.fromkeys(part.format for part in parts)),
        predictions={key: predictions[key] for key in predictions if key in known},
        oddities=oddities,
        right={key: letter for part in parts for key, letter in part.right.items()},
    )


def _read_one(path: Path, benchmark: Benchmark, items: Sequence[BenchmarkItem]) -> PredictionSet:
    oddities: Counter[str] = Counter()
    content = load(path, oddities)
    for reader in (ours, *benchmark.formats):
        try:
            predictions = reader(content, items)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise DataError(f"{path} begins like a prediction file, but cannot be read: {error!r}") from error
        if predictions is not None:
            oddities.update(predictions.oddities)
            return dataclasses.replace(predictions, oddities=oddities)
    known = [OURS, *(str(reader.__doc__).split("\n")[0].rstrip(".") for reader in benchmark.formats)]
    raise DataError(f"{path} is in no format known for {benchmark.title}; known are: " + "; ".join(known))


def ours(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """Our own lines, as a run writes them."""
    entries = records(content, "key", "task")
    if entries is None:
        return None
    predictions: dict[str, Prediction] = {}
    for place, record in entries.items():
        with reading_entry(place):
            prediction = from_record(record)
        predictions[prediction.key] = prediction
    return PredictionSet(OURS, predictions, Counter({REPEATED: len(entries) - len(predictions)}))


_MERGED = ("text", "raw", "moments", "options", "choice")


def _says_the_same_kind(first: Prediction | None, second: Prediction) -> bool:
    """Say whether two files hold the same kind of thing for one question, so that one of them is lost."""
    if first is None or first.answer is None or second.answer is None:
        return first is not None
    return any(getattr(first.answer, name) and getattr(second.answer, name) for name in _MERGED)


def _merge(first: Prediction | None, second: Prediction) -> Prediction:
    """Join what two files hold for one question: NExT-GQA keeps moments and choices apart."""
    if first is None or first.answer is None or second.answer is None:
        return second
    joined = {name: getattr(second.answer, name) or getattr(first.answer, name) for name in _MERGED}
    answer = dataclasses.replace(second.answer, **joined)
    return Prediction(first.key, answer, second.error, second.saliency or first.saliency)


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


def _finite(value: Any) -> float | None:
    """Return a number in somebody's file, or None where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


class PredictionCollector:
    """Gathers the predictions of one file for the items they are about, and counts what is odd in it."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._predictions: dict[str, Prediction] = {}
        self._oddities: Counter[str] = Counter()

    def add(
        self,
        item: BenchmarkItem | None,
        text: str | None = "",
        spans: Iterable[Sequence[Any] | None] = (),
        **fields: Any,
    ) -> None:
        """Add what the file holds for an item.

        ``spans`` are the file's own (start, end), (start, end, score) or (start, end, score, text). One that is missing
        or holds what is no finite number is counted and left out; a null text is counted and empty. ``fields`` are
        those of `make_prediction`.
        """
        if item is None:
            self._oddities[UNKNOWN] += 1
            return
        self._oddities[REPEATED] += item.key in self._predictions
        fields.setdefault("moments", [moment for span in spans for moment in self._moments(span)])
        self._predictions[item.key] = make_prediction(item, self._text(text), **fields)

    def _text(self, text: Any) -> str:
        self._oddities[NO_TEXT] += text is None
        return "" if text is None else str(text)

    def _moments(self, span: Sequence[Any] | None) -> list[Moment]:
        """Return the moment of a span, or nothing where it holds none."""
        if not span or len(span) < 2:
            self._oddities[NO_MOMENT] += 1
            return []
        start, end, *more = span
        score, *texts = more or [None]
        numbers = [_finite(start), _finite(end), None if score is None else _finite(score)]
        if None in numbers[:2] or (numbers[2] is None) != (score is None):
            self._oddities[NO_NUMBER] += 1
            return []
        return [Moment(*numbers, *map(self._text, texts))]  # type: ignore[arg-type]

    def duration(self, value: Any) -> float | None:
        """Return a file's duration in seconds; one that is no number is counted and None."""
        seconds = _finite(value)
        self._oddities[NO_DURATION] += seconds is None
        return seconds

    def letter(self, number: Any, letters: str) -> str | None:
        """Return the letter of option ``number``; one that is not there is counted and None."""
        if number in range(len(letters)):
            return letters[int(number)]  # 1.0 is in a range too
        self._oddities[NO_OPTION] += 1
        return None

    def result(self, right: Mapping[str, str] | None = None) -> PredictionSet:
        """Return what was gathered, and what was odd; ``right`` as in `PredictionSet`."""
        return PredictionSet(self._form, self._predictions, self._oddities, right or {})
