"""QVHighlights: moment retrieval R1 and mAP, and highlight detection.

Source: Lei, Berg and Bansal, 2021, arXiv:2107.09609, and its evaluation in moment_detr/standalone_eval, whose numbers
this module gives to the last printed digit. R1 takes the first listed window and the annotated window nearest to it
(by true union), and scores the two by their hull; mAP takes the ten first windows, matches them greedily by score at
IoU .5 to .95 (true union) and interpolates as VOC 2011; both are means over queries. A query without a window counts 0
(the published evaluation refuses it or leaves it out).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...types import Moment, iou
from .grounding import union_iou

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
LENGTHS = {"short": (0, 10), "middle": (10, 30), "long": (30, 150), "full": (0, float("inf"))}  # seconds, (from, to]
RATINGS = {"Fair": 2, "Good": 3, "VeryGood": 4}
MAX_WINDOWS = 10
CLIP_SECONDS = 2

RankedWindow = Sequence[float]  # start, end in seconds; predicted windows have a score as third number


def of_length(windows: Sequence[RankedWindow], name: str) -> list[RankedWindow]:
    """Return the annotated windows whose length lies in the range ``name`` of `LENGTHS`."""
    low, high = LENGTHS[name]
    return [w for w in windows if low < w[1] - w[0] <= high]


def first_window_iou(predicted: Sequence[RankedWindow], annotated: Sequence[RankedWindow]) -> float:
    """Return the IoU that R1 compares with its thresholds."""
    if not predicted or not annotated:
        return 0.0
    first = np.array([predicted[0][:2]], dtype=float)
    nearest = int(np.argmax(union_iou(first, np.array(annotated, dtype=float))[0]))
    return iou(predicted[0], annotated[nearest])


def ranked(moments: Sequence[Moment]) -> list[RankedWindow]:
    """Return moments as windows; one without a score ranks as it is listed."""
    return [(m.start, m.end, 1.0 - rank if m.score is None else m.score) for rank, m in enumerate(moments)]


def average_precisions(
    predicted: Sequence[RankedWindow], annotated: Sequence[RankedWindow], most: int | None = MAX_WINDOWS
) -> np.ndarray:
    """Return the average precision of one query at each of `THRESHOLDS`, shape (10,); of ``most`` windows, or all."""
    surest_first = sorted(predicted[:most], key=lambda window: -window[2])
    if not surest_first or not annotated:
        return np.zeros(len(THRESHOLDS))
    overlaps = union_iou(np.array([w[:2] for w in surest_first], dtype=float), np.array(annotated, dtype=float))
    order, best = np.argsort(overlaps, axis=1)[:, ::-1], overlaps.max()
    return np.array(
        [_average_precision(_ranked_hits(overlaps, order, t), len(annotated)) if best >= t else 0.0 for t in THRESHOLDS]
    )


def _ranked_hits(overlaps: np.ndarray, order: np.ndarray, threshold: float) -> np.ndarray:
    """Say which ranked windows find an annotated one that no earlier window has taken; shape (N,) of 0 and 1."""
    taken: set[int] = set()
    hits = np.zeros(len(overlaps))
    for i, row in enumerate(overlaps):
        free = next((j for j in order[i] if row[j] >= threshold and j not in taken), None)
        if free is not None:
            taken.add(int(free))
            hits[i] = 1
    return hits


def _average_precision(hits: np.ndarray, positives: int) -> float:
    """Return the area under the interpolated precision-recall curve (VOC 2011) of ranked hits."""
    hits_so_far = np.cumsum(hits)
    precision = np.maximum.accumulate((hits_so_far / np.arange(1, len(hits) + 1))[::-1])[::-1]
    recall = np.concatenate([[0.0], hits_so_far / positives])
    return float(np.sum(np.diff(recall) * precision))


def clip_ratings(duration: float, clips: Sequence[int], ratings: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the ratings (clips of the video, 3 annotators); clips that were not rated have 0."""
    table = np.zeros((int(duration / CLIP_SECONDS), 3))
    table[list(clips)] = ratings
    return table


def highlight_hit(saliency: np.ndarray, ratings: np.ndarray, least: int) -> float:
    """Return 1 if the clip with the greatest predicted saliency has a rating of ``least`` or more by anybody."""
    best = int(np.argmax(saliency))
    return float(best < len(ratings) and (ratings[best] >= least).any())


def highlight_precision(saliency: np.ndarray, ratings: np.ndarray, least: int) -> float:
    """Return the mean over the annotators of the average precision of ranking the clips by predicted saliency."""
    scores = np.zeros(len(ratings))
    scores[: len(saliency)] = saliency[: len(ratings)]
    return float(np.mean([_ranking_precision(column >= least, scores) for column in ratings.T]))


def _ranking_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean interpolated precision where recall rises, clips of equal score taken together.

    Source: Gygli, Song and Cao, 2016, arXiv:1605.04850 (video2gif), which the published evaluation copies. All clips
    positive give 1, none 0.
    """
    if positive.all() or not positive.any():
        return float(positive.any())
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    positives = np.cumsum(positive[order])[last_of_ties]
    precision = positives / (np.flatnonzero(last_of_ties) + 1)
    interpolated = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.mean(interpolated[np.diff(np.concatenate([[0], positives])) != 0]))
