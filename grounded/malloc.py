"""How the C library keeps memory that was freed: glibc's defaults suit neither a server nor training on a CPU."""

from __future__ import annotations

import contextlib
import ctypes

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def share_memory_among_threads() -> None:
    """Let glibc keep two pools of freed memory: with one for every thread that visitors bring, they only grow."""
    _set(_M_ARENA_MAX, 2)


def keep_freed_memory() -> None:
    """Let glibc keep what tensors gave back: otherwise every large one is asked of the system anew, page by page."""
    _set(_M_MMAP_THRESHOLD, 1 << 25)  # bytes; the most that is allowed
    _set(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def _set(parameter: int, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another system's C library
        ctypes.CDLL(None).mallopt(parameter, value)
