"""The benchmarks by name."""

from __future__ import annotations

from ...errors import DataError
from ..items import Benchmark
from . import activitynet, activitynet_captions, charades_sta, mvbench, nextgqa, qvhighlights, timelens, videomme, world

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        charades_sta.BENCHMARK,
        activitynet.BENCHMARK,
        activitynet_captions.BENCHMARK,
        qvhighlights.BENCHMARK,
        *timelens.BENCHMARKS,
        nextgqa.BENCHMARK,
        mvbench.BENCHMARK,
        videomme.BENCHMARK,
        world.BENCHMARK,
    )
}


def find(name: str) -> Benchmark:
    """Return the benchmark ``name``; DataError lists the names when there is none."""
    try:
        return BENCHMARKS[name]
    except KeyError:
        raise DataError(f"there is no benchmark {name!r}; known are {', '.join(BENCHMARKS)}") from None
