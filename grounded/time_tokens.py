"""Temporal tokens: how the model reads and writes time, and the moments that an answer holds.

A video is cut into ``bins`` equal bins; ``<k>`` is the instant *k* bins after its start, so ``<0>`` is the first
instant and ``<300>`` the last. A bin lasts ``duration / bins`` seconds: one second in a five-minute video.

Source: Wang et al., 2024, arXiv:2410.03290. Rounding is downward, because the published weights learned it so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

from .errors import TimeError
from .types import Moment

BINS = 300
_EPSILON = 1e-6  # in bins: float division may land just below a whole bin

_TOKEN = re.compile(r"<([0-9]+)>")
_SECONDS = re.compile(r"<([0-9]+(?:\.[0-9]+)?)>")  # a time in an annotation
# "<5> to <9>", however the tokenizer spaced it.
_SPAN = re.compile(r"<([0-9]+)>\s*(?:to|and|-|–)\s*<([0-9]+)>")
# A line of dense captions: a span, a comma, and words; another span after the comma makes it a list of moments.
_CAPTION_LINE = re.compile(
    r"^\s*(?:From\s*)?<([0-9]+)>\s*(?:to|-|–)\s*<([0-9]+)>\s*[,:](?!\s*<[0-9])\s*(.*\w.*)$", re.IGNORECASE
)

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_UNIT = r"(?:seconds?|secs?|s)\b"
_CLOCK = r"(?:[0-9]+:)?[0-9]{1,3}:[0-5][0-9](?:\.[0-9]+)?"
_MINUTES = rf"[0-9]+\s*(?:minutes?|mins?|m)\b(?:\s*(?:and\s+)?{_NUMBER}\s*{_UNIT})?"
_INSTANT = rf"(?:{_CLOCK}|{_MINUTES}|[0-9]+m{_NUMBER}s\b|{_NUMBER}\s*{_UNIT})"
_JOINER = r"\s*(?:to|and|until|till|through|-|–|—)\s*"
# A range may leave out the first unit: "from 70.5 to 80 seconds". A number inside a word ("v1.5 s") is no time.
_TIMES = re.compile(
    rf"(?<![\w.:<])(?:(?P<start>{_INSTANT}|{_NUMBER})(?P<joiner>{_JOINER})(?P<end>{_INSTANT})|(?P<instant>{_INSTANT}))"
    r"(?![\w:])",
    re.IGNORECASE,
)


def tokens(bins: int = BINS) -> tuple[str, ...]:
    """Return the temporal tokens in the order in which they are added to a tokenizer."""
    return tuple(f"<{k}>" for k in range(bins + 1))


def to_bin(seconds: float, duration: float, bins: int = BINS) -> int:
    """Return the bin that an instant falls into; ``seconds`` and ``duration`` are in seconds.

    Raises:
        TimeError: ``duration`` is not positive, or ``seconds`` is outside ``[0, duration]``.
    """
    if not duration > 0:
        raise TimeError(f"the video lasts {duration} s; it must last longer than 0 s")
    _check_instant(seconds, duration)
    return min(math.floor(bins * seconds / duration + _EPSILON), bins)


def to_token(seconds: float, duration: float, bins: int = BINS) -> str:
    """Return the token for an instant; arguments and errors as in `to_bin`.

    >>> to_token(15.0, duration=150.0)
    '<30>'
    """
    return f"<{to_bin(seconds, duration, bins)}>"


def bin_to_seconds(number: int, duration: float, bins: int = BINS) -> float:
    """Return the instant, in seconds, of bin ``number`` in a video of ``duration`` seconds.

    >>> bin_to_seconds(30, duration=150.0)
    15.0
    """
    return duration * (number / bins)  # in this order, the last bin is exactly the end


def seconds_in(text: str) -> list[float]:
    """Return the times that an annotation writes as seconds, such as ``<12.5>``."""
    return [float(seconds) for seconds in _SECONDS.findall(text)]


def replace_seconds(text: str, to_token: Callable[[float], str]) -> str:
    """Return an annotation's text with each of its times, such as ``<12.5>``, written by ``to_token``.

    >>> replace_seconds("From <12.5> to <40>.", lambda seconds: to_token(seconds, duration=60.0))
    'From <62> to <200>.'
    """
    return _SECONDS.sub(lambda match: to_token(float(match[1])), text)


def check_range(start: float, end: float, duration: float) -> None:
    """Raise TimeError unless ``0 <= start < end <= duration`` (seconds)."""
    for seconds in (start, end):
        _check_instant(seconds, duration)
    if not start < end:
        raise TimeError(
            f"the range from {start:g} s to {end:g} s runs backwards or is empty; its start must come first"
        )


def _check_instant(seconds: float, duration: float) -> None:
    if not isinstance(seconds, Real):
        raise TimeError(f"a time is a number of seconds; {type(seconds).__name__} is none")
    if not 0 <= seconds <= duration:
        largest = 1e300  # what is beyond, as a whole number can be, no float holds
        number = f"{min(max(seconds, -largest), largest):g}"
        raise TimeError(f"{number} s is outside the video, which lasts {duration:.2f} s")


def parse_seconds(text: str) -> float:
    """Return the seconds that a person wrote: "12.5", "12.5 s", "1:10", "0:01:10", "1m10s", "1 min 10 s".

    Raises:
        TimeError: ``text`` is none of these.
    """
    text = text.strip()
    if re.fullmatch(rf"{_NUMBER}|{_INSTANT}", text, re.IGNORECASE) is None:
        raise TimeError(f"{text[:40]!r} is not a time; write seconds (12.5) or minutes and seconds (1:10)")
    if ":" in text:
        seconds = 0.0
        for part in text.split(":"):
            seconds = 60 * seconds + float(part)
        return seconds
    numbers = [float(number) for number in re.findall(_NUMBER, text)]
    if re.match(r"[0-9]+\s*m", text, re.IGNORECASE):
        return 60 * numbers[0] + sum(numbers[1:])
    return numbers[0]


def write_times(text: str, duration: float, bins: int = BINS) -> str:
    """Return ``text`` with the times a person wrote turned into temporal tokens, each with a space before it.

    Phi's tokenizer knows ``<5>`` only after a space or at the start. Numbers that are no times ("3 dogs") stay.

    Raises:
        TimeError: a time lies outside the video, or a range is reversed.

    >>> write_times("What happens from 70.5 to 80 seconds, and at 1:30?", duration=300.0)
    'What happens from <70> to <80>, and at <90>?'
    """
    return rewrite_times(text, duration, lambda seconds: to_token(seconds, duration, bins))


def rewrite_times(text: str, duration: float, write: Callable[[float], str]) -> str:
    """Return ``text`` with each time that a person wrote as ``write`` has it; errors as in `write_times`."""

    def replace(match: re.Match[str]) -> str:
        gap = " " if match.start() and not text[match.start() - 1].isspace() else ""
        if match["instant"]:
            seconds = parse_seconds(match["instant"])
            _check_instant(seconds, duration)
            return gap + write(seconds)
        start, end = parse_seconds(match["start"]), parse_seconds(match["end"])
        word = match["joiner"].strip()
        if word.lower() != "and" or re.search(r"\bbetween\s*$", text[: match.start()], re.IGNORECASE):
            check_range(start, end, duration)  # "at 9 s and 5 s" is two instants and no range
        joiner = " to " if word in "-–—" else f" {word} "
        for seconds in (start, end):
            _check_instant(seconds, duration)
        return gap + write(start) + joiner + write(end)

    return _TIMES.sub(replace, text)


class Span(NamedTuple):
    """A span as written: start and end in bins, its caption, and how many temporal tokens stand before it."""

    start: int
    end: int
    caption: str
    before: int


def spans(text: str, bins: int = BINS) -> list[Span]:
    """Return every span in an answer, in the order written.

    A span that runs backwards or uses a token that does not exist is left out: it stays visible in the text alone.
    """
    spans, before = [], 0
    for line in text.splitlines():
        caption = _CAPTION_LINE.match(line)
        for match in [caption] if caption else _SPAN.finditer(line):
            start, end = int(match[1]), int(match[2])
            if start <= end <= bins:
                preceding = before + len(_TOKEN.findall(line, 0, match.start(1) - 1))
                spans.append(Span(start, end, match[3].strip() if match is caption else "", preceding))
        before += len(_TOKEN.findall(line))
    return spans


def moments(text: str, duration: float, bins: int = BINS) -> tuple[Moment, ...]:
    """Return the moments written in an answer, in seconds inside ``[0, duration]``.

    >>> moments("From<28> to<50>.", duration=300.0)
    (Moment(start=28.0, end=50.0, score=None, text=''),)
    """
    return tuple(
        Moment(bin_to_seconds(span.start, duration, bins), bin_to_seconds(span.end, duration, bins), text=span.caption)
        for span in spans(text, bins)
    )


def spaced(text: str) -> str:
    """Return ``text`` with a space before each temporal token, without which Phi's tokenizer does not know it.

    >>> spaced("From<28> to<50>.")
    'From <28> to <50>.'
    """
    return re.sub(r"(?<=\S)(?=<[0-9]+>)", " ", text)


def read_times(text: str, duration: float, bins: int = BINS) -> str:
    """Return an answer with its temporal tokens turned into seconds that people read.

    Decimals follow the length of a bin, so no digit claims more than the model can say.

    >>> read_times("From<28> to<50>.", duration=300.0)
    'From 28.0 s to 50.0 s.'
    """
    decimals = 2 if duration / bins < 0.5 else 1

    def replace(match: re.Match[str]) -> str:
        if int(match[1]) > bins:
            return match[0]
        gap = " " if match.start() and text[match.start() - 1].isalnum() else ""
        return f"{gap}{bin_to_seconds(int(match[1]), duration, bins):.{decimals}f} s"

    return _TOKEN.sub(replace, text)
