"""Weights: find or fetch them, convert them, load them, save them."""

from .choices import DTYPES, pick_attention, pick_device, pick_dtype
from .disk import disk_needed
from .finding import TINY, convert, find, home
from .loading import Loaded, load
from .publish import upload

__all__ = [
    "DTYPES",
    "TINY",
    "Loaded",
    "convert",
    "disk_needed",
    "find",
    "home",
    "load",
    "pick_attention",
    "pick_device",
    "pick_dtype",
    "upload",
]
