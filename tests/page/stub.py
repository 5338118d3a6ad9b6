"""A model that answers at once and always the same, for tests of the page: what it says depends on the words alone."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from grounded import config, prompts, time_tokens
from grounded.engine.windows import Windows
from grounded.prompts import Turn
from grounded.types import Answer, Clip, Moment, Option
from grounded.video import pixels

BINS, FRAMES = 60, 8
PAUSE = 0.02  # seconds a word


class StubGrounder:
    """As much of a `Grounder` as the service needs. A query with "slow" in it is written slowly."""

    def __init__(self) -> None:
        self.config = dataclasses.replace(config.TINY, name="stub", frames=FRAMES, segments=4, bins=BINS)
        self.looked = 0
        self.batches: list[int] = []
        self.lock = threading.Lock()

    def safe(self, text: str, what: str = "question") -> str:
        return prompts.safe(text, ["<|end|>"], what)

    def look(self, clip: Clip, *, on_progress: Callable[[str, float], None] | None = None) -> StubEncodedVideo:
        self.looked += 1
        for done in range(1, 5):
            time.sleep(PAUSE)
            if on_progress:
                on_progress("looking", done / 4)
        return self.remember(torch.zeros(10, 4), clip)

    def encode(self, seen: pixels.Streams) -> torch.Tensor:
        assert seen.video.dtype == torch.uint8
        return torch.zeros(10, 4)

    def remember(self, visual: torch.Tensor, clip: Clip) -> StubEncodedVideo:
        return StubEncodedVideo(self, visual, clip.duration)


class StubEncodedVideo:
    """As much of a `EncodedVideo`: everything happens from a quarter to a half of the video."""

    def __init__(self, grounder: StubGrounder, visual: torch.Tensor, duration: float) -> None:
        self.grounder, self.visual, self.duration = grounder, visual, duration
        self.times = (0.0,)
        self.step = duration / min(BINS, FRAMES)  # what the service says of a video before it is watched
        self.nbytes, self.cache_nbytes = visual.nbytes, 0
        self.windows: Windows[StubEncodedVideo] = Windows(duration, duration / FRAMES)

    def forget(self) -> None:
        pass

    def ground(self, query: Any, *, best: int = 0, on_text: Any = None, stop: Any = None) -> Any:
        queries = [query] if isinstance(query, str) else query
        self.grounder.batches.append(len(queries))
        d = self.duration
        answers = []
        for text in queries:
            gone = "nothing" in text
            said = "Not in the video." if gone else f"From {d / 4:.2f} s to {d / 2:.2f} s."
            moments = () if gone else (Moment(d / 4, d / 2, 0.9), Moment(0.6 * d, 0.8 * d, 0.3))[: best or 1]
            curve = tuple(0.9 if BINS / 4 <= k < BINS / 2 else 0.05 for k in range(BINS))
            self._write(f"{said} {text}", on_text, stop, 60 if "slow" in text else 0)
            answers.append(
                self._answer("ground", text, said, moments=moments, curve=curve, absent=0.97 if gone else 0.02)
            )
        return answers[0] if isinstance(query, str) else answers

    def refer(self, start: float, end: float, *, on_text: Any = None, stop: Any = None) -> Answer:
        time_tokens.check_range(start, end, self.duration)
        return self._answer("refer", f"What is happening from {start:.2f} s to {end:.2f} s?", "A red circle spins.")

    def choose(
        self, question: str, options: Sequence[str], *, evidence: bool = False, on_text: Any = None, stop: Any = None
    ) -> Answer:
        scores = [0.7, *[0.3 / (len(options) - 1)] * (len(options) - 1)]
        found = tuple(Option("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i], text, scores[i]) for i, text in enumerate(options))
        moments = (Moment(self.duration / 4, self.duration / 2, 0.9),) if evidence else ()
        text = f"Answer: (A) {options[0]}"
        return self._answer("choose", question, text, options=found, choice="A", moments=moments)

    def caption(self, *, on_text: Any = None, stop: Any = None) -> Answer:
        d = self.duration
        spans = ((0.0, 0.3, "a red circle <b>spins</b>"), (0.2, 0.6, "a blue star grows"), (0.7, 1.0, "a ring blinks"))
        moments = tuple(Moment(a * d, b * d, 0.8, text) for a, b, text in spans)
        text = "\n".join(f"From {m.start:.2f} s to {m.end:.2f} s, {m.text}" for m in moments)
        self._write(text, on_text, stop)
        return self._answer("caption", prompts.CAPTION, text, moments=moments)

    def conversation(self) -> StubConversation:
        return StubConversation(self)

    def _write(self, text: str, on_text: Any, stop: Any, pauses: int = 0) -> None:
        for k in range(max(1, pauses)):
            if stop and stop():
                return
            if on_text:
                on_text(text[: 5 + 3 * k])
            time.sleep(PAUSE * (5 if pauses else 1))

    def _answer(self, task: str, question: str, text: str, **fields: Any) -> Answer:
        return Answer(task, question, text, text, self.duration, **fields)


class StubConversation:
    """Repeats the question, and says how many came before it."""

    def __init__(self, watched: StubEncodedVideo) -> None:
        self.watched = watched
        self.turns: tuple[Turn, ...] = ()

    def ask(self, question: str, *, on_text: Any = None, stop: Any = None) -> Answer:
        d = self.watched.duration
        text = f"Question {len(self.turns) + 1}: {question} From {d / 4:.2f} s to {d / 2:.2f} s."
        self.watched._write(text, on_text, stop)
        self.turns = (*self.turns, Turn(question, False, text))
        return self.watched._answer("ask", question, text, moments=(Moment(d / 4, d / 2, 0.9),))
