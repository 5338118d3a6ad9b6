"""Serving: many visitors, one model. Videos by content, answers as a stream of events, work that can be stopped."""

from .events import TASKS, Answered, Cancelled, PartialText, Progress, Question
from .remote import Remote, run, seconds_needed
from .service import MAX_TEXT, Service

__all__ = [
    "Answered",
    "MAX_TEXT",
    "TASKS",
    "Progress",
    "Question",
    "Remote",
    "Service",
    "Cancelled",
    "PartialText",
    "run",
    "seconds_needed",
]
