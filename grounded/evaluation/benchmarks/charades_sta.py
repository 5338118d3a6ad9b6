"""Charades-STA: one moment per sentence, in home videos of half a minute."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import DataError
from ...types import Moment
from .. import formats
from ..items import Annotations, Benchmark, BenchmarkItem
from . import common

QUERIES, VIDEOS = 3_720, 1_334
FILE = "charades_sta_test.txt"

_LINE = re.compile(r"(\S+) (\d+(?:\.\d+)?) (\d+(?:\.\d+)?)##(.+)")


def read(path: Path, split: str = "test") -> Annotations:
    """Read the lines "VID start end##sentence" (seconds) of charades_sta_test.txt, or of a folder that holds it."""
    source = path / FILE if path.is_dir() else path
    with common.reading(source, "the annotation of Charades-STA"):
        lines = source.read_text(encoding="utf-8").splitlines()
    items = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(f"{source}, line {number} is not 'VID start end##sentence': {line[:80]!r}")
        video, start, end, sentence = match.groups()
        moment = Moment(float(start), float(end))
        items.append(BenchmarkItem(f"{video}/{number}", video, "ground", sentence.strip(), moments=(moment,)))
    notes = common.count_note("queries", len(items), QUERIES)
    notes += common.count_note("videos", len({item.video for item in items}), VIDEOS)
    return Annotations(tuple(items), notes)


BENCHMARK = Benchmark(
    name="charades-sta",
    title="Charades-STA",
    source="annotation charades_sta_test.txt: github.com/jiyanggao/TALL; videos Charades_v1_480:"
    " prior.allenai.org/projects/charades",
    licence="AI2 Charades licence, not for commercial use; the annotation names none",
    conventions=common.GROUNDING_CONVENTIONS,
    read=read,
    measure=common.measure_grounding,
    formats=(formats.authors, formats.authors_records, formats.lmms_eval, formats.timed_lines),
    published={
        "Phi3.5-3.8B": {"R1@0.3": 54.2, "R1@0.5": 36.4, "R1@0.7": 19.7, "mIoU": 36.8},
        "Phi3.5-3.8B (*)": {"R1@0.3": 70.2, "R1@0.5": 55.9, "R1@0.7": 33.2, "mIoU": 49.4},
    },
)
