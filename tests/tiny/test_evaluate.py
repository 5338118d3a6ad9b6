"""The table of the tiny model's figures: right answers fill it, wrong ones empty it, and the command prints it."""

from __future__ import annotations

import dataclasses
import json
from itertools import product

import pytest
import typer
from typer.testing import CliRunner

from grounded import prompts
from grounded.engine.grounder import load
from grounded.tiny import evaluate as tiny
from grounded.tiny.cli import evaluate_tiny
from grounded.tiny.world.scenes import VALIDATION_SEEDS, draw_scene
from grounded.types import Answer, Moment

CALIBRATION = "calibration error of the moments claimed (ECE)"
ONE = "ground, one moment: mIoU"


def answered(change):
    """Return questions about twenty scenes; ``change`` makes each answer from the right one."""
    questions = []
    for seed in VALIDATION_SEEDS[:20]:
        scene = draw_scene(seed)
        blank = Answer("ask", "", "", "", scene.duration)
        for question in tiny.questions_about(scene):
            case = tiny.AnsweredQuestion(question, scene.duration, (blank,))
            answers = tuple(change(answer) for answer in tiny.right_answers(case))
            questions.append(dataclasses.replace(case, answers=answers))
    return questions


def test_right_answers_fill_every_row():
    table = tiny.figures(answered(lambda answer: answer))
    assert len(table) > 20 and set(table.values()) == {1.0}


def test_wrong_answers_leave_every_row_empty():
    table = tiny.figures(answered(lambda a: dataclasses.replace(a, raw="", moments=(), absent=1 - a.absent)))
    assert len(table) > 20 and set(table.values()) == {0.0}


def test_a_moment_that_is_too_long_counts_for_its_overlap_alone():
    def stretched(answer):
        return dataclasses.replace(
            answer, moments=tuple(dataclasses.replace(m, end=m.end + 0.5 * (m.end - m.start)) for m in answer.moments)
        )

    table = tiny.figures(answered(stretched))
    assert table[ONE] == pytest.approx(2 / 3)
    assert table["ground, one moment: R1@0.5"] == 1.0 and table["ground, one moment: R1@0.7"] == 0.0
    assert table["caption: event F1 at IoU 0.5 with the right words"] == 1.0


def test_confidence_in_moments_that_are_elsewhere_is_an_error_of_calibration():
    def sure(answer):
        return dataclasses.replace(answer, moments=(Moment(0.0, 0.01, score=0.9),))

    assert tiny.figures(answered(sure))[CALIBRATION] == pytest.approx(0.9)


def test_a_claim_on_a_paraphrase_of_what_is_not_there_counts_against_calibration_and_denial():
    everything = answered(lambda answer: dataclasses.replace(answer, moments=(), absent=1.0))
    negatives = [a for a in everything if a.question.wording == "held_out" and a.question.absent]
    claim = dataclasses.replace(negatives[0].last, moments=(Moment(0.0, 1.0, score=0.9),), absent=0.1)
    claims = [dataclasses.replace(a, answers=(claim,)) for a in negatives[:1]]
    table = tiny.figures([a for a in everything if a not in negatives] + claims + negatives[1:])
    assert table[CALIBRATION] == pytest.approx(0.9)
    share = 1 - 1 / len(negatives)
    assert table["not in the video, paraphrases never seen: denied"] == pytest.approx(share)
    assert table["not in the video, paraphrases never seen: balanced accuracy"] == pytest.approx(share / 2)
    assert table["not in the video: balanced accuracy"] == 0.5


def test_what_is_known_is_counted_among_its_own_questions_and_foreign_ones():
    def sure(answer):
        return dataclasses.replace(answer, known=0.9)

    table = tiny.figures(answered(sure))
    assert table["its own questions: known"] == 1.0 and table["unrelated queries: marked unknown"] == 0.0
    cases = answered(lambda answer: answer)
    foreign = sum(a.question.kind == "foreign" for a in cases) / len(cases)
    assert table["calibration error of what is known (ECE)"] == pytest.approx(abs(0.9 - (1 - foreign)), abs=1e-6)


def test_every_query_is_asked_through_ground_in_the_words_that_a_user_would_type(tmp_path):
    class Video:
        """Knows what was asked through `ground`."""

        duration, family, queries = 9.0, load("tiny", device="cpu").family, ()

        def ground(self, queries):
            self.queries = queries
            return [Answer("ground", query, "", "", 9.0) for query in queries]

    video, (path, questions) = Video(), tiny.held_out(VALIDATION_SEEDS.start, tmp_path)
    questions = [q for q in questions if q.task == "ground"]
    assert path.exists() and {(q.wording, q.absent) for q in questions} == set(
        product(("canonical", "held_out"), (0, 1))
    )
    assert {q.query for q in questions} >= set(tiny.UNRELATED)
    assert [a.question for a in tiny.answer_all(video, questions)] == questions
    for query, question in zip(video.queries, questions, strict=True):
        asked = question.turns[0].question
        assert asked in (query, prompts.ground(query)) and "textual query" not in query
        assert question.wording == "held_out" or query == question.query


def test_the_command_prints_the_model_beside_itself_without_a_stream(tmp_path):
    program = typer.Typer()
    program.command()(evaluate_tiny)
    out = tmp_path / "figures.json"

    def run(count):
        options = {"videos": tmp_path / "videos", "count": count, "without": 1, "negatives": 1, "processes": 1}
        options |= {"seed": VALIDATION_SEEDS.start, "out": out}
        result = CliRunner().invoke(program, [f"--{name}={value}" for name, value in options.items()])
        assert result.exit_code == 0, result.output
        return result.output, json.loads(out.read_text())

    printed, figures = run(2)
    assert f"| {ONE} | {figures['model'][ONE]:.3f} | {figures[tiny.SAME][ONE]:.3f} |" in printed
    assert figures["model"][ONE] > 0.5 > figures["without the video stream"][ONE]
    assert figures["negatives"]["noise: said to be absent"] > 0.5
    assert len(list((tmp_path / "videos").iterdir())) == 2
    _, alone = run(1)
    assert alone["model"] == alone[tiny.SAME] == figures[tiny.SAME]
