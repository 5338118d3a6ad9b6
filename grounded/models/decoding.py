"""Decoding: read a prefix once, then continue from it greedily, or score answers that are given.

Nothing here is safe to call from two threads at once: the prefix's cache is extended in place and rewound afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from .branching import BranchCache, branching, own_mask
from .cache import PrefixCache
from .constrained import SpanGrammar

SCORED_TOGETHER = 32  # answers: the logits of more would take gigabytes, since a vocabulary has 150,000 tokens


class Network(Protocol):
    """As much of a family's network as decoding needs."""

    language_model: Any  # transformers' causal language model

    @property
    def device(self) -> torch.device: ...
    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (..., hidden) of token ids."""


@dataclass(frozen=True, eq=False)
class VideoPrefix:
    """What every question about a video begins with: its embeddings (P, hidden) and their key/value cache."""

    embeddings: torch.Tensor
    cache: PrefixCache

    @property
    def length(self) -> int:
        return len(self.embeddings)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return self.embeddings.nbytes + self.cache.nbytes


@dataclass(frozen=True, eq=False)
class TurnsCache:
    """What followed a prefix: ids, and per layer their keys and values (1, heads, len(ids), head_dim)."""

    ids: list[int]
    layers: list[tuple[torch.Tensor, torch.Tensor]]

    @property
    def nbytes(self) -> int:
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def shared(self, ids: Sequence[int]) -> int:
        """Return how many first ids are the same: what follows has the same keys and values only after these."""
        pairs = zip(self.ids, ids, strict=False)
        return next((n for n, (mine, other) in enumerate(pairs) if mine != other), min(len(self.ids), len(ids)))


@dataclass(frozen=True, eq=False)
class Generation:
    """Greedy output for one question.

    ``ids`` leave the end token out; ``finished`` is False where the limit on new tokens cut the answer short.
    ``first_logits`` (vocabulary rows,) chose the first token. ``kept`` (steps, len(keep)) are the log-probabilities of
    the tokens to be kept at every step, that of the end token included. All float32, on the CPU. ``turns`` is what
    the next turn of a conversation can continue from, if it was asked for.
    """

    ids: list[int]
    finished: bool
    first_logits: torch.Tensor
    kept: torch.Tensor
    turns: TurnsCache | None = None


def longest_kept(model: Network) -> int:
    """Return how many positions a prompt may have that continues from a kept prefix.

    Phi's longrope turns keys differently past its original length: a prompt that is longer from the start must be read
    anew as a whole, as the authors' code does. Other models have no such switch.
    """
    llm = model.language_model.config
    longrope = (getattr(llm, "rope_parameters", None) or {}).get("rope_type") == "longrope"
    return llm.original_max_position_embeddings if longrope else llm.max_position_embeddings


@torch.inference_mode()
def read_prefix(model: Network, ids: Sequence[int], visual: torch.Tensor) -> VideoPrefix:
    """Run the language model over the text before the video and the visual tokens (visual_tokens, hidden)."""
    text = model.embed(torch.tensor(list(ids), dtype=torch.long, device=model.device))
    embeddings = torch.cat([text, visual.to(text)])
    cache = PrefixCache()
    model.language_model(inputs_embeds=embeddings[None], cache=cache, use_cache=True, logits_to_keep=1)
    return VideoPrefix(embeddings, cache)


@dataclass(frozen=True)
class Until:
    """When an answer ends: at ``end`` or a token of ``ends``, after ``max_new_tokens``, or when ``stop`` says so.

    ``grammar`` says which tokens may follow; without one, all may.
    """

    end: int
    max_new_tokens: int
    stop: Callable[[], bool] | None = None
    ends: Sequence[int] = ()
    grammar: SpanGrammar | None = None


@torch.inference_mode()
def generate(
    model: Network,
    prefix: VideoPrefix,
    questions: Sequence[Sequence[int]],
    until: Until,
    keep: Sequence[int] = (),
    on_token: Callable[[int, int], None] | None = None,
    earlier: TurnsCache | None = None,
    keep_turns: bool = False,
) -> list[Generation]:
    """Continue a prefix with each question's ids, then greedily until the answers end.

    Several questions run as one batch over the shared prefix. ``keep`` are tokens whose probabilities are kept at every
    step; ``on_token`` is called with (question number, new id). A single question need not be read as far as it begins
    like ``earlier``, the turns before it, which were left with ``keep_turns``.
    """
    longest = prefix.length + max(map(len, questions))
    if len(questions) > 1 and longest + until.max_new_tokens > longest_kept(model):
        # One row past the rope's switch would turn the keys of the whole batch.
        generations = []
        for number, ids in enumerate(questions):
            batch = _Batch(model, prefix, [ids], until.end, keep)
            batch.run(until, None if on_token is None else partial(_renumbered, on_token, number))
            generations += batch.generations()
        return generations
    batch = _Batch(model, prefix, questions, until.end, keep, earlier)
    batch.run(until, on_token, keep_turns)
    return batch.generations()


def _renumbered(on_token: Callable[[int, int], None], number: int, _: int, token: int) -> None:
    on_token(number, token)


class _Batch:
    """Questions on their way from a prefix to their answers: prepared, run, then collected."""

    def __init__(
        self,
        model: Network,
        prefix: VideoPrefix,
        questions: Sequence[Sequence[int]],
        end: int,
        keep: Sequence[int],
        earlier: TurnsCache | None = None,
    ) -> None:
        self.model, self.prefix, self.questions, self.earlier = model, prefix, questions, earlier
        rows, device = len(questions), model.device
        too_long = prefix.length + max(map(len, questions)) > longest_kept(model)
        self.known = 0  # ids whose keys and values are in ``earlier``
        if rows == 1 and earlier is not None and not too_long:
            self.known = min(earlier.shared(questions[0]), len(questions[0]) - 1)  # the last id is always read
        new = [ids[self.known :] for ids in questions]
        length = max(map(len, new))
        self.padding = torch.tensor([length - len(ids) for ids in new], device=device)
        tokens = torch.tensor([[end] * (length - len(ids)) + list(ids) for ids in new], device=device)
        self.step = model.embed(tokens.clamp(min=0))
        self.cache: PrefixCache | BranchCache = prefix.cache
        if rows > 1:  # the padding lies between the prefix and the shorter questions
            self.cache = BranchCache(prefix.cache)
        elif too_long:
            self.cache, self.step = _continuation(model, prefix, self.step)
        start = self.cache.get_seq_length() + self.known + self.cache.shift
        positions = start + torch.arange(self.step.shape[1], device=device) - self.padding[:, None]
        self.positions = positions.clamp(min=start)
        self.keep = torch.tensor(list(keep), dtype=torch.long, device=device)
        self.chosen: list[list[int]] = [[] for _ in questions]
        self.kept: list[list[torch.Tensor]] = [[] for _ in questions]
        self.finished = [False] * rows
        self.first_logits = torch.full((rows, model.language_model.config.vocab_size), -torch.inf)
        self.turns: TurnsCache | None = None

    def run(self, until: Until, on_token: Callable[[int, int], None] | None = None, keep_turns: bool = False) -> None:
        """Write all answers; the prefix's cache is as before when it ends, in whatever way."""
        cache = self.prefix.cache
        try:
            if self.earlier is not None and self.known:
                cache.extend(self.earlier.layers, self.known)
            for number in range(until.max_new_tokens):
                if all(self.finished) or (until.stop and until.stop()):
                    break
                self._take(self._logits(number), until, on_token)
            if keep_turns and self.cache is cache:
                ids = [*self.questions[0], *self.chosen[0]][: cache.length - self.prefix.length]
                self.turns = TurnsCache(ids, cache.after(self.prefix.length))
        finally:
            cache.rewind(self.prefix.length)

    def _logits(self, number: int) -> torch.Tensor:
        """Return the logits float32 (rows, vocabulary) of step ``number``."""
        logits = _logits(self.model, self.cache, self.step, self.positions, self.padding)[:, -1].float()
        if number == 0:
            self.first_logits = logits.cpu()
        return logits

    def _take(self, logits: torch.Tensor, until: Until, on_token: Callable[[int, int], None] | None) -> None:
        """Take the likeliest token of each row, of those that may follow, and make the next step of them."""
        best = logits.argmax(dim=-1)
        for row, finished in enumerate(self.finished):
            if until.grammar and not finished:
                tokens = torch.tensor(sorted(until.grammar.allowed(self.chosen[row])), device=best.device)
                best[row] = tokens[logits[row, tokens].argmax()]
        log_probabilities = (logits[:, self.keep] - logits.logsumexp(dim=-1, keepdim=True)).cpu()
        for row, token in enumerate(best.tolist()):
            if self.finished[row]:
                continue
            self.kept[row].append(log_probabilities[row])
            self.finished[row] = token == until.end or token in until.ends
            if not self.finished[row]:
                self.chosen[row].append(token)
                if on_token:
                    on_token(row, token)
        self.step = self.model.embed(best[:, None])
        self.positions = self.positions[:, -1:] + 1

    def generations(self) -> list[Generation]:
        none = torch.empty(0, len(self.keep))
        return [
            Generation(ids, finished, first, torch.stack(kept) if kept else none, self.turns)
            for ids, finished, first, kept in zip(self.chosen, self.finished, self.first_logits, self.kept, strict=True)
        ]


