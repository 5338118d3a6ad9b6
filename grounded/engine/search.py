"""Coarse to fine: which windows of a long video to look at again, and one answer from all the looks.

A look is as many frames whatever it spans, so what lasts seconds is lost between the frames of an hour. Where the first
look is sure of a moment, its surroundings are looked at again; where it is not, windows that overlap by half sweep the
whole video, and the surroundings of the likeliest moments in them are looked at once more.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..confidence import HIT_IOU, iou
from ..types import Answer, Moment

Window = tuple[float, float]  # start and end in seconds
Look = Callable[[Window, list[str]], list[Answer]]  # grounds queries in a window; the times are the whole video's


@dataclass(frozen=True)
class SearchConfig:
    """How closely to look; window, candidates and around were chosen on films of the world's validation scenes.

    ``window`` is what a sweep sees at a time, in seconds; it grows where the sweep would take more than ``most`` looks.
    A first look is sure where its best moment has a score of at least ``sure`` and lasts at least ``steps`` gaps
    between its frames. The best ``candidates`` moments are looked at again, each in windows ``around`` times as long,
    and judged by all of these looks together.
    """

    window: float = 40.0
    most: int = 60
    sure: float = 0.5
    steps: float = 4.0
    candidates: int = 3
    around: tuple[float, ...] = (6.0, 9.0)


def sweep(duration: float, fine: SearchConfig) -> list[Window]:
    """Return windows of equal length that overlap by half or a little more and cover the video.

    None where the video is hardly longer than a window.
    """
    length = max(fine.window, 2 * duration / (fine.most + 1))
    if duration < 1.5 * length:
        return []
    count = math.ceil(2 * (duration - length) / length - 1e-9) + 1
    starts = [(duration - length) * number / (count - 1) for number in range(count)]
    return [(round(start, 3), min(round(start + length, 3), duration)) for start in starts]


def most_looks(duration: float, fine: SearchConfig) -> int:
    """Return how many closer looks one query takes at most in a video of ``duration`` seconds."""
    if duration <= fine.window / 3:  # surroundings are as long as that at least
        return 0
    return len(sweep(duration, fine)) + fine.candidates * len(fine.around)


def surroundings(moment: Moment, duration: float, fine: SearchConfig) -> list[Window]:
    """Return the windows to look at a moment again, none of them the whole video.

    They lie on a grid, so that nearly the same moment has the same windows.
    """
    windows = []
    for times in fine.around:
        wanted = min(max(times * (moment.end - moment.start), fine.window / 3), duration)
        grid = 2.0 ** math.floor(math.log2(wanted / 8))
        start = max(0.0, min((moment.start + moment.end - wanted) / 2, duration - wanted))
        windows.append((math.floor(start / grid) * grid, min(math.ceil((start + wanted) / grid) * grid, duration)))
    return [window for window in dict.fromkeys(windows) if window != (0.0, duration)]


def is_sure(answer: Answer, step: float, fine: SearchConfig) -> bool:
    """Say whether a look that sees a frame every ``step`` seconds leaves no doubt of where the moment is."""
    best = max(answer.moments, key=_score, default=None)
    return best is not None and _score(best) >= fine.sure and best.end - best.start >= fine.steps * step


def search(
    queries: Sequence[str],
    first: Sequence[Answer],
    look: Look,
    step: float,
    fine: SearchConfig,
    best: int = 0,
    on_progress: Callable[[float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[Answer]:
    """Look again for each query and return its answer in the whole video's seconds.

    Args:
        first: what one look at the whole video gave for each query.
        step: the seconds between its frames.
        best: how many moments each answer may get; 0 gives those that the model holds for likelier than not, or the
            likeliest.
        stop: where it returns True, the answer rests on the looks that were made.
    """
    report, stopped = on_progress or (lambda _: None), stop or (lambda: False)
    duration = first[0].duration if first else 0.0
    unsure = [i for i, answer in enumerate(first) if not is_sure(answer, step, fine)]
    windows = sweep(duration, fine) if unsure else []
    seen: list[list[Answer]] = [[] if windows and i in unsure else [answer] for i, answer in enumerate(first)]
    total = len(windows) + fine.candidates * len(fine.around) * len(queries)
    for done, window in enumerate(windows):
        if stopped():
            break
        report(done / total)
        for i, answer in zip(unsure, look(window, [queries[i] for i in unsure]), strict=True):
            seen[i].append(answer)
    answers = []
    for i, query in enumerate(queries):
        candidates = distinct([moment for answer in seen[i] for moment in answer.moments])
        found: list[Moment | None] = []
        done = len(windows) + fine.candidates * len(fine.around) * i
        for moment in candidates[: fine.candidates]:
            closer: list[Answer] = []
            for window in surroundings(moment, duration, fine):
                if stopped():
                    break
                report(done / total)
                done += 1
                closer += look(window, [query])
            seen[i] += closer
            found += [confirmed(closer)] if closer else [moment]
        answers.append(combine(first[i], seen[i], [moment for moment in found if moment], best))
    report(1.0)
    return answers


def confirmed(looks: Sequence[Answer]) -> Moment | None:
    """Return the surest moment of several looks at one place, its score the mean of what each gives it; None if none.

    A look that says nothing of that moment gives it 0.
    """
    moments = [moment for answer in looks for moment in answer.moments]
    if not moments:
        return None
    surest = max(moments, key=_score)
    scores = [max((_score(m) for m in answer.moments if _same(m, surest)), default=0.0) for answer in looks]
    return dataclasses.replace(surest, score=sum(scores) / len(scores))


def combine(first: Answer, seen: Sequence[Answer], found: Sequence[Moment], best: int = 0) -> Answer:
    """Return one answer in the whole video's seconds from all looks and the moments that were found in them.

    ``raw`` is of the look that is the surest of the best moment, or of one that found none; ``absent`` the least of all
    looks, since what is in one window is in the video. The curve of one window says nothing of the others, so there is
    one only where no look was closer than the first.
    """
    if list(seen) == [first]:
        return first
    absent = min((answer.absent for answer in seen if answer.absent is not None), default=None)
    moments = distinct(found)
    moments = moments[:best] if best else [m for m in moments if _score(m) > 0.5] or moments[:1]
    if not moments:
        none = next((answer for answer in seen if not answer.moments), first)
        return dataclasses.replace(none, absent=absent, curve=())

    def said(answer: Answer) -> float:
        return max((_score(moment) for moment in answer.moments if _same(moment, moments[0])), default=-1.0)

    text = ", ".join(f"{moment.start:.1f} s to {moment.end:.1f} s" for moment in moments)
    surest = max(seen, key=said)
    return dataclasses.replace(surest, text=f"From {text}.", moments=tuple(moments), absent=absent, curve=())


def distinct(moments: Sequence[Moment]) -> list[Moment]:
    """Return the moments, the surest first, without those that overlap a surer one by an IoU of one half or more."""
    kept: list[Moment] = []
    for moment in sorted(moments, key=_score, reverse=True):
        if not any(_same(moment, other) for other in kept):
            kept.append(moment)
    return kept


def _same(one: Moment, other: Moment) -> bool:
    return iou((one.start, one.end), (other.start, other.end)) >= HIT_IOU


def _score(moment: Moment) -> float:
    return moment.score or 0.0
