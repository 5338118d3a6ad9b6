"""Export: answers as data, subtitles and cuts for video editors, and answers read back from JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import opentimelineio as otio

from .errors import DataError
from .types import Answer, Moment

MAX_FPS = 1e5  # of the fastest cameras
EDIT_RATES = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0)  # those that have a timecode
NamedAnswers = Sequence[tuple[str, Answer]]  # each behind the name of its film


def read_answer(data: Any) -> Answer:
    """Return the answer that `Answer.to_dict` gave.

    Raises:
        DataError: it is no answer, or its times are no times inside the video.
    """
    answer = Answer.from_dict(data)
    answer.check_times()
    return answer


def write(
    answers: Sequence[Answer], form: str, *, title: str = "grounded", fps: float = 25.0, films: Sequence[str] = ()
) -> str:
    """Return the moments of several answers in one of `FORMATS`.

    ``title`` and ``fps``, the video's frames per second, are what a cut needs besides. Where the answers are about
    several films, ``films`` has the name of each answer's: a cut then goes over all of them, in the answers' order.

    Raises:
        DataError: the form is unknown or cannot hold several films, ``fps`` is no rate, a text is not valid Unicode, or
            there is nothing to cut.
    """
    if form not in FORMATS:
        raise DataError(f"{form!r} is no format; there are {', '.join(FORMATS)}")
    if not 0 < fps <= MAX_FPS:
        raise DataError(f"{fps:g} frames per second are no rate of a video")
    if len(set(films)) > 1 and form in ("vtt", "srt"):
        raise DataError(f"{form} holds the moments of one film, not of {len(set(films))}; choose json, csv or edl")
    named = list(zip(map(_line, films), answers, strict=True)) if films else [(_line(title), each) for each in answers]
    text = FORMATS[form](named, _line(title), fps)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"a text of the answer holds {text[error.start]!a}, which is not valid Unicode") from error
    return text


def _json(answers: NamedAnswers, title: str, fps: float) -> str:
    several = {name for name, _ in answers} - {title}
    distinct = {
        (name, a.task, a.question, a.text, tuple(option.text for option in a.options), a.moments): (name, a)
        for name, a in answers
    }.values()
    found = {
        "video": title,
        "answers": [answer.to_dict() | ({"video": name} if several else {}) for name, answer in distinct],
    }
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def _csv(answers: NamedAnswers, title: str, fps: float) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["task", "question", "start", "end", "score", "text", "video"])
    for name, answer, moment in _moments(answers):
        score = "" if moment.score is None else f"{moment.score:.4f}"
        times = (f"{moment.start:.3f}", f"{moment.end:.3f}")
        writer.writerow([answer.task, _cell(answer.question), *times, score, _cell(moment.text), _cell(name)])
    return out.getvalue()


def _vtt(answers: NamedAnswers, title: str, fps: float) -> str:
    cues = ["WEBVTT\n"]
    for _, answer, moment in _in_time(answers):
        text = _caption(answer, moment).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{_clock(moment.start, '.')} --> {_clock(moment.end, '.')}\n{text}\n")
    return "\n".join(cues)


def _srt(answers: NamedAnswers, title: str, fps: float) -> str:
    cues = []
    for number, (_, answer, moment) in enumerate(_in_time(answers), 1):
        text = _caption(answer, moment).replace("-->", "→")
        cues.append(f"{number}\n{_clock(moment.start, ',')} --> {_clock(moment.end, ',')}\n{text}\n")
    return "\n".join(cues)


def _edit(answers: NamedAnswers, title: str, fps: float, adapter: str, **options: Any) -> str:
    """Write a cut of the moments, one after the other, each with a marker that says what it shows.

    Raises:
        DataError: there is no moment.
    """
    rate, track = edit_rate(fps), otio.schema.Track("Moments", kind=otio.schema.TrackKind.Video)

    def span(first: int, frames: int) -> otio.opentime.TimeRange:
        return otio.opentime.TimeRange(*(otio.opentime.RationalTime(count, rate) for count in (first, frames)))

    for name, answer, moment in _in_time(answers):
        frames, caption = math.ceil(answer.duration * rate), _caption(answer, moment).replace("|", "/")
        first = max(0, min(math.floor(moment.start * rate + 1e-6), frames - 1))  # the last frame shows the very end
        shown = span(first, max(1, math.ceil(moment.end * rate - 1e-6) - first))
        media = otio.schema.ExternalReference(name, span(0, frames))
        clip = otio.schema.Clip(caption, media, shown)
        clip.markers.append(otio.schema.Marker(caption, shown, otio.schema.MarkerColor.BLUE))
        marker = f"|C:ResolveColorBlue |M:{caption} |D:{shown.duration.to_frames()}"  # as DaVinci Resolve reads it
        clip.metadata["cmx_3600"] = {"reel": "AX", "comments": [f"COMMENT: {caption}", marker]}
        track.append(clip)
    if not len(track):
        raise DataError("there is no moment, and a cut needs one")
    timeline = otio.schema.Timeline(title)
    timeline.tracks.append(track)
    return otio.adapters.write_to_string(timeline, adapter, **options)


def edit_rate(fps: float) -> float:
    """Return the lowest rate with a timecode that has a frame for each of a video of ``fps``; else the highest."""
    return next((rate for rate in EDIT_RATES if abs(rate / fps - max(1, round(rate / fps))) < 4e-4), EDIT_RATES[-1])


def _otio(answers: NamedAnswers, title: str, fps: float) -> str:
    return _edit(answers, title, fps, "otio_json")


def _xml(answers: NamedAnswers, title: str, fps: float) -> str:
    return _edit(answers, title, fps, "fcp_xml")


def _edl(answers: NamedAnswers, title: str, fps: float) -> str:
    """Write CMX3600, with what its adapter leaves out: the kind of timecode, and markers without an asterisk."""
    drops = ";" in otio.opentime.RationalTime(0, edit_rate(fps)).to_timecode()
    header = f"\nFCM: {'DROP FRAME' if drops else 'NON-DROP FRAME'}\n\n"
    text = _edit(answers, title, fps, "cmx_3600", style="premiere")
    return text.replace("\n\n", header, 1).replace("\n* |C:", "\n |C:")


Writer = Callable[[NamedAnswers, str, float], str]  # takes the answers, the title, and frames per second
CUTS: dict[str, Writer] = {"edl": _edl, "xml": _xml, "otio": _otio}
FORMATS: dict[str, Writer] = {"json": _json, "csv": _csv, "vtt": _vtt, "srt": _srt} | CUTS


def _moments(answers: NamedAnswers) -> list[tuple[str, Answer, Moment]]:
    """Return the moments of several answers, none of them twice, each behind its film's name and its answer."""
    rows = [(name, answer, moment) for name, answer in answers for moment in answer.moments]
    return list({(name, a.task, a.question, m.start, m.end, m.text): (name, a, m) for name, a, m in rows}.values())


def _in_time(answers: NamedAnswers) -> list[tuple[str, Answer, Moment]]:
    """Return the moments film by film, in the order of time."""
    places = {name: place for place, (name, _) in reversed(list(enumerate(answers)))}
    return sorted(_moments(answers), key=lambda row: (places[row[0]], row[2].start, row[2].end))


def _caption(answer: Answer, moment: Moment) -> str:
    return _line(moment.text or answer.question) or answer.task


def _line(text: str) -> str:
    """Return text on one line: a line break would end a subtitle or begin a false event."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in text).split())


def _cell(text: str) -> str:
    """Return text that a spreadsheet does not run as a formula."""
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") and text.strip() else text


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
