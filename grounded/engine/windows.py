"""Windows: parts of a watched video, each looked at as a video of its own, and kept for the next query."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import VideoError
from ..types import Answer, Clip, OnProgress
from .memory_cache import MemoryCache, Watchable
from .search import SearchConfig, Window, search

MAX_BYTES = 3 << 29  # visual tokens of one video's windows that are kept: some seventy for phi3.5
View = Callable[[float, float], Clip]  # decodes the frames of a window, start to end in seconds

Seen = TypeVar("Seen", bound=Watchable)


@dataclass(frozen=True)
class Eye(Generic[Seen]):
    """What closer looks are made with: decode the frames of a window, encode them, ground queries in what was seen."""

    view: View
    look: Callable[[Clip], Seen]
    ground: Callable[[Seen, list[str]], list[Answer]]


class Windows(Generic[Seen]):
    """Windows of one video that lasts ``duration`` seconds, in which a look sees a frame every ``gap`` seconds."""

    def __init__(self, duration: float, gap: float) -> None:
        self.duration, self.gap = duration, gap
        self.kept: MemoryCache[Seen] = MemoryCache(MAX_BYTES, what="windows")

    def ground(
        self,
        queries: Sequence[str],
        first: Sequence[Answer],
        eye: Eye[Seen],
        fine: SearchConfig,
        best: int = 0,
        on_progress: OnProgress | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> list[Answer]:
        """Return the queries' answers from coarse to fine; see `fine.search`.

        Raises:
            VideoError: the file has changed since it was watched.
        """
        looks = 0

        def ground(window: Window, wanted: list[str]) -> list[Answer]:
            nonlocal looks
            seen, made = self.look(window, eye)
            looks += made
            try:
                answers = eye.ground(seen, wanted)
            finally:
                seen.forget()
            return [self._shifted(answer, window[0]) for answer in answers]

        report = on_progress or (lambda *_: None)
        found = search(queries, first, ground, self.gap, fine, best, lambda done: report("looking closer", done), stop)
        return [dataclasses.replace(answer, windows=looks) for answer in found]

    def look(self, window: Window, eye: Eye[Seen]) -> tuple[Seen, bool]:
        """Return a window as a video of its own, and whether it was looked at for this: others may have done so."""
        made = False

        def look() -> Seen:
            nonlocal made
            made = True
            return eye.look(self._frames(window, eye.view))

        return self.kept.watch(window, look), made

    def _frames(self, window: Window, view: View) -> Clip:
        start, end = window
        clip = view(start, end)
        if abs(clip.duration - self.duration) > 1e-6:
            raise VideoError(f"the file has changed: it lasts {clip.duration:g} s, and lasted {self.duration:g} s")
        return dataclasses.replace(clip, times=clip.times - start, duration=end - start)

    def _shifted(self, answer: Answer, start: float) -> Answer:
        """Return the answer of a window that begins at ``start`` seconds in the whole video's seconds."""
        moments = tuple(
            dataclasses.replace(m, start=m.start + start, end=min(m.end + start, self.duration)) for m in answer.moments
        )
        return dataclasses.replace(answer, moments=moments, duration=self.duration)
