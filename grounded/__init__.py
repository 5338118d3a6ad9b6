"""Find moments in videos: ask in words, get the seconds; give seconds, get words."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine.disk_cache import DiskCache
    from .engine.encoded_video import Conversation, EncodedVideo
    from .engine.grounder import Grounder, load
    from .engine.search import SearchConfig
    from .errors import (
        ConfigError,
        DataError,
        FileError,
        GroundedError,
        QuestionError,
        TimeError,
        VideoError,
        WeightsError,
    )
    from .types import Answer, Clip, Moment, Option, VideoInfo
    from .video import Limits, probe, sample
    from .weights import convert

__version__ = "0.1.0"

_HOMES = {
    "errors": (
        "ConfigError",
        "DataError",
        "FileError",
        "GroundedError",
        "QuestionError",
        "TimeError",
        "VideoError",
        "WeightsError",
    ),
    "engine.disk_cache": ("DiskCache",),
    "engine.encoded_video": ("Conversation", "EncodedVideo"),
    "engine.grounder": ("Grounder", "load"),
    "engine.search": ("SearchConfig",),
    "types": ("Answer", "Clip", "Moment", "Option", "VideoInfo"),
    "video": ("Limits", "probe", "sample"),
    "weights": ("convert",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "Answer",
    "Clip",
    "ConfigError",
    "Conversation",
    "DataError",
    "DiskCache",
    "EncodedVideo",
    "FileError",
    "GroundedError",
    "Grounder",
    "Limits",
    "Moment",
    "Option",
    "QuestionError",
    "SearchConfig",
    "TimeError",
    "VideoError",
    "VideoInfo",
    "WeightsError",
    "convert",
    "load",
    "probe",
    "sample",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import grounded`` does not wait for torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
