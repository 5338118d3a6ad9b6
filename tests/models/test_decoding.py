"""Decoding: a kept prefix changes no answer, and leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from grounded.models import branching, decoding
from grounded.models.cache import PrefixCache
from tests.golden import Golden


def _question(golden: Golden, number: int = 0) -> list[int]:
    ids = golden.prompts[number]["input_ids"]
    return ids[ids.index(-200) + 1 :]


def _generate(
    golden: Golden, questions: list[list[int]], endless: bool = False, stop: Any = None, **options: Any
) -> list[decoding.Generation]:
    until = decoding.Until(-1 if endless else golden.family.end, 12, stop)
    return decoding.generate(golden.model, golden.prefix, questions, until, **options)


def test_a_question_leaves_the_prefix_as_it_was(golden: Golden) -> None:
    length = golden.prefix.cache.length
    before = [layer.keys.clone() for layer in golden.prefix.cache.layers]
    first = _generate(golden, [_question(golden)])[0]
    assert golden.prefix.cache.length == length == golden.prefix.length
    assert all(torch.equal(a, b.keys) for a, b in zip(before, golden.prefix.cache.layers, strict=True))
    assert _generate(golden, [_question(golden)])[0].ids == first.ids


def test_continuing_from_the_prefix_is_reading_everything(golden: Golden) -> None:
    ids = _question(golden)
    everything = torch.cat([golden.prefix.embeddings, golden.model.embed(torch.tensor(ids))])
    with torch.inference_mode():
        whole = golden.model.language_model(inputs_embeds=everything[None], logits_to_keep=1).logits[0, -1]
    torch.testing.assert_close(_generate(golden, [ids])[0].first_logits, whole, atol=1e-4, rtol=0)


def test_an_answer_in_a_batch_is_the_answer_alone(golden: Golden) -> None:
    questions = [_question(golden, number) for number in (0, 1, 2, 3, 0)]
    together = _generate(golden, questions)
    for question, answer in zip(questions, together, strict=True):
        alone = _generate(golden, [question])[0]
        assert answer.ids == alone.ids and answer.finished == alone.finished
        torch.testing.assert_close(answer.first_logits, alone.first_logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("seam", [None, 3, 0])
def test_a_turn_that_continues_from_the_one_before_says_what_reading_both_says(
    golden: Golden, seam: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At ``seam`` the second text has another id than the cache: from there on it is read anew."""
    first = _generate(golden, [_question(golden)], endless=True, keep_turns=True)[0]
    assert first.turns is not None and golden.prefix.cache.length == golden.prefix.length
    assert first.turns.ids == [*_question(golden), *first.ids[:-1]]
    assert first.turns.nbytes == golden.prefix.cache.nbytes // _room(golden) * len(first.turns.ids)
    text = [*_question(golden), *first.ids, *_question(golden, 1)]
    if seam is not None:
        text[seam] = text[seam] + 1
    read = []
    embed = golden.model.embed
    alone = _generate(golden, [text], endless=True, keep_turns=True)[0]
    monkeypatch.setattr(golden.model, "embed", lambda ids: (read.append(ids.shape[1]), embed(ids))[1])
    after = _generate(golden, [text], endless=True, earlier=first.turns, keep_turns=True)[0]
    assert read[0] == len(text) - (len(first.turns.ids) if seam is None else seam)
    assert after.ids == alone.ids
    torch.testing.assert_close(after.first_logits, alone.first_logits, atol=1e-4, rtol=0)
    assert after.turns is not None and alone.turns is not None and after.turns.ids == alone.turns.ids
    for one, other in zip(after.turns.layers, alone.turns.layers, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)
    assert golden.prefix.cache.length == golden.prefix.length


def _room(golden: Golden) -> int:
    """Return the positions that the buffers of the prefix's cache have room for."""
    return golden.prefix.cache.layers[0]._buffers[0].shape[2]


def test_a_question_that_is_all_known_is_still_answered(golden: Golden) -> None:
    first = _generate(golden, [_question(golden)], endless=True, keep_turns=True)[0]
    assert _generate(golden, [_question(golden)], endless=True, earlier=first.turns)[0].ids == first.ids


