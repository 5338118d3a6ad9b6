"""The API: a method an endpoint. Stateless: each takes the video, and the service knows it again by its content."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from .. import export
from ..errors import DataError, GroundedError, QuestionError
from ..serving import Service
from ..types import Answer, Question
from . import files


def sentence(error: Exception) -> gr.Error:
    """Return an error that a client shows as text: gr.Error renders HTML, and a message may quote a visitor."""
    return gr.Error(html.escape(str(error)[:500]), print_exception=False)


class AnswerData(gr.JSON):
    """An answer as plain data, with the schema that the API's description and MCP show."""

    is_template = True  # the front end draws it as it draws gr.JSON

    def api_info(self) -> dict[str, Any]:
        return Answer.json_schema()


class Endpoints:
    """Each method takes the video and returns plain data. MCP tools have their names and docstrings."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def _answer(self, path: str | None, question: Question) -> dict[str, Any]:
        try:
            if not path:
                raise QuestionError("the video is missing")
            return self.service.answer(path, question).to_dict()
        except GroundedError as error:
            raise sentence(error) from error

    def ground(self, video: str, query: str, best: float = 3, fine: bool = False) -> dict[str, Any]:
        """Find when something happens in a video: moments in seconds, each with its probability.

        Args:
            video: The video file.
            query: What to look for, in words, such as "a red circle spins".
            best: The largest number of moments wanted, 1 to 10.
            fine: Look closer at parts of a long video, where one look loses what lasts seconds; takes much longer.
        """
        return self._answer(video, Question("ground", query, best=_count(best), fine=fine is True))

    def refer(self, video: str, start: float, end: float) -> dict[str, Any]:
        """Say in words what happens in a range of a video.

        Args:
            video: The video file.
            start: Where the range begins, in seconds.
            end: Where it ends, in seconds.
        """
        return self._answer(video, Question("refer", start=_seconds(start), end=_seconds(end)))

    def choose(self, video: str, question: str, options: list[str]) -> dict[str, Any]:
        """Choose one of several answers to a question about a video, with a probability for each option.

        Args:
            video: The video file.
            question: The question.
            options: A list of two options or more.
        """
        if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
            raise gr.Error("the options must be a list of texts", print_exception=False)
        return self._answer(video, Question("choose", question, options=tuple(options)))

    def caption(self, video: str) -> dict[str, Any]:
        """List the events of a video, each with its start, its end and a caption.

        Args:
            video: The video file.
        """
        return self._answer(video, Question("caption"))

    def ask(self, video: str, question: str) -> dict[str, Any]:
        """Ask anything about a video.

        Args:
            video: The video file.
            question: The question; times such as "from 70.5 to 80 seconds" are understood.
        """
        return self._answer(video, Question("ask", question))

    def export(self, answers: Any, format: str, video: str | None = None, moment: float = 0) -> str:
        """Write answers as a file: json, csv, vtt, srt or edl, or cut one moment out of the video as mp4.

        Args:
            answers: One answer of the other endpoints, or a list of them.
            format: json, csv, vtt, srt, edl or mp4.
            video: The video file; mp4 needs it, and edl takes the frame rate from it.
            moment: Which moment to cut out for mp4, counted from 0.
        """
        try:
            found = [export.read_answer(each) for each in (answers if isinstance(answers, list) else [answers])]
            if format != "mp4":
                return files.written(found, format, video)
            moments = [each for answer in found for each in answer.moments]
            if not video or not 0 <= int(moment or 0) < len(moments):
                raise DataError(f"an mp4 needs the video and one of the {len(moments)} moments, counted from 0")
            chosen = moments[int(moment or 0)]
            return files.cut(video, chosen.start, chosen.end)
        except GroundedError as error:
            raise sentence(error) from error


def _count(value: Any) -> int:
    try:
        return min(10, max(1, int(value)))
    except (TypeError, ValueError, OverflowError):
        return 3


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float):
        raise gr.Error("a start and an end are needed, in seconds", print_exception=False)
    return float(value)