def _logits(
    model: Network,
    cache: PrefixCache | BranchCache,
    step: torch.Tensor,
    positions: torch.Tensor | None = None,
    padding: torch.Tensor | None = None,
    logits_to_keep: int = 1,
) -> torch.Tensor:
    """Run the language model over embeddings (rows, L, hidden) after a cache; return the last logits (rows, ≤ L, V).

    ``logits_to_keep`` says how many; 0 keeps all.
    """
    llm = model.language_model
    if positions is None and cache.shift:
        start = cache.get_seq_length() + cache.shift
        positions = torch.arange(start, start + step.shape[1], device=step.device)[None]
    settings = {"position_ids": positions, "cache": cache, "use_cache": True, "logits_to_keep": logits_to_keep}
    if not isinstance(cache, BranchCache):
        return llm(inputs_embeds=step, **settings).logits
    rows, length = step.shape[:2]
    if padding is None:
        padding = torch.zeros(rows, dtype=torch.long, device=step.device)
    mask = own_mask(padding, length, cache.get_seq_length() - cache.prefix_length + length)
    with branching(llm):
        return llm(inputs_embeds=step, attention_mask=mask, **settings).logits


def _continuation(
    model: Network, prefix: VideoPrefix, step: torch.Tensor, more: int = 0
) -> tuple[PrefixCache, torch.Tensor]:
    """Return the cache that embeddings (1, L, hidden) continue, ``more`` tokens to come, and what it has yet to read.

    Past the switch of the rope that is everything, from a new cache on; see `longest_kept`.
    """
    if prefix.length + step.shape[1] + more <= longest_kept(model):
        return prefix.cache, step
    return PrefixCache(), torch.cat([prefix.embeddings[None], step], dim=1)


