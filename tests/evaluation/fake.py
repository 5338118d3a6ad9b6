"""A model that needs no weights, and as a script the command `evaluate` with it: for runs that are killed or shared."""

from __future__ import annotations

import os
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

from grounded.errors import QuestionError, VideoError
from grounded.types import Answer, Clip, Moment

SECONDS = 20.0


class FakeEncodedVideo:
    """Answers that depend on the video's bytes and the question alone. Counts what it was asked."""

    def __init__(self, content: bytes, calls: list[str], pause: float = 0.0) -> None:
        self.content, self.calls, self.pause = content, calls, pause
        self.duration = SECONDS

    def _answer(self, task: str, question: str, **fields: object) -> Answer:
        if "unspeakable" in question:
            raise QuestionError("that cannot be asked")
        time.sleep(self.pause)
        return Answer(task, question, f"about {question}", f"about {question}", SECONDS, **fields)  # type: ignore[arg-type]

    def ground(self, query: list[str], *, best: int = 0) -> list[Answer]:
        self.calls.append(f"ground {len(query)}" + (f" best {best}" if best else ""))
        return [self._answer("ground", text, moments=(self._moment(text),)) for text in query]

    def refer(self, start: float, end: float) -> Answer:
        self.calls.append("refer")
        return self._answer("refer", f"{start} to {end}")

    def choose(self, question: str, options: Sequence[str], *, evidence: bool = False) -> Answer:
        self.calls.append("choose")
        return self._answer("choose", question, choice="ABCDE"[self._number(question) % len(options)])

    def caption(self) -> Answer:
        self.calls.append("caption")
        return self._answer("caption", "captions", moments=(Moment(0.0, 5.0, text="something happens"),))

    def ask(self, question: str) -> Answer:
        self.calls.append("ask")
        return self._answer("ask", question)

    def _number(self, text: str) -> int:
        return zlib.crc32(self.content + text.encode())

    def _moment(self, text: str) -> Moment:
        start = self._number(text) % 1500 / 100
        return Moment(start, start + 5.0, 0.5)


class FakeModel:
    """Reads any file that does not begin with "bad"; ``calls`` tells what was done, in order."""

    def __init__(self, pause: float = 0.0) -> None:
        self.family = SimpleNamespace(frames_for=lambda duration: 8, shrink=lambda frame, count: frame)
        self.calls: list[str] = []
        self.pause = pause

    def watch(self, path: Path) -> FakeEncodedVideo:
        self.calls.append(f"watch {path.name}")
        content = path.read_bytes()
        if content.startswith(b"bad"):
            raise VideoError(f"{path.name} is damaged")
        return FakeEncodedVideo(content, self.calls, self.pause)

    def encode_clip(self, clip: Clip) -> FakeEncodedVideo:
        self.calls.append(f"encode_clip {clip.indices.tolist()}")
        return FakeEncodedVideo(clip.frames.tobytes(), self.calls, self.pause)


if __name__ == "__main__":
    import typer

    pause = float(os.environ.get("FAKE_PAUSE", "0"))
    stand_in = ModuleType("grounded.engine.grounder")  # the real one would wait for torch
    stand_in.load = lambda *_, **__: FakeModel(pause)  # type: ignore[attr-defined]
    sys.modules["grounded.engine.grounder"] = stand_in

    from grounded.evaluation import cli

    typer.run(cli.evaluate)
