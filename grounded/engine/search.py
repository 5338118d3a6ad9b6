"""Coarse to fine: which windows of a long video to ask, and one answer from all of them.

A model sees as many frames whatever they span, so what lasts seconds is lost between the frames of an hour. Where the
answer from the whole is sure of a moment, windows around it are asked; where it is not, windows that overlap by half
sweep the video, and then those around the likeliest moments in them are asked.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..confidence import HIT_IOU, iou
from ..types import Answer, Moment, OnProgress

Window = tuple[float, float]  # start and end in seconds
WindowQueries = tuple[Window, list[str]]  # a window, and the queries to ground in it
# Grounds queries in windows and gives the answers of one after the other, their times the whole video's. It may end
# early (a stop, a quota): the search then rests on what it gave.
AskWindows = Callable[[Sequence[WindowQueries]], Iterable[list[Answer]]]


@dataclass(frozen=True)
class SearchConfig:
    """How closely to search; window, candidates and around were chosen on films of the synthetic world.

    ``window`` is the length of a sweep's windows in seconds; it grows where the sweep would take more than ``most``.
    The answer from the whole is sure where its best moment has a score of at least ``sure`` and lasts at least
    ``steps`` gaps between its frames. The best ``candidates`` moments are asked again, each in windows ``around`` times
    as long, and judged by all of these together.
    """

    window: float = 40.0
    most: int = 60
    sure: float = 0.5
    steps: float = 4.0
    candidates: int = 3
    around: tuple[float, ...] = (6.0, 9.0)


def sweep(duration: float, config: SearchConfig) -> list[Window]:
    """Return windows of equal length that overlap by half or a little more and cover the video.

    None where the video is hardly longer than a window.
    """
    length = max(config.window, 2 * duration / (config.most + 1))
    if duration < 1.5 * length:
        return []
    count = math.ceil(2 * (duration - length) / length - 1e-9) + 1
    starts = [(duration - length) * number / (count - 1) for number in range(count)]
    return [(round(start, 3), min(round(start + length, 3), duration)) for start in starts]


def most_windows(duration: float, config: SearchConfig) -> int:
    """Return how many windows one query asks at most in a video of ``duration`` seconds."""
    if duration <= config.window / 3:  # surroundings are as long as that at least
        return 0
    return len(sweep(duration, config)) + config.candidates * len(config.around)


def surroundings(moment: Moment, duration: float, config: SearchConfig) -> list[Window]:
    """Return the windows around a moment to ask again, none of them the whole video.

    They lie on a grid, so that nearly the same moment has the same windows.
    """
    windows = []
    for times in config.around:
        length = min(max(times * (moment.end - moment.start), config.window / 3), duration)
        grid = 2.0 ** math.floor(math.log2(length / 8))
        start = max(0.0, min((moment.start + moment.end - length) / 2, duration - length))
        windows.append((math.floor(start / grid) * grid, min(math.ceil((start + length) / grid) * grid, duration)))
    return [window for window in dict.fromkeys(windows) if window != (0.0, duration)]


def is_sure(answer: Answer, gap: float, config: SearchConfig) -> bool:
    """Say whether an answer from frames every ``gap`` seconds leaves no doubt of where the moment is."""
    best = max(answer.moments, key=_score, default=None)
    return best is not None and _score(best) >= config.sure and best.end - best.start >= config.steps * gap


def search(
    queries: Sequence[str],
    first: Sequence[Answer],
    ask_windows: AskWindows,
    gap: float,
    config: SearchConfig,
    best: int = 0,
    on_progress: OnProgress | None = None,
) -> list[Answer]:
    """Ask windows of a video about each query and return its answer in the whole video's seconds.

    Args:
        first: what the video as a whole gave for each query.
        ask_windows: see `AskWindows`; called twice at most, for the sweep and for the surroundings of what it gave.
        gap: the seconds between the frames of the whole video.
        best: how many moments each answer may get; 0 gives those that the model holds for likelier than not, or the
            likeliest.
    """
    report = on_progress or (lambda *_: None)
    duration = first[0].duration if first else 0.0
    unsure = [i for i, answer in enumerate(first) if not is_sure(answer, gap, config)]
    sweep_windows = sweep(duration, config) if unsure else []
    total = len(sweep_windows) + config.candidates * len(config.around) * len(queries)
    evidence: list[list[Answer]] = [[] if sweep_windows and i in unsure else [answer] for i, answer in enumerate(first)]
    report("searching", 0.0)
    requests = [(window, [queries[i] for i in unsure]) for window in sweep_windows]
    encoded = 0
    for done, answers in enumerate(ask_windows(requests), 1):
        report("searching", done / total)
        encoded += max(answer.windows for answer in answers)
        for i, answer in zip(unsure, answers, strict=True):
            evidence[i].append(answer)
    for i in unsure:
        if len(evidence[i]) < len(sweep_windows):  # the sweep ended early: what the whole gave still counts
            evidence[i].append(first[i])
    candidates = [
        distinct([m for answer in answers for m in answer.moments])[: config.candidates] for answers in evidence
    ]
    closer: list[list[list[Answer]]] = [[[] for _ in moments] for moments in candidates]
    places = [
        (i, rank, window)
        for i, moments in enumerate(candidates)
        for rank, moment in enumerate(moments)
        for window in surroundings(moment, duration, config)
    ]
    requests = [(window, [queries[i]]) for i, _, window in places]
    for done, ((i, rank, _), answers) in enumerate(zip(places, ask_windows(requests), strict=False), 1):
        report("searching", (len(sweep_windows) + done) / total)
        encoded += answers[0].windows
        closer[i][rank] += answers
        evidence[i] += answers
    report("searching", 1.0)
    results = []
    for i, moments in enumerate(candidates):
        judged = [confirmed(answers) if answers else moment for moment, answers in zip(moments, closer[i], strict=True)]
        result = combine(first[i], evidence[i], [moment for moment in judged if moment], best)
        results.append(dataclasses.replace(result, windows=encoded))
    return results


def in_whole_video(answer: Answer, window: Window, duration: float, encoded: bool) -> Answer:
    """Return a window's answer in the seconds of the whole video, which lasts ``duration`` seconds."""
    moments = tuple(
        dataclasses.replace(m, start=m.start + window[0], end=min(m.end + window[0], duration)) for m in answer.moments
    )
    return dataclasses.replace(answer, moments=moments, duration=duration, windows=int(encoded))


