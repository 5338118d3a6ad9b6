"""A chat endpoint: several calls at a time, retried with growing waits, within a budget, each reply in the journal.

The `openai` client sends the requests. Its own retries stay off: here each attempt is held against the budget, and one
that timed out counts as spent, since it may be billed.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import ConfigError, GroundedError
from ..extra import import_extra
from ..types import OnProgress
from .chat import Call, ChatReply, UnusableReply, read
from .journal import Journal, call_identity
from .settings import EndpointSettings

T = TypeVar("T")

NO_KEY = "no-key"  # for an empty key the client would send OPENAI_API_KEY, whosoever endpoint this is
REPLIES = 3  # how often a call is made while its replies are unusable
ATTEMPTS = 6  # how often a reply is asked for while the endpoint fails
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between attempts at most: the first, doubled each time, and the last
GIVE_UP_AFTER = 20  # calls in a row that fail: the endpoint is down, and waiting for each of thousands helps nobody
_FATAL = (401, 402, 403, 404)  # the key, the account or the address is wrong: no further call can succeed
_REJECTED = (400, 413, 422)  # this one request is not taken; it will not be the next time either


class EndpointError(GroundedError):
    """The endpoint cannot be used: wrong address or key, or nothing is answered."""


class BudgetError(GroundedError):
    """The next call could cost more than the budget has left."""


class _RequestFailed(Exception):
    """A request got no reply; ``retry`` if the next may get one, ``after`` so many seconds if the endpoint says so."""

    def __init__(self, reason: str, retry: bool = True, after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry, self.after = retry, after


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of a call: a value, or the reason why there is none."""

    value: T | None
    reason: str = ""


def most_tokens(call: Call) -> int:
    """Return prompt tokens that no byte-level tokenizer exceeds: one a byte, and some for the chat format."""
    return len((call.system + call.user + json.dumps(call.schema)).encode()) + 64


def likely_tokens(call: Call) -> int:
    """Return about how many tokens a prompt has: four bytes of English to each."""
    return most_tokens(call) // 4