def test_past_the_switch_of_the_rope_nothing_is_continued(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _generate(golden, [_question(golden)], endless=True, keep_turns=True)[0]
    monkeypatch.setattr(decoding, "longest_kept", lambda model: golden.prefix.length)
    after = _generate(golden, [_question(golden)], endless=True, earlier=first.turns, keep_turns=True)[0]
    assert after.ids == first.ids and after.turns is None


def test_tokens_are_reported_as_they_come_and_can_be_stopped(golden: Golden) -> None:
    seen: list[tuple[int, int]] = []

    def note(row: int, token: int) -> None:
        seen.append((row, token))

    answer = _generate(golden, [_question(golden)], endless=True, on_token=note)[0]
    assert seen == [(0, token) for token in answer.ids] and len(seen) == 12
    seen.clear()
    stopped = _generate(golden, [_question(golden)], endless=True, on_token=note, stop=lambda: len(seen) >= 3)[0]
    assert stopped.ids == answer.ids[:3] and not stopped.finished
    assert _generate(golden, [_question(golden)], stop=lambda: True)[0].ids == []


def test_an_error_in_a_callback_leaves_the_prefix_usable(golden: Golden) -> None:
    def fail(row: int, token: int) -> None:
        raise RuntimeError("the visitor left")

    with pytest.raises(RuntimeError, match="the visitor left"):
        _generate(golden, [_question(golden)], on_token=fail)
    assert golden.prefix.cache.length == golden.prefix.length


def test_kept_probabilities_are_those_of_the_vocabulary(golden: Golden) -> None:
    rows = range(golden.loaded.config.llm["vocab_size"])
    answer = _generate(golden, [_question(golden)], keep=rows)[0]
    torch.testing.assert_close(answer.kept[0], answer.first_logits.log_softmax(dim=0))
    assert answer.kept.argmax(dim=1).tolist()[: len(answer.ids)] == answer.ids


def test_scores_are_the_sum_of_the_tokens_log_probabilities(golden: Golden) -> None:
    question, rows = _question(golden), range(golden.loaded.config.llm["vocab_size"])
    answer = _generate(golden, [question], endless=True, keep=rows)[0]
    greedy = sum(answer.kept[step, token] for step, token in enumerate(answer.ids))
    other = [token + 1 for token in answer.ids[:5]]
    scores = decoding.score(golden.model, golden.prefix, question, [answer.ids, other, other[:1]])
    torch.testing.assert_close(scores[0], greedy, atol=1e-3, rtol=0)
    torch.testing.assert_close(scores[2], answer.kept[0, other[0]], atol=1e-4, rtol=0)
    assert scores[1] < scores[2]
    assert golden.prefix.cache.length == golden.prefix.length


def test_the_cache_grows_without_losing_anything_and_can_be_rewound() -> None:
    cache, generator = PrefixCache(), torch.Generator().manual_seed(0)
    parts = [torch.randn(1, 2, n, 4, generator=generator) for n in (70, 1, 1, 200, 1)]
    for part in parts:
        keys, values = cache.update(part, -part, 0)
    assert torch.equal(keys, torch.cat(parts, dim=2)) and torch.equal(values, -keys)
    cache.rewind(71)
    assert cache.length == 71
    assert torch.equal(cache.layers[0].keys, torch.cat(parts, dim=2)[:, :, :71])
    assert cache.nbytes >= 2 * 71 * 2 * 4 * 4


def test_span_distributions_are_those_of_reading_each_start_out(golden: Golden) -> None:
    family = golden.family
    opening, joiner = family.span_opening, family.span_joiner
    question = [*_question(golden), *opening]
    spans = decoding.span_distribution(golden.model, golden.prefix, question, joiner, family.kept, beams=4)
    assert golden.prefix.cache.length == golden.prefix.length
    for start, ends in zip(spans.starts.tolist(), spans.ends, strict=True):
        asked = [*question, family.kept[start], *joiner]
        first = decoding.generate(golden.model, golden.prefix, [asked], decoding.Until(-1, 1))[0].first_logits[
            family.kept
        ]
        first[: start + 1] = -torch.inf
        torch.testing.assert_close(ends, first.softmax(dim=0), atol=1e-4, rtol=0)
    assert len(family.kept) - 1 not in spans.starts and spans.start[-1] == 0, "nothing can end after the last instant"
    joint = spans.joint()
    assert joint.sum().item() == pytest.approx(1)
    assert torch.equal(joint, joint.triu(diagonal=1))  # no span runs backwards or is empty


@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_branches_attend_as_if_the_prefix_stood_in_every_row(key_heads: int) -> None:
    generator = torch.Generator().manual_seed(key_heads)
    rows, heads, length, own, width = 3, 4, 2, 5, 8
    query = torch.randn(rows, heads, length, width, generator=generator)
    prefix, key, value = (
        torch.randn(n, key_heads, m, width, generator=generator) for n, m in ((2, 7), (rows, own), (rows, own))
    )
    padding = torch.tensor([0, 2, 1])
    mask = branching.own_mask(padding, length, own)
    key.prefix = prefix[:1], prefix[1:]  # type: ignore[attr-defined]
    ours, _ = branching.attend(torch.nn.Identity(), query, key, value, mask)
    keys, values = (
        torch.cat([part.expand(rows, -1, -1, -1), tail], dim=2)
        for part, tail in ((prefix[:1], key), (prefix[1:], value))
    )
    whole = torch.cat([torch.ones(rows, 1, length, 7, dtype=torch.bool), mask], dim=-1)
    wanted = torch.nn.functional.scaled_dot_product_attention(query, keys, values, whole, enable_gqa=True)
    torch.testing.assert_close(ours, wanted.transpose(1, 2), atol=1e-5, rtol=0)
