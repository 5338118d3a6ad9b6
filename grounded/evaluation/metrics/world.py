"""The synthetic world's scores: what one answer is worth, and what many are worth together.

`count_…` gives a row of counts for each answer; `f1` and `balanced_accuracy` make the score of such rows' sum, so that
they are statistics for `intervals.bootstrap` too. The rest is the score of one answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ...types import Answer, Moment, iou
from .intervals import ratio
from .matching import count_matches, match_one_to_one

HIT_IOU = 0.5  # the IoU from which an event counts as found


def first_moment_iou(moments: Sequence[Moment], annotated: Sequence[Moment]) -> float:
    """Return the IoU of an answer's first moment with the annotated one it fits best; 0 where there is none."""
    return max((iou((m.start, m.end), (a.start, a.end)) for m in moments[:1] for a in annotated), default=0.0)


def words(text: str) -> str:
    """Return the words of a text alone, in lower case."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def same_words(text: str, right: str) -> bool:
    """Say whether an answer has the right words, and no others."""
    return words(text) == words(right)


def contains_words(text: str, right: str) -> bool:
    """Say whether the right words stand in an answer, such as "two" in "Two events happen."."""
    return f" {words(right)} " in f" {words(text)} "


def says_absent(answer: Answer) -> bool:
    """Say whether an answer denies the query: by its probability where it has one, else by showing no moment."""
    return not answer.moments if answer.absent is None else answer.absent > 0.5


def count_moments(moments: Sequence[Moment], annotated: Sequence[Moment]) -> tuple[int, int, int]:
    """Return (matches, predicted, annotated) of the moments of an event that happens more than once."""
    return count_matches(moments, annotated, HIT_IOU)


def count_captions(moments: Sequence[Moment], annotated: Sequence[Moment]) -> tuple[int, int, int]:
    """Return (matches, predicted, annotated) of captioned events; a match has the right words too."""
    overlaps = [
        [iou((m.start, m.end), (a.start, a.end)) if same_words(m.text, a.text) else 0.0 for a in annotated]
        for m in moments
    ]
    return len(match_one_to_one(overlaps, HIT_IOU)), len(moments), len(annotated)


def count_absence(answer: Answer | None, is_absent: bool) -> tuple[int, int, int, int]:
    """Return (claimed and there, there, denied and absent, absent) of one query; no answer is never right."""
    denied = answer is not None and says_absent(answer)
    if is_absent:
        return 0, 0, int(denied), 1
    return int(answer is not None and not denied), 1, 0, 0


def f1(counts: np.ndarray) -> np.ndarray:
    """Return F1 (..., 1) of summed (matches, predicted, annotated), (..., 3); 0 where there is nothing at all."""
    return 2 * ratio(np.stack([counts[..., 0], counts[..., 1] + counts[..., 2]], axis=-1))


def f1_of_one(counts: tuple[int, int, int]) -> float:
    """Return F1 of one answer; 1 where nothing is there and nothing was predicted."""
    return float(f1(np.array(counts, dtype=float))[0]) if any(counts) else 1.0


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Return the mean (..., 1) of the two shares right, of what is there and what is not; from `count_absence` sums."""
    return (ratio(counts[..., :2]) + ratio(counts[..., 2:])) / 2
