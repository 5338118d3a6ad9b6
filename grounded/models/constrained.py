"""Which tokens may come next, so that a span is well formed, lies inside the video and runs forwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_INSTANTS = 1000  # that a time is chosen among
MAX_SPANS = 8  # of one answer

Tokens = Sequence[int]


@dataclass(frozen=True)
class SpanGrammar:
    """The answers that are spans: ``opening``, start, ``joiner``, end, then ``closing`` and ``end_token``.

    ``times`` are the token ids of the instants in their order, none of which begins like another. Where ``between`` is
    given, a later span may follow after it. All as token ids.
    """

    opening: Tokens
    times: Sequence[Tokens]
    joiner: Tokens
    closing: Tokens
    end_token: int
    between: Tokens = ()

    def allowed(self, ids: Tokens) -> set[int]:
        """Return the tokens that may follow those of an answer so far."""
        chosen, place, options = _match(ids, 0, [self.opening])
        last = -1  # the instant that the span before ended at
        for number in range(MAX_SPANS):
            if chosen is None:
                return options
            start, place, options = _match(ids, place, self.times[last + 1 : -1])
            if start is None:
                return options
            chosen, place, options = _match(ids, place, [self.joiner])
            if chosen is None:
                return options
            start += last + 1
            end, place, options = _match(ids, place, self.times[start + 1 :])
            if end is None:
                return options
            last = start + 1 + end
            goes_on = self.between and last < len(self.times) - 2 and number < MAX_SPANS - 1
            chosen, place, options = _match(ids, place, [self.closing, self.between] if goes_on else [self.closing])
            if chosen == 0:
                return {self.end_token}
        return options


def _match(ids: Tokens, place: int, choices: Sequence[Tokens]) -> tuple[int | None, int, set[int]]:
    """Return which choice stands whole at ``place`` and the place after it, else None and what may come next."""
    rest = list(ids[place:])
    options: set[int] = set()
    for number, choice in enumerate(choices):
        if list(choice) == rest[: len(choice)]:
            return number, place + len(choice), set()
        if list(choice[: len(rest)]) == rest:
            options.add(choice[len(rest)])
    return None, place, options
