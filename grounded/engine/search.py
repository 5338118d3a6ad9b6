"""Coarse to fine: which windows of a long video to ask, and one answer from all of them.

A model sees as many frames whatever they span, so what lasts seconds is lost between the frames of an hour. Windows
that overlap by half sweep the video; then the likeliest moments, those of the whole video among them, are asked again,
each in the middle of a window of its own. A window may be sure of what is not there, above all where it begins or ends
in the middle of an event: a moment is as likely as all windows that show it make it together.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..confidence import HIT_IOU, iou
from ..types import Answer, Moment, OnProgress

Window = tuple[float, float]  # start and end in seconds
WindowQueries = tuple[Window, list[str]]  # a window, and the queries to ground in it
# Grounds queries in windows and gives the answers of one after the other, their times the whole video's. It may end
# early (a stop, a quota): the search then rests on what it gave.
AskWindows = Callable[[Sequence[WindowQueries]], Iterable[list[Answer]]]
WindowAnswer = tuple[Window, Answer]
# Where so much of the shorter of a moment and a window lies in the other, the window shows the moment.
SHOWN = 0.7


@dataclass(frozen=True)
class SearchConfig:
    """How closely to search.

    ``window`` is the length of a sweep's windows in seconds; it grows where the sweep would take more than ``most``.
    The best ``candidates`` moments are asked again in windows ``around`` times as long, and as long as those of the
    sweep at least.
    """

    window: float = 40.0
    most: int = 60
    candidates: int = 3
    around: float = 3.0


def sweep(duration: float, config: SearchConfig) -> list[Window]:
    """Return windows of equal length that overlap by half or a little more and cover the video.

    There are none where the video is hardly longer than a window.
    """
    length = max(config.window, 2 * duration / (config.most + 1))
    if duration < 1.5 * length:
        return []
    count = math.ceil(2 * (duration - length) / length - 1e-9) + 1
    starts = [(duration - length) * number / (count - 1) for number in range(count)]
    return [(round(start, 3), min(round(start + length, 3), duration)) for start in starts]


def most_windows(duration: float, config: SearchConfig) -> int:
    """Return how many windows one query asks at most in a video of ``duration`` seconds."""
    windows = sweep(duration, config)
    return len(windows) + config.candidates if windows else 0


def own_window(moment: Moment, duration: float, config: SearchConfig) -> Window:
    """Return the window in whose middle a moment is asked again.

    It lies on a grid, so that nearly the same moment has the same window.
    """
    length = min(max(config.around * (moment.end - moment.start), config.window), duration)
    grid = 2.0 ** math.floor(math.log2(length / 8))
    start = max(0.0, min((moment.start + moment.end - length) / 2, duration - length))
    return math.floor(start / grid) * grid, min(math.ceil((start + length) / grid) * grid, duration)


def search(
    queries: Sequence[str],
    first: Sequence[Answer],
    ask_windows: AskWindows,
    config: SearchConfig,
    best: int = 0,
    on_progress: OnProgress | None = None,
) -> list[Answer]:
    """Ask windows of a video about each query and return its answer in the whole video's seconds.

    Args:
        first: what the video as a whole gave for each query.
        ask_windows: see `AskWindows`; called twice at most, for the sweep and for the likeliest moments in it.
        best: how many moments each answer may get; 0 gives those that are likelier than not, or the likeliest.
    """
    duration = first[0].duration if first else 0.0
    windows = sweep(duration, config)
    if not windows:
        return list(first)
    report = _Countdown(on_progress, len(windows) + config.candidates * len(queries))
    evidence: list[list[WindowAnswer]] = [[] for _ in queries]
    requests = [(window, list(queries)) for window in windows]
    for window, answers in zip(windows, ask_windows(requests), strict=False):
        report.count(answers)
        for window_answers, answer in zip(evidence, answers, strict=True):
            window_answers.append((window, answer))
    places = []
    for i, answer in enumerate(first):
        candidates = judged(answer, evidence[i])[: config.candidates]
        own_windows = dict.fromkeys(own_window(moment, duration, config) for moment in candidates)
        places += [(i, window) for window in own_windows if window not in windows]
    report.total = len(windows) + len(places)
    requests = [(window, [queries[i]]) for i, window in places]
    for (i, window), answers in zip(places, ask_windows(requests), strict=False):
        report.count(answers)
        evidence[i].append((window, answers[0]))
    return [
        dataclasses.replace(combine(answer, evidence[i], best), windows=report.encoded)
        for i, answer in enumerate(first)
    ]


class _Countdown:
    """Says which window is asked and how long the rest may take."""

    def __init__(self, on_progress: OnProgress | None, total: int) -> None:
        self.report, self.total = on_progress or (lambda *_: None), total
        self.done, self.encoded, self.began = 0, 0, time.monotonic()
        self.report(f"window 1 of {total}", 0.0)

    def count(self, answers: Sequence[Answer]) -> None:
        """Count one more window, and whether it had to be encoded."""
        self.done += 1
        self.encoded += max(answer.windows for answer in answers)
        left = (time.monotonic() - self.began) / self.done * (self.total - self.done)
        number = min(self.done + 1, self.total)
        self.report(f"window {number} of {self.total}, about {left:.0f} s left", self.done / self.total)


def in_whole_video(answer: Answer, window: Window, duration: float, encoded: bool) -> Answer:
    """Return a window's answer in the seconds of the whole video, which lasts ``duration`` seconds."""
    begin, end = window[0], min(window[1], duration)  # a sum of floats may land just behind the window's end
    moments = tuple(
        dataclasses.replace(m, start=min(m.start + begin, end), end=min(m.end + begin, end)) for m in answer.moments
    )
    return dataclasses.replace(answer, moments=moments, duration=duration, windows=int(encoded))


