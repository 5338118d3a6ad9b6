"""Calls of a chat endpoint: many at a time but bounded, retried with back-off, within a budget, each reply kept."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import ConfigError, GroundedError
from .asking import Call, Reply, Unusable
from .journal import Journal, identity

logger = logging.getLogger(__name__)

T = TypeVar("T")

NO_KEY = "no-key"  # for an empty key the client would send the user's hub token instead
GIVE_UP_AFTER = 20  # calls in a row that fail: the endpoint is down, and waiting for each of thousands helps nobody
_FATAL = (401, 402, 403, 404)  # the key, the account or the address is wrong: no further call can succeed
_REJECTED = (400, 413, 422)  # this one request is not taken; it will not be the next time either


class EndpointError(GroundedError):
    """The endpoint cannot be used: wrong address or key, or nothing is answered."""


class BudgetError(GroundedError):
    """The next call could cost more than the budget has left."""


@dataclass(frozen=True)
class Settings:
    """How the endpoint is called.

    ``replies`` is how often a call is made when its replies are unusable, ``attempts`` how often each is tried when
    the endpoint fails; between attempts the wait doubles from ``first_wait`` up to ``longest_wait``, or is what the
    endpoint asks for. ``timeout`` and waits are in seconds, ``price_in`` and ``price_out`` per million tokens, and
    ``budget`` is money of the same kind, None for no limit.
    """

    endpoint: str
    model: str
    key: str = ""
    temperature: float | None = None
    max_tokens: int = 512
    concurrency: int = 4
    replies: int = 3
    attempts: int = 6
    timeout: float = 120.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    price_in: float = 0.0
    price_out: float = 0.0
    budget: float | None = None

    def __post_init__(self) -> None:
        if min(self.concurrency, self.replies, self.attempts, self.max_tokens) < 1 or not self.timeout > 0:
            raise ConfigError("concurrency, replies, attempts, tokens and timeout must be 1 or more")
        if min(self.price_in, self.price_out) < 0:
            raise ConfigError("a price cannot be below 0")
        if self.budget is not None and not self.price_in + self.price_out > 0:
            raise ConfigError("a budget needs the price of a million tokens in and out")

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of a call: a value, or the reason why there is none."""

    value: T | None
    reason: str = ""


class _Busy(Exception):
    """The endpoint failed and may be tried again, after so many seconds where it says so."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class _Rejected(Exception):
    """The endpoint does not take this request."""


class _AsOpenAi(dict):
    """A response format that is sent as it is.

    To an endpoint given by its address, huggingface_hub (2.4, `HFInferenceConversational`) sends another form, which
    only its own servers read; it looks for the type with ``get``.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        return default


def most_tokens(call: Call) -> int:
    """Return prompt tokens that no byte-level tokenizer exceeds: one a byte, and some for the chat format."""
    return len((call.system + call.user + json.dumps(call.schema)).encode()) + 64


def likely_tokens(call: Call) -> int:
    """Return about how many tokens a prompt has: four bytes of English to each."""
    return most_tokens(call) // 4


