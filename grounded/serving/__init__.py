"""Serving: many visitors, one model. Videos by content, answers as a stream of events, work that can be cancelled."""

from .events import Answered, Cancelled, FirstAnswer, PartialText, Progress
from .local import LocalModel
from .remote import Costs, Job, Remote, RemoteModel, run_jobs
from .service import MAX_TEXT, Service
from .services import Services, fit_together

__all__ = [
    "MAX_TEXT",
    "Answered",
    "Cancelled",
    "FirstAnswer",
    "Costs",
    "Job",
    "LocalModel",
    "PartialText",
    "Progress",
    "Remote",
    "RemoteModel",
    "Service",
    "Services",
    "fit_together",
    "run_jobs",
]
