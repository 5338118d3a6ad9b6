"""The report: the table, the pictures, and no text of other people that could become more than text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from grounded.evaluation import report
from grounded.evaluation.benchmarks import find
from grounded.evaluation.items import AnsweredItem, BenchmarkItem, Metric, Prediction, Scores
from grounded.evaluation.predictions import make_prediction
from grounded.evaluation.scoring import write_report
from grounded.types import Answer, Moment, Option

EVIL = "<script>alert(1)</script> ${x} | `y` [z](javascript:1) \"'><img src=x onerror=alert(2)>\n# head"


class Page(HTMLParser):
    """Collects the tags, attributes and texts of a page, and sees that tags close in the order they opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _cases() -> list[AnsweredItem]:
    """Return cases of every kind, each text in them hostile."""
    cases = []
    for number in range(30):
        item = BenchmarkItem(
            f"{EVIL}{number}", f"{EVIL}{number % 10}", "ground", EVIL, 60.0, (Moment(number, number + 4.0),), group=EVIL
        )
        given = make_prediction(item, f"From <{number}> {EVIL}", [Moment(number + 1.0, number + 5.0, 0.5, EVIL)])
        cases.append(AnsweredItem(item, given, (number % 10) / 10))
    options = ("x", EVIL)
    choice = BenchmarkItem("choice", "c", "choose", EVIL, options=options, answer="A", group="other")
    chosen = Answer(
        "choose", EVIL, EVIL, EVIL, 9.0, (), tuple(Option("AB"[i], o, 0.5) for i, o in enumerate(options)), "B"
    )
    cases.append(AnsweredItem(choice, Prediction("choice", chosen), 0.0))
    events = (Moment(0, 5, text=EVIL), Moment(2, 9, text=EVIL))
    requests = BenchmarkItem("asked", "d", "ask", EVIL, answer=EVIL)
    cases.append(AnsweredItem(requests, make_prediction(requests, EVIL), 0.0))
    caption = BenchmarkItem("caption", "e", "caption", "captions", 20.0, events, (events[:1],))
    cases.append(AnsweredItem(caption, make_prediction(caption, moments=[*events, *events]), 0.1))
    broken = BenchmarkItem("broken", "f", "ground", EVIL, moments=(Moment(0, 1),))
    cases.append(AnsweredItem(broken, Prediction("broken", error=EVIL), 0.0))
    cases.append(AnsweredItem(BenchmarkItem("missing", "g", "ground", "q", moments=(Moment(0, 1),)), None, 0.0))
    return cases


def _scores() -> Scores:
    metrics = (Metric("R1@0.5", 27.8226, 25.94, 29.76, 3), Metric(EVIL, 1.0))
    baselines = {EVIL: {"R1@0.5": 0.215}}
    return Scores("charades-sta", "ours", EVIL, metrics, tuple(_cases()), (EVIL,), baselines, "IoU")


def test_no_text_on_the_page_becomes_anything_but_text() -> None:
    page = Page(report.page(_scores(), find("charades-sta"), EVIL))
    assert not page.tags & {"script", "img", "a", "iframe", "object", "link", "base", "form"}
    assert not {name for name in page.attributes if name.startswith("on") or name in ("src", "href", "style")}
    assert "<script>alert(1)</script> ${x}" in "".join(page.texts)


def test_the_page_needs_nothing_beside_it_and_forbids_it() -> None:
    text = report.page(_scores(), find("charades-sta"))
    assert "default-src 'none'" in text
    assert not re.search(r"https?://", text.replace("http-equiv", ""))


def _pictures(page: str) -> tuple[list[Element], list[Element]]:
    """Return the timelines and the bars of a page; each must be well-formed."""
    pictures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    return [p for p in pictures if p.get("class") != "bars"], [p for p in pictures if p.get("class") == "bars"]


def test_every_timeline_says_what_it_shows_and_bars_stand_beside_their_numbers() -> None:
    timelines, bars = _pictures(report.page(_scores(), find("charades-sta")))
    assert len(timelines) == 11 and len(bars) > 10
    for picture in timelines:
        assert picture.get("role") == "img" and picture.get("aria-label") and picture.find("title") is not None
    assert all(picture.get("aria-hidden") == "true" for picture in bars)


def test_the_page_shows_histogram_lengths_kinds_what_failed_and_the_worst_cases() -> None:
    text = "".join(Page(report.page(_scores(), find("charades-sta"), "tiny")).texts)
    for heading in (
        "Charades-STA: tiny",
        "Histogram of the IoU",
        "Mean IoU by kind of question",
        "Mean IoU by length of the video",
        "Not answered",
        "The worst cases, one for each video",
    ):
        assert heading in text
    assert "27.823" in text and "25.940 to 29.760" in text and "0.215" in text