def confirmed(answers: Sequence[Answer]) -> Moment | None:
    """Return the surest moment of several windows' answers, its score the mean of what each gives it; None if none.

    An answer that says nothing of that moment gives it 0.
    """
    moments = [moment for answer in answers for moment in answer.moments]
    if not moments:
        return None
    surest = max(moments, key=_score)
    scores = [max((_score(m) for m in answer.moments if _same(m, surest)), default=0.0) for answer in answers]
    return dataclasses.replace(surest, score=sum(scores) / len(scores))


def combine(first: Answer, evidence: Sequence[Answer], judged: Sequence[Moment], best: int = 0) -> Answer:
    """Return one answer from those of all windows and the moments that they were judged to hold.

    ``raw`` is of the answer that is the surest of the best moment, or of one without moments; ``absent`` the least of
    all, since what is in one window is in the video. The curve of one window says nothing of the others, so there is
    one only where no window was asked.
    """
    if list(evidence) == [first]:
        return first
    absent = min((answer.absent for answer in evidence if answer.absent is not None), default=None)
    moments = distinct(judged)
    moments = moments[:best] if best else [m for m in moments if _score(m) > 0.5] or moments[:1]
    if not moments:
        none = next((answer for answer in evidence if not answer.moments), first)
        return dataclasses.replace(none, absent=absent, curve=())

    def score_of_best(answer: Answer) -> float:
        return max((_score(moment) for moment in answer.moments if _same(moment, moments[0])), default=-1.0)

    text = ", ".join(f"{moment.start:.1f} s to {moment.end:.1f} s" for moment in moments)
    surest = max(evidence, key=score_of_best)
    return dataclasses.replace(surest, text=f"From {text}.", moments=tuple(moments), absent=absent, curve=())


def distinct(moments: Sequence[Moment]) -> list[Moment]:
    """Return the moments, the surest first, without those that overlap a surer one by an IoU of one half or more."""
    distinct_moments: list[Moment] = []
    for moment in sorted(moments, key=_score, reverse=True):
        if not any(_same(moment, other) for other in distinct_moments):
            distinct_moments.append(moment)
    return distinct_moments


def _same(one: Moment, other: Moment) -> bool:
    return iou((one.start, one.end), (other.start, other.end)) >= HIT_IOU


def _score(moment: Moment) -> float:
    return moment.score or 0.0
