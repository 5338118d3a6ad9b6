"""Export: the formats that other programs read, whatever people wrote."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re

import opentimelineio as otio
import pytest

from grounded.errors import DataError
from grounded.export import CUTS, FORMATS, read_answer, write
from grounded.types import Answer, Moment, Option

GROUND = Answer(
    "ground", "a dog <b>barks</b>", "", "", 90.0, (Moment(75.5, 80.25, 0.9), Moment(3.0, 4.0)), curve=(0.1, 0.9)
)
CAPTION = Answer("caption", "All", "", "", 90.0, (Moment(0.0, 61.04, None, "=1+1 --> a\nb & <i>"),))
CHOICE = Answer("choose", "Which?", "(A) one", "", 90.0, options=(Option("A", "one", 0.7),), choice="A")


def test_json_reads_back_as_the_same_answers() -> None:
    answers = [GROUND, CAPTION, CHOICE]
    read = json.loads(write(answers, "json", title="film.mp4"))
    assert read["video"] == "film.mp4"
    assert [read_answer(each) for each in read["answers"]] == answers


def test_a_moment_that_was_found_twice_is_written_once() -> None:
    for form in FORMATS:
        again = dataclasses.replace(GROUND, seconds=3.0)
        assert write([again, GROUND, CAPTION], form) == write([GROUND, CAPTION], form)


def test_the_same_question_with_another_answer_is_another_answer() -> None:
    said = [Answer("ask", "And then?", text, text, 90.0) for text in ("A ring falls.", "It stops.")]
    other = dataclasses.replace(CHOICE, options=(Option("A", "one", 0.7), Option("B", "two", 0.3)))
    read = json.loads(write([*said, CHOICE, other, said[1]], "json"))
    assert [read_answer(each) for each in read["answers"]] == [*said, CHOICE, other]


def test_csv_has_a_line_a_moment_and_no_formulas() -> None:
    lines = list(csv.DictReader(io.StringIO(write([GROUND, CAPTION], "csv"))))
    assert [line["start"] for line in lines] == ["75.500", "3.000", "0.000"]
    assert lines[0]["score"] == "0.9000"
    assert lines[2]["text"].startswith("'=1+1")


def test_vtt_is_in_the_order_of_time_and_escapes_markup() -> None:
    text = write([GROUND, CAPTION], "vtt")
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:01:01.040\n=1+1 --&gt; a b &amp; &lt;i&gt;\n")
    assert re.findall(r"^\S+(?= -->)", text, re.MULTILINE) == ["00:00:00.000", "00:00:03.000", "00:01:15.500"]


def test_srt_numbers_its_cues_and_holds_no_false_arrow() -> None:
    text = write([GROUND, CAPTION], "srt")
    assert text.startswith("1\n00:00:00,000 --> 00:01:01,040\n=1+1 → a b")
    assert text.count("-->") == 3
    assert "\n3\n00:01:15,500 --> 00:01:20,250\n" in text


RATES = [24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0]


def spans(text: str, form: str, rate: float) -> list[tuple[int, int]]:
    """Return the first frame and the number of frames of each clip, as the form's own reader gives them."""
    adapter = {"edl": "cmx_3600", "xml": "fcp_xml", "otio": "otio_json"}[form]
    timeline = otio.adapters.read_from_string(text, adapter, **({"rate": rate} if form == "edl" else {}))
    ranges = [clip.source_range for clip in timeline.find_clips()]
    assert [shown.start_time.rate for shown in ranges] == pytest.approx([rate] * len(ranges))
    return [(shown.start_time.to_frames(), shown.duration.to_frames()) for shown in ranges]


@pytest.mark.parametrize("form", CUTS)
@pytest.mark.parametrize("rate", RATES)
def test_a_cut_is_read_back_to_the_frame(form: str, rate: float) -> None:
    frames = [(0, 1), (53, 31), (1799, 100), (17982, 2), (107892, 17), (200000, 1001)]  # across dropped timecodes
    moments = tuple(Moment(first / rate, (first + count) / rate) for first, count in frames)
    answer = Answer("ground", "it's a <dog> & a cat", "", "", 9000.0, moments)
    assert spans(write([answer], form, title="it's.mp4", fps=round(rate, 3)), form, rate) == frames


@pytest.mark.parametrize("form", CUTS)
def test_a_cut_of_the_very_end_is_the_last_frame(form: str) -> None:
    answer = Answer("ground", "the end", "", "", 90.0, (Moment(90.0, 90.0), Moment(89.96, 90.0)))
    assert spans(write([answer], form), form, 25.0) == [(2249, 1), (2249, 1)]


