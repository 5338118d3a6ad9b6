"""Work on a GPU elsewhere: few grants, sized by what is left of a quota, and what was found stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from grounded.engine.search import SearchConfig, sweep
from grounded.errors import QuestionError
from grounded.serving import Answered, Cancelled, Costs, Job, Progress, RemoteModel, Service, run_jobs
from grounded.serving.remote import GRANT_SECONDS
from grounded.types import Question
from tests.page.conftest import write_film
from tests.page.stub import StubEncodedVideo, StubGrounder

CLOSELY = Question("ground", "a dog", best=2, fine=True)


class Refused(Exception):
    """As a ZeroGPU client refuses: an error with a message."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Gpu:
    """Does jobs in this process and counts its grants; ``left`` are the seconds of the visitor's quota."""

    def __init__(self) -> None:
        self.grounder = StubGrounder()
        self.costs = Costs(self.grounder.family)  # type: ignore[arg-type]
        self.grants: list[Sequence[Job]] = []
        self.left = 10_000.0

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Any]:
        seconds = self.costs.grant(jobs)
        if seconds > self.left:
            raise Refused(f"You have exceeded your quota ({2 * seconds}s requested vs. {int(2 * self.left)}s left).")
        self.left -= seconds
        self.grants.append(jobs)
        yield from run_jobs(self.grounder, jobs)  # type: ignore[arg-type]


@pytest.fixture
def gpu() -> Gpu:
    return Gpu()


@pytest.fixture
def service(gpu: Gpu) -> Service:
    return Service(gpu.grounder.family, RemoteModel(gpu.grounder, gpu))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", seconds=4)


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "long.mp4", seconds=240)


def test_a_first_question_is_one_grant_and_its_video_is_encoded_once(service: Service, gpu: Gpu, film: Path) -> None:
    for question in (Question("caption"), Question("ground", "a dog"), Question("refer", start=1, end=2)):
        assert service.answer(film, question).text
    assert len(gpu.grants) == 3 and gpu.grounder.family.encoded == 1
    assert [isinstance(jobs[0].visual, torch.Tensor) for jobs in gpu.grants] == [False, True, True]