def judged(first: Answer, evidence: Sequence[WindowAnswer]) -> list[Moment]:
    """Return the distinct moments that the whole video and its windows gave, the likeliest first.

    A moment's score is the mean of what the windows that show it give it, and of its own if it is of the whole video.
    Of moments that are about the same, the one that the windows agree with best stands for all.
    """
    claims = [(moment, [(_score(moment), _score(moment))]) for moment in first.moments]
    claims += [(moment, []) for _, answer in evidence for moment in answer.moments]
    ranked: list[tuple[float, Moment]] = []
    for moment, own in claims:
        votes = own + [vote for window, answer in evidence if (vote := _vote(moment, window, answer))]
        agreement, score = (sum(part) / len(votes) for part in zip(*votes, strict=True))
        ranked.append((agreement, dataclasses.replace(moment, score=score)))
    by_agreement = (moment for _, moment in sorted(ranked, key=lambda pair: pair[0], reverse=True))
    return by_score(distinct(by_agreement))


def _vote(moment: Moment, window: Window, answer: Answer) -> tuple[float, float] | None:
    """Return how well a window's answer fits a moment, and the score it gives it; None where it does not show it."""
    start, end = max(moment.start, window[0]), min(moment.end, window[1])
    if end - start < SHOWN * min(moment.end - moment.start, window[1] - window[0]):
        return None
    overlaps = [(iou((start, end), (other.start, other.end)), _score(other)) for other in answer.moments]
    return max(((overlap * score, score) for overlap, score in overlaps if overlap >= HIT_IOU), default=(0.0, 0.0))


def combine(first: Answer, evidence: Sequence[WindowAnswer], best: int = 0) -> Answer:
    """Return one answer from that of the whole video and those of its windows.

    What is likely in no window is likely not in the video, where the model learned to say so. ``raw`` is what was
    written about the whole. The curve of one window says nothing of the others, so there is one only where no window
    was asked.
    """
    if not evidence:
        return first
    moments = judged(first, evidence)
    moments = moments[:best] if best else [moment for moment in moments if _score(moment) > 0.5] or moments[:1]
    known = [answer.absent for answer in (first, *(answer for _, answer in evidence)) if answer.absent is not None]
    absent = min(known, default=None)
    if not moments:
        return dataclasses.replace(first, absent=absent, curve=())
    return dataclasses.replace(
        first,
        text="From " + ", ".join(f"{moment.start:.1f} s to {moment.end:.1f} s" for moment in moments) + ".",
        moments=tuple(moments),
        absent=None if absent is None else max(absent, 1 - _score(moments[0])),
        curve=(),
    )


def distinct(moments: Iterable[Moment]) -> list[Moment]:
    """Return the moments without those that are about the same as an earlier one: an IoU of one half or more."""
    distinct_moments: list[Moment] = []
    for moment in moments:
        if not any(_same(moment, other) for other in distinct_moments):
            distinct_moments.append(moment)
    return distinct_moments


def by_score(moments: Iterable[Moment]) -> list[Moment]:
    """Return the moments, the surest first."""
    return sorted(moments, key=_score, reverse=True)


def _same(one: Moment, other: Moment) -> bool:
    return iou((one.start, one.end), (other.start, other.end)) >= HIT_IOU


def _score(moment: Moment) -> float:
    return moment.score or 0.0
