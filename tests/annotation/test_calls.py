"""The endpoint: what is sent, what it costs, and what happens when it cannot be used."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from grounded.annotation import asking
from grounded.annotation.asking import Call, Reply, Unusable, Wordings
from grounded.annotation.calls import GIVE_UP_AFTER, BudgetError, Endpoint, EndpointError, Settings, most_tokens
from grounded.annotation.items import Captioned, Source, sources
from grounded.annotation.journal import Journal
from grounded.errors import ConfigError, DataError
from grounded.types import Moment
from tests.annotation.server import TOKENS_IN, TOKENS_OUT, ChatServer

EVENTS = tuple(Moment(float(t), t + 2.0, text=f"a red circle moves {t}") for t in range(0, 90, 3))
SOURCES = sources((Captioned("v", 90.0, EVENTS, "v.mp4"),))
QUICK = {"model": "m", "first_wait": 0.01, "longest_wait": 0.02, "attempts": 2, "timeout": 5.0}


def calls() -> list[Call]:
    return [Wordings().question(source, "en") for source in SOURCES]


def test_a_request_is_what_the_chat_protocol_says(
    well_behaved: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    endpoint = Endpoint(Settings(well_behaved.url, **QUICK), Journal(tmp_path / "j"))
    (outcome,) = endpoint.ask_all(calls()[:1], asking.draft)
    assert outcome.value is not None and (outcome.value.start, outcome.value.end) == (0.0, 2.0)
    (body,), (headers,) = well_behaved.bodies, well_behaved.headers
    assert body["model"] == "m" and [m["role"] for m in body["messages"]] == ["system", "user"]
    assert body["response_format"]["type"] == "json_schema"
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["question", "answer", "start", "end"]
    assert "temperature" not in body and body["max_tokens"] == 512
    assert "hf_secret" not in str(headers)  # a key of the hub is nobody else's business


def test_the_key_is_sent_where_there_is_one(well_behaved: ChatServer, tmp_path: Path) -> None:
    settings = Settings(well_behaved.url, key="abc", **QUICK)
    Endpoint(settings, Journal(tmp_path / "j")).ask_all(calls()[:1], asking.draft)
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
        Endpoint(Settings(well_behaved.url, budget=budget, **prices, **QUICK), journal).ask_all(calls(), asking.draft)
    journal.close()
    assert 5 < well_behaved.replies < len(SOURCES) and well_behaved.replies * each <= budget
    paid = well_behaved.replies
    journal = Journal(tmp_path / "j")
    endpoint = Endpoint(Settings(well_behaved.url, budget=1.0, **prices, **QUICK), journal)
    assert endpoint.spent == pytest.approx(paid * each)
    assert all(outcome.value for outcome in endpoint.ask_all(calls(), asking.draft))
    assert well_behaved.replies == len(SOURCES)


def test_a_reply_that_never_came_counts_as_spent(reachable: None, tmp_path: Path) -> None:
    held = []

    class Silent(ChatServer):
        def process_request(self, request: object, client_address: object) -> None:
            """Take the connection and say nothing."""
            held.append(request)

    server = Silent()
    given = {**QUICK, "timeout": 0.2, "attempts": 1}
    endpoint = Endpoint(Settings(server.url, price_in=1.0, **given), Journal(tmp_path / "j"))
    (outcome,) = endpoint.ask_all(calls()[:1], asking.draft)
    server.shutdown()
    assert outcome.value is None and "in time" in outcome.reason
    assert endpoint.spent == pytest.approx(most_tokens(calls()[0]) / 1e6)


def test_a_wrong_key_stops_the_run_at_once(reachable: None, tmp_path: Path) -> None:
    server = ChatServer(status=401)
    with pytest.raises(EndpointError, match="401"):
        Endpoint(Settings(server.url, **QUICK), Journal(tmp_path / "j")).ask_all(calls(), asking.draft)
    assert len(server.bodies) <= Settings(server.url, **QUICK).concurrency
    server.shutdown()


def test_an_endpoint_that_is_down_is_given_up(reachable: None, tmp_path: Path) -> None:
    server = ChatServer()
    server.shutdown()
    server.server_close()
    begun = time.monotonic()
    with pytest.raises(EndpointError, match=f"{GIVE_UP_AFTER} calls in a row"):
        Endpoint(Settings(server.url, **QUICK), Journal(tmp_path / "j")).ask_all(calls(), asking.draft)
    assert time.monotonic() - begun < 30


def test_offline_mode_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EndpointError, match="HF_HUB_OFFLINE"):
        Endpoint(Settings("http://127.0.0.1:9/v1", **QUICK), Journal(tmp_path / "j")).ask_all(calls(), asking.draft)


@pytest.mark.parametrize(
    "wrong", [{"concurrency": 0}, {"replies": 0}, {"timeout": 0.0}, {"price_in": -1.0}, {"budget": 1.0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Settings("http://localhost", "m", **wrong)


def test_a_name_is_no_endpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="http"):
        Endpoint(Settings("localhost:8000/v1", "m"), Journal(tmp_path / "j"))


def test_a_journal_forgets_a_torn_line_and_nothing_else(tmp_path: Path) -> None:
    path, call = tmp_path / "j", calls()[0]
    journal = Journal(path)
    journal.add("a", call, Reply("one", tokens_in=3, tokens_out=4), 3, 4)
    journal.add("a", call, None, 10, 20)
    journal.add("a", call, Reply("two"), 1, 1)
    journal.close()
    path.write_bytes(path.read_bytes() + '{"id": "ü'.encode()[:-1])
    journal = Journal(path)
    assert [reply.text for reply in journal.replies("a")] == ["one", "two"]
    assert (journal.tokens_in, journal.tokens_out) == (14, 25)
    journal.add("b", call, Reply("three"), 0, 0)
    journal.close()
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
        (Reply("I'm sorry, I can't."), asking.REFUSED),
        (Reply("", refusal="no"), asking.REFUSED),
        (Reply('{"question": "a"}', finish="content_filter"), asking.REFUSED),
        (Reply("what?"), asking.NOT_JSON),
        (Reply('{"question": "wh', finish="length"), asking.CUT_OFF),
        (Reply("[" * 100_000 + "{}"), asking.WRONG_SHAPE),
        (Reply('{"question": 3, "answer": "a", "start": 1, "end": 2}'), asking.WRONG_SHAPE),
        (Reply('{"question": "q", "answer": "a", "start": null, "end": 2}'), asking.WRONG_SHAPE),
        (Reply('{"question": "q", "answer": "a", "start": NaN, "end": 2}'), asking.WRONG_SHAPE),
    ],
)
def test_unusable_replies_say_why(reply: Reply, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        asking.draft(reply)


def test_prompts_are_files_that_people_can_change(tmp_path: Path) -> None:
    for name in ("question", "judge", "blind"):
        (tmp_path / f"{name}.txt").write_text(f"Speak {name}.\n{asking._USER}\nNow.")
    (tmp_path / "question.txt").write_text(f"Speak $language.\n{asking._USER}\n$captions and {{braces}} for $wanted")
    source = Source(Captioned("v", 9.0, (Moment(0, 2, text="it costs $5 {x}"),), "v.mp4"), (0,))
    call = Wordings(tmp_path).question(source, "fr")
    assert call.system == "Speak fr."
    assert call.user == "event 1: 0 s to 2 s: it costs $5 {x} and {braces} for event 1."
    (tmp_path / "question.txt").write_text(f"a\n{asking._USER}\n$unknown")
    with pytest.raises(ConfigError, match="unknown"):
        Wordings(tmp_path).question(source, "fr")
    (tmp_path / "question.txt").write_text("no parts")
    with pytest.raises(ConfigError, match="two parts"):
        Wordings(tmp_path)


def test_a_letter_is_read_and_a_refusal_to_guess_is_none() -> None:
    assert asking.letter(Reply(json.dumps({"letter": "(b) "}))) == "B"
    assert asking.letter(Reply("I cannot see the video.")) == ""
