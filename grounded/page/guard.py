"""Guard: requests that cost too much are refused before any work, and every visitor has a share of the queue.

Gradio reads a request, and looks for files in it, on the event loop that serves everybody.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from typing import Any

from fastapi import Request
from gradio.exceptions import Error
from gradio.queueing import Event, Queue
from gradio.server_messages import ProcessCompletedMessage
from gradio.utils import error_payload
from starlette.formparsers import MultiPartException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BYTES = 2 << 20  # of a request that is no upload
MAX_VALUES, MAX_NESTED, MAX_DEPTH = 50_000, 10_000, 32  # 64 answers, each with a curve of 300 numbers, have 25,000
SHARE = 64  # questions of one address that may wait
WAITING = 256  # questions of all together
# One that is not closed reaches to the end: else it would be tried anew from each of its escaped quotes.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_NESTING = bytes(set(range(256)) - set(b"[]{}"))


class Guard:
    """ASGI middleware: refuses large requests, and lets an upload that is broken off leave no file."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
        elif scope["path"].rstrip("/").endswith("/upload"):
            await self.app(scope, _until_broken_off(receive), send)
        else:
            body = await _read(receive)
            if problem := problem_of(body):
                await _refusal(problem)(scope, receive, send)
            else:
                await self.app(scope, _read_again(body, receive), send)


def problem_of(body: bytes) -> str:
    """Say why a request costs too much, as a sentence; or nothing. Nothing in it is decoded for that."""
    if len(body) > MAX_BYTES:
        return f"the request is too large: at most {MAX_BYTES >> 20} MB are allowed"
    bare = _STRING.sub(b"", body)
    nested = bare.count(b"[") + bare.count(b"{")
    if nested > MAX_NESTED:
        return f"the request holds {nested} lists and objects; at most {MAX_NESTED} are allowed"
    if (values := bare.count(b",") + 1) > MAX_VALUES:
        return f"the request holds {values} values; at most {MAX_VALUES} are allowed"
    depth = 0
    for bracket in bare.translate(None, _NOT_NESTING):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return f"the request is nested deeper than {MAX_DEPTH} lists and objects"
    return ""


def _refusal(problem: str) -> JSONResponse:
    """Return a response whose sentence Gradio's clients show: they read one of no other status."""
    detail = {"__type__": "validate", "is_valid": False, "parameter_name": "request", "message": problem}
    return JSONResponse({"detail": [detail]}, 422)


async def _read(receive: Receive) -> bytes:
    """Return a request's body, cut off where it is larger than any that is allowed."""
    body, more = bytearray(), True
    while more and len(body) <= MAX_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _read_again(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read, and then what else comes."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message


def _until_broken_off(receive: Receive) -> Receive:
    """Return what fails as Gradio's reader of uploads knows it: so that it deletes what it wrote."""

    async def next_message() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MultiPartException("the upload was broken off")
        return message

    return next_message


def address_of(request: Request) -> str:
    """Return who asks. A Space lies behind a proxy, which names the visitor."""
    if "SPACE_ID" in os.environ and (forwarded := request.headers.get("x-forwarded-for")):
        return forwarded.split(",")[0].strip()
    return request.client.host if request.client else ""


class FairQueue(Queue):
    """Gradio's queue, in which addresses take turns, and one that fills it is told when to come again."""

    async def push(self, body: Any, request: Request, username: str | None) -> Any:
        pushed = await super().push(body, request, username)
        if not pushed[0] or (event := self.event_ids_to_events.get(pushed[1])) is None:
            return pushed
        line = self.event_queue_per_concurrency_id[event.concurrency_id].queue
        own = [each for each in self._waiting() if address_of(each.request) == address_of(request)]
        if len(own) > SHARE:
            self._refuse(event, line, f"You have {SHARE} questions waiting", len(own))
        elif len(self) > WAITING:
            self._refuse(event, line, f"{WAITING} questions are waiting", len(line))
        else:
            _take_turns(line)
        return pushed

    def _waiting(self) -> list[Event]:
        return [event for line in self.event_queue_per_concurrency_id.values() for event in line.queue]

    def _refuse(self, event: Event, line: list[Event], why: str, ahead: int) -> None:
        """Answer an event that has just joined a line with a sentence instead."""
        line.remove(event)
        times = self.process_time_per_fn
        each = times[event.fn].avg_time if event.fn in times else 0.0
        workers = self.event_queue_per_concurrency_id[event.concurrency_id].concurrency_limit or 1
        error = Error(f"{why}, and no more can: ask again in {max(5, math.ceil(ahead * each / workers))} seconds.")
        self.send_message(event, ProcessCompletedMessage(output=error_payload(error, False), success=False))
        self.event_ids_to_events.pop(event._id, None)


def _take_turns(line: list[Event]) -> None:
    """Put everybody's first question before anybody's second one."""
    counts: Counter[str] = Counter()
    turns = {}
    for event in line:
        address = address_of(event.request)
        turns[event._id] = counts[address]
        counts[address] += 1
    line.sort(key=lambda event: turns[event._id])
