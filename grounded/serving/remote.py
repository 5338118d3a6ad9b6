"""RemoteModel: the model's work on a GPU that is granted for seconds at a time, as on ZeroGPU.

A grant is costly: visitors have a daily quota, and each may wait in a queue. So a first question is one grant (encode
and answer together), a further one too, queries that wait together share one, and a search sends many windows at once.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from ..engine.disk_cache import VideoTokens
from ..engine.grounder import Decode, Grounder, window_clip
from ..engine.memory_cache import MemoryCache
from ..engine.search import SearchConfig, Window, WindowQueries, in_whole_video, search
from ..errors import GroundedError
from ..models.family import Family, VisualInput
from ..types import Answer, Clip, OnProgress, Question, Stop
from .answering import answer_together, respond
from .batcher import Batcher, Request
from .events import Answered, Cancelled, Emit, Encoded, Event, Progress, raise_if_cancelled, stream

log = logging.getLogger(__name__)

# What work costs on the GPU whose seconds are asked for: one H200 on ZeroGPU, whose client asks for half as much again
# where it lends half an RTX Pro 6000 (its zero/configs.json, "duration_factor"). Estimates from the arithmetic and the
# bytes of each step at a third of what the card can do, each with a reserve; a task that takes longer is cut off.
START_SECONDS = 3.0  # a worker process, its CUDA context
LOAD_BYTES = 3e9  # bytes of weights a second, from the pack on disk to the GPU, for a worker that is new
FLOPS = 1e14  # a second, of the towers and of reading a prompt
TOKEN_SECONDS = 0.03  # a written token; bounded by launching kernels more than by memory
TOKENS = {"ground": 40, "refer": 120, "choose": 120, "caption": 500, "ask": 300}  # that an answer may well take
WINDOW_SECONDS = 0.5  # what a window of a search takes besides: moving pixels, prefix and caches
GRANT_SECONDS = 60.0  # at most for one grant of a search: with the client's factor less than an anonymous quota
MAX_WINDOW_BYTES = 2 << 30  # of one video's windows, pixels or tokens: sixty of them as pixels are 1.1 GB


Visual = torch.Tensor | VisualInput  # visual tokens on the CPU, or the pixels that they are made from


@dataclass(frozen=True, eq=False)
class Job:
    """Questions about one video, which a worker answers; it encodes ``visual`` if need be.

    ``duration`` is in seconds, and so are ``times``, of its frames.

    Several questions are queries that ask for the same number of moments.
    """

    visual: Visual
    duration: float
    times: tuple[float, ...]
    questions: tuple[Question, ...]


# Does jobs elsewhere; for each job in turn it yields Encoded, if the video was not encoded, and an Answered a question.
Remote = Callable[[Sequence[Job]], Iterator[Event]]


def run_jobs(grounder: Grounder, jobs: Sequence[Job]) -> Iterator[Event]:
    """Do what `Remote` does in this process; what a ZeroGPU worker calls."""

    def work(emit: Emit, stop: Stop) -> None:
        for job in jobs:
            raise_if_cancelled(stop)
            visual = job.visual
            if not isinstance(visual, torch.Tensor):
                visual = grounder.family.encode(visual)
                emit(Encoded(visual))
            video = grounder.from_tokens(VideoTokens(visual, job.duration, job.times))
            if len(job.questions) > 1:
                answers = answer_together(video, job.questions, stop)
            else:
                answers = [respond(video, question, emit, stop) for question in job.questions]
            for answer in answers:
                emit(answer)

    yield from stream(work)


class Costs:
    """The seconds of a GPU that jobs need, for the model of ``family``."""

    def __init__(self, family: Family) -> None:
        work = family.work()
        self.start = START_SECONDS + work.weight_bytes / LOAD_BYTES
        self.encode, self.read = work.encode_flops / FLOPS, work.read_flops / FLOPS
        self.score = work.score_flops / FLOPS

    def job(self, encoded: bool, questions: Sequence[Question]) -> float:
        """Return the seconds of questions about one video, ``encoded`` or not."""
        tokens = sum(TOKENS[question.task] for question in questions)
        scored = self.score * sum(question.task == "ground" for question in questions)
        return self.read + (0.0 if encoded else self.encode) + tokens * TOKEN_SECONDS + scored

    def grant(self, jobs: Sequence[Job]) -> int:
        """Return the seconds to ask for."""
        moved = len(jobs) * WINDOW_SECONDS if len(jobs) > 1 else 0.0
        seconds = sum(self.job(isinstance(job.visual, torch.Tensor), job.questions) for job in jobs)
        return math.ceil(self.start + moved + seconds)

    def windows_in(self, seconds: float) -> int:
        """Return how many windows of a search one grant of so many seconds has room for."""
        window = self.job(False, [Question("ground")]) + WINDOW_SECONDS
        return int((seconds - self.start) / window)


class RemoteVideo:
    """A video whose visual tokens come from elsewhere: until they do, the pixels they are made from are kept."""

    def __init__(self, clip: Clip, family: Family) -> None:
        self.duration, self.times = clip.duration, tuple(clip.times.tolist())
        self.visual: Visual = family.visual_input(clip)
        self.lock = threading.Lock()  # held by the grant that encodes it, or windows of it
        self.window_cache: MemoryCache[RemoteVideo] = MemoryCache(MAX_WINDOW_BYTES, what="windows")

    @property
    def nbytes(self) -> int:
        """Bytes of main memory, those of kept windows too."""
        return self.visual.nbytes + self.window_cache.nbytes

    cache_nbytes = 0  # caches are on the GPU of a worker, and gone with it

    def forget(self) -> None:
        """Do nothing: there is no cache here."""

    @property
    def is_encoded(self) -> bool:
        return isinstance(self.visual, torch.Tensor)

    def job(self, questions: Sequence[Question]) -> Job:
        return Job(self.visual, self.duration, self.times, tuple(questions))


class RemoteModel:
    """Decodes here and has ``remote`` encode and answer."""

    def __init__(self, grounder: Grounder, remote: Remote) -> None:
        self.family, self.remote, self.costs = grounder.family, remote, Costs(grounder.family)
        self._batcher = Batcher(self._answer_batch)

    def watch(self, path: str, content: str, decode: Decode, on_progress: OnProgress) -> RemoteVideo:
        """Decode a video; it is encoded along with the first question."""
        on_progress("decoding", 0.0)
        return RemoteVideo(decode(on_progress=lambda done: on_progress("decoding", done)), self.family)

    def respond(self, video: RemoteVideo, question: Question, emit: Emit, stop: Stop) -> Answered:
        """Answer a question with one grant, a query perhaps along with others that wait."""
        emit(Progress("answering", 0.0))
        if question.task == "ground":
            return self._batcher.respond(video, question, emit, stop)
        return self._ask(video, [question], emit, stop)[0]

    def _answer_batch(self, video: RemoteVideo, requests: list[Request]) -> list[Answered]:
        def emit(event: Event) -> None:
            for request in requests:
                request.emit(event)

        questions = [request.question for request in requests]
        return self._ask(video, questions, emit, lambda: all(request.stop() for request in requests))

    def _ask(self, video: RemoteVideo, questions: Sequence[Question], emit: Emit, stop: Stop) -> list[Answered]:
        with nullcontext() if video.is_encoded else video.lock:  # others wait for its tokens
            [answers] = self.grant([(video, questions)], stop, emit)
            return answers

    def grant(
        self, work: Sequence[tuple[RemoteVideo, Sequence[Question]]], stop: Stop, emit: Emit | None = None
    ) -> Iterator[list[Answered]]:
        """Yield the answers about one video after the other, all with one grant; ``emit`` gets what is written."""
        raise_if_cancelled(stop)
        waiting = iter(work)
        video, questions = next(waiting)
        answers: list[Answered] = []
        for event in self.remote([video.job(questions) for video, questions in work]):
            raise_if_cancelled(stop)
            if isinstance(event, Encoded):
                video.visual = event.visual
            elif isinstance(event, Answered):
                answers.append(event)
                if len(answers) == len(questions):
                    yield answers
                    answers = []
                    video, questions = next(waiting, (video, []))
            elif emit:
                emit(event)
        if questions:
            raise GroundedError("the worker ended without an answer")

    def search(
        self,
        video: RemoteVideo,
        question: Question,
        first: Answer,
        decode: Decode,
        on_progress: OnProgress,
        stop: Stop,
        is_over: Stop,
    ) -> Answer:
        """Answer a query from coarse to fine, in few grants; what is found before a quota ends stays."""
        asker = _WindowAsker(self, video, decode, on_progress, stop, is_over)
        [answer] = search([question.text], [first], asker, SearchConfig(), question.best, on_progress)
        return dataclasses.replace(answer, note=asker.problem)


@dataclass
class _WindowAsker:
    """Asks many windows of a video with each grant; ``problem`` says why it ended early, if it did."""

    model: RemoteModel
    video: RemoteVideo
    decode: Decode
    on_progress: OnProgress
    stop: Stop
    is_over: Stop
    problem: str = ""

    def __call__(self, requests: Sequence[WindowQueries]) -> Iterator[list[Answer]]:
        seconds, costs = GRANT_SECONDS, self.model.costs
        while requests and not self.problem and not self.is_over():
            grants = math.ceil(len(requests) / max(1, costs.windows_in(seconds)))
            size = math.ceil(len(requests) / grants)  # grants of equal size
            try:
                for answers in self._grant(requests[:size]):
                    requests = requests[1:]
                    yield answers
            except Cancelled:
                raise
            except Exception as error:
                left = self._seconds_left(error, requests[:size])
                if not left < seconds or costs.windows_in(left) < 1:
                    log.warning("a search ended early", exc_info=True)
                    why = getattr(error, "message", error if isinstance(error, GroundedError) else "the log says why")
                    self.problem = f"The search ended early, so some parts were not searched: {why}"
                seconds = left

    def _seconds_left(self, error: Exception, requests: Sequence[WindowQueries]) -> float:
        """Return the seconds that a refused grant says are left of a quota, in the measure of `Costs`; 0 without."""
        match = re.search(r"(\d+)s requested vs\. (\d+)s left", str(getattr(error, "message", "")))
        if not match or not int(match[1]):
            return 0.0
        jobs = [self._part(window).job([Question("ground", text) for text in texts]) for window, texts in requests]
        return self.model.costs.grant(jobs) * int(match[2]) / int(match[1])

    def _grant(self, requests: Sequence[WindowQueries]) -> Iterator[list[Answer]]:
        parts = []
        for number, (window, _) in enumerate(requests):
            raise_if_cancelled(self.stop)
            self.on_progress("decoding windows", number / len(requests))
            parts.append(self._part(window))
        with self.video.lock:  # who searches the same video meanwhile waits for the tokens of its windows
            is_new = [not part.is_encoded for part in parts]
            work = [
                (part, [Question("ground", text) for text in texts])
                for part, (_, texts) in zip(parts, requests, strict=True)
            ]
            answered = zip(requests, is_new, self.model.grant(work, self.stop), strict=True)
            for (window, _), encoded, answers in answered:
                yield [in_whole_video(each.answer, window, self.video.duration, encoded) for each in answers]

    def _part(self, window: Window) -> RemoteVideo:
        """Return a window as a video of its own, decoded if it was not kept."""

        def make() -> RemoteVideo:
            clip = window_clip(self.decode(start=window[0], end=window[1]), *window, self.video.duration)
            return RemoteVideo(clip, self.model.family)

        return self.video.window_cache.get_or_make(window, make)[0]
