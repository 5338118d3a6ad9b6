"""Decoding: read a prefix once, then continue from it greedily or score given answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .cache import PrefixCache
from .video_llm import VideoLLM

Stop = Callable[[], bool]
OnToken = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Prefix:
    """What every question about a video begins with: its embeddings (P, hidden) and their key/value cache.

    ``lock`` is held while a question continues from ``cache``: it is extended in place and rewound afterwards.
    """

    embeddings: torch.Tensor
    cache: PrefixCache
    lock: threading.Lock

    @property
    def length(self) -> int:
        return len(self.embeddings)


@dataclass(frozen=True, eq=False)
class Generation:
    """Greedy output: ``ids`` with the end token left out, and the float32 ``logits`` (steps, vocabulary rows) that chose
    them; ``finished`` is False where the limit on new tokens cut the answer short."""

    ids: list[int]
    logits: torch.Tensor
    finished: bool


def positions_kept(model: VideoLLM) -> int:
    """Return how many positions a kept cache may reach.

    Phi's longrope turns keys differently past its original length: a prompt that is longer from the start must be read
    anew as a whole, as the authors' code does. Other models have no such switch.
    """
    llm = model.language_model.config
    longrope = (getattr(llm, "rope_parameters", None) or {}).get("rope_type") == "longrope"
    return llm.original_max_position_embeddings if longrope else llm.max_position_embeddings


@torch.inference_mode()
def read_prefix(model: VideoLLM, ids: Sequence[int], visual: torch.Tensor) -> Prefix:
    """Run the language model over the text before the video and the visual tokens (visual_tokens, hidden)."""
    text = model.embed(torch.tensor(list(ids), dtype=torch.long, device=model.device))
    embeddings = torch.cat([text, visual.to(text)])
    cache = PrefixCache()
    model.language_model(inputs_embeds=embeddings[None], past_key_values=cache, use_cache=True, logits_to_keep=1)
    return Prefix(embeddings, cache, threading.Lock())


@torch.inference_mode()
def generate(
    model: VideoLLM,
    prefix: Prefix,
    ids: Sequence[int],
    end: int,
    max_new_tokens: int,
    on_token: OnToken | None = None,
    stop: Stop | None = None,
) -> Generation:
    """Continue a prefix with the question's ``ids``, then greedily until the ``end`` token.

    ``on_token`` is called with each new id as it is chosen; ``stop`` ends the answer early when it returns True.
    """
    question = torch.tensor(list(ids), dtype=torch.long, device=model.device)
    with prefix.lock:
        try:
            if prefix.length + len(ids) <= positions_kept(model):
                cache, first = prefix.cache, model.embed(question)
            else:
                cache, first = PrefixCache(), torch.cat([prefix.embeddings, model.embed(question)])
            step, chosen, logits = first[None], [], []
            while len(chosen) < max_new_tokens and not (stop and stop()):
                output = model.language_model(
                    inputs_embeds=step, past_key_values=cache, use_cache=True, logits_to_keep=1
                )
                logits.append(output.logits[0, -1].float())
                token = int(logits[-1].argmax())
                if token == end:
                    return Generation(chosen, torch.stack(logits), finished=True)
                chosen.append(token)
                if on_token:
                    on_token(token)
                step = model.embed(question.new_tensor([[token]]))
        finally:
            prefix.cache.rewind(prefix.length)
    rows = model.language_model.config.vocab_size
    return Generation(chosen, torch.stack(logits) if logits else torch.empty(0, rows), finished=False)


@torch.inference_mode()
def score(model: VideoLLM, prefix: Prefix, ids: Sequence[int], answers: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the log-probability, float32 (len(answers),), of each answer's tokens after the question's ``ids``.

    The question is read once; the answers follow it as one batch, padded on the right.
    """
    question = torch.tensor(list(ids), dtype=torch.long, device=model.device)
    longest = max(map(len, answers))
    tokens = question.new_zeros(len(answers), longest)
    mask = torch.zeros(len(answers), longest, dtype=torch.bool, device=model.device)
    for row, answer in enumerate(answers):
        tokens[row, : len(answer)] = question.new_tensor(list(answer))
        mask[row, : len(answer)] = True
    with prefix.lock:
        try:
            fits = prefix.length + len(ids) + longest <= positions_kept(model)
            cache = prefix.cache if fits else PrefixCache()
            first = model.embed(question) if fits else torch.cat([prefix.embeddings, model.embed(question)])
            head = model.language_model(
                inputs_embeds=first[None], past_key_values=cache, use_cache=True, logits_to_keep=1
            ).logits[:, -1:]
            branched = cache.repeated(len(answers))
            tail = (
                model.language_model(
                    inputs_embeds=model.embed(tokens[:, :-1]), past_key_values=branched, use_cache=True
                ).logits
                if longest > 1
                else head[:, :0].expand(len(answers), -1, -1)
            )
        finally:
            prefix.cache.rewind(prefix.length)
    logits = torch.cat([head.expand(len(answers), -1, -1), tail], dim=1).float()
    chosen = logits.log_softmax(dim=-1).gather(-1, tokens[..., None])[..., 0]
    return (chosen * mask).sum(dim=1)
