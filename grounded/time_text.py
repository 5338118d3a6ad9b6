"""The moments that a model writes as text: JSON, "12.5 - 17 seconds", "00:12.50 - 00:17.00", ``<answer>`` tags.

What cannot be read gives no moment: a number alone may be anything, so a range needs a unit, a clock's colon, or to be
all that was written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from .types import Moment

_ANSWER_TAG = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.IGNORECASE | re.DOTALL)
_CLOCK = r"(?:\d+:)?\d{1,3}:[0-5]?\d(?:\.\d+)?"
_NUMBER = r"\d+(?:\.\d+)?"
_UNIT = r"\s*(?:seconds?|secs?|s)\b"
_RANGE = re.compile(
    rf"(?<![\w.:])(?P<start>{_CLOCK}|{_NUMBER})(?P<first_unit>{_UNIT})?"
    rf"\s*(?:to|and|until|till|[-–—~])\s*"
    rf"(?P<end>{_CLOCK}|{_NUMBER})(?!\d|:\d|\.\d)(?P<unit>{_UNIT})?",
    re.IGNORECASE,
)
_PAIR = re.compile(rf"\[\s*\"?({_CLOCK}|{_NUMBER})\"?\s*,\s*\"?({_CLOCK}|{_NUMBER})\"?\s*\]")
_CAPTION = re.compile(r"\s*[\])]?\**\s*[,:–—-]\s*(?P<caption>\S.*)")
_BULLET = re.compile(r"\s*(?:[-*•]\s+|\d+[.)]\s+)?[\[(*]*(?:from\s+)?", re.IGNORECASE)
_STARTS = ("start", "start_time", "start_timestamp", "begin", "from")
_ENDS = ("end", "end_time", "end_timestamp", "stop", "to")
_SPANS = ("timestamp", "timestamps", "time", "time_range", "time_span", "span", "segment", "interval")
_CAPTIONS = ("description", "caption", "sentence", "event", "text", "label", "activity")
_MAX_JSON = 20_000  # characters that are tried; no answer is longer


def moments(text: str, duration: float) -> tuple[Moment, ...]:
    """Return the moments in an answer, in the order written, in seconds inside ``[0, duration]``.

    One that runs backwards or begins after the video's end is left out: it stays visible in the text alone.

    >>> moments("The event happens in 12.5 - 17 seconds.", duration=60.0)
    (Moment(start=12.5, end=17.0, score=None, text=''),)
    >>> moments("[[3, 5.5], [20, 31]]", duration=25.0)
    (Moment(start=3.0, end=5.5, score=None, text=''), Moment(start=20.0, end=25.0, score=None, text=''))
    """
    tags = _ANSWER_TAG.findall(text)
    if tags:
        text = tags[-1]
    spans = list(_json_spans(text)) or [(_seconds(a), _seconds(b), "") for a, b in _PAIR.findall(text)] or _ranges(text)
    return tuple(
        Moment(start, min(end, duration), text=caption)
        for start, end, caption in spans
        if 0 <= start <= end and start < duration
    )


def _seconds(time: str) -> float:
    """Return the seconds of "12.5", "1:10.25" or "0:01:10"."""
    seconds = 0.0
    for part in time.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _ranges(text: str) -> list[tuple[float, float, str]]:
    """Return the ranges in running text; one at the start of a line may have the line's rest as its caption."""
    spans = []
    bare = re.sub(r"(?i)[\s,;.]|\bfrom\b|\band\b", "", _RANGE.sub("", text)) == ""  # ranges are all that there is
    for line in text.splitlines():
        for match in _RANGE.finditer(line):
            if not (bare or match["unit"] or match["first_unit"] or ":" in match["start"] + match["end"]):
                continue
            caption = _CAPTION.fullmatch(line, match.end()) if _BULLET.fullmatch(line, 0, match.start()) else None
            words = caption["caption"].strip() if caption and not _RANGE.search(caption["caption"]) else ""
            spans.append((_seconds(match["start"]), _seconds(match["end"]), words))
    return spans


def _json_spans(text: str) -> Iterator[tuple[float, float, str]]:
    """Yield the spans of all JSON in an answer, also of what is whole in a list that was cut short."""
    text, end = text[:_MAX_JSON], 0
    for match in re.finditer(r"[\[{]", text):
        if match.start() < end:
            continue  # inside a value that was read
        try:
            value, end = json.JSONDecoder().raw_decode(text, match.start())
            yield from list(_spans_in(value))
        except (ValueError, RecursionError):
            continue


def _spans_in(value: Any) -> Iterator[tuple[float, float, str]]:
    if (span := _span(value)) is not None:
        yield (*span, "")
    elif isinstance(value, list):
        for each in value:
            yield from _spans_in(each)
    elif isinstance(value, dict):
        span = _span([_first(value, _STARTS), _first(value, _ENDS)]) or _span(_first(value, _SPANS))
        caption = _first(value, _CAPTIONS)
        if span is not None:
            yield (*span, caption.strip() if isinstance(caption, str) else "")
        else:
            for each in value.values():
                if isinstance(each, list | dict):
                    yield from _spans_in(each)


def _first(value: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if name in value), None)


def _span(value: Any) -> tuple[float, float] | None:
    """Return the span that a JSON pair, or a text such as "00:12.5 - 00:17", stands for."""
    if isinstance(value, str) and (match := _RANGE.fullmatch(value.strip())):
        return _seconds(match["start"]), _seconds(match["end"])
    if not isinstance(value, list) or len(value) != 2:
        return None
    start, end = (_instant(each) for each in value)
    return None if start is None or end is None else (start, end)


def _instant(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        match = re.fullmatch(rf"({_CLOCK}|{_NUMBER})(?:{_UNIT})?", value.strip(), re.IGNORECASE)
        return _seconds(match[1]) if match else None
    return float(value) if abs(value) < 1e9 and math.isfinite(value) else None
