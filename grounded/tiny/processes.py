"""Work shared among processes, none of which outlives the process that started it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ..errors import GroundedError

PATIENCE = 10.0  # seconds in which a process that fails because another one did may be followed by that one


def run_jobs(
    jobs: Sequence[tuple[Any, ...]],
    processes: int,
    on_done: Callable[[int], None] | None = None,
    set_up: Callable[[], None] | None = None,
) -> list[Any]:
    """Call each (function, *arguments) and return the results in order; with one process, in this one.

    ``on_done`` gets the number of jobs that are done, ``set_up`` is called first in each new process.

    Raises:
        GroundedError: a process was killed.
    """
    report = on_done or (lambda count: None)
    if processes == 1:
        results = []
        for function, *arguments in jobs:
            results.append(function(*arguments))
            report(len(results))
        return results
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), context, _begin, (set_up,)) as pool:
        futures = [pool.submit(*job) for job in jobs]
        try:
            for count, future in enumerate(as_completed(futures), 1):
                future.result()
                report(count)
        except BrokenProcessPool as error:
            raise GroundedError("a process was killed, perhaps for want of memory; start again to go on") from error
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, RuntimeError):  # torch's, where the process at the other end has failed
                wait(futures, PATIENCE)
                errors = [future.exception() for future in futures if future.done() and not future.cancelled()]
                raise next((each for each in errors if isinstance(each, GroundedError)), error) from None
            raise
    return [future.result() for future in futures]


def _begin(set_up: Callable[[], None] | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if set_up:
        set_up()


def _end_with_parent() -> None:
    """Wait for the end of the process that started this one, however it comes, and end this one too."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
