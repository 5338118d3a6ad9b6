"""Decoding: read a prefix once, then continue from it greedily, or score answers that are given.

Nothing here is safe to call from two threads at once: the prefix's cache is extended in place and rewound afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache

from .branching import BranchCache, branching, own_mask
from .cache import PrefixCache
from .grounded_videollm.network import VideoLLM


@dataclass(frozen=True, eq=False)
class VideoPrefix:
    """What every question about a video begins with: its embeddings (P, hidden) and their key/value cache."""

    embeddings: torch.Tensor
    cache: PrefixCache

    @property
    def length(self) -> int:
        return len(self.embeddings)


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
    the tokens to be kept at every step, that of the end token included. All float32, on the CPU. ``tail`` is what the
    next turn of a conversation can continue from, if it was asked for.
    """

    ids: list[int]
    finished: bool
    first_logits: torch.Tensor
    kept: torch.Tensor
    tail: TurnsCache | None = None


def longest_kept(model: VideoLLM) -> int:
    """Return how many positions a prompt may have that continues from a kept prefix.

    Phi's longrope turns keys differently past its original length: a prompt that is longer from the start must be read
    anew as a whole, as the authors' code does. Other models have no such switch.
    """
    llm = model.language_model.config
    longrope = (getattr(llm, "rope_parameters", None) or {}).get("rope_type") == "longrope"
    return llm.original_max_position_embeddings if longrope else llm.max_position_embeddings


@torch.inference_mode()
def read_prefix(model: VideoLLM, ids: Sequence[int], visual: torch.Tensor) -> VideoPrefix:
    """Run the language model over the text before the video and the visual tokens (visual_tokens, hidden)."""
    text = model.embed(torch.tensor(list(ids), dtype=torch.long, device=model.device))
    embeddings = torch.cat([text, visual.to(text)])
    cache = PrefixCache()
    model.language_model(inputs_embeds=embeddings[None], past_key_values=cache, use_cache=True, logits_to_keep=1)
    return VideoPrefix(embeddings, cache)


@torch.inference_mode()
def generate(
    model: VideoLLM,
    prefix: VideoPrefix,
    questions: Sequence[Sequence[int]],
    end: int,
    max_new_tokens: int,
    keep: Sequence[int] = (),
    on_token: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    tail: TurnsCache | None = None,
    keep_tail: bool = False,
) -> list[Generation]:
    """Continue a prefix with each question's ids, then greedily until the ``end`` token.

    Several questions run as one batch over the shared prefix. ``on_token`` is called with (question number, new id);
    ``stop`` ends all answers early when it returns True. A single question need not be read as far as it begins like
    ``tail``, which an earlier one left with ``keep_tail``.
    """
    limit = longest_kept(model)
    if len(questions) > 1 and prefix.length + max(map(len, questions)) + max_new_tokens > limit:
        # One row past the rope's switch would turn the keys of the whole batch.
        return [
            generate(model, prefix, [ids], end, max_new_tokens, keep, _renumbered(on_token, number), stop)[0]
            for number, ids in enumerate(questions)
        ]
    device, rows = model.device, len(questions)
    too_long = prefix.length + max(map(len, questions)) > limit
    known = 0
    if rows == 1 and tail is not None and not too_long:
        known = min(tail.shared(questions[0]), len(questions[0]) - 1)  # the last id is read for what follows it
    asked, questions = questions, [ids[known:] for ids in questions]
    longest = max(map(len, questions))
    padding = torch.tensor([longest - len(ids) for ids in questions], device=device)
    tokens = torch.tensor([[end] * (longest - len(ids)) + list(ids) for ids in questions], device=device)
    step = model.embed(tokens.clamp(min=0))
    cache: Cache = prefix.cache
    if rows > 1:  # the padding lies between the prefix and the shorter questions
        cache = BranchCache(prefix.cache)
    elif too_long:
        cache, step = PrefixCache(), torch.cat([prefix.embeddings[None], step], dim=1)
    start = cache.get_seq_length() + known
    positions = (start + torch.arange(step.shape[1], device=device) - padding[:, None]).clamp(min=start)

    kept_ids = torch.tensor(list(keep), dtype=torch.long, device=device)
    chosen: list[list[int]] = [[] for _ in questions]
    kept: list[list[torch.Tensor]] = [[] for _ in questions]
    first_logits = None
    finished = [False] * rows
    left = None
    try:
        if tail is not None and known:
            prefix.cache.extend(tail.layers, known)
        for _ in range(max_new_tokens):
            if stop and stop():
                break
            logits = _last_logits(model, cache, step, positions, padding)
            logits = logits.float()
            first_logits = logits.cpu() if first_logits is None else first_logits
            best = logits.argmax(dim=-1)
            log_probabilities = (logits[:, kept_ids] - logits.logsumexp(dim=-1, keepdim=True)).cpu()
            for row, token in enumerate(best.tolist()):
                if finished[row]:
                    continue
                kept[row].append(log_probabilities[row])
                finished[row] = token == end
                if not finished[row]:
                    chosen[row].append(token)
                    if on_token:
                        on_token(row, token)
            if all(finished):
                break
            step = model.embed(best[:, None])
            positions = positions[:, -1:] + 1
        if keep_tail and cache is prefix.cache:
            layers = prefix.cache.after(prefix.length)
            left = TurnsCache([*asked[0], *chosen[0]][: prefix.cache.length - prefix.length], layers)
    finally:
        prefix.cache.rewind(prefix.length)
    if first_logits is None:
        first_logits = torch.full((rows, model.language_model.config.vocab_size), -torch.inf)
    return [
        Generation(
            ids=chosen[row],
            finished=finished[row],
            first_logits=first_logits[row],
            kept=torch.stack(kept[row]) if kept[row] else torch.empty(0, len(kept_ids)),
            tail=left,
        )
        for row in range(rows)
    ]


