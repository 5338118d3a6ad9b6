"""Dense video captions: METEOR and CIDEr at temporal IoU, and SODA_c.

Sources: Krishna et al., 2017, arXiv:1705.00754 with densevid_eval as of 9d4045a; Fujita et al., 2020 (SODA, ECCV) with
its published evaluation. What is odd in them is kept and said where it happens. The language parts are those of
pycocoevalcap (see `language`); the matching alone needs no Java.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...types import Moment
from .language import LanguageScorers

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
GARBAGE = "qzxvkwjpfghm"  # one word that resembles none: the published evaluation draws 10 to 20 letters at random

Events = Sequence[Moment]


def event_iou(first: Moment, second: Moment) -> float:
    """Return the IoU of the caption evaluations: over the hull or the sum of lengths, whichever is less, plus 1e-8."""
    common = max(0.0, min(first.end, second.end) - max(first.start, second.start))
    hull = max(first.end, second.end) - min(first.start, second.start)
    total = first.end - first.start + second.end - second.start
    return common / (min(hull, total) + 1e-8)


def pairs_at(predicted: Events, references: Sequence[Events], threshold: float) -> list[tuple]:
    """Return (prediction, reference) texts: each prediction with every reference event of at least this IoU.

    The events of all annotators are pooled. A prediction that meets none is paired with `GARBAGE`.
    """
    pairs = []
    for event in predicted:
        met = [r.text for events in references for r in events if event_iou(event, r) >= threshold]
        pairs += [(event.text, text) for text in met or [GARBAGE]]
    return pairs


@dataclass(frozen=True)
class CaptionScores:
    """METEOR, CIDEr, event recall and precision of each video, all (videos, thresholds); in [0, 1], CIDEr up to 10."""

    videos: tuple[str, ...]
    meteor: np.ndarray
    cider: np.ndarray
    recall: np.ndarray
    precision: np.ndarray


def score_captions(
    predictions: Mapping[str, Events],
    references: Mapping[str, Sequence[Events]],
    language: LanguageScorers,
    skip_missing: bool = False,
) -> CaptionScores:
    """Score captions against one or more annotators.

    METEOR and CIDEr are those of a video's pairs taken together, so CIDEr's word weights come from one video. A video
    that was not predicted counts 0, or is left out (``skip_missing``); one without captions counts 0.
    """
    videos = tuple(v for v in references if v in predictions or not skip_missing)
    language.prepare([GARBAGE, *_texts(predictions, references)])
    shape = (len(videos), len(THRESHOLDS))
    meteor, cider, recall, precision = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for row, video in enumerate(videos):
        events = predictions.get(video, ())
        for column, threshold in enumerate(THRESHOLDS):
            pairs = pairs_at(events, references[video], threshold)
            if pairs:
                meteor[row, column] = language.meteor(pairs)
                cider[row, column] = language.cider(pairs)
                recall[row, column], precision[row, column] = event_recall_and_precision(
                    events, references[video], threshold
                )
    return CaptionScores(videos, meteor, cider, recall, precision)


def event_recall_and_precision(
    predicted: Events, references: Sequence[Events], threshold: float
) -> tuple[float, float]:
    """Return (recall, precision): the share of events that some other event meets with IoU above ``threshold``.

    Each the best over the annotators. Above, not at least: the published evaluation is stricter here than for language.
    """
    best = np.zeros(2)
    for events in references:
        met = np.array([[event_iou(p, r) > threshold for p in predicted] for r in events], dtype=bool)
        if met.size:
            best = np.maximum(best, [met.any(axis=1).mean(), met.any(axis=0).mean()])
    return float(best[0]), float(best[1])


def soda_alignment(gains: np.ndarray) -> float:
    """Return the greatest sum of ``gains`` (references, predictions) over pairs in the same order."""
    rows, columns = gains.shape
    best = np.zeros((rows + 1, columns + 1))
    for i in range(rows):
        for j in range(columns):
            best[i + 1, j + 1] = max(best[i, j + 1], best[i + 1, j], best[i, j] + gains[i, j])
    return float(best[rows, columns])


def soda_scores(gains: np.ndarray) -> tuple[float, float, float]:
    """Return (precision, recall, F1) of one video from its ``gains`` (references, predictions): IoU × METEOR."""
    if not gains.size:
        return 0.0, 0.0, 0.0
    total = soda_alignment(gains)
    precision, recall = total / gains.shape[1], total / gains.shape[0]
    return precision, recall, 2 * precision * recall / (precision + recall) if total > 0 else 0.0


def score_soda(
    predictions: Mapping[str, Events],
    references: Mapping[str, Sequence[Events]],
    language: LanguageScorers,
    several: str = "merged",
    skip_missing: bool = False,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the videos and their SODA_c (videos, 3): precision, recall and F1.

    Events are put in the order of their starts; every pair counts IoU × METEOR, without a threshold. METEOR takes the
    prediction for the reference and the annotation for the hypothesis, as published. ``several`` annotators are
    "merged" into one list, or the "best" of the video (by F1) or their "mean" is taken. For "best" the annotated events
    stay in the order of the file: the published evaluation sorts them in its other mode alone.
    """
    videos = tuple(v for v in references if v in predictions or not skip_missing)
    language.prepare(_texts(predictions, references))
    scores = np.zeros((len(videos), 3))
    for row, video in enumerate(videos):
        events = sorted(predictions.get(video, ()), key=lambda event: event.start)
        annotators = [list(events) for events in references[video] if events]
        if several == "merged":
            annotators = [[event for events in annotators for event in events]]
        if several != "best":
            annotators = [sorted(events, key=lambda event: event.start) for events in annotators]
        each = np.array([soda_scores(_gains(events, annotated, language)) for annotated in annotators])
        if each.size:
            scores[row] = each.mean(axis=0) if several == "mean" else each[each[:, 2].argmax()]
    return videos, scores


def _gains(predicted: Events, annotated: Events, language: LanguageScorers) -> np.ndarray:
    if not predicted or not annotated:
        return np.zeros((len(annotated), len(predicted)))
    overlaps = np.array([[event_iou(p, r) for p in predicted] for r in annotated])
    pairs = [(r.text, p.text) for r in annotated for p in predicted]
    return overlaps * np.array(language.meteor_each(pairs)).reshape(overlaps.shape)


def _texts(predictions: Mapping[str, Events], references: Mapping[str, Sequence[Events]]) -> list[str]:
    texts = [event.text for video in references for events in references[video] for event in events]
    return texts + [event.text for video in references for event in predictions.get(video, ())]
