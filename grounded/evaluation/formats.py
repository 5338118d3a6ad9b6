"""Prediction formats that several benchmarks share: the authors', lmms-eval's, VTimeLLM's, and lines of text."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from .. import time_tokens
from .items import BenchmarkItem, PredictionSet
from .predictions import PredictionCollector, moments_from, records


class ItemFinder:
    """Finds items by video and sentence; of items that agree in both, each is found once, in order."""

    def __init__(self, items: Sequence[BenchmarkItem]) -> None:
        self._items: dict[tuple[str, str], list[BenchmarkItem]] = defaultdict(list)
        for item in reversed(items):
            self._items[item.video, _plain(item.question)].append(item)

    def find(self, video: str, sentence: str) -> BenchmarkItem | None:
        matches = self._items.get((video, _plain(sentence)))
        return matches.pop() if matches else None


def _plain(sentence: str) -> str:
    """Return a sentence without what files write differently: case, spaces, the final stop."""
    return " ".join(sentence.lower().split()).rstrip(" .")


def authors(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """Grounded-VideoLLM's JSON: a list of {vid, query, pred_text with temporal tokens, duration in seconds}."""
    entries = records(content, "vid", "query", "pred_text", "duration")
    if entries is None:
        return None
    finder, collector = ItemFinder(items), PredictionCollector("Grounded-VideoLLM JSON")
    for entry in entries:
        text, duration = str(entry["pred_text"]), float(entry["duration"])
        duration = duration if math.isfinite(duration) else 0.0
        item = finder.find(str(entry["vid"]), str(entry["query"]))
        collector.add(item, text, moments=time_tokens.moments(text, duration), duration=duration)
    return collector.result()


def lmms_eval(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """lmms-eval's JSON: an object of "video>>>sentence>>>[start, end]" to the answer's text, times in seconds."""
    if not isinstance(content, dict) or not content or any(key.count(">>>") != 2 for key in content):
        return None
    finder, collector = ItemFinder(items), PredictionCollector("lmms-eval JSON")
    for key, text in content.items():
        video, sentence, _ = key.split(">>>")
        item, span = finder.find(re.sub(r"\.\w+$", "", video), sentence), seconds_in_text(str(text))
        collector.add(item, str(text), moments=moments_from([span] if span else []))
    return collector.result()


def vtimellm_log(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """VTimeLLM's log: JSON Lines of {video_id, task, answer, info: {sentence_id}}, times in hundredths of the video."""
    entries = records(content, "video_id", "task", "answer")
    if entries is None:
        return None
    by_number: dict[tuple[str, int], BenchmarkItem] = {}
    sentences: Counter[str] = Counter()
    for item in items:
        by_number[item.video, sentences[item.video]] = item
        sentences[item.video] += 1
    collector = PredictionCollector("VTimeLLM log")
    for entry in entries:
        if entry["task"] != "grounding":
            continue
        target = by_number.get((str(entry["video_id"]), int(entry["info"]["sentence_id"])))
        duration = None if target is None else target.duration
        match = re.search(r"(\d{2}) (?:to|and) (\d{2})", str(entry["answer"]))
        span = [duration * int(number) / 100 for number in match.groups()] if match and duration else []
        collector.add(target if duration else None, str(entry["answer"]), moments=moments_from([span] if span else []))
    return collector.result()


def timed_lines(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """Lines in Charades-STA's own form, with predicted times: "VID start end##sentence"."""
    if not isinstance(content, str) or "##" not in content:
        return None
    finder, collector = ItemFinder(items), PredictionCollector("Charades-STA lines")
    for line in filter(str.strip, content.splitlines()):
        times, _, sentence = line.partition("##")
        video, start, end = times.split()
        collector.add(finder.find(video, sentence), moments=moments_from([(start, end)]))
    return collector.result()


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
