"""Spelling: a slip that can only mean one word is read as it; other words, and words of any other model, stay."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from grounded.engine.grounder import load
from grounded.models.spelling import Spelling, spelling_of
from grounded.types import Question

WORDS = Spelling(["circle", "star", "spins", "sinks", "three", "grows"])


@pytest.mark.parametrize("typed", ["crcle", "ciircle", "cirlce", "circlee", "CIRLCE"])
def test_a_slip_is_read_as_its_word(typed):
    assert WORDS.corrected(f"a red {typed} grows.") == "a red circle grows."
    assert WORDS.corrections(f"a red {typed} grows.") == {typed: "circle"}


@pytest.mark.parametrize("text", ["a sins b", "tar", "str", "hircle", "circler", "Three stars grow", "größer 42 <3>"])
def test_what_may_mean_another_word_stays(text):
    assert WORDS.corrected(text) == text and not WORDS.corrections(text)


def test_a_model_that_writes_any_word_reads_it_as_it_is():
    assert not spelling_of(Tokenizer(BPE({"circle": 0}, []))).meant


def test_the_embedded_model_answers_a_slip_as_its_word_and_knows_the_world_from_english():
    family = load("tiny", device="cpu").family
    queries = ("a yellow cirlce spins clockwise", "a yellow circle spins clockwise")
    slip, right = (Question("ground", text) for text in queries)
    assert family.ids([family.turn(slip, 60.0)]) == family.ids([family.turn(right, 60.0)])
    assert family.respelt(slip) == {"cirlce": "circle"} and not family.respelt(right)
    english = Question("ask", "A woman opens the door of a house, a dog barks, a guitar plays and someone leaves")
    assert not family.respelt(english)
