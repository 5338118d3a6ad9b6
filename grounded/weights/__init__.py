"""Weights: find or fetch them, convert them, load them, save them."""

from .choices import DTYPES, pick_attention, pick_device, pick_dtype
from .disk import disk_needed
from .finding import TINY, convert, find, home
from .loading import Loaded, load, load_any
from .pretrained import LoadedPretrained
from .publish import upload

__all__ = [
    "DTYPES",
    "TINY",
    "Loaded",
    "LoadedPretrained",
    "convert",
    "disk_needed",
    "find",
    "home",
    "load",
    "load_any",
    "pick_attention",
    "pick_device",
    "pick_dtype",
    "upload",
]