def test_captions_are_shown_by_their_number_of_events() -> None:
    cases = []
    for number in range(1, 8):
        item = BenchmarkItem(
            str(number), str(number), "caption", "captions", 20.0, tuple(Moment(i, i + 1.0) for i in range(number))
        )
        cases.append(AnsweredItem(item, make_prediction(item), 0.01 * number))
    scores = Scores("activitynet-captions", "ours", "", (), tuple(cases), score_name="SODA_c")
    text = "".join(Page(report.page(scores, find("activitynet-captions"))).texts)
    assert "Mean SODA_c by number of events" in text and "5 to 6" in text and "0.07" in text


def test_the_worst_cases_are_of_different_videos_lowest_score_first() -> None:
    worst = report.worst_cases(_scores(), 5)
    assert [case.score for case in worst] == sorted(case.score for case in worst)
    assert len({case.item.video for case in worst}) == 5
    assert all(case.prediction is not None and case.prediction.answer is not None for case in worst)


def test_a_perfect_result_has_no_worst_case() -> None:
    case = _cases()[0]
    scores = Scores("world", "ours", "", (), (AnsweredItem(case.item, case.prediction, 1.0),))
    assert report.worst_cases(scores) == [] and "worst" not in report.page(scores, find("world"))


def test_the_markdown_table_keeps_its_columns_whatever_the_texts_hold() -> None:
    text = report.markdown(_scores(), find("charades-sta"), "tiny")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "<script>" not in text and text.count("\n# ") == 0 and text.startswith("# Charades-STA: tiny\n")
    assert "| R1@0.5 | 27.823 | 25.940 to 29.760 | 36.4 | 55.9 | 0.215 |" in text


def test_counts_and_failures_stand_beside_the_numbers() -> None:
    lines = report.summary(_scores())
    assert "35 questions, 33 answered." in lines
    assert "1 could not be answered and count against the score." in lines
    assert "1 have no prediction and count as not answered." in lines


def _timeline_of(moments: tuple[Moment, ...], events: tuple[Moment, ...] = (), task: str = "ground") -> list[Element]:
    """Return the rectangles in the timeline of an answer about a video of ten seconds."""
    item = BenchmarkItem("k", "v", task, "q", 10.0, events)
    scores = Scores("world", "ours", "", (), (AnsweredItem(item, make_prediction(item, moments=moments), 0.5),))
    timelines, _ = _pictures(report.page(scores, find("world")))
    return [rectangle for picture in timelines for rectangle in picture.iter("rect")]


def test_overlapping_events_lie_in_lanes_of_their_own() -> None:
    rectangles = _timeline_of((Moment(0, 5),), (Moment(0, 5), Moment(3, 8), Moment(5, 9)), "caption")
    tops = {kind: [r.get("y") for r in rectangles if r.get("class") == kind] for kind in ("track", "truth", "answer")}
    assert tops == {"track": ["4", "22", "40"], "truth": ["4", "4", "22"], "answer": ["40"]}


def test_moments_outside_the_video_are_drawn_inside_the_picture() -> None:
    moments = [r for r in _timeline_of((Moment(-5, 500), Moment(600, 900))) if r.get("class") == "answer"]
    assert len(moments) == 2
    for rectangle in moments:
        start, width = float(rectangle.get("x", "nan")), float(rectangle.get("width", "nan"))
        assert 90 <= start < start + width <= 640


def test_a_video_of_unknown_length_without_moments_has_no_timeline() -> None:
    item = BenchmarkItem("k", "v", "ground", "q")
    scores = Scores("world", "ours", "", (), (AnsweredItem(item, make_prediction(item), 0.5),))
    assert _pictures(report.page(scores, find("world")))[0] == []


def test_the_report_is_three_files(tmp_path: Path) -> None:
    write_report(_scores(), find("charades-sta"), tmp_path / "new" / "folder")
    assert {path.name for path in (tmp_path / "new/folder").iterdir()} == {"report.md", "report.html", "scores.json"}
    content = json.loads((tmp_path / "new/folder/scores.json").read_text())
    assert content["metrics"]["R1@0.5"] == {"value": 27.8226, "low": 25.94, "high": 29.76}
    assert content["missing"] == ["missing"] and content["errors"] == {"broken": EVIL}
