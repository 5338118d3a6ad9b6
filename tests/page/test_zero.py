"""Under a fake ZeroGPU scheduler: forked workers, pickled arguments, and a quota that runs out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from gradio_client import Client, handle_file

from tests.page.conftest import write_film

ROOT = Path(__file__).parents[2]


class Scheduler(ThreadingHTTPServer):
    """Grants a GPU that is not there, until the quota is spent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[int] = []
        self.workers: set[int] = set()
        self.spent = False
        self.left: int | None = None  # calls until it is


class Handler(BaseHTTPRequestHandler):
    server: Scheduler

    def do_POST(self) -> None:
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body, status = {}, 200
        if url.path == "/schedule":
            self.server.asked.append(int(query["durationSeconds"]))
            if self.server.left is not None:
                self.server.left -= 1
            if self.server.spent or (self.server.left is not None and self.server.left < 0):
                body, status = {"left": 3, "wait": 600}, 429
            else:
                body = {"idle": True, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": "token"}
        elif url.path == "/allow":
            self.server.workers.add(int(query["pid"]))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Scheduler]:
    with Scheduler() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def client(scheduler: Scheduler, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    environment = os.environ | {
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": f"http://127.0.0.1:{scheduler.server_address[1]}",
        "ZEROGPU_OFFLOAD_DIR": str(tmp_path_factory.mktemp("offload")),
        "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio")),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "OMP_NUM_THREADS": "1",
    }
    log = tmp_path_factory.mktemp("log") / "zero.log"
    with log.open("w") as errors:
        page = subprocess.Popen(
            [sys.executable, "-m", "tests.page.zero"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            assert page.stdout
            address = next((line.split()[1] for line in page.stdout if line.startswith("address")), None)
            assert address, log.read_text()[-2000:]
            threading.Thread(target=page.stdout.read, daemon=True).start()
            yield Client(address, verbose=False)
        finally:
            page.kill()
            page.wait()


def test_answers_come_from_forked_workers_and_features_are_kept(
    client: Client, scheduler: Scheduler, film: Path
) -> None:
    first = client.predict(handle_file(film), "a red circle", 1, api_name="/ground")
    assert first["moments"][0]["end"] == 4
    assert not first["cached"]
    looked = len(scheduler.asked)
    assert looked == 2, "one look, one question"
    second = client.predict(handle_file(film), "a blue star", 1, api_name="/ground")
    assert second["cached"]
    assert len(scheduler.asked) == looked + 1
    assert scheduler.workers
    assert client.predict(handle_file(film), api_name="/caption")["moments"]
    assert scheduler.asked[-1] > scheduler.asked[-2], "captions are given more time than a query"


def test_closer_looks_come_from_workers_too_and_a_quota_that_ends_leaves_the_first_answer(
    client: Client, scheduler: Scheduler, tmp_path: Path
) -> None:
    film = write_film(tmp_path / "long.mp4", seconds=70)
    once = client.predict(handle_file(film), "a red circle", 1, api_name="/ground")
    scheduler.left = 3
    ended = client.predict(handle_file(film), "a red circle", 1, True, api_name="/ground")
    scheduler.left = None
    assert "ended early" in ended["note"] and ended["moments"] == once["moments"]
    asked = len(scheduler.asked)
    closer = client.predict(handle_file(film), "a red circle", 1, True, api_name="/ground")
    assert not closer["note"] and closer["windows"] > 0
    assert len(scheduler.asked) > asked + closer["windows"]


def test_a_mistake_in_the_worker_is_a_sentence(client: Client, film: Path) -> None:
    with pytest.raises(Exception, match="must come first"):
        client.predict(handle_file(film), 3, 1, api_name="/refer")


def test_a_spent_quota_is_said(client: Client, scheduler: Scheduler, film: Path) -> None:
    scheduler.spent = True
    with pytest.raises(Exception, match="GPU limit|quota"):
        client.predict(handle_file(film), "a red circle", 1, api_name="/ground")
    scheduler.spent = False
