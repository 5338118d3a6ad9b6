"""Prediction formats that several benchmarks share: the authors', lmms-eval's, VTimeLLM's, and lines of text."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from .. import time_tokens
from ..errors import DataError
from .items import BenchmarkItem, PredictionSet
from .predictions import PredictionCollector, reading_entry, records


class ItemFinder:
    """Finds items by video and sentence; of items that agree in both, each is found once, in order, then the last."""

    def __init__(self, items: Sequence[BenchmarkItem]) -> None:
        self._videos: dict[str, dict[str, list[BenchmarkItem]]] = defaultdict(lambda: defaultdict(list))
        for item in reversed(items):
            self._videos[item.video][_plain(item.question)].append(item)

    def find(self, video: str, sentence: str) -> BenchmarkItem | None:
        matches = self._videos.get(video, {}).get(_plain(sentence))
        if not matches:
            return None
        return matches.pop() if len(matches) > 1 else matches[0]

    def find_in_prompt(self, video: str, prompt: str) -> BenchmarkItem | None:
        """Find the item whose sentence the prompt quotes; where it quotes none, the longest sentence that it holds."""
        quoted = _QUOTED.search(prompt)
        if quoted:
            return self.find(video, quoted[2])
        inside = [sentence for sentence in self._videos.get(video, {}) if sentence in _plain(prompt)]
        return self.find(video, max(inside, key=len)) if inside else None


_QUOTED = re.compile(r"""(?:^|\s)(['"])(.+)\1""", re.DOTALL)


def _plain(sentence: str) -> str:
    """Return a sentence without what files write differently: case, spaces, the final stop."""
    return " ".join(sentence.lower().split()).rstrip(" .")


def authors(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """Grounded-VideoLLM's slimmed JSON: a list of {vid, query, pred_text with temporal tokens, duration in seconds}."""
    entries = records(content, "vid", "query", "pred_text", "duration")
    if entries is None:
        return None
    finder, collector = ItemFinder(items), PredictionCollector("Grounded-VideoLLM JSON")
    for place, entry in entries.items():
        with reading_entry(place):
            item = finder.find(str(entry["vid"]), str(entry["query"]))
            _add_tokens(collector, item, entry["pred_text"], entry["duration"])
    return collector.result()


_LISTS = ("video_ids", "prompts", "pred_texts", "durations")


def authors_records(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """Grounded-VideoLLM's acc_records JSON: parallel lists {video_ids, prompts, pred_texts, durations}.

    They may lie in one object, or in a list of objects, one a batch.
    """
    batches = records(content, *_LISTS)
    if batches is None:
        return None
    finder, collector = ItemFinder(items), PredictionCollector("Grounded-VideoLLM acc_records")
    for place, batch in batches.items():
        with reading_entry(place):
            columns = [batch[name] if isinstance(batch[name], list) else [batch[name]] for name in _LISTS]
            if len(set(map(len, columns))) > 1:
                lengths = ", ".join(f"{len(column)} {name}" for name, column in zip(_LISTS, columns, strict=True))
                raise DataError(f"the lists are not of one length: {lengths}")
            for video, prompt, text, duration in zip(*columns, strict=True):
                item = finder.find_in_prompt(str(video).removesuffix(".mp4"), str(prompt))
                _add_tokens(collector, item, text, duration)
    return collector.result()


def _add_tokens(collector: PredictionCollector, item: BenchmarkItem | None, text: Any, duration: Any) -> None:
    """Add an answer in temporal tokens, about a video that lasts ``duration`` seconds."""
    measured = collector.duration(duration)
    seconds = measured or (item.duration if item else None)
    moments = time_tokens.moments(str(text), seconds) if seconds else ()
    collector.add(item, text, moments=moments, duration=measured)


def lmms_eval(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """lmms-eval's JSON: an object of "video>>>sentence>>>[start, end]" to the answer's text, times in seconds."""
    if not isinstance(content, dict) or not content or any(key.count(">>>") != 2 for key in content):
        return None
    finder, collector = ItemFinder(items), PredictionCollector("lmms-eval JSON")
    for key, text in content.items():
        video, sentence, _ = key.split(">>>")
        item, span = finder.find(re.sub(r"\.\w+$", "", video), sentence), seconds_in_text(str(text))
        collector.add(item, text, spans=[span] if span else [])
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
    for place, entry in entries.items():
        if entry["task"] != "grounding":
            continue
        with reading_entry(place):
            target = by_number.get((str(entry["video_id"]), int(entry["info"]["sentence_id"])))
        duration = None if target is None else target.duration
        match = re.search(r"(\d{2}) (?:to|and) (\d{2})", str(entry["answer"]))
        span = [duration * int(number) / 100 for number in match.groups()] if match and duration else []
        collector.add(target if duration else None, entry["answer"], spans=[span] if span else [])
    return collector.result()


def timed_lines(content: Any, items: Sequence[BenchmarkItem]) -> PredictionSet | None:
    """Lines in Charades-STA's own form, with predicted times: "VID start end##sentence"."""
    if not isinstance(content, str) or "##" not in content:
        return None
    finder, collector = ItemFinder(items), PredictionCollector("Charades-STA lines")
    for number, line in enumerate(content.splitlines(), start=1):
        times, _, sentence = line.partition("##")
        if len(times.split()) == 3:
            video, *span = times.split()
            collector.add(finder.find(video, sentence), spans=[span])
        elif line.strip():
            raise DataError(f"line {number} is not 'VID start end##sentence': {line[:80]!r}")
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
