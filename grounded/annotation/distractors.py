"""Distractors: the answers to similar questions, themselves neither too like the right answer nor too unlike it.

Source: Wang et al., 2024, arXiv:2410.03290, section 4: answers of the 50 nearest questions, similarity 0.2 to 0.9.
"""

from __future__ import annotations

import string
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .checks import plain
from .questions import GroundedQuestion
from .settings import QuestionSettings

NEAREST = 50  # the questions whose answers are taken first
SAME = 0.95  # questions and answers whose similarity is this or more say the same


@dataclass(frozen=True)
class Distractors:
    """The wrong options of a question; ``far`` if the nearest questions did not suffice and others were taken too."""

    texts: tuple[str, ...]
    far: bool


@dataclass(frozen=True)
class Duplicate:
    """A question that asks what question number ``first`` asks before it, with the same answer or another."""

    first: int
    same_answer: bool


def duplicates(
    questions: Sequence[GroundedQuestion], question_vectors: np.ndarray, answer_vectors: np.ndarray
) -> dict[int, Duplicate]:
    """Return, by their numbers, the questions that ask what an earlier question about their video asks.

    The words are the same, or else both question and answer are near. The vectors are the embeddings of the questions
    and of their answers, (len(questions), dimensions) each.
    """
    earlier: dict[str, list[int]] = {}
    result = {}
    for number, question in enumerate(questions):
        firsts = earlier.setdefault(question.video, [])
        for first in firsts:
            same_answer = bool(answer_vectors[first] @ answer_vectors[number] >= SAME)
            same_words = plain(questions[first].question) == plain(question.question)
            if same_words or (same_answer and question_vectors[first] @ question_vectors[number] >= SAME):
                result[number] = Duplicate(first, same_answer)
                break
        else:
            firsts.append(number)
    return result


def draw(
    questions: Sequence[GroundedQuestion],
    question_vectors: np.ndarray,
    answer_vectors: np.ndarray,
    settings: QuestionSettings,
    nearest: int = NEAREST,
) -> list[Distractors | None]:
    """Return the distractors of each question, None where the whole set has too few; vectors as in `duplicates`."""
    videos = np.array([question.video for question in questions])
    result = []
    for number, question in enumerate(questions):
        # Other videos first: what is wrong about one's own video may be right about another part of it.
        nearness = (question_vectors @ question_vectors[number]).round(5)  # so that equal questions are equally near
        order = np.lexsort((-nearness, videos == question.video))
        similarity = answer_vectors @ answer_vectors[number]
        fits = (settings.low <= similarity) & (similarity <= settings.high)
        answers = ((questions[other].answer, bool(fits[other])) for other in order if other != number)
        result.append(_draw(question, answers, settings, nearest))
    return result


def _draw(
    question: GroundedQuestion, answers: Iterable[tuple[str, bool]], settings: QuestionSettings, nearest: int
) -> Distractors | None:
    """Draw from the answers of the other questions, the nearest first, each with whether its similarity fits."""
    count = settings.options - 1
    candidates: dict[str, str] = {}  # texts by their words, each once
    far = False
    for place, (text, fits) in enumerate(answers):
        if place >= nearest:
            if len(candidates) >= count:
                break
            far = True
        if fits and plain(text) != plain(question.answer):
            candidates.setdefault(plain(text), text)
    if len(candidates) < count:
        return None
    rng = np.random.default_rng([settings.seed, zlib.crc32(question.key.encode())])
    texts = list(candidates.values())
    return Distractors(tuple(texts[i] for i in rng.choice(len(texts), count, replace=False)), far)


def assign_letters(
    questions: Sequence[GroundedQuestion], distractors: Sequence[Sequence[str]], seed: int
) -> list[GroundedQuestion]:
    """Return the questions with their options; each letter is right as often as every other, give or take one."""
    if not questions:
        return []
    count = len(distractors[0]) + 1
    places = np.random.default_rng([seed, len(questions)]).permutation(np.arange(len(questions)) % count)
    result = []
    for question, texts, place in zip(questions, distractors, places.tolist(), strict=True):
        options = (*texts[:place], question.answer, *texts[place:])
        result.append(replace(question, options=options, letter=string.ascii_uppercase[place]))
    return result


def shuffle_options(
    question: GroundedQuestion, distractors: Sequence[str], seed: int, round: int
) -> tuple[list[str], str]:
    """Return the options in an order of this round's own, and the right letter."""
    rng = np.random.default_rng([seed, zlib.crc32(question.key.encode()), round])
    options = [question.answer, *distractors]
    order = rng.permutation(len(options)).tolist()
    return [options[i] for i in order], string.ascii_uppercase[order.index(0)]