@pytest.mark.parametrize("form", CUTS)
@pytest.mark.parametrize(("fps", "rate"), [(10, 30), (12.5, 25), (20, 60), (17.3, 60)])
def test_a_rate_without_a_timecode_is_cut_at_one_that_has_its_frames(form: str, fps: float, rate: float) -> None:
    assert spans(write([GROUND], form, fps=fps), form, rate)[0] == (round(3 * rate), round(rate))


def test_edl_has_markers_for_resolve_and_says_how_it_counts() -> None:
    lines = write([GROUND], "edl", title="a\nb.mp4", fps=29.97).splitlines()
    assert lines[:2] == ["TITLE: a b.mp4", "FCM: DROP FRAME"]
    # 3 s is frame 89 of 29.97 a second, and frame 89 is called 00:00:02;29
    assert lines[3] == "001  AX       V     C        00:00:02;29 00:00:04;00 00:00:00;00 00:00:01;01"
    assert "* FROM CLIP NAME:  a b.mp4" in lines
    assert " |C:ResolveColorBlue |M:a dog <b>barks</b> |D:31" in lines
    assert "FCM: NON-DROP FRAME" in write([GROUND], "edl", fps=25)


def test_one_edit_list_goes_over_several_films_in_their_order() -> None:
    films = ["b.mp4", "a\n.mp4"]
    lines = write([CAPTION, GROUND], "edl", films=films).splitlines()
    assert [line.split(": ")[1].strip() for line in lines if "FROM CLIP NAME" in line] == ["b.mp4", "a .mp4", "a .mp4"]
    rows = csv.DictReader(io.StringIO(write([CAPTION, GROUND], "csv", films=films)))
    assert [row["video"] for row in rows] == ["b.mp4", "a .mp4", "a .mp4"]
    answers = json.loads(write([GROUND, GROUND], "json", films=films))["answers"]
    assert [answer["video"] for answer in answers] == ["b.mp4", "a .mp4"]
    with pytest.raises(DataError, match="vtt holds the moments of one film, not of 2"):
        write([CAPTION, GROUND], "vtt", films=films)


def test_every_format_but_a_cut_takes_no_answers() -> None:
    for form in FORMATS.keys() - CUTS.keys():
        assert isinstance(write([], form), str)
    for form in CUTS:
        with pytest.raises(DataError, match="a cut needs one"):
            write([CHOICE], form)
    with pytest.raises(DataError, match="'exe' is no format"):
        write([], "exe")


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {},
        GROUND.to_dict() | {"moments": [{"start": 5.0, "end": 1.0}]},
        GROUND.to_dict() | {"moments": [{"start": 0.0, "end": 1000.0}]},
        GROUND.to_dict() | {"moments": [{"start": "0", "end": 1.0}]},
        GROUND.to_dict() | {"moments": [{"start": float("nan"), "end": 1.0}]},
        GROUND.to_dict() | {"moments": 3},
        GROUND.to_dict() | {"question": {"a": 1}},
        GROUND.to_dict() | {"duration": float("inf")},
        GROUND.to_dict() | {"curve": ["x"]},
    ],
)
def test_what_is_no_answer_is_refused(data: object) -> None:
    with pytest.raises(DataError, match="no answer"):
        read_answer(data)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "change",
    [
        {"moments": [0]},
        {"moments": "x"},
        {"moments": [{"start": float("nan"), "end": 1.0}]},
        {"duration": 1.7e308, "moments": [{"start": 1.7e308, "end": 1.7e308}]},
        {"duration": 10**400},
        {"duration": -1.0},
        {"duration": float("nan")},
        {"curve": [float("nan")]},
        {"seconds": float("inf")},
        {"question": "\ud800", "moments": [{"start": 0.0, "end": 1.0, "text": 3}]},
    ],
    ids=str,
)
def test_what_is_no_answer_is_refused_in_one_sentence(change: dict, form: str) -> None:
    with pytest.raises(DataError, match="^this is no answer of grounded: [^\n]+$"):
        write([read_answer(GROUND.to_dict() | change)], form)


def test_half_a_letter_is_refused_and_never_stands_in_a_file() -> None:
    for form in FORMATS:
        try:
            write([read_answer(GROUND.to_dict() | {"question": "a \ud800 dog"})], form).encode()
        except DataError as error:
            assert "'\\ud800', which is not valid Unicode" in str(error)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_rate_that_no_video_has_is_refused(fps: float) -> None:
    with pytest.raises(DataError, match="no rate of a video"):
        write([GROUND], "edl", fps=fps)
