"""The scheduler speaks what the client of `spaces` speaks, and the harness sees what answers differ in."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
from spaces.zero.api import APIClient, QuotaInfos, ScheduleResponse

from .scheduler import Scheduler
from .steps import different


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with Scheduler(gpus=1) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(scheduler: Scheduler) -> APIClient:
    return APIClient(httpx.Client(base_url=scheduler.url, timeout=10))


def test_a_gpu_is_granted_kept_warm_and_charged_by_the_seconds_it_took(scheduler: Scheduler, client: APIClient) -> None:
    assert client.startup_report() == 200
    first, _ = client.schedule("/", token="visitor", duration_seconds=200)
    assert isinstance(first, ScheduleResponse) and not first.idle
    assert client.allow(first.allowToken, pid=1) == 200
    assert scheduler.left("visitor") == 100
    assert client.release(first.allowToken) == 200 and client.release(first.allowToken) == 404
    assert scheduler.left("visitor") >= 298
    second, _ = client.schedule("/", token="visitor", duration_seconds=200)
    assert isinstance(second, ScheduleResponse) and second.idle
    assert client.release(second.allowToken, fail=True) == 200
    third, _ = client.schedule("/", token="visitor", duration_seconds=10)
    assert isinstance(third, ScheduleResponse) and not third.idle, "a worker that failed is not asked again"


def test_a_visitor_gets_no_more_than_the_quota_and_another_does(scheduler: Scheduler, client: APIClient) -> None:
    refusal, facts = client.schedule("/", token="visitor", duration_seconds=301)
    assert isinstance(refusal, QuotaInfos) and refusal.left == 300 and facts.auth == "regular"
    scheduler.most_grants["visitor"] = 1
    granted, _ = client.schedule("/", token="visitor", duration_seconds=10)
    assert isinstance(granted, ScheduleResponse)
    client.release(granted.allowToken)
    assert isinstance(client.schedule("/", token="visitor", duration_seconds=10)[0], QuotaInfos)
    assert isinstance(client.schedule("/", token="another", duration_seconds=10)[0], ScheduleResponse)


def test_who_comes_while_all_are_taken_waits(scheduler: Scheduler, client: APIClient) -> None:
    first, _ = client.schedule("/", token="visitor", duration_seconds=10)
    events, facts = client.schedule("/", token="another", duration_seconds=10)
    assert isinstance(first, ScheduleResponse) and not isinstance(events, ScheduleResponse)
    assert facts.queuing_reason == "concurrency" and next(events).event == "ping"  # type: ignore[arg-type]
    client.release(first.allowToken)
    kinds = [event.event for event in events]  # type: ignore[union-attr]
    assert kinds[-1] == "succeeded" and len(scheduler.of("another")) == 1


def test_differences_between_answers_are_found() -> None:
    moment = {"start": 1.0, "end": 2.0, "text": "", "score": 0.5}
    answer = {"task": "ground", "text": "a", "choice": None, "moments": [moment], "options": []}
    assert not different(answer, answer | {"moments": [moment | {"score": 0.51}]})
    for other in ({"text": "b"}, {"moments": []}, *({"moments": [moment | {"end": end}]} for end in (2.1, 1.9))):
        assert different(answer, answer | other)
    assert different(answer, answer | {"moments": [moment | {"score": 0.6}]})
