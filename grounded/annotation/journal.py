"""The journal of a run: every reply that was paid for, on disk as it comes, so that no call is made twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files import append_line, continue_lines
from .chat import Call, ChatReply


def call_identity(call: Call, settings: Any) -> str:
    """Return what a call is known by: it changes with every word and setting that the reply depends on."""
    content = json.dumps([dataclasses.asdict(call), settings], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:24]


class Journal:
    """A JSON Lines file of replies, each under its call's identity; a line that a killed run left torn is cut off.

    ``tokens_in`` and ``tokens_out`` are all that the file tells of, also calls whose reply never came.

    Raises:
        DataError: the file is no journal.
        FileError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tokens_in = self.tokens_out = 0
        self._replies: dict[str, list[ChatReply]] = {}
        self._failed: set[str] = set()
        try:
            for entry in continue_lines(path):
                self._remember(entry)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is not a journal that can be continued: {error!r}") from error

    def replies(self, identity: str) -> list[ChatReply]:
        """Return the replies to a call so far, in the order in which they came."""
        return self._replies.get(identity, [])

    def has_failed(self, identity: str) -> bool:
        """Say whether the call once got no reply."""
        return identity in self._failed

    def add(self, identity: str, call: Call, reply: ChatReply | None, tokens_in: int, tokens_out: int) -> None:
        """Write down a reply; None stands for one that never came, though its tokens may have to be paid."""
        entry = {
            "id": identity,
            "kind": call.kind,
            "key": call.key,
            "reply": None if reply is None else dataclasses.asdict(reply),
            "tokens": [tokens_in, tokens_out],
        }
        append_line(self.path, entry)
        self._remember(entry)

    def _remember(self, entry: dict[str, Any]) -> None:
        self.tokens_in += entry["tokens"][0]
        self.tokens_out += entry["tokens"][1]
        if entry["reply"] is None:
            self._failed.add(entry["id"])
        else:
            self._replies.setdefault(entry["id"], []).append(ChatReply(**entry["reply"]))
