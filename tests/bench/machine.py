"""A device with its measured limits, and a clock that waits for it."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

import torch

from tests.bench import load


class Machine:
    """A device with its limits, which are measured: ``bandwidth`` in bytes a second, ``matmul`` in operations."""

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.bfloat16, runs: int = 3) -> None:
        self.device, self.dtype, self.runs = device, dtype, runs
        size = 8192 if device.type == "cuda" else 256
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        numbers = torch.ones(size * size * 8, device=device)
        self.matmul = 2 * size**3 / self.seconds(lambda: a @ b)
        self.bandwidth = numbers.nbytes / self.seconds(lambda: numbers.sum())

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object]) -> float:
        """Return the median of the seconds that ``work`` takes until the device is done, after one run unmeasured."""
        times = []
        for _ in range(1 + self.runs):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])

    def forget(self) -> None:
        """Give back the memory of the model before, and count the peak anew."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> int:
        """Return the most bytes that were allocated on the device; of the whole process where that is the CPU."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else load.peak()
