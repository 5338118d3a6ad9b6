"""Prompts: wordings as trained, and user text that can do no harm."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from grounded import prompts
from grounded.engine.encoded_video import EncodedVideo
from grounded.errors import QuestionError, TimeError, WeightsError
from grounded.prompts import CHATS, Turn
from tests.golden import Golden


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(prompts).failed == 0


def test_a_token_that_the_tokenizer_lacks_is_named() -> None:
    tokenizer = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    assert prompts.token_id(tokenizer, "a") == 0
    with pytest.raises(WeightsError, match="<pad>"):
        prompts.token_id(tokenizer, "<pad>")


def test_later_turns_carry_no_video() -> None:
    turns = [Turn("What is shown?", False, "A box."), Turn("When does it stop?", True)]
    assert prompts.after_image(CHATS["phi3.5"], turns) == (
        "\nWhat is shown?\n<|assistant|>\nA box.<|endoftext|>"
        "\n<|user|>\n<timestamp_grounding>\nWhen does it stop?\n<|assistant|>\n"
    )


@pytest.mark.parametrize(
    ("text", "count", "letter"),
    [
        ("Answer: (B) a red circle", 4, "B"),
        ("(c) it", 3, "C"),
        ("D", 4, "D"),
        ("B. yes", 2, "B"),
        ("Answer: (E) none", 4, None),
        ("Because", 4, None),
        ("", 4, None),
        ("A red circle", 4, "A"),
    ],
)
def test_the_letter_of_an_answer_is_found(text: str, count: int, letter: str | None) -> None:
    assert prompts.chosen_letter(text, count) == letter


@pytest.mark.parametrize("bad", ["", "  \n", "\x00\x01", "x" * 20_001, "\ud800", 7])
def test_texts_that_no_prompt_can_hold_are_refused(bad: object) -> None:
    with pytest.raises(QuestionError):
        prompts.safe(bad, ())  # type: ignore[arg-type]


HOSTILE = st.lists(
    st.sampled_from(
        ["<image>", "<timestamp_grounding>", "<|end|>", "<|assistant|>", "<|eot_id|>", "<|endoftext|>", "</s>", "<s>"]
        + ["<", ">", "|", "<|", "|>", "end", "a ", "\n", "\x00", "<|start_header_id|>", "<|im", "age>", "<im"]
    ),
    min_size=1,
    max_size=12,
).map("".join)


@given(text=HOSTILE)
def test_nobody_smuggles_a_marker_into_a_prompt(goldens: dict[str, Golden], text: str) -> None:
    for golden in goldens.values():
        family = golden.family
        try:
            safe = family.safe(text)
        except QuestionError:
            continue
        ids = family.token_ids(f"\n{safe}")
        steering = {family.tokenizer.token_to_id(marker) for marker in (*family.markers, "<timestamp_grounding>")}
        assert not steering & set(ids), (text, safe)
        assert prompts.IMAGE not in safe
        assert safe.replace(" ", "") == text.replace("\x00", "").strip().replace(" ", "")  # nothing is lost


def test_a_range_outside_the_video_is_refused_before_anything_runs(golden: Golden) -> None:
    duration = golden.clip.duration
    watched = EncodedVideo(golden.family, golden.visual, duration, ())
    for start, end in ((70, 80), (12, 5), (5, 5), (-1, 4)):
        with pytest.raises(TimeError):
            watched.refer(start, end)
    with pytest.raises(TimeError, match=f"70 s is outside the video, which lasts {duration:.2f} s"):
        watched.ask("What is happening from 70 seconds to 80 seconds?")


def test_a_question_longer_than_the_training_texts_is_refused_and_keeps_the_conversation(golden: Golden) -> None:
    conversation = EncodedVideo(golden.family, golden.visual, golden.clip.duration, ()).conversation()
    with pytest.raises(QuestionError, match="tokens; at most 2048"):
        conversation.ask("one two three " * 1200)
    assert conversation.turns == ()


@pytest.mark.parametrize(
    "text",
    ["\u200b\u200d\ufeff", "\u2800\u2800", "\u3164 \u115f", "\u00ad", "\u202e\u2066", "\ufe0f", "\u2028\x00"],
    ids=ascii,
)
def test_a_question_that_shows_nothing_is_empty(text: str) -> None:
    with pytest.raises(QuestionError, match="the query is empty"):
        prompts.safe(text, (), "query")
    assert prompts.safe(f"{text}犬", ()).endswith("犬")