@torch.inference_mode()
def score(
    model: Network, prefix: VideoPrefix, question: Sequence[int], answers: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Return the log-probability, float32 (len(answers),) on the CPU, of each answer's tokens after a question's ids.

    The question is read once; the answers follow it in batches of `SCORED_TOGETHER`, padded on the right.
    """
    try:
        step = model.embed(torch.tensor([list(question)], device=model.device))
        cache, step = _continuation(model, prefix, step, max(map(len, answers)))
        first = _logits(model, cache, step)
        batches = [answers[i : i + SCORED_TOGETHER] for i in range(0, len(answers), SCORED_TOGETHER)]
        return torch.cat([_score(model, cache, first, batch) for batch in batches])
    finally:
        prefix.cache.rewind(prefix.length)


def _score(model: Network, cache: PrefixCache, first: torch.Tensor, answers: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return what `score` does for one batch; ``first`` (1, 1, vocabulary) are the logits of the first token."""
    device = model.device
    longest = max(map(len, answers))
    tokens = torch.tensor([list(answer) + [0] * (longest - len(answer)) for answer in answers], device=device)
    real = torch.arange(longest, device=device) < torch.tensor([[len(answer)] for answer in answers], device=device)
    logits = [first.expand(len(answers), -1, -1)]
    if longest > 1:
        logits.append(_logits(model, BranchCache(cache), model.embed(tokens[:, :-1]), logits_to_keep=0))
    log_probabilities = torch.cat(logits, dim=1).float().log_softmax(dim=-1).gather(-1, tokens[..., None])[..., 0]
    return (log_probabilities * real).sum(dim=1).cpu()


@dataclass(frozen=True, eq=False)
class SpanDistribution:
    """What the model holds likely where a span is to be written: float32, on the CPU.

    ``start`` (bins + 1,) are the probabilities of each start token; ``ends`` (K, bins + 1) those of each end token
    after the likeliest starts, ``starts`` (K,). An end is always later than its start.
    """

    start: torch.Tensor
    starts: torch.Tensor
    ends: torch.Tensor

    def joint(self) -> torch.Tensor:
        """Return the probability (bins + 1, bins + 1) of each start and end, over the starts that were followed up."""
        joint = torch.zeros(len(self.start), len(self.start))
        joint[self.starts] = self.start[self.starts, None] * self.ends
        return joint / joint.sum()


@torch.inference_mode()
def span_distribution(
    model: Network,
    prefix: VideoPrefix,
    question: Sequence[int],
    joiner: Sequence[int],
    temporal: Sequence[int],
    beams: int = 16,
) -> SpanDistribution:
    """Return the distribution over the span that follows ``question``, in two forward passes.

    The first pass reads the question up to where the start token is due, the second the ``beams`` likeliest starts,
    each with the ``joiner`` between start and end, as one batch. ``temporal`` are the temporal tokens' ids in order.
    """
    device = model.device
    ids = torch.tensor(list(temporal), device=device)
    try:
        step = model.embed(torch.tensor([list(question)], device=device))
        cache, step = _continuation(model, prefix, step, 1 + len(joiner))
        first = _logits(model, cache, step)[0, -1, ids]
        first[-1] = -torch.inf  # nothing can end after the last instant
        start = first.float().softmax(dim=0)
        starts = start.topk(min(beams, len(ids) - 1)).indices
        rows = torch.cat([ids[starts, None], torch.tensor([list(joiner)] * len(starts), device=device)], dim=1)
        logits = _logits(model, BranchCache(cache), model.embed(rows))[:, -1, ids]
    finally:
        prefix.cache.rewind(prefix.length)
    runs_back = torch.arange(len(ids), device=device)[None] <= starts[:, None]
    ends = logits.float().masked_fill(runs_back, -torch.inf).softmax(dim=-1)
    return SpanDistribution(start.cpu(), starts.cpu(), ends.cpu())