class Endpoint:
    """A chat endpoint, and the journal of its replies."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        from huggingface_hub import InferenceClient

        if not settings.endpoint.startswith(("http://", "https://")):  # the client would take it for a hub id
            raise ConfigError(f"the endpoint {settings.endpoint!r} must begin with http:// or https://")
        self.settings = settings
        self.journal = journal
        self._client = InferenceClient(
            base_url=settings.endpoint, api_key=settings.key or NO_KEY, timeout=settings.timeout
        )
        self._held = 0.0
        self._failed_in_a_row = 0
        self._money = threading.Condition()
        self._stop = threading.Event()

    @property
    def spent(self) -> float:
        return self.settings.cost(self.journal.tokens_in, self.journal.tokens_out)

    def ask_all(
        self, calls: Sequence[Call], read: Callable[[Reply], T], on_call: Callable[[], None] | None = None
    ) -> list[Outcome[T]]:
        """Return the outcome of each call, in their order; replies in the journal are not asked for again.

        Raises:
            EndpointError: the endpoint cannot be used.
            BudgetError: the next call could exceed the budget. What was answered before is in the journal.
        """

        def ask(call: Call) -> Outcome[T]:
            try:
                outcome = self._ask(call, read)
            except BaseException:
                self._stop.set()  # the calls that wait for their turn end at once
                raise
            if on_call:
                on_call()
            return outcome

        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            futures = [pool.submit(ask, call) for call in calls]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                # The first to fail stopped the others: its reason is the one to tell.
                failed = [f.exception() for f in futures if f.done() and not f.cancelled()]
                told = [error for error in failed if error is not None and not isinstance(error, _Stopped)]
                if told:
                    raise told[0] from None
                raise

    def _ask(self, call: Call, read: Callable[[Reply], T]) -> Outcome[T]:
        settings = self.settings
        known = identity(call, [settings.model, settings.temperature, settings.max_tokens])
        failed_before = self.journal.has_failed(known)
        reason = ""
        for number in range(settings.replies):
            replies = self.journal.replies(known)
            try:
                reply = replies[number] if number < len(replies) else self._reply(known, call, number)
                return Outcome(read(reply))
            except Unusable as error:
                reason = str(error)
            except (_Busy, _Rejected) as error:
                if self._stop.is_set():  # it was not tried to the end
                    raise _Stopped from error
                if not failed_before:  # what always fails says nothing new about the endpoint
                    self.journal.add(known, call, None, 0, 0)
                    self._count_failure(str(error))
                kind = "rejects the request" if isinstance(error, _Rejected) else "fails"
                return Outcome(None, f"the endpoint {kind}: {error}")
        return Outcome(None, reason)

    def _reply(self, known: str, call: Call, number: int) -> Reply:
        """Ask until there is a reply, or the attempts are used up."""
        import tenacity

        backoff = tenacity.wait_random_exponential(multiplier=self.settings.first_wait, max=self.settings.longest_wait)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.after if isinstance(error, _Busy) else 0.0
            return max(backoff(state), min(asked, self.settings.longest_wait))

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.settings.attempts) | tenacity.stop_when_event_set(self._stop),
            wait=wait,
            retry=tenacity.retry_if_exception_type(_Busy),
            sleep=tenacity.sleep_using_event(self._stop),
            reraise=True,
        )
        reply: Reply = retrying(self._pay, known, call, number)
        self._failed_in_a_row = 0
        return reply

    def _pay(self, known: str, call: Call, number: int) -> Reply:
        """Make one request within the budget, and write down what came of it and what it cost."""
        most_in, most_out = most_tokens(call), self.settings.max_tokens
        most = self.settings.cost(most_in, most_out)
        self._hold(most)
        try:
            reply = self._request(call, number)
            used = (reply.tokens_in or most_in, reply.tokens_out or most_out)  # an endpoint that does not count
            self.journal.add(known, call, reply, *used)
            return reply
        except TimeoutError as error:  # it may have been worked on, and be billed
            self.journal.add(known, call, None, most_in, most_out)
            raise _Busy("no reply in time") from error
        finally:
            with self._money:
                self._held -= most
                self._money.notify_all()

    def _hold(self, most: float) -> None:
        """Set money aside for a call; wait where calls in flight may turn out cheaper than what is held for them."""
        budget = self.settings.budget
        with self._money:
            while True:
                if self._stop.is_set():
                    raise _Stopped
                if budget is None or self.spent + self._held + most <= budget:
                    self._held += most
                    return
                if self._held <= 0:
                    raise BudgetError(
                        f"{self.spent:.4f} of the budget of {budget:g} is spent and the next call may cost {most:.4f};"
                        " what was answered is kept: run again with a larger budget"
                    )
                self._money.wait(0.5)

    def _request(self, call: Call, number: int) -> Reply:
        from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError, OfflineModeIsEnabled

        messages: list[Any] = [{"role": "system", "content": call.system}, {"role": "user", "content": call.user}]
        form: Any = _AsOpenAi(
            type="json_schema", json_schema={"name": call.kind, "strict": True, "schema": dict(call.schema)}
        )
        try:
            said = self._client.chat_completion(
                messages,
                model=self.settings.model,
                max_tokens=self.settings.max_tokens,
                temperature=self.settings.temperature,
                seed=1000 * call.round + number,  # the same question again is to get another reply
                response_format=form,
            )
            choice, usage = said.choices[0], said.usage
            text, refusal = choice.message.content or "", choice.message.get("refusal") or ""
            tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
            return Reply(str(text), str(choice.finish_reason or ""), str(refusal), *(int(n or 0) for n in tokens))
        except InferenceTimeoutError:
            raise
        except OfflineModeIsEnabled as error:
            raise EndpointError(f"{self.settings.endpoint} cannot be called: HF_HUB_OFFLINE is set") from error
        except HfHubHTTPError as error:
            raise self._failure(error) from error
        except Exception as error:  # the connection broke, or what came is no chat completion: the next try may do
            raise _Busy(" ".join(f"{type(error).__name__}: {error}".split())[:200]) from error

    def _failure(self, error: Any) -> Exception:
        status = error.response.status_code
        if status in _FATAL:
            return EndpointError(f"{self.settings.endpoint} answers {status}: the address, model or key is wrong")
        if status in _REJECTED:
            return _Rejected(str(status))
        try:
            after = float(error.response.headers.get("retry-after", 0))
        except ValueError:  # it may be a date
            after = 0.0
        return _Busy(str(status), after)

    def _count_failure(self, reason: str) -> None:
        with self._money:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= GIVE_UP_AFTER:
                raise EndpointError(
                    f"{GIVE_UP_AFTER} calls in a row failed at {self.settings.endpoint}, the last with: {reason}"
                )


class _Stopped(Exception):
    """Another call has stopped the run."""
