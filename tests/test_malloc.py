"""Freed memory: what is kept is not asked of the system again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from grounded.malloc import keep_freed_memory
{setting}
def work():
    return [np.ones(15 << 20, np.uint8) for _ in range(8)]
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(setting: str) -> int:
    """Return how often the system gave a page to a process that used 120 MiB ten times over."""
    ran = subprocess.run([sys.executable, "-c", FAULTS.format(setting=setting)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_freed_memory_is_kept() -> None:
    assert _faults("keep_freed_memory()") < 0.2 * _faults("pass")
