"""Trust: what a model cannot know is a guess, and the answer says why."""

from __future__ import annotations

from pathlib import Path

import pytest

import grounded
from grounded.engine.disk_cache import content_key
from grounded.page.examples import offers, read_examples
from grounded.serving import LocalModel, Service
from grounded.serving.trust import knowledge_of, trust
from grounded.types import Question
from tests.page.conftest import write_film

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_word_that_the_model_cannot_read_makes_a_guess() -> None:
    rating, reason = trust(knowledge_of("tiny"), ("teddy", "bear"), True)
    assert rating == "guess" and "does not know “teddy”, “bear”" in reason


@pytest.mark.parametrize(("model", "expected"), [("tiny", "guess"), ("phi3.5", "model"), ("somebody's", "model")])
def test_a_video_that_nobody_knows_is_a_guess_for_a_model_of_one_world(model: str, expected: str) -> None:
    assert trust(knowledge_of(model), (), False)[0] == expected
    assert trust(knowledge_of(model), (), True)[0] == "model"


def test_the_embedded_model_guesses_on_a_real_video_and_not_on_the_examples(tmp_path: Path) -> None:
    grounder = grounded.load("tiny", device="cpu")
    example = read_examples(EXAMPLES)[2]
    service = Service(grounder.family, LocalModel(grounder), familiar={content_key(example.path)})
    other = write_film(tmp_path / "film.mp4", seconds=4)
    query = Question("ground", example.ground[0], best=1)
    assert service.answer(example.path, query).trust == "model"
    assert service.answer(other, query).trust == "guess"
    answer = service.answer(example.path, Question("ground", "A man drives a car"))
    assert answer.trust == "guess" and "“man”, “drives”, “car”" in answer.trust_reason


def test_the_embedded_model_can_read_what_the_examples_ask() -> None:
    family = grounded.load("tiny", device="cpu").family
    examples = read_examples(EXAMPLES)
    for example in examples:
        for offer in offers(example, "ground"):
            assert family.unknown_words(Question("ground", offer.fields[0]), 60.0) == ()
        for offer in offers(example, "choose"):
            options = tuple(offer.fields[1].splitlines())
            assert family.unknown_words(Question("choose", offer.fields[0], options=options), 60.0) == ()
    question = Question("ask", "What happens from 10.5 to 20 seconds?")
    assert family.unknown_words(question, 60.0) == ()
