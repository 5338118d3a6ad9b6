"""Serving: many visitors, one model. Videos by content, answers as a stream of events, work that can be stopped."""

from .events import TASKS, Doing, Question, Served, StoppedError, Writing
from .service import MAX_TEXT, Service
from .work import Remote, run, seconds_needed

__all__ = [
    "MAX_TEXT",
    "TASKS",
    "Doing",
    "Question",
    "Remote",
    "Served",
    "Service",
    "StoppedError",
    "Writing",
    "run",
    "seconds_needed",
]
