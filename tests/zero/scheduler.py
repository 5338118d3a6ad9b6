"""A ZeroGPU scheduler on loopback: what `spaces` asks of its device API, with a quota for each visitor.

Source: spaces 0.51.3, zero/api.py and zero/client.py.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlparse

QUOTA = 300.0  # seconds a day of a free account
PING = 1.0  # seconds between two signs of life to a client that waits for a GPU


@dataclass
class Slot:
    """One GPU: the worker that keeps it, and the token of the call that has it now, if any."""

    index: int
    worker: int | None = None
    token: str | None = None


@dataclass
class Grant:
    """One GPU call: whose, the seconds that were asked for (with the client's factor), and those that it took."""

    visitor: str
    requested: int
    began: float
    seconds: float | None = None


class Scheduler(ThreadingHTTPServer):
    """Grants GPUs that are not there; those who come while all are taken wait.

    ``refusal`` is how grants are refused, if they are: "busy" at once, "queue" after waiting. ``kill`` ends the next
    new worker before it begins. ``most_grants`` is after how many grants a visitor's quota is spent, whatever they
    took.
    """

    daemon_threads = True

    def __init__(self, gpus: int = 2) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.grants: dict[str, Grant] = {}  # by token
        self.quota: dict[str, float] = defaultdict(lambda: QUOTA)
        self.most_grants: dict[str, int] = {}
        self.refusal = ""
        self.kill = False
        self.reports = 0
        self.waits = 0
        self.slots = [Slot(index) for index in range(gpus)]
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def of(self, visitor: str) -> list[Grant]:
        """Return a visitor's grants, oldest first."""
        return [grant for grant in self.grants.values() if grant.visitor == visitor]

    def left(self, visitor: str) -> int:
        """Return the seconds of a visitor's quota: what running calls asked for is taken off, then what they took."""
        grants = self.of(visitor)
        if len(grants) >= self.most_grants.get(visitor, len(grants) + 1):
            return 0
        used = sum(grant.requested if grant.seconds is None else grant.seconds for grant in grants)
        return max(0, int(self.quota[visitor] - used))

    def take(self, visitor: str, requested: int) -> dict[str, Any] | None:
        """Return the answer to a client that gets a free GPU, or None where there is none."""
        with self.changed:
            slot = next((slot for slot in self.slots if slot.token is None), None)
            if slot is None:
                return None
            slot.token = f"grant-{len(self.grants)}"
            self.grants[slot.token] = Grant(visitor, requested, time.monotonic())
            if self.kill:
                slot.worker = None
            answer = {"idle": slot.worker is not None, "nvidiaIndex": slot.index, "nvidiaUUID": f"GPU-{slot.index}"}
            return answer | {"allowToken": slot.token}

    def allow(self, token: str, worker: int) -> None:
        """Note the worker of a call; a worker that is to be killed never hears that it may begin."""
        if self.kill:
            self.kill = False
            os.kill(worker, signal.SIGKILL)
            return
        next(slot for slot in self.slots if slot.token == token).worker = worker

    def release(self, token: str, failed: bool) -> bool:
        """Take a GPU back; say whether the token was known."""
        with self.changed:
            slot = next((slot for slot in self.slots if slot.token == token), None)
            if slot is None:
                return False
            slot.token = None
            if failed:
                slot.worker = None
            self.grants[token].seconds = time.monotonic() - self.grants[token].began
            self.changed.notify_all()
            return True


class _Handler(BaseHTTPRequestHandler):
    server: Scheduler

    def do_POST(self) -> None:
        url = urlparse(self.path)
        query = dict(parse_qsl(url.query))
        match url.path:
            case "/startup-report":
                self.server.reports += 1
                self._answer()
            case "/schedule":
                self._schedule(query.get("token", ""), int(query["durationSeconds"]))
            case "/allow":
                self.server.allow(query["allowToken"], int(query["pid"]))
                self._answer()
            case "/release":
                known = self.server.release(query["allowToken"], query["fail"] == "true")
                self._answer(status=200 if known else 404)
            case _:
                self._answer(status=501)

    def _schedule(self, visitor: str, requested: int) -> None:
        left = self.server.left(visitor)
        if self.server.refusal == "busy":
            self._answer(status=503)
        elif requested > left:
            headers = {"X-Authenticated": "regular", "X-Approve-Result": "quota-exceeded"}
            self._answer({"left": left, "wait": 3600}, 429, headers)
        elif self.server.refusal == "queue":
            self._open({"X-Queuing-Reason": "node"})
            self.wfile.write(b"event: failed\n\n")
        elif granted := self.server.take(visitor, requested):
            self._answer(granted)
        else:
            self._wait(visitor, requested)

    def _wait(self, visitor: str, requested: int) -> None:
        """Let a client wait for a GPU; it reads one event at a time, so that none may follow at once."""
        self.server.waits += 1
        self._open({"X-Queuing-Reason": "concurrency"})
        granted = None
        try:
            while (granted := self.server.take(visitor, requested)) is None:
                with self.server.changed:
                    self.server.changed.wait(PING)
                self.wfile.write(b"event: ping\n\n")
                time.sleep(0.05)
            self.wfile.write(f"event: succeeded\ndata: {json.dumps(granted)}\n\n".encode())
        except OSError:  # the client is gone
            if granted:
                self.server.release(granted["allowToken"], failed=False)

    def _open(self, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in ({"Content-Type": "text/event-stream"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _answer(self, body: Any = None, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body or {}).encode()
        self.send_response(status)
        facts = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        for name, value in (facts | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass
