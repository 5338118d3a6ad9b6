"""What costs too much is refused before any work; addresses take turns; nothing is left of what was broken off."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from gradio.queueing import Event
from gradio_client import Client
from starlette.requests import Request

from grounded.page import files, guard
from grounded.page.files import own_folder
from grounded.types import Answer, Moment

ANSWER = Answer(
    "ground", "x", "", "", 20.0, (Moment(1.0, 2.0, 0.5, "[{" * 20),), curve=(0.123456789012,) * 300
).to_dict()
ATTACKS = {
    "nested dicts": ("export", [ANSWER | {"x": [{"a": {"b": {}}}] * 300_000}], "too large"),
    "a million numbers": ("export", [ANSWER | {"curve": [0] * 1_000_000}], "too large"),
    "a long text": ("export", [ANSWER | {"text": "x" * 6_000_000}], "too large"),
    "60,000 numbers": ("export", [ANSWER | {"curve": [0] * 60_000}], "at most 50000 are allowed"),
    "100,000 lists": ("export", [ANSWER | {"x": [[]] * 100_000}], "at most 10000 are allowed"),
    "a million options": ("choose", ["a"] * 1_000_000, "too large"),
    "100,000 options": ("choose", ["a"] * 100_000, "at most 50000 are allowed"),
}


def post(url: str, name: str, content: Any, **options: Any) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return httpx.post(f"{url}/gradio_api/call/{name}", content=content, headers=headers, timeout=60, **options)


def ask(url: str, path: str, query: str, address: str = "127.0.0.1", best: int = 1) -> Callable[[], str]:
    """Put a query into the line, asked from an address of this machine; return what waits for the answer."""
    client = httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=60)
    video = {"path": path, "meta": {"_type": "gradio.FileData"}}
    place = f"{url}/gradio_api/call/ground"
    event = client.post(place, json={"data": [video, query, best, False]}).raise_for_status().json()["event_id"]
    return lambda: client.get(f"{place}/{event}").text


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


@pytest.mark.parametrize(("name", "value", "why"), ATTACKS.values(), ids=ATTACKS)
def test_what_costs_too_much_is_one_sentence(url: str, name: str, value: Any, why: str) -> None:
    data = [value, "json", None, 0] if name == "export" else [None, "Which?", value]
    response = post(url, name, json.dumps({"data": data}))
    assert response.status_code == 422
    (detail,) = response.json()["detail"]
    assert why in detail["message"]


def test_a_deep_request_is_refused_and_brackets_in_a_text_are_not(url: str) -> None:
    assert "deeper than 32" in post(url, "export", '{"data":' + "[" * 5000).text
    assert not guard.problem_of(json.dumps({"data": ['[{"\\' * 20_000]}).encode())


def test_a_text_that_never_closes_is_read_once() -> None:
    start = time.process_time()
    assert not guard.problem_of(b'{"data": ["' + b'\\"' * 500_000)
    assert "deeper than 32" in guard.problem_of(b"[" * 33 + b'"' + b'\\"' * 500_000)
    assert time.process_time() - start < 2, "its length squared would take an hour"


def test_a_request_that_does_not_say_how_large_it_is_is_cut_off(url: str) -> None:
    assert "too large" in post(url, "export", (b"[" * 65536 for _ in range(100))).text


def test_a_script_reads_the_sentence(client: Client) -> None:
    with pytest.raises(Exception, match="the request holds 60"):
        client.predict([ANSWER | {"curve": [0] * 60_000}], "json", None, 0, api_name="/export")


def test_as_many_answers_as_an_export_takes_are_not_too_much(client: Client) -> None:
    file = client.predict(
        [ANSWER | {"question": f"number {n}"} for n in range(64)], "json", None, 0, api_name="/export"
    )
    assert len(json.loads(Path(file).read_text(encoding="utf-8"))["answers"]) == 64


def test_an_upload_that_is_broken_off_leaves_nothing(url: str, client: Client) -> None:
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    before = set(folder.iterdir())
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9000000\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    head += 'Content-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + b"0" * 300_000)
        wait_until(lambda: set(folder.iterdir()) > before)
    wait_until(lambda: set(folder.iterdir()) == before)


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within half a minute")


def test_one_address_cannot_keep_another_out(url: str, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SHARE", 2)
    path = upload(url, film)
    running = [ask(url, path, "slow", best=best) for best in range(1, 9)]  # of different ``best``: no batch
    wait_until(lambda: httpx.get(f"{url}/gradio_api/queue/status").json()["queue_size"] == 0)
    waiting = [ask(url, path, "quick") for _ in range(2)]
    refused = ask(url, path, "quick")()
    assert "event: error" in refused and "You have 2 questions waiting" in refused and "ask again in" in refused
    assert "event: complete" in ask(url, path, "quick", "127.0.0.2")()
    assert all("event: complete" in wait() for wait in (*running, *waiting))


def test_a_full_line_says_when_to_come_again(url: str, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "WAITING", 0)
    path = upload(url, film)
    refused = ask(url, path, "quick", "127.0.0.3")()
    assert "questions are waiting" in refused and "ask again in" in refused


def upload(url: str, film: Path) -> str:
    with film.open("rb") as file:
        return httpx.post(f"{url}/gradio_api/upload", files={"files": file}).raise_for_status().json()[0]


def test_addresses_take_turns() -> None:
    fn: Any = SimpleNamespace(concurrency_id="model")
    line = []
    for number, host in enumerate("aaaabba"):
        request = Request({"type": "http", "client": (host, 1), "headers": []})
        line.append(Event(str(number), fn, request, None))
        guard._take_turns(line)
    assert [guard.address_of(event.request) for event in line] == list("ababaaa")
    assert [event.session_hash for event in line] == list("0415236")


def test_a_space_knows_visitors_behind_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = [(b"x-forwarded-for", b"1.2.3.4, 10.0.0.1")]
    request = Request({"type": "http", "client": ("10.0.0.1", 1), "headers": headers})
    assert guard.address_of(request) == "10.0.0.1", "anybody can write that header"
    monkeypatch.setenv("SPACE_ID", "owner/name")
    assert guard.address_of(request) == "1.2.3.4"


def test_the_own_folder_goes_with_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    work = "with own_folder(): written([], 'json', None); print('ready', flush=True); time.sleep(600)"
    command = [sys.executable, "-c", f"import time\nfrom grounded.page.files import own_folder, written\n{work}"]
    killed, ended = (subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2))
    for process in (killed, ended):
        assert process.stdout and process.stdout.readline() == b"ready\n"
    killed.kill()
    killed.communicate()
    assert len(list(tmp_path.glob("grounded-*/written/*/moments.json"))) == 2
    with own_folder():
        assert len(list(tmp_path.glob("grounded-*"))) == 2, "what the killed one left is gone, and no more than that"
        assert Path(os.environ["GRADIO_TEMP_DIR"]).parent == tmp_path
    ended.send_signal(signal.SIGTERM)
    ended.communicate()
    assert ended.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.glob("grounded-*")) and os.environ["GRADIO_TEMP_DIR"] == str(tmp_path)


def test_a_system_without_locks_has_an_own_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(files, "fcntl", None)
    (tmp_path / "grounded-of-another").mkdir()
    with own_folder():
        assert len(list(tmp_path.glob("grounded-*"))) == 2, "nobody knows whether the other one has ended"
    assert [path.name for path in tmp_path.glob("grounded-*")] == ["grounded-of-another"]
