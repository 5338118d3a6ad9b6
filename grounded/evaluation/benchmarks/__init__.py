"""The benchmarks by name."""

from __future__ import annotations

from ...errors import DataError
from ..items import Benchmark
from . import activitynet, activitynet_captions, charades_sta, mvbench, nextgqa, qvhighlights, videomme, world

BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (
        charades_sta,
        activitynet,
        activitynet_captions,
        qvhighlights,
        nextgqa,
        mvbench,
        videomme,
        world,
    )
}


def find(name: str) -> Benchmark:
    """Return the benchmark ``name``; DataError lists the names when there is none."""
    try:
        return BENCHMARKS[name]
    except KeyError:
        raise DataError(f"there is no benchmark {name!r}; known are {', '.join(BENCHMARKS)}") from None
