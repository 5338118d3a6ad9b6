"""The endpoint: what is sent, what it costs, and what happens when it cannot be used."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from grounded.annotation import chat
from grounded.annotation import endpoint as endpoint_module
from grounded.annotation.chat import Call, ChatReply, Draft, Guess, PromptFiles, UnusableReply, read
from grounded.annotation.endpoint import GIVE_UP_AFTER, BudgetError, Endpoint, EndpointError, Outcome, most_tokens
from grounded.annotation.journal import Journal
from grounded.annotation.questions import CaptionedVideo, Source, sources
from grounded.annotation.settings import EndpointSettings
from grounded.errors import ConfigError, DataError
from grounded.types import Moment
from tests.annotation.server import TOKENS_IN, TOKENS_OUT, ChatServer

EVENTS = tuple(Moment(float(t), t + 2.0, text=f"a red circle moves {t}") for t in range(0, 90, 3))
SOURCES = sources((CaptionedVideo("v", 90.0, EVENTS, "v.mp4"),))
QUICK = {"model": "m", "timeout": 5.0}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FIRST_WAIT": 0.01, "LONGEST_WAIT": 0.02, "ATTEMPTS": 2}.items():
        monkeypatch.setattr(endpoint_module, name, value)


def calls() -> list[Call]:
    return [PromptFiles().question(source, "en") for source in SOURCES]


def test_a_request_is_what_the_chat_protocol_says(
    well_behaved: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk_secret")
    endpoint = Endpoint(EndpointSettings(well_behaved.url, **QUICK), Journal(tmp_path / "j"))
    (outcome,) = endpoint.ask_all(calls()[:1], Draft)
    assert outcome.value is not None and (outcome.value.start, outcome.value.end) == (0.0, 2.0)
    (body,), (headers,) = well_behaved.bodies, well_behaved.headers
    assert body["model"] == "m" and [m["role"] for m in body["messages"]] == ["system", "user"]
    assert body["response_format"]["type"] == "json_schema"
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["question", "answer", "start", "end"]
    assert "temperature" not in body and body["max_tokens"] == 512
    assert "_secret" not in str(headers)  # a key of another service is nobody else's business


def test_the_key_is_sent_where_there_is_one(
    well_behaved: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDED_API_KEY", "abc")
    settings = EndpointSettings(well_behaved.url, **QUICK)
    Endpoint(settings, Journal(tmp_path / "j")).ask_all(calls()[:1], Draft)
    assert {name.lower(): value for name, value in well_behaved.headers[0].items()}["authorization"] == "Bearer abc"


def test_the_budget_stops_before_it_is_exceeded_and_a_larger_one_goes_on(
    well_behaved: ChatServer, tmp_path: Path
) -> None:
    prices = {"price_in": 1.0, "price_out": 2.0}
    each = (TOKENS_IN + 2 * TOKENS_OUT) / 1e6
    most = max(most_tokens(call) for call in calls()) / 1e6 + 2 * 512 / 1e6
    budget = 12 * each + most
    journal = Journal(tmp_path / "j")
    with pytest.raises(BudgetError, match="run again with a larger budget"):
        Endpoint(EndpointSettings(well_behaved.url, budget=budget, **prices, **QUICK), journal).ask_all(calls(), Draft)
    assert 5 < well_behaved.replies < len(SOURCES) and well_behaved.replies * each <= budget
    paid = well_behaved.replies
    journal = Journal(tmp_path / "j")
    endpoint = Endpoint(EndpointSettings(well_behaved.url, budget=1.0, **prices, **QUICK), journal)
    assert endpoint.spent == pytest.approx(paid * each)
    assert all(outcome.value for outcome in endpoint.ask_all(calls(), Draft))
    assert well_behaved.replies == len(SOURCES)


def test_requests_at_the_same_time_cannot_exceed_the_budget_together(tmp_path: Path) -> None:
    content = json.dumps(
        {
            "choices": [{"message": {"content": "{}"}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 512},
        }
    )
    server = Scripted(*[(200, content, {})] * 20)
    with pytest.raises(BudgetError):
        ask(server, tmp_path, 8, concurrency=4, price_out=1e6 / 512, budget=2.5)
    assert len(server.bodies) == 2


def test_a_reply_that_never_came_counts_as_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    class Silent(ChatServer):
        def process_request(self, request: object, client_address: object) -> None:
            """Take the connection and say nothing."""
            held.append(request)

    server = Silent()
    monkeypatch.setattr(endpoint_module, "ATTEMPTS", 1)
    given = {**QUICK, "timeout": 0.2}
    endpoint = Endpoint(EndpointSettings(server.url, price_in=1.0, **given), Journal(tmp_path / "j"))
    (outcome,) = endpoint.ask_all(calls()[:1], Draft)
    server.shutdown()
    assert outcome.value is None and "in time" in outcome.reason
    assert endpoint.spent == pytest.approx(most_tokens(calls()[0]) / 1e6)


def test_a_wrong_key_stops_the_run_at_once(tmp_path: Path) -> None:
    server = ChatServer(status=401)
    with pytest.raises(EndpointError, match="401"):
        Endpoint(EndpointSettings(server.url, **QUICK), Journal(tmp_path / "j")).ask_all(calls(), Draft)
    assert len(server.bodies) <= EndpointSettings(server.url, **QUICK).concurrency
    server.shutdown()


def test_an_endpoint_that_is_down_is_given_up(tmp_path: Path) -> None:
    server = ChatServer()
    server.shutdown()
    server.server_close()
    begun = time.monotonic()
    with pytest.raises(EndpointError, match=f"{GIVE_UP_AFTER} calls in a row"):
        Endpoint(EndpointSettings(server.url, **QUICK), Journal(tmp_path / "j")).ask_all(calls(), Draft)
    assert time.monotonic() - begun < 30


class Scripted(ChatServer):
    """Answers each request with the next of ``answers``: status, body and headers; None leaves it to the chat."""

    def __init__(self, *answers: tuple[int, str, dict[str, str]]) -> None:
        super().__init__(well=True)
        self.answers = list(answers)

    def next_answer(self, body: dict) -> tuple[int, str, dict[str, str]] | None:
        return self.answers.pop(0) if self.answers else None


def ask(server: ChatServer, folder: Path, count: int = 1, **given: Any) -> list[Outcome[Draft]]:
    settings = EndpointSettings(server.url, **{**QUICK, **given})
    outcomes = Endpoint(settings, Journal(folder / "j")).ask_all(calls()[:count], Draft)
    server.shutdown()
    server.server_close()
    return outcomes


def test_an_endpoint_that_takes_no_schema_is_asked_without_one(tmp_path: Path) -> None:
    class NoSchemas(ChatServer):
        def next_answer(self, body: dict) -> tuple[int, str, dict[str, str]] | None:
            return (400, '{"error": "unknown field response_format"}', {}) if "response_format" in body else None

    server = NoSchemas(well=True)
    outcomes = ask(server, tmp_path, 5, concurrency=1)
    assert all(outcome.value for outcome in outcomes)
    assert ["response_format" in body for body in server.bodies] == [True] + [False] * 5


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>busy</html>"), (200, "{"), (200, "{}"), (200, '{"choices": []}'), (200, '{"choices": [{}]}')]
    + [(status, "") for status in (408, 429, 500, 503, 529)],
)
def test_what_is_no_chat_completion_is_asked_for_again(tmp_path: Path, status: int, body: str) -> None:
    server = Scripted((status, body, {}))
    (outcome,) = ask(server, tmp_path)
    assert outcome.value is not None and len(server.bodies) == 2


@pytest.mark.parametrize(
    ("header", "least", "most"), [("0.3", 0.3, 1.0), ("100", 0.5, 1.0), ("Mon, 01 Jan 2035 00:00:00 GMT", 0.0, 0.3)]
)
def test_the_wait_that_an_endpoint_asks_for_is_kept_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, least: float, most: float
) -> None:
    monkeypatch.setattr(endpoint_module, "LONGEST_WAIT", 0.5)
    server = Scripted((429, "", {"Retry-After": header}))
    (outcome,) = ask(server, tmp_path)
    first, second = server.times
    assert outcome.value is not None and least <= second - first < most


def test_only_new_failures_in_a_row_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "GIVE_UP_AFTER", 3)
    monkeypatch.setattr(endpoint_module, "ATTEMPTS", 1)

    class EvenEventsFail(ChatServer):
        def next_answer(self, body: dict) -> tuple[int, str, dict[str, str]] | None:
            number = int(body["messages"][-1]["content"].split("about event ")[1].rstrip("."))
            return None if number % 2 else (500, "", {})

    for requests in (12, 6):  # the second run asks for what failed alone, six times in a row
        server = EvenEventsFail(well=True)
        outcomes = ask(server, tmp_path, 12, concurrency=1)
        assert [outcome.reason for outcome in outcomes] == ["", "the endpoint fails: 500"] * 6
        assert len(server.bodies) == requests


def test_waits_end_when_the_run_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "LONGEST_WAIT", 60.0)
    server = Scripted((429, "", {"Retry-After": "60"}), (401, "", {}), (401, "", {}))
    begun = time.monotonic()
    with pytest.raises(EndpointError, match="401"):
        ask(server, tmp_path, 5, concurrency=2)
    assert time.monotonic() - begun < 20


def test_a_missing_client_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigError, match=r"openai is not installed: pip install '\.\[annotate\]'"):
        Endpoint(EndpointSettings("http://localhost", "m"), Journal(tmp_path / "j"))


def test_half_a_letter_in_a_reply_breaks_nothing(tmp_path: Path) -> None:
    content = json.dumps({"choices": [{"message": {"content": "\ud800 {}"}, "finish_reason": "stop"}]})
    server = Scripted(*[(200, content, {})] * 3)
    (outcome,) = ask(server, tmp_path)
    assert outcome.value is None and outcome.reason == chat.WRONG_FIELDS
    assert Journal(tmp_path / "j").tokens_out == 3 * 512  # it counted nothing, so that all may have been used


@pytest.mark.parametrize(
    "wrong", [{"concurrency": 0}, {"max_tokens": 0}, {"timeout": 0.0}, {"price_in": -1.0}, {"budget": 1.0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        EndpointSettings("http://localhost", "m", **wrong)


def test_a_name_is_no_endpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="http"):
        Endpoint(EndpointSettings("localhost:8000/v1", "m"), Journal(tmp_path / "j"))


def test_a_journal_forgets_a_torn_line_and_nothing_else(tmp_path: Path) -> None:
    path, call = tmp_path / "j", calls()[0]
    journal = Journal(path)
    journal.add("a", call, ChatReply("one", tokens_in=3, tokens_out=4), 3, 4)
    journal.add("a", call, None, 10, 20)
    journal.add("a", call, ChatReply("two"), 1, 1)
    path.write_bytes(path.read_bytes() + '{"id": "ü'.encode()[:-1])
    journal = Journal(path)
    assert [reply.text for reply in journal.replies("a")] == ["one", "two"]
    assert (journal.tokens_in, journal.tokens_out) == (14, 25)
    journal.add("b", call, ChatReply("three"), 0, 0)
    assert len(path.read_text().splitlines()) == 4


def test_another_file_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_text("not a journal\n")
    with pytest.raises(DataError, match="journal"):
        Journal(path)
    assert path.read_text() == "not a journal\n"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (ChatReply("I'm sorry, I can't."), chat.REFUSED),
        (ChatReply("", refusal="no"), chat.REFUSED),
        (ChatReply('{"question": "a"}', finish="content_filter"), chat.REFUSED),
        (ChatReply("what?"), chat.NOT_JSON),
        (ChatReply('{"question": "wh', finish="length"), chat.CUT_OFF),
        (ChatReply("[" * 100_000 + "{}"), chat.WRONG_FIELDS),
        (ChatReply('{"question": 3, "answer": "a", "start": 1, "end": 2}'), chat.WRONG_FIELDS),
        (ChatReply('{"question": "q", "answer": "a", "start": null, "end": 2}'), chat.WRONG_FIELDS),
        (ChatReply('{"question": "q", "answer": "a", "start": NaN, "end": 2}'), chat.WRONG_FIELDS),
        (ChatReply('{"question": "\\ud800", "answer": "a", "start": 1, "end": 2}'), chat.NOT_JSON),
    ],
)
def test_unusable_replies_say_why(reply: ChatReply, why: str) -> None:
    with pytest.raises(UnusableReply, match=why):
        read(reply, Draft)


def test_prompts_are_files_that_people_can_change(tmp_path: Path) -> None:
    for name in ("question", "judge", "blind"):
        (tmp_path / f"{name}.txt").write_text(f"Speak {name}.\n{chat._USER}\nNow.")
    (tmp_path / "question.txt").write_text(f"Speak $language.\n{chat._USER}\n$captions and {{braces}} for $wanted")
    source = Source(CaptionedVideo("v", 9.0, (Moment(0, 2, text="it costs $5 {x}"),), "v.mp4"), (0,))
    call = PromptFiles(tmp_path).question(source, "fr")
    assert call.system == "Speak fr."
    assert call.user == "event 1: 0 s to 2 s: it costs $5 {x} and {braces} for event 1."
    (tmp_path / "question.txt").write_text(f"a\n{chat._USER}\n$unknown")
    with pytest.raises(ConfigError, match="unknown"):
        PromptFiles(tmp_path).question(source, "fr")
    (tmp_path / "question.txt").write_text("no parts")
    with pytest.raises(ConfigError, match="two parts"):
        PromptFiles(tmp_path)


def test_a_letter_is_read_and_a_refusal_to_guess_is_none() -> None:
    assert read(ChatReply(json.dumps({"letter": "(b) "})), Guess).letter == "B"
    assert read(ChatReply("I cannot see the video."), Guess).letter == ""


def test_a_budget_that_is_used_up_ends_the_run_whatever_was_held_for_earlier_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EndpointSettings(url="http://nowhere", model="m", price_in=1.0, price_out=1.0, max_tokens=1, budget=9.0)
    endpoint = Endpoint(settings, Journal(tmp_path / "calls.jsonl"))
    costs = iter([0.1, 0.2, 10.0])  # 0.1 + 0.2 - 0.1 - 0.2 is more than nothing
    monkeypatch.setattr(EndpointSettings, "cost", lambda self, *tokens: next(costs) if tokens[0] else 0.0)

    async def reply(call: Call, number: int) -> ChatReply:
        await asyncio.sleep(0.01 if call.key == "first" else 0.02)
        return ChatReply("{}")

    async def run() -> None:
        monkeypatch.setattr(endpoint, "_request", reply)
        monkeypatch.setattr(endpoint.journal, "add", lambda *_: None)
        three = [Call("question", key, "", "", {}) for key in ("first", "second", "third")]
        await asyncio.gather(*(endpoint._attempt(call.key, call, 0) for call in three[:2]))
        await asyncio.wait_for(endpoint._attempt("third", three[2], 0), 1.0)

    with pytest.raises(BudgetError):
        asyncio.run(run())