class Endpoint:
    """A chat endpoint, and the journal of its replies.

    Raises:
        ConfigError: the address is no web address, or the `openai` package is not installed.
    """

    def __init__(
        self, settings: EndpointSettings, journal: Journal, on_progress: OnProgress = lambda what, fraction: None
    ) -> None:
        self._openai = import_extra("openai")
        if not settings.url.startswith(("http://", "https://")):
            raise ConfigError(f"the endpoint {settings.url!r} must begin with http:// or https://")
        self.settings = settings
        self.journal = journal
        self._on_progress = on_progress
        self._client: Any = None  # while calls are made
        self._takes_schema = True  # until it turns out that it does not
        self._held: list[float] = []  # money set aside, for each request in flight
        self._failed_in_a_row = 0

    @property
    def spent(self) -> float:
        return self.settings.cost(self.journal.tokens_in, self.journal.tokens_out)

    def ask_all(self, calls: Sequence[Call], form: type[T]) -> list[Outcome[T]]:
        """Return the outcome of each call, in their order, read as ``form``; what is in the journal is not asked again.

        Raises:
            EndpointError: the endpoint cannot be used.
            BudgetError: the next call could exceed the budget. What was answered before is in the journal.
            FileError: the journal cannot be written.
        """
        try:
            return asyncio.run(self._ask_all(calls, form))
        except* GroundedError as group:
            error = group.exceptions[0]
        raise error

    async def _ask_all(self, calls: Sequence[Call], form: type[T]) -> list[Outcome[T]]:
        settings = self.settings
        queue = iter(enumerate(calls))
        outcomes: dict[int, Outcome[T]] = {}
        async with (
            self._openai.AsyncOpenAI(
                base_url=settings.url, api_key=settings.key or NO_KEY, timeout=settings.timeout, max_retries=0
            ) as self._client,
            asyncio.TaskGroup() as group,
        ):  # the first error ends all
            for _ in range(settings.concurrency):
                group.create_task(self._work(queue, len(calls), form, outcomes))
        return [outcomes[number] for number in range(len(calls))]

    async def _work(
        self, queue: Iterator[tuple[int, Call]], total: int, form: type[T], outcomes: dict[int, Outcome[T]]
    ) -> None:
        for number, call in queue:
            outcomes[number] = await self._outcome(call, form)
            self._on_progress(f"{call.kind}: {len(outcomes):,} of {total:,}", len(outcomes) / total)

    async def _outcome(self, call: Call, form: type[T]) -> Outcome[T]:
        settings = self.settings
        identity = call_identity(call, [settings.model, settings.temperature, settings.max_tokens])
        failed_before = self.journal.has_failed(identity)
        reason = ""
        for number in range(REPLIES):
            replies = self.journal.replies(identity)
            try:
                reply = replies[number] if number < len(replies) else await self._reply(identity, call, number)
                return Outcome(read(reply, form))
            except UnusableReply as error:
                reason = str(error)
            except _RequestFailed as error:
                if not failed_before:  # what always fails says nothing new about the endpoint
                    self.journal.add(identity, call, None, 0, 0)
                    self._count_failure(str(error))
                return Outcome(None, f"the endpoint {error}")
        return Outcome(None, reason)

    async def _reply(self, identity: str, call: Call, number: int) -> ChatReply:
        """Send the request until there is a reply, or the attempts are used up."""
        attempt = 1
        while True:
            try:
                return await self._attempt(identity, call, number)
            except _RequestFailed as error:
                if not error.retry or attempt >= ATTEMPTS:
                    raise
                wait = random.uniform(0, FIRST_WAIT * 2 ** (attempt - 1))
                await asyncio.sleep(min(max(wait, error.after), LONGEST_WAIT))
                attempt += 1

    async def _attempt(self, identity: str, call: Call, number: int) -> ChatReply:
        """Send one request within the budget, and write down what came of it and what it cost."""
        most_in, most_out = most_tokens(call), self.settings.max_tokens
        most = self.settings.cost(most_in, most_out)
        await self._hold(most)
        try:
            reply = await self._request(call, number)
            # An endpoint that does not count its tokens is taken to have used all of them.
            self.journal.add(identity, call, reply, reply.tokens_in or most_in, reply.tokens_out or most_out)
        except self._openai.APITimeoutError as error:  # it may have been worked on, and be billed
            self.journal.add(identity, call, None, most_in, most_out)
            raise _RequestFailed("fails: no reply in time") from error
        finally:
            self._held.remove(most)
        self._failed_in_a_row = 0
        return reply

    async def _hold(self, most: float) -> None:
        """Set money aside for a request; wait while those in flight may turn out cheaper than what is held for them."""
        budget = self.settings.budget
        while budget is not None and self.spent + sum(self._held) + most > budget:
            if not self._held:
                raise BudgetError(
                    f"{self.spent:.4f} of the budget of {budget:g} is spent and the next call may cost {most:.4f};"
                    " what was answered is kept: run again with a larger budget"
                )
            await asyncio.sleep(0.01)
        self._held.append(most)

    async def _request(self, call: Call, number: int) -> ChatReply:
        openai = self._openai
        try:
            completion = await self._completion(call, number)
            choice, usage = completion.choices[0], completion.usage
            return ChatReply(
                text=str(choice.message.content or ""),
                finish=str(choice.finish_reason or ""),
                refusal=str(choice.message.refusal or ""),
                tokens_in=int(usage.prompt_tokens or 0) if usage else 0,
                tokens_out=int(usage.completion_tokens or 0) if usage else 0,
            )
        except openai.APITimeoutError:
            raise
        except openai.APIStatusError as error:
            raise self._status_failure(error) from error
        except Exception as error:  # the connection broke, or what came is no chat completion: the next try may do
            cause = error.__cause__ or error
            raise _RequestFailed("fails: " + " ".join(f"{type(cause).__name__}: {cause}".split())[:200]) from error

    async def _completion(self, call: Call, number: int) -> Any:
        openai, settings = self._openai, self.settings
        request: dict[str, Any] = {
            "model": settings.model,
            "messages": [{"role": "system", "content": call.system}, {"role": "user", "content": call.user}],
            "max_tokens": settings.max_tokens,
            "temperature": openai.omit if settings.temperature is None else settings.temperature,
            "seed": 1000 * call.round + number,  # the same question again is to get another reply
        }
        if self._takes_schema:
            schema = {"name": call.kind, "strict": True, "schema": dict(call.schema)}
            response_format = {"type": "json_schema", "json_schema": schema}
            try:
                return await self._client.chat.completions.create(**request, response_format=response_format)
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                pass  # it may not know schemas; the prompts ask for JSON too
        completion = await self._client.chat.completions.create(**request)
        self._takes_schema = False
        return completion

    def _status_failure(self, error: Any) -> Exception:
        status = error.status_code
        if status in _FATAL:
            return EndpointError(f"{self.settings.url} answers {status}: the address, model or key is wrong")
        if status in _REJECTED:
            return _RequestFailed(f"rejects the request: {status}", retry=False)
        try:
            after = float(error.response.headers.get("retry-after", 0))
        except ValueError:  # it may be a date
            after = 0.0
        return _RequestFailed(f"fails: {status}", after=after)

    def _count_failure(self, reason: str) -> None:
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= GIVE_UP_AFTER:
            raise EndpointError(f"{GIVE_UP_AFTER} calls in a row failed at {self.settings.url}; the last one {reason}")
