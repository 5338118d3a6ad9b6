"""Answers are those of transformers' own `generate`: from a kept prefix, in a batch, in a second turn."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from grounded.engine.encoded_video import EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.models import decoding
from grounded.models.processor import Wording
from grounded.models.qwen3_vl import wording
from grounded.models.qwen3_vl.processor import Qwen3VL
from grounded.types import Answer, Clip, Moment, Question, Turn
from tests.models.qwen3_vl.test_prompt import family, stock_inputs

QUESTIONS = ["When does the circle spin?", "What happens?", "Is there a ring in the video, or a square? Say which."]
NEW = 24


def generated(stock: Any, words: Tokenizer, clip: Clip, messages: list[str]) -> list[int]:
    inputs = stock_inputs(words, clip, messages)
    ids = stock.generate(**inputs, do_sample=False, max_new_tokens=NEW)[0, inputs["input_ids"].shape[1] :].tolist()
    end = words.token_to_id("<|im_end|>")
    return ids[: ids.index(end)] if end in ids else ids


def ours(encoded: EncodedVideo, conversations: list[list[Turn]], **options: Any) -> list[decoding.Generation]:
    model = encoded.family
    ids = [model.ids(turns) for turns in conversations]
    until = decoding.Until(model.end, NEW)
    return decoding.generate(model.network, encoded._read_prefix(), ids, until, **options)


def asked(encoded: EncodedVideo, text: str) -> Turn:
    return encoded.family.turn(Question("ask", text), encoded.duration)


def test_first_logits_are_the_stock_models(encoded: EncodedVideo, stock: Any, words: Tokenizer, clip: Clip) -> None:
    with torch.inference_mode():
        expected = stock(**stock_inputs(words, clip, [QUESTIONS[0]])).logits[0, -1]
    first = ours(encoded, [[asked(encoded, QUESTIONS[0])]])[0].first_logits
    torch.testing.assert_close(first, expected, atol=1e-4, rtol=1e-4)


def test_answers_are_those_of_generate_whatever_was_asked_before(
    encoded: EncodedVideo, stock: Any, words: Tokenizer, clip: Clip
) -> None:
    expected = [generated(stock, words, clip, [text]) for text in QUESTIONS]
    assert len({tuple(ids) for ids in expected}) > 1 and max(len(set(ids)) for ids in expected) > 5
    for _ in range(2):
        alone = [ours(encoded, [[asked(encoded, text)]])[0].ids for text in QUESTIONS]
        assert alone == expected
    together = ours(encoded, [[asked(encoded, text)] for text in QUESTIONS])
    assert [each.ids for each in together] == expected


def test_a_second_turn_is_that_of_generate(encoded: EncodedVideo, stock: Any, words: Tokenizer, clip: Clip) -> None:
    encoded.forget()
    conversation = encoded.conversation()
    turn = asked(encoded, QUESTIONS[0])
    first = ours(encoded, [[turn]], keep_turns=True)[0]
    said = words.decode(first.ids).strip()
    turns = [dataclasses.replace(turn, answer=said), asked(encoded, QUESTIONS[1])]
    expected = generated(stock, words, clip, [QUESTIONS[0], said, QUESTIONS[1]])
    assert ours(encoded, [turns], earlier=first.turns)[0].ids == ours(encoded, [turns])[0].ids == expected
    conversation.ask(QUESTIONS[0])
    assert conversation.ask(QUESTIONS[1]).raw and len(conversation.turns) == 2


def test_either_of_two_tokens_ends_an_answer(encoded: EncodedVideo, words: Tokenizer) -> None:
    model = encoded.family
    assert model.ends == (words.token_to_id("<|im_end|>"), words.token_to_id("<|endoftext|>"))
    ids = model.ids([asked(encoded, QUESTIONS[0])])
    (free,) = decoding.generate(model.network, encoded._read_prefix(), [ids], decoding.Until(model.end, NEW))
    until = decoding.Until(model.end, NEW, ends=(free.ids[5],))
    (ended,) = decoding.generate(model.network, encoded._read_prefix(), [ids], until)
    assert ended.ids == free.ids[: free.ids.index(free.ids[5])] and ended.finished


def test_a_further_question_costs_its_own_words_alone(watcher: Grounder, encoded: EncodedVideo) -> None:
    encoded.ask(QUESTIONS[0])
    read: list[int] = []
    text = family(watcher).network.language_model.model
    handle = text.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    try:
        encoded.ask(QUESTIONS[1])
    finally:
        handle.remove()
    words = len(encoded.family.ids([asked(encoded, QUESTIONS[1])]))
    assert words - 1 <= read[0] <= words, "a first word that both questions share is known already"
    assert set(read[1:]) == {1}


def test_the_probability_of_an_option_is_that_of_its_letter(
    encoded: EncodedVideo, stock: Any, words: Tokenizer, clip: Clip
) -> None:
    options = ["a ring", "a square", "a moon"]
    answer = encoded.choose("Which?", options)
    turn = encoded.family.turn(Question("choose", "Which?", options=tuple(options)), 4.0)
    inputs = stock_inputs(words, clip, [turn.question])
    whole = [log_probability(stock, inputs, words.encode(letter).ids + [encoded.family.end]) for letter in "ABC"]
    expected = torch.tensor(whole).softmax(0)
    torch.testing.assert_close(torch.tensor([o.score for o in answer.options]), expected, atol=1e-4, rtol=1e-3)
    assert answer.choice in ("A", "B", "C")


def log_probability(stock: Any, inputs: Any, continuation: list[int]) -> float:
    """Return what the stock model gives a continuation, reading everything anew."""
    ids = torch.cat([inputs["input_ids"], torch.tensor([continuation])], dim=1)
    kinds = torch.cat([inputs["mm_token_type_ids"], torch.zeros(1, len(continuation), dtype=torch.long)], dim=1)
    given = {name: inputs[name] for name in ("pixel_values_videos", "video_grid_thw")}
    with torch.inference_mode():
        logits = stock(input_ids=ids, mm_token_type_ids=kinds, **given).logits[0, -len(continuation) - 1 : -1]
    rows = logits.float().log_softmax(dim=-1)
    return float(rows[range(len(continuation)), continuation].sum())


@pytest.mark.parametrize("style", [wording.ONE_MOMENT, wording.ALL_MOMENTS])
@pytest.mark.parametrize("earlier", [(), (Moment(0.5, 1.5),)])
def test_span_probabilities_are_those_of_every_span_written_out(
    watcher: Grounder,
    encoded: EncodedVideo,
    stock: Any,
    words: Tokenizer,
    clip: Clip,
    style: Wording,
    earlier: tuple[Moment, ...],
) -> None:
    known = family(watcher)
    model = Qwen3VL(known.network, known.tokenizer, known.frames, style=style)
    turn = model.turn(Question("ground", "it spins"), 4.0)
    joint = model.span_joint(encoded._read_prefix(), model.ids([turn]), earlier, 4.0, starts=100)
    assert joint.shape == (9, 9) and float(joint.sum()) == pytest.approx(1)
    assert torch.equal(joint, joint.triu(1)), "no span runs backwards or is empty"
    inputs = stock_inputs(words, clip, [turn.question])
    before = style.opening + "".join(f"{m.start:.1f}{style.joiner}{m.end:.1f}{style.between}" for m in earlier)
    expected = torch.full((9, 9), -torch.inf)
    for start in range(9):
        for end in range(start + 1, 9):
            said = words.encode(f"{before}{start / 2:.1f}{style.joiner}{end / 2:.1f}").ids
            expected[start, end] = log_probability(stock, inputs, said)
    expected = expected.flatten().softmax(0).view(9, 9)
    torch.testing.assert_close(joint, expected, atol=1e-5, rtol=1e-3)
    few = model.span_joint(encoded._read_prefix(), model.ids([turn]), earlier, 4.0, starts=2)
    assert int((few.sum(dim=1) > 0).sum()) == 2 and float(few.sum()) == pytest.approx(1)


def test_moments_get_probabilities_and_further_ones_follow_in_order(watcher: Grounder, encoded: EncodedVideo) -> None:
    model, prefix = family(watcher), encoded._read_prefix()
    turn = model.turn(Question("ground", "it spins"), 4.0)
    answer = Answer("ground", "it spins", "", "0.5 - 1.5 seconds", 4.0, (Moment(0.5, 1.5), Moment(2.0, 4.0)))
    scored = model.score_moments(answer, turn, prefix)
    assert [(m.start, m.end) for m in scored.moments] == [(0.5, 1.5), (2.0, 4.0)]
    assert all(m.score is not None and 0 <= m.score <= 1 for m in scored.moments) and scored.absent is None
    assert len(scored.curve) == 8 and all(0 <= p <= 1.0001 for p in scored.curve)
    more = model.add_moments(answer, turn, prefix, best=4)
    assert more.moments[:2] == scored.moments and 2 < len(more.moments) <= 4
    further = [m.score for m in more.moments[2:]]
    assert further == sorted(further, reverse=True)
    assert all(0 <= m.start < m.end <= 4.0 for m in more.moments)


def test_what_cannot_be_read_stays_text_without_a_moment(watcher: Grounder, encoded: EncodedVideo) -> None:
    model = family(watcher)
    turn = model.turn(Question("ground", "it spins"), 4.0)
    said = decoding.Generation(model.token_ids("I see no circle."), True, torch.zeros(1), torch.zeros(0, 0))
    answer = model.read("ground", "it spins", said, 4.0)
    assert answer.text == "I see no circle." and not answer.moments
    assert not model.add_moments(answer, turn, encoded._read_prefix(), best=3).moments


def test_what_is_written_is_read_as_moments(watcher: Grounder) -> None:
    model = family(watcher)

    def read(task: str, text: str) -> Answer:
        said = decoding.Generation(model.token_ids(text), True, torch.zeros(1), torch.zeros(0, 0))
        return model.read(task, "", said, 30.0)

    assert read("ground", "The event happens in 1.5 - 12.0 seconds.").text == "From 1.5 s to 12.0 s."
    events = read("caption", '[{"start": "00:01.50", "end": "00:04.00", "description": "It spins."}]')
    assert events.text == "1.5 s to 4.0 s: It spins." and events.moments == (Moment(1.5, 4.0, text="It spins."),)
