"""Serving: questions as streams of events, a batcher that answers together, and work that stops."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from grounded.engine.disk_cache import VideoTokens
from grounded.engine.memory_cache import MemoryCache
from grounded.engine.search import SearchConfig, sweep
from grounded.errors import GroundedError, QuestionError, VideoError
from grounded.serving import (
    Answered,
    Cancelled,
    FirstAnswer,
    LocalModel,
    PartialText,
    Progress,
    RemoteModel,
    Service,
    run_jobs,
)
from grounded.serving.events import ProgressReporter, stream
from grounded.serving.service import SEARCHES
from grounded.types import Question
from tests.page.conftest import write_film
from tests.page.stub import StubConversation, StubEncodedVideo, StubGrounder
from tests.page.stub import service as stub_service


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", seconds=4)


@pytest.fixture
def grounder() -> Any:
    return StubGrounder()


@pytest.fixture
def service(grounder: Any) -> Service:
    return stub_service(grounder)


def asked(service: Service, path: Path, question: Question) -> Answered:
    """Return the last event: the answer, and the conversation with it."""
    *_, last = service.ask(path, question)
    assert isinstance(last, Answered)
    return last


def test_a_question_is_decoded_encoded_written_and_served(service: Service, film: Path) -> None:
    events = list(service.ask(film, Question("ground", "a dog")))
    done = [event.what for event in events if isinstance(event, Progress)]
    assert done[0] == "waiting for the decoder"
    assert [what for what in dict.fromkeys(done) if what != done[0]] == [
        "decoding",
        "encoding",
        "reading the video",
        "answering",
    ]
    fractions = [event.fraction for event in events if isinstance(event, Progress) and event.what == "decoding"]
    assert fractions == [0, *(k / 8 for k in range(1, 9))], "one for each of the stub's eight frames"
    assert any(isinstance(event, PartialText) for event in events)
    assert isinstance(events[-1], Answered)
    assert not events[-1].answer.cached
    again = service.answer(film, Question("ground", "a cat"))
    assert again.cached
    assert again.seconds < events[-1].answer.seconds


def test_caches_that_questions_made_are_bounded_after_each(
    grounder: Any, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache: Any = MemoryCache(max_cache_bytes=5)
    service = stub_service(grounder, cache=cache)
    older = service.watch(film)
    monkeypatch.setattr(StubEncodedVideo, "forget", lambda self: setattr(self, "cache_nbytes", 0))
    older.cache_nbytes = 10  # as a question leaves it
    cache.get_or_make("newer", lambda: grounder.from_tokens(VideoTokens(older.visual, 4.0, ())))
    older.cache_nbytes = 10
    service.answer(film, Question("caption"))
    assert older.cache_nbytes == 10, "the video used last keeps its cache"
    cache.find("newer")
    service.answer(film, Question("caption"))
    newer = cache.find("newer")
    newer.cache_nbytes = 10
    service.answer(film, Question("caption"))
    assert newer.cache_nbytes == 0


def test_a_bad_question_is_refused_before_the_video_is_decoded(service: Service, grounder: Any) -> None:
    for question in (Question("ground", " "), Question("choose", "x", options=("y" * 5000, "z"))):
        with pytest.raises(QuestionError):
            list(service.ask("/nowhere.mp4", question))
    with pytest.raises(VideoError):
        list(service.ask("/nowhere.mp4", Question("caption")))
    assert grounder.family.encoded == 0


def test_a_stop_ends_the_work(service: Service, film: Path) -> None:
    stop = threading.Event()
    with pytest.raises(Cancelled):  # it would be answered in the end if nothing had stopped it
        for event in service.ask(film, Question("ground", "slow"), stop):
            if isinstance(event, PartialText):
                stop.set()


def test_who_leaves_a_stream_stops_its_work() -> None:
    ended = threading.Event()

    def work(emit: Any, stop: Any) -> None:
        while not stop():
            emit(Progress("working", 0.5))
            time.sleep(0.01)
        ended.set()

    events = stream(work)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert ended.wait(5)


def test_progress_is_told_percent_by_percent_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now, events, over = 0.0, [], False
    monkeypatch.setattr(time, "monotonic", lambda: now)
    report = ProgressReporter(events.append, lambda: over)
    for number in range(3001):
        now = number / 100  # thirty seconds in all
        report("encoding", number / 3000)
    assert [event.fraction for event in events] == pytest.approx([percent / 100 for percent in range(101)], abs=1e-3)
    assert events[5].left is None and events[50].left == pytest.approx(15, abs=0.1)
    report("answering", 0.0)
    assert events[-1] == Progress("answering", 0.0)
    over = True
    with pytest.raises(Cancelled):
        report("answering", 0.001)


def test_an_error_of_the_work_is_raised_to_who_reads() -> None:
    def work(emit: Any, stop: Any) -> None:
        raise GroundedError("no")

    with pytest.raises(GroundedError, match="no"):
        list(stream(work))


def meet(watched: Any, grounder: Any, count: int) -> dict[str, str]:
    """Let queries wait behind a slow one; return what each was answered to."""
    model, answered = LocalModel(grounder), {}

    def ask(text: str) -> None:
        found = model.respond(watched, Question("ground", text, best=1), lambda _: None, lambda: False)
        answered[text] = found.answer.question

    first = threading.Thread(target=ask, args=("slow",))
    first.start()
    while not grounder.batches:
        time.sleep(0.01)
    rest = [threading.Thread(target=ask, args=(f"query {n}",)) for n in range(count)]
    for thread in rest:
        thread.start()
    for thread in (first, *rest):
        thread.join(30)
    return answered


def test_queries_that_wait_together_are_answered_as_one_batch(service: Service, grounder: Any, film: Path) -> None:
    answered = meet(service.watch(film), grounder, 5)
    assert answered == {text: text for text in ("slow", *(f"query {n}" for n in range(5)))}
    assert sum(grounder.batches) == 6
    assert max(grounder.batches) >= 4


@pytest.mark.parametrize("error", [QuestionError("no"), RuntimeError("out of memory")])
def test_where_a_batch_fails_each_query_is_asked_alone(
    service: Service, grounder: Any, film: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    ground, failed = StubEncodedVideo.ground, []

    def alone(self: StubEncodedVideo, query: Any, **options: Any) -> Any:
        if isinstance(query, list):
            failed.append(query)
            raise error
        return ground(self, query, **options)

    monkeypatch.setattr(StubEncodedVideo, "ground", alone)
    assert meet(service.watch(film), grounder, 5) == {
        text: text for text in ("slow", *(f"query {n}" for n in range(5)))
    }
    assert failed and grounder.batches == [1] * 6


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "long.mp4", seconds=120)


CLOSELY = Question("ground", "a dog", best=2, fine=True)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_query_may_look_closer_at_a_long_video(grounder: Any, long_film: Path, elsewhere: bool) -> None:
    model: Any = RemoteModel(grounder, lambda jobs: run_jobs(grounder, jobs)) if elsewhere else LocalModel(grounder)
    service = Service(grounder.family, model)
    events = list(service.ask(long_film, CLOSELY))
    done = [event.fraction for event in events if isinstance(event, Progress) and event.what.startswith("window ")]
    [first] = [event.answer for event in events if isinstance(event, FirstAnswer)]
    assert first.moments and first.windows == 0 and first.trust, "the answer from the whole comes first"
    assert done == sorted(done) and done[0] == 0 and done[-1] == 1
    assert isinstance(events[-1], Answered)
    served = events[-1].answer
    swept = len(sweep(120.0, SearchConfig()))
    assert swept < served.windows <= service.most_windows(120.0) == swept + 3
    assert len(served.moments) == 2
    assert all(0 <= moment.start < moment.end <= 120 for moment in served.moments)
    moment = served.moments[0]
    assert moment.end - moment.start < 20, "the stub sees everything in the second quarter of what it is shown"
    again = service.answer(long_film, CLOSELY)
    assert again.windows == 0 and again.moments == served.moments


def test_others_are_answered_between_closer_looks(service: Service, grounder: Any, long_film: Path) -> None:
    encoded = 0
    for event in service.ask(long_film, CLOSELY):
        if not encoded and isinstance(event, FirstAnswer):
            assert service.answer(long_film, Question("caption")).cached
            encoded = grounder.family.encoded
    assert 0 < encoded < grounder.family.encoded


def test_closer_looks_are_made_for_few_at_a_time(service: Service, grounder: Any, long_film: Path) -> None:
    for _ in range(SEARCHES):
        service._searches.acquire()
    served = service.answer(long_film, CLOSELY)
    assert served.windows == 0 and served.moments and "Others are searching" in served.note
    service._searches.release()
    again = service.answer(long_film, CLOSELY)
    assert again.windows == grounder.family.encoded - 1 and not again.note
    assert service._searches.acquire(blocking=False), "its place is free again"


@pytest.mark.parametrize("error", [VideoError("the file is gone"), RuntimeError("an inner matter")])
def test_what_fails_among_closer_looks_costs_neither_the_first_answer_nor_the_looks_before(
    service: Service, grounder: Any, long_film: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    once = service.answer(long_film, Question("ground", "a dog", best=2))
    encode = grounder.encode_clip

    def fail(clip: Any, *options: Any) -> Any:
        if grounder.family.encoded == 4:
            raise error
        return encode(clip, *options)

    with monkeypatch.context() as patch:
        patch.setattr(grounder, "encode_clip", fail)
        served = service.answer(long_film, CLOSELY)
    assert (served.text, served.moments) == (once.text, once.moments)
    assert "ended early" in served.note and "inner" not in served.note
    encoded = grounder.family.encoded
    again = service.answer(long_film, CLOSELY)
    assert not again.note and again.windows == grounder.family.encoded - encoded
    assert len(service.watch(long_film).window_cache) == grounder.family.encoded - 1, "none was made twice"


def test_a_search_that_takes_too_long_keeps_what_it_found(
    service: Service, grounder: Any, long_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grounded.serving.service.SEARCH_SECONDS", 1.0)  # enough for some of its windows
    answer = service.answer(long_film, CLOSELY)
    assert 0 < answer.windows < len(sweep(120.0, SearchConfig())) and answer.moments
    assert "did not ask all" in answer.note


def test_closer_looks_end_in_time(service: Service, long_film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grounded.serving.service.SEARCH_SECONDS", 0.0)
    served = service.answer(long_film, CLOSELY)
    assert served.windows == 0 and "did not ask all" in served.note


def test_two_who_look_closer_at_one_video_share_their_looks(service: Service, grounder: Any, long_film: Path) -> None:
    with ThreadPoolExecutor(SEARCHES) as pool:
        served = list(pool.map(lambda _: service.answer(long_film, CLOSELY), range(SEARCHES)))
    assert served[0].moments == served[1].moments
    assert sum(each.windows for each in served) == grounder.family.encoded - 1


def test_a_stop_ends_closer_looks_and_those_that_were_made_are_kept(
    service: Service, grounder: Any, long_film: Path
) -> None:
    stop = threading.Event()
    with pytest.raises(Cancelled):
        for event in service.ask(long_film, CLOSELY, stop):
            if isinstance(event, Progress) and event.what.startswith("window "):
                stop.set()
    for _ in range(SEARCHES):  # the search has ended when its place is free
        assert service._searches.acquire(timeout=30)
    for _ in range(SEARCHES):
        service._searches.release()
    kept = len(service.watch(long_film).window_cache)
    assert kept < len(sweep(120.0, SearchConfig()))
    assert service.answer(long_film, CLOSELY).windows == grounder.family.encoded - 1 - kept


def test_windows_come_from_the_file_of_who_asks(service: Service, long_film: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    for path in (first, second):
        path.write_bytes(long_film.read_bytes())
    service.answer(first, Question("ground", "a dog"))
    first.unlink()
    answer = service.answer(second, CLOSELY)
    assert answer.cached and not answer.note and answer.windows > 0


def test_who_waits_for_others_can_leave_at_once(service: Service, film: Path) -> None:
    watched = service.watch(film)
    with service._decoders, service._decoders:
        stop, start = threading.Event(), time.monotonic()
        threading.Timer(0.3, stop.set).start()
        other = write_film(film.with_name("other.mp4"), seconds=3)
        with pytest.raises(Cancelled):
            list(service.ask(other, Question("caption"), stop))
        assert time.monotonic() - start < 5, "it did not wait for a decoder"
    assert watched is service.watch(film)


def test_a_choice_comes_with_the_moment_that_shows_it(service: Service, film: Path) -> None:
    answer = service.answer(film, Question("choose", "Which?", options=("one", "two")))
    assert answer.choice == "A"
    assert (answer.moments[0].start, answer.moments[0].end) == (1, 2)


def test_a_conversation_goes_on_with_its_turns_and_forgets_the_oldest(service: Service, film: Path) -> None:
    turns: tuple[Any, ...] = ()
    for number in range(1, 12):
        answered = asked(service, film, Question("ask", "And?", turns=turns))
        turns = answered.turns
        assert answered.answer.text.startswith(f"Question {min(number, 9)}:")
    assert len(turns) == 8


def test_a_conversation_too_long_for_the_model_goes_on_without_its_oldest_turns(
    service: Service, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = StubConversation.ask

    def short(self: StubConversation, question: str, **options: Any) -> Any:
        if len(self.turns) > 2:
            raise QuestionError("too many tokens")
        return ask(self, question, **options)

    monkeypatch.setattr(StubConversation, "ask", short)
    turns: tuple[Any, ...] = ()
    for _ in range(5):
        turns = asked(service, film, Question("ask", "And?", turns=turns)).turns
    assert len(turns) == 3