def _last_logits(
    model: VideoLLM,
    cache: Cache,
    step: torch.Tensor,
    positions: torch.Tensor | None = None,
    padding: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run the language model over embeddings (rows, L, hidden) after a cache; return the last logits (rows, V)."""
    return _logits(model, cache, step, positions, padding, logits_to_keep=1)[:, -1]


def _logits(
    model: VideoLLM,
    cache: Cache,
    step: torch.Tensor,
    positions: torch.Tensor | None = None,
    padding: torch.Tensor | None = None,
    logits_to_keep: int = 0,
) -> torch.Tensor:
    llm = model.language_model
    rest = {"position_ids": positions, "past_key_values": cache, "use_cache": True, "logits_to_keep": logits_to_keep}
    if not isinstance(cache, BranchCache):
        return llm(inputs_embeds=step, **rest).logits
    rows, length = step.shape[:2]
    none = torch.zeros(rows, dtype=torch.long, device=step.device)
    own = cache.get_seq_length() - cache.prefix_length + length
    mask = own_mask(none if padding is None else padding, length, own)
    with branching(llm):
        return llm(inputs_embeds=step, attention_mask=mask, **rest).logits


def _renumbered(on_token: Callable[[int, int], None] | None, number: int) -> Callable[[int, int], None] | None:
    return None if on_token is None else lambda _, token: on_token(number, token)


def _following(
    model: VideoLLM, prefix: VideoPrefix, question: Sequence[int], more: int
) -> tuple[PrefixCache, torch.Tensor]:
    """Return the cache to continue and the embeddings (1, L, hidden) to continue it with, ``more`` tokens to come."""
    step = model.embed(torch.tensor([list(question)], device=model.device))
    if prefix.length + len(question) + more <= longest_kept(model):
        return prefix.cache, step
    return PrefixCache(), torch.cat([prefix.embeddings[None], step], dim=1)


@torch.inference_mode()
def score(
    model: VideoLLM, prefix: VideoPrefix, question: Sequence[int], answers: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Return the log-probability, float32 (len(answers),) on the CPU, of each answer's tokens after a question's ids.

    The question is read once; the answers follow it as one batch, padded on the right.
    """
    device = model.device
    longest = max(map(len, answers))
    tokens = torch.tensor([list(answer) + [0] * (longest - len(answer)) for answer in answers], device=device)
    real = torch.arange(longest, device=device) < torch.tensor([[len(answer)] for answer in answers], device=device)
    try:
        cache, step = _following(model, prefix, question, longest)
        logits = [_logits(model, cache, step, logits_to_keep=1).expand(len(answers), -1, -1)]
        if longest > 1:
            logits.append(_logits(model, BranchCache(cache), model.embed(tokens[:, :-1])))
    finally:
        prefix.cache.rewind(prefix.length)
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
    model: VideoLLM,
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
        cache, step = _following(model, prefix, question, 1 + len(joiner))
        first = _last_logits(model, cache, step)[0, ids]
        first[-1] = -torch.inf  # nothing can end after the last instant
        start = first.float().softmax(dim=0)
        starts = start.topk(min(beams, len(ids) - 1)).indices
        rows = torch.cat([ids[starts, None], torch.tensor([list(joiner)] * len(starts), device=device)], dim=1)
        logits = _last_logits(model, BranchCache(cache), model.embed(rows))[:, ids]
    finally:
        prefix.cache.rewind(prefix.length)
    runs_back = torch.arange(len(ids), device=device)[None] <= starts[:, None]
    ends = logits.float().masked_fill(runs_back, -torch.inf).softmax(dim=-1)
    return SpanDistribution(start.cpu(), starts.cpu(), ends.cpu())
