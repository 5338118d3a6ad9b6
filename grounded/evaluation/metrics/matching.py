"""Pairing what was predicted with what was annotated, one to one."""

from __future__ import annotations

from collections.abc import Sequence

from ...types import Moment, iou


def match_one_to_one(scores: Sequence[Sequence[float]], threshold: float) -> list[tuple[int, int]]:
    """Return pairs (row, column) of a table of ``scores``: the greatest first, from ``threshold`` up, each used once.

    >>> match_one_to_one([[0.9, 0.6], [0.8, 0.1]], threshold=0.5)
    [(0, 0)]
    """
    ranked = sorted(((score, i, j) for i, row in enumerate(scores) for j, score in enumerate(row)), reverse=True)
    pairs: list[tuple[int, int]] = []
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    for score, i, j in ranked:
        if score >= threshold and i not in used_rows and j not in used_columns:
            pairs.append((i, j))
            used_rows.add(i)
            used_columns.add(j)
    return pairs


def count_matches(predicted: Sequence[Moment], annotated: Sequence[Moment], threshold: float) -> tuple[int, int, int]:
    """Return (matches, predicted, annotated): how many moments are paired one to one by their IoU, and are there."""
    overlaps = [[iou((p.start, p.end), (a.start, a.end)) for a in annotated] for p in predicted]
    return len(match_one_to_one(overlaps, threshold)), len(predicted), len(annotated)
