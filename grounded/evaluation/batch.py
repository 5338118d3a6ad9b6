"""Batch: a table of questions about many videos, as items of a run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError, TimeError
from ..time_tokens import parse_seconds
from ..types import TASKS
from .items import BenchmarkItem

COLUMNS = ("video", "task", "text", "options", "from", "to")


def read_questions(path: Path) -> list[BenchmarkItem]:
    """Return the questions of a .csv or .jsonl file with the `COLUMNS`; the key of each is the number of its row.

    ``video`` is a path below the folder of videos, ``options`` are a list, in CSV with "|" between them, ``from`` and
    ``to`` the range that "refer" is about, in seconds or as 0:12.5.

    Raises:
        DataError: the file cannot be read, or a row is no question; it is named by its number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            rows: list[Any] = list(csv.DictReader(io.StringIO(text, newline="")))
        else:
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as questions: {error}") from error
    if not rows:
        raise DataError(f"{path} holds no question; its columns are {', '.join(COLUMNS)}")
    return [_item(row, number, path) for number, row in enumerate(rows, 1)]


def _item(row: Any, number: int, path: Path) -> BenchmarkItem:
    place = f"{path}, row {number}"
    if not isinstance(row, Mapping) or not row.get("video") or row.get("task") not in TASKS:
        raise DataError(f"{place}: a video and a task ({', '.join(TASKS)}) are expected, not {str(row)[:80]}")
    if None in row:  # where csv puts them
        raise DataError(f"{place} has more cells than there are columns: a text that holds a comma must be in quotes")
    options = row.get("options") or ()
    if isinstance(options, str):
        options = [option.strip() for option in options.split("|")]
    if not isinstance(options, Sequence):
        raise DataError(f"{place}: the options must be a list, not {options!r}")
    times = [str(row.get(name) if row.get(name) is not None else "") for name in ("from", "to")]
    if (row["task"] == "refer") != all(times) or (row["task"] != "refer" and any(times)):
        raise DataError(f"{place}: 'refer' needs from and to, and no other task takes them")
    try:
        span = (parse_seconds(times[0]), parse_seconds(times[1])) if all(times) else None
    except TimeError as error:
        raise DataError(f"{place}: {error}") from error
    return BenchmarkItem(
        key=str(number),
        video=str(row["video"]),
        task=row["task"],
        question=str(row.get("text") or ""),
        options=tuple(map(str, options)),
        file=str(row["video"]),
        time_range=span,
    )
