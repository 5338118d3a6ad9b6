"""Finished sets as files: the training format, a readable line for each question, and the released file read back."""

from __future__ import annotations

import dataclasses
import json
import re
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .. import files, prompts
from ..errors import DataError
from ..types import Moment, Turn
from .pipeline import Candidate
from .questions import GroundedQuestion

_KNOWN = {"question_id", "video_id", "video_file", "dataset_name", "conversation", "duration"}
_SPAN = re.compile(r"<(\d+(?:\.\d+)?)>\s*(?:to|and|-)\s*<(\d+(?:\.\d+)?)>")  # in seconds
_OPTION = re.compile(r"^\s*\(?([A-Z])[).:]\s*(.+?)\s*$", re.MULTILINE)


def conversations(questions: Iterable[GroundedQuestion]) -> list[dict[str, Any]]:
    """Return questions in the training format: each as an open question and, with options, as a multiple choice.

    Both are followed by the turn that asks for the moment. Times are seconds, as in ``<12.5>``.
    """
    entries = []
    for question in questions:
        entries.append(_conversation(question, "open", question.question, question.answer))
        if question.options:
            text = prompts.choose(question.question, question.options)
            answer = prompts.option_answer(question.letter, question.answer)
            entries.append(_conversation(question, "choice", text, answer))
    return entries


def _conversation(question: GroundedQuestion, form: str, text: str, answer: str) -> dict[str, Any]:
    times = ", ".join(f"<{_seconds(moment.start)}> to <{_seconds(moment.end)}>" for moment in question.moments)
    turns = [f"{prompts.IMAGE}\n{text}", answer, prompts.EVIDENCE, f"From {times}."]
    return {
        "question_id": f"{question.key}_{form}",
        "video_id": question.video,
        "video_file": question.file,
        "dataset_name": question.dataset,
        "conversation": [{"from": ("human", "gpt")[n % 2], "value": turn} for n, turn in enumerate(turns)],
        **({} if question.duration is None else {"duration": question.duration}),
        **question.extra,
    }


def _seconds(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def record(question: GroundedQuestion) -> dict[str, Any]:
    """Return a question as plain data, in words that a reader understands without this module."""
    data = dataclasses.asdict(question)
    data["moments"] = [[moment.start, moment.end] for moment in question.moments]
    if not question.extra:
        del data["extra"]
    return data


def dropped(candidate: Candidate) -> dict[str, Any]:
    """Return a source that became no question as plain data: why, and what the model had written."""
    draft = None if candidate.draft is None else dataclasses.asdict(candidate.draft)
    events = [[event.start, event.end, event.text] for event in candidate.source.events]
    return {"key": candidate.source.key, "reason": candidate.reason, "draft": draft, "events": events}


def write_set(out: Path, questions: Sequence[GroundedQuestion]) -> None:
    """Write questions in the training format to ``out`` and as readable lines beside it."""
    files.write_json(out, conversations(questions))
    files.write_lines(out.with_suffix(".jsonl"), map(record, questions))


def read_released(path: Path) -> tuple[list[GroundedQuestion], tuple[str, ...]]:
    """Read the authors' annotation file: the grounded answers in it, and fields unknown here in ``extra``.

    A conversation is a grounded answer if a question with its answer is followed by a turn that gives its times;
    others are passed over, and counted in the notes.

    Raises:
        DataError: the file is not in the format, or holds no grounded answer.
    """
    from ..training.data import read_annotations  # this imports torch

    annotations = read_annotations(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        read = [_released(entry, one.turns) for entry, one in zip(entries, annotations, strict=True)]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not an annotation file of Grounded-VideoLLM: {error!r}") from error
    questions = [question for question in read if question is not None]
    if not questions:
        raise DataError(f"{path} holds no answer with the moment that proves it")
    others = len(read) - len(questions)
    return questions, (f"{others} conversations are no grounded answers: passed over",) if others else ()


def _released(entry: dict[str, Any], turns: Sequence[Turn]) -> GroundedQuestion | None:
    if len(turns) < 2 or _SPAN.search(turns[0].answer or ""):
        return None
    spans = _SPAN.findall(turns[1].answer or "")
    if not spans:
        return None
    question, options = _split_options(turns[0].question.strip())
    answer, letter = (turns[0].answer or "").strip(), ""
    if options:
        letter = prompts.chosen_letter(answer, len(options)) or ""
        answer = options[string.ascii_uppercase.index(letter)] if letter else answer
    duration = entry.get("duration")
    return GroundedQuestion(
        key=str(entry["question_id"]),
        video=str(entry["video_id"]),
        file=str(entry["video_file"]),
        duration=None if duration is None else float(duration),
        question=question,
        answer=answer,
        moments=tuple(Moment(float(start), float(end)) for start, end in spans),
        options=options if letter else (),
        letter=letter,
        dataset=str(entry.get("dataset_name", "")),
        extra={key: value for key, value in entry.items() if key not in _KNOWN},
    )


def _split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the question and the options of a turn; a question without options has none."""
    question, mark, rest = text.partition("\nOptions:")
    options = _OPTION.findall(rest) if mark else []
    if [letter for letter, _ in options] != list(string.ascii_uppercase[: len(options)]):
        return text, ()
    return question.removeprefix("Question:").strip(), tuple(option for _, option in options)
