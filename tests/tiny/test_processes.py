"""Work shared among processes ends with the error that says why."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
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


def write_own_number(folder: str, name: str) -> None:
    (Path(folder) / name).write_text(str(os.getpid()))
    time.sleep(600)


def test_no_process_outlives_one_that_is_killed(tmp_path: Path) -> None:
    code = (
        "from tests.tiny.test_processes import run_jobs, write_own_number\n"
        f"run_jobs([(write_own_number, {str(tmp_path)!r}, name) for name in 'ab'], 2)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        while len(list(tmp_path.iterdir())) < 2 or not all(path.read_text() for path in tmp_path.iterdir()):
            time.sleep(0.05)
            assert parent.poll() is None
        numbers = [int(path.read_text()) for path in tmp_path.iterdir()]
        assert all(map(psutil.pid_exists, numbers))
        parent.kill()
    _, alive = psutil.wait_procs([psutil.Process(number) for number in numbers if psutil.pid_exists(number)], 60)
    assert not alive
