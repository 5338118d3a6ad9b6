"""Work shared among processes ends with the error that says why."""

from __future__ import annotations

import time

import pytest

from grounded.errors import FileError
from grounded.tiny.processes import run_jobs


def lose_the_other_end() -> None:
    raise RuntimeError("connection closed by peer")


def find_no_room() -> None:
    time.sleep(1)
    raise FileError("language.pt cannot be written: No space left on device")


def test_of_two_processes_that_fail_the_one_that_says_why_is_heard() -> None:
    with pytest.raises(FileError, match="No space left"):
        run_jobs([(lose_the_other_end,), (find_no_room,)], 2)
    with pytest.raises(RuntimeError, match="closed by peer"):
        run_jobs([(lose_the_other_end,), (time.sleep, 0)], 2)
