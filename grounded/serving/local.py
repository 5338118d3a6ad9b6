"""LocalModel: the model's work in this process, the questions of many visitors in turn."""

from __future__ import annotations

from collections.abc import Sequence

from ..engine.disk_cache import DiskCache
from ..engine.encoded_video import EncodedVideo
from ..engine.grounder import Decode, Grounder
from ..engine.search import SearchConfig
from ..types import Answer, OnProgress, Question, Stop
from .answering import answer_together, respond
from .batcher import Batcher, Request
from .events import Answered, Emit, ProgressReporter


class LocalModel:
    """Watches and answers with a grounder; ``cache`` keeps visual tokens on disk."""

    def __init__(self, grounder: Grounder, cache: DiskCache | None = None) -> None:
        self.grounder, self.cache = grounder, cache
        self._batcher = Batcher(_answer_batch)

    def watch(self, path: str, content: str, decode: Decode, on_progress: OnProgress) -> EncodedVideo:
        """Decode and encode a video; arguments as in `Grounder.watch`."""
        return self.grounder.watch(path, cache=self.cache, content=content, decode=decode, on_progress=on_progress)

    def respond(self, video: EncodedVideo, question: Question, emit: Emit, stop: Stop) -> Answered:
        """Answer a question when its turn has come, a query perhaps along with others."""
        report = ProgressReporter(emit, stop)
        video.prepare(report)
        report("answering", 0.0)
        if question.task == "ground":
            return self._batcher.respond(video, question, emit, stop)
        return respond(video, question, emit, stop)

    def search(
        self,
        video: EncodedVideo,
        question: Question,
        first: Answer,
        decode: Decode,
        on_progress: OnProgress,
        stop: Stop,
        is_over: Stop,
    ) -> Answer:
        """Answer a query from coarse to fine; others get their turn between the windows."""
        watch_window = self.grounder.window_watcher(decode, video.duration)
        [answer] = video.search(
            [question.text], [first], SearchConfig(), question.best, on_progress, stop, is_over, watch_window
        )
        return answer


def _answer_batch(video: EncodedVideo, requests: Sequence[Request]) -> list[Answered]:
    if len(requests) == 1:
        [request] = requests
        return [respond(video, request.question, request.emit, request.stop)]
    questions = [request.question for request in requests]
    return answer_together(video, questions, lambda: all(request.stop() for request in requests))
