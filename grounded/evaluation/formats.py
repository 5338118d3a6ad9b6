"""Prediction formats that several benchmarks share: the authors', lmms-eval's, VTimeLLM's, and lines of text."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from .. import time_tokens
from ..types import Moment
from .items import Document, Item, Submission
from .predictions import answer, records


class Finder:
    """Finds items by video and sentence; of items that agree in both, each is found once, in order.

    ``missed`` counts what was looked for in vain.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._items: dict[tuple[str, str], list[Item]] = defaultdict(list)
        for item in reversed(items):
            self._items[item.video, plain(item.question)].append(item)
        self.missed = 0

    def find(self, video: str, sentence: str) -> Item | None:
        same = self._items.get((video, plain(sentence)))
        if not same:
            self.missed += 1
            return None
        return same.pop()


def plain(sentence: str) -> str:
    """Return a sentence without what files write differently: case, spaces, the final stop."""
    return " ".join(sentence.lower().split()).rstrip(" .")


def authors(document: Document, items: Sequence[Item]) -> Submission | None:
    """Grounded-VideoLLM's JSON: a list of {vid, query, pred_text with temporal tokens, duration in seconds}."""
    entries = records(document, "vid", "query", "pred_text", "duration")
    if entries is None:
        return None
    finder, found = Finder(items), {}
    for entry in entries:
        item = finder.find(str(entry["vid"]), str(entry["query"]))
        if item is None:
            continue
        duration, text = float(entry["duration"]), str(entry["pred_text"])
        found[item.key] = answer(item, text, time_tokens.moments(text, duration), duration=duration)
    return Submission("Grounded-VideoLLM JSON", found, strange_note(finder.missed))


def lmms_eval(document: Document, items: Sequence[Item]) -> Submission | None:
    """lmms-eval's JSON: an object of "video>>>sentence>>>[start, end]" to the answer's text, times in seconds."""
    content = document.content
    if not isinstance(content, dict) or not content or any(key.count(">>>") != 2 for key in content):
        return None
    finder, found = Finder(items), {}
    for key, text in content.items():
        video, sentence, _ = key.split(">>>")
        item = finder.find(re.sub(r"\.\w+$", "", video), sentence)
        if item is None:
            continue
        span = seconds_in_text(str(text))
        found[item.key] = answer(item, str(text), [Moment(span[0], span[1])] if span else [])
    return Submission("lmms-eval JSON", found, strange_note(finder.missed))


def vtimellm_log(document: Document, items: Sequence[Item]) -> Submission | None:
    """VTimeLLM's log: JSON Lines of {video_id, task, answer, info: {sentence_id}}, times in hundredths of the video."""
    entries = records(document, "video_id", "task", "answer")
    if entries is None:
        return None
    by_number: dict[tuple[str, int], Item] = {}
    seen: Counter[str] = Counter()
    for item in items:
        by_number[item.video, seen[item.video]] = item
        seen[item.video] += 1
    found, strange = {}, 0
    for entry in entries:
        if entry["task"] != "grounding":
            continue
        asked = by_number.get((str(entry["video_id"]), int(entry["info"]["sentence_id"])))
        if asked is None or not asked.duration:
            strange += 1
            continue
        match = re.search(r"(\d{2}) (?:to|and) (\d{2})", str(entry["answer"]))
        span = [asked.duration * int(number) / 100 for number in match.groups()] if match else []
        found[asked.key] = answer(asked, str(entry["answer"]), [Moment(span[0], span[1])] if span else [])
    return Submission("VTimeLLM log", found, strange_note(strange))


def timed_lines(document: Document, items: Sequence[Item]) -> Submission | None:
    """Lines in Charades-STA's own form, with predicted times: "VID start end##sentence"."""
    if not isinstance(document.content, str) or "##" not in document.content:
        return None
    finder, found = Finder(items), {}
    for line in filter(str.strip, document.content.splitlines()):
        times, _, sentence = line.partition("##")
        video, start, end = times.split()
        item = finder.find(video, sentence)
        if item is None:
            continue
        found[item.key] = answer(item, moments=[Moment(float(start), float(end))])
    return Submission("Charades-STA lines", found, strange_note(finder.missed))


_RANGE = re.compile(r"(\d+\.?\d*)\s*-\s*(\d+\.?\d*)")
_CLOCK = re.compile(r"\b(\d{1,2}):(\d{2}):(\d{2})\b")
_KEYWORDS = ("start", "end", "happen")


def seconds_in_text(text: str) -> list[float] | None:
    """Return start and end in seconds as lmms-eval reads them from free text, or None (charades_sta/eval_tvg.py).

    The first "12.5 - 20" or "12.5 to 20" counts; without one, the first number of each sentence that speaks of a start
    or an end; last, times like 00:01:10.
    """
    text = text.lower().replace("a specific example is : 20.8 - 30.0 seconds", "").replace("to", "-")
    match = _RANGE.search(text)
    if match:
        return sorted(float(number) for number in match.groups())
    sentences = [s for s in re.split(r"[!?\n]", text) if any(word in s for word in _KEYWORDS)]
    numbers = [re.search(r"\b(\d+\.\d+|\d+)\b", sentence) for sentence in sentences]
    times = [float(number[1]) for number in numbers if number]
    if len(times) < 2:
        clocks = [_CLOCK.search(sentence) for sentence in sentences]
        times = [3600.0 * int(c[1]) + 60 * int(c[2]) + int(c[3]) for c in clocks if c]
    return sorted(times[:2]) if len(times) >= 2 else None


def strange_note(count: int) -> tuple[str, ...]:
    """Return a note on predictions that belong to no question, where there are some."""
    return (f"{count} predictions name no question of the benchmark",) if count else ()
