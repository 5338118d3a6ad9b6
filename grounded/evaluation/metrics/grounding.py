"""Temporal sentence grounding: IoU of moments, R1@IoU and mIoU, and the conventions that peers' scores follow.

IoU is the intersection over the distance from the first start to the last end, as in TALL (Gao et al., 2017,
arXiv:1705.02101) and everything since. For two moments that overlap this is their union; where they do not, it is 0.
A hit at t is IoU >= t.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...time_tokens import BINS
from ...types import Moment, iou

THRESHOLDS = (0.3, 0.5, 0.7)


def union_iou(predicted: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """Return the IoU (N, M) of spans (N, 2) with spans (M, 2) over their true union: lengths less intersection."""
    common = np.minimum(predicted[:, None, 1], annotated[None, :, 1]) - np.maximum(
        predicted[:, None, 0], annotated[None, :, 0]
    )
    common = np.clip(common, 0, None)
    union = np.diff(predicted)[:, :1] + np.diff(annotated)[:, 0] - common
    return np.divide(common, union, out=np.zeros(common.shape), where=union > 0)


@dataclass(frozen=True)
class Convention:
    """How one group of authors turns an answer and an annotated moment into an IoU.

    ``bins``: both are first put on the grid of so many temporal tokens (rounded down, the annotation unbounded).
    ``whole_video``: an answer without exactly two temporal tokens counts as the whole video, instead of 0.
    ``decimals``: the IoU is rounded so before it is compared and averaged. ``swap``: a reversed moment is turned round.
    """

    name: str
    about: str
    bins: int | None = None
    whole_video: bool = False
    decimals: int | None = None
    swap: bool = False


CONVENTIONS = {
    "ours": Convention("ours", "IoU in seconds against the annotated seconds; an answer without a moment counts 0"),
    "authors": Convention(
        "authors",
        f"annotation and answer on the grid of {BINS} temporal tokens; an answer without exactly two counts as the"
        " whole video (Grounded-VideoLLM)",
        bins=BINS,
        whole_video=True,
    ),
    "vtimellm": Convention(
        "vtimellm", "IoU rounded to two decimals; an answer without a moment counts 0 (VTimeLLM, eval.py)", decimals=2
    ),
    "lmms-eval": Convention(
        "lmms-eval",
        "IoU in seconds; a reversed moment is turned round; an answer without one counts 0 (lmms-eval, eval_tvg.py)",
        swap=True,
    ),
}


def score(
    convention: Convention,
    annotated: Sequence[float],
    moment: Moment | None,
    raw: str = "",
    duration: float | None = None,
) -> float:
    """Return the IoU of one answer under a convention.

    Args:
        annotated: start and end in seconds.
        moment: the first moment of the answer, None where it has none.
        raw: the answer as the model wrote it, temporal tokens included; read where the convention works on them.
        duration: seconds, as measured on the file; needed where the convention works on temporal tokens.
    """
    if convention.bins is not None and duration:
        bins = convention.bins
        written = [int(token) for token in re.findall(r"<(\d+)>", raw)]
        if not written and moment is not None:
            written = [int(bins * moment.start / duration), int(bins * moment.end / duration)]
        if len(written) != 2 and convention.whole_video:
            written = [0, bins]
        if len(written) != 2:
            return 0.0
        # In this order of operations: some answers lie exactly on a threshold, and the last bit decides.
        answered = [duration * token / bins for token in written]
        annotated = [duration * int(bins * seconds / duration) / bins for seconds in annotated]
    elif moment is None:
        return 0.0
    else:
        answered = [moment.start, moment.end]
    if convention.swap:
        answered.sort()
    overlap = iou(answered, annotated)
    return overlap if convention.decimals is None else round(overlap, convention.decimals)
