"""Bootstrap intervals: how far a score would move with other videos of the same kind.

Questions about one video are not independent, so whole videos are drawn with replacement, not questions: the cluster
bootstrap of Field and Welsh, 2007, doi:10.1111/j.1467-9868.2007.00593.x. Intervals are the 2.5 and 97.5 percentiles.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]  # sums of the columns, shape (..., K) -> scores, shape (..., M)

_BLOCK = 200  # resamplings at a time: bounds the memory at _BLOCK numbers per video


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return every column but the last over the last, and 0 where that is 0: means, when the last column counts."""
    top, count = sums[..., :-1], sums[..., -1:]
    return np.divide(top, count, out=np.zeros(top.shape), where=count != 0)


def bootstrap(
    columns: np.ndarray, clusters: Sequence[Hashable], statistic: Statistic = ratio, samples: int = 2000, seed: int = 0
) -> np.ndarray | None:
    """Return the 95 % intervals (2, M), low and high, of M scores that are functions of column sums.

    Args:
        columns: (N, K), one row per question; the mean of a value is the columns (value, 1) with `ratio`.
        clusters: N names; rows of the same name (video) are drawn together.
        samples: how many times the videos are drawn; with 0, or fewer than two videos, there is no interval.
    """
    names, members = np.unique(np.asarray([str(name) for name in clusters]), return_inverse=True)
    count = len(names)
    if samples < 1 or count < 2:
        return None
    sums = np.zeros((count, columns.shape[1]))
    np.add.at(sums, members, columns)
    draw, even = np.random.default_rng(seed), np.full(count, 1 / count)
    scores = [
        statistic(draw.multinomial(count, even, size=min(_BLOCK, samples - done)) @ sums)
        for done in range(0, samples, _BLOCK)
    ]
    return np.percentile(np.concatenate(scores), [2.5, 97.5], axis=0)
