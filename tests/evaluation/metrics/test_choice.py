"""Multiple choice: every vector of the public matchers, and the strict rule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from grounded.evaluation.metrics import choice
from tests.evaluation.shared import OURS

VECTORS = json.loads((OURS / "answer_vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["mvbench"], ids=lambda vector: repr(vector["pred"]))
def test_mvbenchs_matchers_say_what_the_public_code_says(vector: dict[str, Any]) -> None:
    letter = vector["gt"][1]
    assert choice.mvbench_official(vector["pred"], letter) == vector["check_ans"]
    assert (choice.lmms_letter(vector["pred"]) == choice.lmms_letter(vector["gt"])) == vector["lmms_eval_mcq_acc"]
    assert (choice.lmms_letter(vector["pred"]) == letter) == vector["lmms_eval_mcq_acc"]


@pytest.mark.parametrize("vector", VECTORS["videomme"], ids=lambda vector: repr(vector["response"]))
def test_videommes_extractors_say_what_the_public_code_says(vector: dict[str, Any]) -> None:
    assert choice.videomme_letter(vector["response"]) == vector["official_2024-06-23"]
    assert choice.videomme_letter(vector["response"], earlier=True) == vector["official_2024-06-18"]
    assert choice.lmms_extracted_letter(vector["response"]) == vector["lmms_eval_mcq_extract"]


def test_lmms_eval_drops_32_full_stops_and_no_more() -> None:
    assert choice.lmms_letter("." * 40) == "." * 8  # its call passes a flag where the count stands


OPTIONS = ["Sat down.", "Put down the bag.", "A man runs", "Opened the door."]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Answer: (B) Put down the bag.", "B"),
        ("(B) Put down the bag.", "B"),
        ("(B)", "B"),
        ("(B", "B"),
        ("B", "B"),
        ("b", "B"),
        ("B.", "B"),
        ("B) something else", "B"),
        ("B: the bag", "B"),
        ("**B**", "B"),
        ("answer:  B", "B"),
        ("Put down the bag", "B"),
        ("B put down the bag", "B"),
        ("A man runs.", "C"),  # the text of C, not the letter A
        ("", None),
        ("Answer:", None),
        ("(", None),
        ("E", None),
        ("(E) Nothing", None),
        ("A dog is seen", None),
        ("(A) or (B)", None),
        ("Cannot say", None),
        ("ab", None),
    ],
)
def test_the_strict_rule_believes_only_an_answer_that_names_one_option(answer: str, expected: str | None) -> None:
    assert choice.strict_letter(answer, OPTIONS) == expected


def test_the_prefix_of_the_trained_answers_is_taken_off() -> None:
    assert choice.without_prefix("Answer: (B) x") == "(B) x"
    assert choice.without_prefix("answer : B") == "B"
    assert choice.without_prefix("The answer: B") == "The answer: B"
