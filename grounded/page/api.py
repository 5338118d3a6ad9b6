"""The API: a method an endpoint. Stateless: each takes the video, and the service knows it again by its content.

What a parameter takes stands in the signatures: it is checked there, and shown by the API's description and by MCP.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import gradio as gr
from gradio.utils import get_function_description
from pydantic import Field, TypeAdapter, ValidationError, validate_call

from .. import export
from ..errors import DataError, GroundedError, QuestionError
from ..library.searching import LibrarySearch
from ..prompts import MAX_OPTIONS
from ..serving import MAX_TEXT, Services
from ..types import Question
from . import files
from .parameters import Data, VideoPath

MAX_ANSWERS = 64  # of one export
Words = Annotated[str, Field(max_length=MAX_TEXT)]
Options = Annotated[list[Words], Field(min_length=2, max_length=MAX_OPTIONS)]
Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1, le=10)]
Index = Annotated[int, Field(strict=True, ge=0)]
Yes = Annotated[bool, Field(strict=True)]
Answers = Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ANSWERS)]
Format = Literal["json", "csv", "vtt", "srt", "edl", "xml", "otio", "mp4"]


def sentence(error: Exception | str) -> gr.Error:
    """Return an error that a client shows as text: pages render it as HTML, and it may quote a visitor."""
    return gr.Error(str(error)[:500].replace("<", "‹").replace(">", "›"), print_exception=False)


def endpoint(method: Callable[..., Any]) -> Callable[..., Any]:
    """Check a method's arguments against its signature, and turn errors into sentences."""
    checked, signature = validate_call(method), inspect.signature(method)

    @functools.wraps(method)
    def call(endpoints: Endpoints, *args: Any, **kwargs: Any) -> Any:
        try:
            named = signature.bind(endpoints, *args, **kwargs).arguments
            return checked(named.pop("self"), **named)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise sentence(f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}") from error
        except GroundedError as error:
            raise sentence(error) from error

    return call


def inputs_of(method: Callable[..., Any], models: Sequence[str]) -> list[gr.components.Component]:
    """Return a component for each parameter of an endpoint, to be made inside a page's layout.

    The parameter ``model`` is there where there are several ``models`` to choose among.
    """
    descriptions = get_function_description(method)[1]
    inputs: list[gr.components.Component] = []
    for name, schema in TypeAdapter(method).json_schema()["properties"].items():
        if name == "video":
            inputs.append(VideoPath(label=name, sources=["upload"], include_audio=True))
        elif name != "model" or len(models) > 1:
            if name == "model":
                schema |= {"enum": list(models), "default": models[0]}
            described = schema | {"additional_description": descriptions[name]}
            inputs.append(Data(schema.get("default"), described, label=name))
    return inputs


class Endpoints:
    """Each method takes the video and returns plain data."""

    def __init__(self, services: Services, library: LibrarySearch | None = None) -> None:
        self.services, self.library = services, library

    def _answer(self, path: str | None, question: Question, model: str) -> dict[str, Any]:
        if not path:
            raise QuestionError("the video is missing")
        return self.services.answer(path, question, model).to_dict()

    @endpoint
    def ground(
        self, video: str | None, query: Words, best: Count = 3, fine: Yes = False, model: str = ""
    ) -> dict[str, Any]:
        """Find when something happens in a video: moments in seconds, each with its probability.

        Args:
            video: The video file.
            query: What to look for, in words, such as "a red circle spins".
            best: The largest number of moments wanted, 1 to 10.
            fine: Look closer at parts of a long video, where one look loses what lasts seconds; takes much longer.
            model: Which model answers.
        """
        return self._answer(video, Question("ground", query, best=best, fine=fine), model)

    @endpoint
    def refer(self, video: str | None, start: Seconds, end: Seconds, model: str = "") -> dict[str, Any]:
        """Say in words what happens in a range of a video.

        Args:
            video: The video file.
            start: Where the range begins, in seconds.
            end: Where it ends, in seconds; after the start, and inside the video.
            model: Which model answers.
        """
        return self._answer(video, Question("refer", start=start, end=end), model)

    @endpoint
    def choose(self, video: str | None, question: Words, options: Options, model: str = "") -> dict[str, Any]:
        """Choose one of several answers to a question about a video, with a probability for each option.

        Args:
            video: The video file.
            question: The question.
            options: A list of 2 to 26 different options.
            model: Which model answers.
        """
        return self._answer(video, Question("choose", question, options=tuple(options)), model)

    @endpoint
    def caption(self, video: str | None, model: str = "") -> dict[str, Any]:
        """List the events of a video, each with its start, its end and a caption.

        Args:
            video: The video file.
            model: Which model answers.
        """
        return self._answer(video, Question("caption"), model)

    @endpoint
    def ask(self, video: str | None, question: Words, model: str = "") -> dict[str, Any]:
        """Ask anything about a video.

        Args:
            video: The video file.
            question: The question; times such as "from 70.5 to 80 seconds" are understood.
            model: Which model answers.
        """
        return self._answer(video, Question("ask", question), model)

    @endpoint
    def search(self, query: Words, best: Count = 10) -> dict[str, Any]:
        """Find which films of the library show or say something, and when, the most probable moment first.

        Args:
            query: What to look for, in words.
            best: The largest number of moments wanted, 1 to 10.
        """
        if self.library is None:
            raise QuestionError("there is no library here")
        return self.library.search(query, best).to_dict(names_alone=True)

    @endpoint
    def export(self, answers: Answers, format: Format, video: str | None = None, moment: Index = 0) -> str:
        """Write answers as a file, or cut one moment out of the video as mp4.

        Args:
            answers: A list of 1 to 64 answers of the other endpoints, as they were given.
            format: json, csv, vtt, srt; edl, xml or otio for video editors; mp4 for a clip of one moment.
            video: The video file; mp4 needs it, and video editors need its frame rate.
            moment: Which of all answers' moments to cut out for mp4, counted from 0.
        """
        found = [export.read_answer(each) for each in answers]
        if format != "mp4":
            return files.written(found, format, video)
        moments = [each for answer in found for each in answer.moments]
        if not video or moment >= len(moments):
            raise DataError(f"an mp4 needs the video and one of the {len(moments)} moments, counted from 0")
        return files.cut(video, moments[moment].start, moments[moment].end)