def test_first_questions_that_meet_encode_their_video_once(service: Service, gpu: Gpu, film: Path) -> None:
    questions = [Question("caption"), *(Question("ground", f"slow {n}", best=1) for n in range(4))]
    answers: list[str] = []
    threads = [threading.Thread(target=lambda q=q: answers.append(service.answer(film, q).task)) for q in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == ["caption", *["ground"] * 4]
    assert gpu.grounder.family.encoded == 1 and len(gpu.grants) < len(questions)


def ask_behind_the_first(gpu: Gpu, ask: Callable[[str], None], *texts: str) -> None:
    """Ask each text in a thread of its own, all but the first once that one is being answered."""
    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    threads[0].start()
    while not gpu.grounder.batches:
        time.sleep(0.01)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_queries_that_wait_together_share_a_grant(service: Service, gpu: Gpu, film: Path) -> None:
    answers: dict[str, str] = {}

    def ask(text: str) -> None:
        answers[text] = service.answer(film, Question("ground", text, best=1)).question

    ask_behind_the_first(gpu, ask, "slow", "a", "b", "c")
    assert answers == {text: text for text in ("slow", "a", "b", "c")}
    assert len(gpu.grants) == 2 and gpu.grounder.batches == [1, 3]


def test_a_search_takes_few_grants_of_bounded_length(service: Service, gpu: Gpu, long_film: Path) -> None:
    answer = service.answer(long_film, CLOSELY)
    windows = len(sweep(240.0, SearchConfig()))
    assert windows < answer.windows and not answer.note
    assert len(gpu.grants) == 3  # the whole, the sweep, what is around the likeliest moments
    assert sum(len(jobs) for jobs in gpu.grants[1:]) == answer.windows
    assert all(gpu.costs.grant(jobs) <= GRANT_SECONDS + 1 for jobs in gpu.grants)
    again = service.answer(long_film, CLOSELY)
    assert (again.windows, again.moments) == (0, answer.moments)


def test_grants_of_a_search_are_made_smaller_to_fit_what_is_left(service: Service, gpu: Gpu, long_film: Path) -> None:
    service.answer(long_film, Question("ground", "a dog", best=2))
    windows = len(sweep(240.0, SearchConfig()))
    window = gpu.costs.job(False, [CLOSELY]) + 0.5
    gpu.left = gpu.costs.grant([gpu.grants[0][0]]) + gpu.costs.start + (windows // 2 + 1) * window  # half of the sweep
    answer = service.answer(long_film, CLOSELY)
    asked = sum(len(jobs) for jobs in gpu.grants[2:])
    assert windows // 3 <= asked < windows, "some windows were asked, but not all"
    assert answer.moments and answer.windows > 0
    assert "some parts were not searched" in answer.note and "quota" in answer.note


def test_without_any_quota_the_first_answer_stays(service: Service, gpu: Gpu, long_film: Path) -> None:
    first = service.answer(long_film, Question("ground", "a dog", best=2))
    gpu.left = gpu.costs.grant(gpu.grants[0])  # for the whole alone
    answer = service.answer(long_film, CLOSELY)
    assert (answer.moments, answer.windows) == (first.moments, 0)
    assert "quota" in answer.note


def test_a_refused_grant_is_said(service: Service, gpu: Gpu, film: Path) -> None:
    gpu.left = 0
    with pytest.raises(Refused, match="exceeded your quota"):
        service.answer(film, Question("ground", "a dog"))


def test_a_batch_that_fails_costs_the_others_nothing(
    service: Service, gpu: Gpu, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground, outcomes = StubEncodedVideo.ground, {}

    def refuse(self: StubEncodedVideo, query: Any, **options: Any) -> Any:
        if "bad" in query:
            raise QuestionError("too many tokens")
        return ground(self, query, **options)

    monkeypatch.setattr(StubEncodedVideo, "ground", refuse)

    def ask(text: str) -> None:
        try:
            outcomes[text] = service.answer(film, Question("ground", text, best=1)).question
        except QuestionError as error:
            outcomes[text] = str(error)

    ask_behind_the_first(gpu, ask, "slow", "a", "bad", "c")
    assert outcomes == {"slow": "slow", "a": "a", "c": "c", "bad": "too many tokens"}


def test_two_who_search_one_video_encode_its_windows_once(service: Service, gpu: Gpu, long_film: Path) -> None:
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(service.answer(long_film, CLOSELY))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers[0].moments == answers[1].moments
    assert sum(answer.windows for answer in answers) == gpu.grounder.family.encoded - 1


def test_who_cancels_a_search_takes_no_further_grant(service: Service, gpu: Gpu, long_film: Path) -> None:
    stop = threading.Event()
    with pytest.raises(Cancelled):
        for event in service.ask(long_film, CLOSELY, stop):
            if isinstance(event, Progress) and event.what == "decoding windows":
                stop.set()
    for _ in range(2):
        assert service._searches.acquire(timeout=30)  # it has ended when its place is free
    assert len(gpu.grants) == 1


def test_a_worker_that_ends_early_is_said(gpu: Gpu, film: Path) -> None:
    service = Service(gpu.grounder.family, RemoteModel(gpu.grounder, lambda jobs: iter(())))  # type: ignore[arg-type]
    with pytest.raises(Exception, match="ended without an answer"):
        service.answer(film, Question("caption"))


def test_a_visitor_who_leaves_ends_the_work(service: Service, gpu: Gpu, film: Path) -> None:
    stop = threading.Event()
    with pytest.raises(Cancelled):
        for event in service.ask(film, Question("ground", "slow"), stop):
            assert not isinstance(event, Answered)
            if gpu.grants:
                stop.set()


def test_the_seconds_follow_the_model_and_the_work(gpu: Gpu) -> None:
    costs = gpu.costs
    assert costs.job(False, [Question("ground")]) > costs.job(True, [Question("ground")])
    assert costs.job(True, [Question("caption")]) > costs.job(True, [Question("ground")])
    assert costs.windows_in(GRANT_SECONDS) > 1
    fitting = costs.windows_in(GRANT_SECONDS)
    assert costs.start + fitting * (costs.job(False, [Question("ground")]) + 0.5) <= GRANT_SECONDS
