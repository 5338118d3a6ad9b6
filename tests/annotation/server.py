"""A chat endpoint on this machine that writes questions about the synthetic world, and misbehaves on purpose.

What it does depends on the words of a request alone (and, where it fails only at first, on how often they came), so a
run that was killed and continued is treated as one that was not.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANNERS = (
    "busy at first",
    "broken at first",
    "slow at first",
    "hangs up at first",
    "no JSON at first",
    "no JSON",
    "cut off",
    "other fields",
    "refuses",
    "refuses in words",
    "broken",
    "rejects",
    "fenced",
    "times elsewhere",
    "times outside",
    "times backwards",
    "times too wide",
    "tells a time",
    "names a caption",
    "tells the answer",
    "German",
    "no question mark",
    *["good"] * 14,
)
TOKENS_IN, TOKENS_OUT = 300, 40  # that it says it used, for every reply


def manner_of(user: str) -> str:
    """Return how a question prompt is treated."""
    return MANNERS[_number(user) % len(MANNERS)]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


class ChatServer(ThreadingHTTPServer):
    """Serves on the loopback alone; at most ``lasting`` requests in all, so that no test can run away."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, well: bool = False, status: int = 200, lasting: int = 20_000) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.well, self.status, self.lasting = well, status, lasting
        self.lock = threading.Lock()
        self.came: Counter[str] = Counter()  # by words
        self.bodies: list[dict] = []
        self.times: list[float] = []
        self.headers: list[dict] = []
        self.replies = 0  # that were paid for
        self.at_once = self.most_at_once = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def next_answer(self, body: dict) -> tuple[int, str, dict[str, str]] | None:
        """Return status, text and headers of the answer, None where the chat is to give it."""
        return None

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server, user = self.server, body["messages"][-1]["content"]
        with server.lock:
            server.came[user] += 1
            times = server.came[user]
            server.bodies.append(body)
            server.times.append(time.monotonic())
            answer = server.next_answer(body)
            server.headers.append(dict(self.headers))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            over = len(server.bodies) > server.lasting
        try:
            if answer is not None:
                self._send(answer[0], answer[1], answer[2])
            elif over or server.status != 200:
                self._send(401 if over else server.status, {})
            else:
                self._answer(body, user, times)
        finally:
            with server.lock:
                server.at_once -= 1

    def _answer(self, body: dict, user: str, times: int) -> None:
        kind = body["response_format"]["json_schema"]["name"] if "response_format" in body else "question"
        if kind == "blind":
            return self._say(json.dumps({"letter": _guess(user, body["seed"])}))
        if kind == "judge":
            return self._say(json.dumps({"good": "blink" not in user.split("Question:")[1], "reason": "seen"}))
        manner = "good" if self.server.well else manner_of(user)
        if manner == "busy at first" and times <= 2:
            return self._send(429, {"error": "slow down"}, {"Retry-After": "0.05"})
        if manner == "broken" or (manner == "broken at first" and times == 1):
            return self._send(500, {"error": "oops"})
        if manner == "rejects":
            return self._send(400, {"error": "unsupported"})
        if manner == "hangs up at first" and times == 1:
            self.close_connection = True
            return self.connection.close()
        if manner == "slow at first" and times == 1:
            with self.server.lock:
                self.server.at_once -= 1  # the client is gone before this ends
            time.sleep(2.5)
            with self.server.lock:
                self.server.at_once += 1
        fields = _written(user, manner)
        text = json.dumps(fields)
        if manner == "no JSON" or (manner == "no JSON at first" and body["seed"] == 0):
            return self._say("Here is a question: what happens?")
        if manner == "cut off":
            return self._say(text[: len(text) // 2], finish="length")
        if manner == "refuses":
            return self._say("", refusal="I cannot help with that.")
        if manner == "refuses in words":
            return self._say("I'm sorry, but I can't help with that.")
        if manner == "fenced":
            text = f"Sure!\n```json\n{text}\n```"
        return self._say(text)

    def _say(self, text: str, finish: str = "stop", refusal: str | None = None) -> None:
        with self.server.lock:
            self.server.replies += 1
        message = {"role": "assistant", "content": text, "refusal": refusal}
        usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT}
        self._send(200, {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage})

    def _send(self, status: int, content: dict | str, headers: dict[str, str] | None = None) -> None:
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: thousands of lines help nobody."""


def _written(user: str, manner: str) -> dict:
    """Write a question about the event that the prompt names."""
    number = int(re.search(r"about event (\d+)", user)[1])
    start, end, text = re.search(rf"^event {number}: ([\d.]+) s to ([\d.]+) s: (.*)$", user, re.MULTILINE).groups()
    duration = float(re.search(r"lasts ([\d.]+) s", user)[1])
    _, colour, shape, motion = text.split(" ", 3)
    question, answer = (
        (f"What does the {colour} {shape} do?", f"it {motion}"),
        (f"Which shape {motion}?", f"a {colour} {shape}"),
        (f"What colour is the {shape} that {motion}?", colour),
    )[_number(f"{user}!") % 3]
    fields = {"question": question, "answer": answer, "start": float(start), "end": float(end)}
    changes = {
        "other fields": {"start": None},
        "times elsewhere": {"start": max(0.0, float(start) - 9), "end": max(0.0, float(start) - 8)},
        "times outside": {"start": duration + 5, "end": duration + 9},
        "times backwards": {"start": float(end), "end": float(start)},
        "times too wide": {"start": 0.0, "end": duration + 3},
        "tells a time": {"question": f"What is seen {start} seconds into the video?"},
        "names a caption": {"question": f"What does caption {number} tell?"},
        "tells the answer": {"question": f"Is it true that {answer}?"},
        "German": {"question": "Was macht die bunte Figur in diesem Film gerade?", "answer": "Sie dreht sich im Kreis"},
        "no question mark": {"question": question.rstrip("?")},
    }
    return {**fields, **changes.get(manner, {})}


def _guess(user: str, seed: int) -> str:
    """Guess: red where there is red, else anything."""
    options = dict(re.findall(r"^\(([A-Z])\) (.*)$", user, re.MULTILINE))
    red = [letter for letter, option in options.items() if option == "red"]
    return red[0] if red else sorted(options)[_number(f"{user}{seed}") % len(options)]
