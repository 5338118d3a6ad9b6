"""A model that answers at once and always the same, for tests of the page: what it says depends on the words alone.

`test_stub.py` compares its signatures with those of what it stands for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from grounded import prompts, time_tokens
from grounded.engine.disk_cache import VideoTokens
from grounded.engine.encoded_video import ALL_EVENTS, EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.engine.search import SearchConfig
from grounded.models.family import Work
from grounded.types import Answer, Clip, Moment, Option, Question, Turn
from grounded.video.pixels import Streams

BINS, FRAMES = 60, 8
PAUSE = 0.02  # seconds a word


class StubFamily:
    """As much of a `Family` as serving needs."""

    name = "stub"

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.encoded = 0

    def safe(self, text: str, what: str = "question") -> str:
        return prompts.safe(text, ["<|end|>"], what)

    def step(self, duration: float) -> float:
        return duration / min(BINS, FRAMES)

    def unknown_words(self, question: Question, duration: float) -> tuple[str, ...]:
        return ("teddy",) if "teddy" in question.text else ()

    def respelt(self, question: Question) -> dict[str, str]:
        return {}

    def work(self) -> Work:
        return Work(weight_bytes=10**9, encode_flops=1e13, read_flops=1e13)

    def frames_for(self, duration: float) -> int:
        return FRAMES

    def shrink(self, frame: Any, count: int) -> Any:
        return frame

    def visual_input(self, clip: Clip) -> Any:
        assert clip.frames.dtype.name == "uint8"
        frames = torch.from_numpy(clip.frames)
        return Streams(image=frames[::2], video=frames)

    def encode(self, visual_input: Any, on_progress: Callable[[float], None] | None = None) -> torch.Tensor:
        with self.lock:
            self.encoded += 1
            for done in range(1, 5):
                time.sleep(PAUSE)
                if on_progress:
                    on_progress(done / 4)
            return torch.zeros(10, 4)


class StubGrounder(Grounder):
    """Gives stubs of encoded videos. A query with "slow" in it is written slowly."""

    def __init__(self) -> None:
        self.family: Any = StubFamily()
        self.batches: list[int] = []

    def from_tokens(self, tokens: VideoTokens, decode: Any = None) -> StubEncodedVideo:
        watch_window = decode and self.window_watcher(decode, tokens.duration)
        video = StubEncodedVideo(self.family, *tokens, watch_window)
        video.batches = self.batches
        return video


class StubEncodedVideo(EncodedVideo):
    """Answers without a network: everything happens from a quarter to a half of the video."""

    batches: list[int]
    cache_nbytes = 0  # type: ignore[assignment]

    def prepare(self, on_progress: Any) -> None:
        on_progress("reading the video", 1.0)

    def ground(
        self,
        query: Any,
        *,
        best: int = 0,
        fine: Any = False,
        constrained: bool = False,
        on_text: Any = None,
        on_progress: Any = None,
        stop: Any = None,
    ) -> Any:
        queries = [query] if isinstance(query, str) else query
        self.batches.append(len(queries))
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
        if fine:
            answers = self.search(queries, answers, SearchConfig(), best, on_progress, stop)
        return answers[0] if isinstance(query, str) else answers

    def refer(self, start: float, end: float, *, on_text: Any = None, stop: Any = None) -> Answer:
        time_tokens.check_range(start, end, self.duration)
        return self._answer("refer", f"What happens from {start:g} s to {end:g} s?", "A red circle spins.")

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
        return self._answer("caption", ALL_EVENTS, text, moments=moments)

    def conversation(self, turns: tuple[Turn, ...] = ()) -> Any:
        return StubConversation(self, turns)

    def _write(self, text: str, on_text: Any, stop: Any, pauses: int = 0) -> None:
        text += " and on" * pauses  # it grows for as long as it is written
        for k in range(max(1, pauses)):
            if stop and stop():
                return
            if on_text:
                on_text(text[: 5 + 3 * k])
            time.sleep(PAUSE * (5 if pauses else 1))

    def _answer(self, task: str, question: str, text: str, **fields: Any) -> Answer:
        return Answer(task, question, text, text, self.duration, model="stub", step=self.step, **fields)


class StubConversation:
    """Repeats the question, and says how many came before it."""

    def __init__(self, video: StubEncodedVideo, turns: tuple[Turn, ...]) -> None:
        self.video, self.turns = video, turns

    def ask(self, question: str, *, on_text: Any = None, stop: Any = None) -> Answer:
        d = self.video.duration
        text = f"Question {len(self.turns) + 1}: {question} From {d / 4:.2f} s to {d / 2:.2f} s."
        self.video._write(text, on_text, stop)
        self.turns = (*self.turns, Turn(question, False, text))
        return self.video._answer("ask", question, text, moments=(Moment(d / 4, d / 2, 0.9),))


def service(grounder: Any = None, **options: Any) -> Any:
    """Return a `Service` whose model is the stub."""
    from grounded.serving import LocalModel, Service

    grounder = grounder or StubGrounder()
    return Service(grounder.family, LocalModel(grounder), **options)
