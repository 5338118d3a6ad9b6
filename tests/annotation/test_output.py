"""The released file read back, and the report page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grounded.annotation import report
from grounded.annotation.output import read_released
from grounded.annotation.questions import GroundedQuestion
from grounded.errors import DataError
from grounded.training.data import read_annotations
from grounded.types import Moment
from tests.annotation.server import ChatServer
from tests.annotation.shared import app, lines, write_captions


def talk(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(texts)]


RELEASED = [
    {
        "question_id": "anet_1",
        "video_id": "v_x",
        "video_file": "activitynet/v_x.mp4",
        "dataset_name": "grounded_videoqa",
        "split": "train",
        "checked": {"by": 2},
        "conversation": talk(
            "<image>\nQuestion: What does the man do?\nOptions:\n(A) He runs.\n(B) He swims.",
            "Answer: (B) He swims.",
            "Provide the timestamps that correspond to your answer.",
            "From <3.5> to <9>, <12.0> to <20.25>.",
        ),
    },
    {
        "question_id": 7,
        "video_id": "v_y",
        "video_file": "v_y.mp4",
        "dataset_name": "grounded_videoqa",
        "conversation": talk("<image>\nWho sings?", "A boy.", "<timestamp_grounding>\nWhen?", "From <0> to <4>."),
    },
    {
        "question_id": "dense",
        "video_id": "v_z",
        "video_file": "v_z.mp4",
        "dataset_name": "vtg",
        "conversation": talk("<image>\nReport the events.", "From <0> to <4>, a dog."),
    },
]


def test_the_released_file_is_read_and_turned_into_the_same_formats(tmp_path: Path) -> None:
    path = tmp_path / "released.json"
    path.write_text(json.dumps(RELEASED))
    items, notes = read_released(path)
    assert notes == ("1 conversations are no grounded answers: passed over",)
    first, second = items
    assert (first.question, first.options, first.letter) == ("What does the man do?", ("He runs.", "He swims."), "B")
    assert first.answer == "He swims." and first.extra == {"split": "train", "checked": {"by": 2}}
    assert first.moments == (Moment(3.5, 9.0), Moment(12.0, 20.25)) and second.moments == (Moment(0.0, 4.0),)
    assert (second.question, second.answer, second.options) == ("Who sings?", "A boy.", ())
    result = CliRunner().invoke(
        app, ["--captions", str(path), "--format", "released", "--out", str(tmp_path / "out.json")]
    )
    assert result.exit_code == 0, result.output
    entries = json.loads((tmp_path / "out.json").read_text())
    assert [entry["question_id"] for entry in entries] == ["anet_1_open", "anet_1_choice", "7_open"]
    assert entries[1]["split"] == "train" and entries[1]["conversation"][:3] == RELEASED[0]["conversation"][:3]
    assert entries[1]["conversation"][3]["value"] == "From <3.5> to <9>, <12> to <20.25>."
    assert len(read_annotations(tmp_path / "out.json")) == 3
    assert lines(tmp_path / "out.jsonl")[0]["extra"] == {"split": "train", "checked": {"by": 2}}


@pytest.mark.parametrize("content", ["", "{}", "[]", "[3]", '[{"conversation": []}]', json.dumps(RELEASED[2:])])
def test_other_files_are_clear_errors(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError):
        read_released(path)


class Page(HTMLParser):
    """Collects tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, set[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")


def test_the_page_needs_nothing_beside_it_and_shows_every_text_as_it_is() -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=y>$title'
    item = GroundedQuestion(
        "k", evil, evil, 30.0, evil, evil, (Moment(3, 9),), (evil, "no", "never"), "A", (evil,), evil
    )
    text = report.page(
        evil, [item], notes=[evil], reasons={evil: 2}, repairs={evil: 1}, baselines={evil: 0.9, "chance": 0.2}
    )
    page = Page(text)
    assert {"svg", "table", "article"} <= set(page.tags) and not {"script", "img", "link"} & set(page.tags)
    assert not {"src", "href", "onerror"} & page.attributes.keys() and not re.search(r"https?://", text)
    assert "3 questions were asked for, 1 are kept" in text and "90.0% (too easy)" in text


def test_a_choice_without_a_letter_is_an_open_question_and_an_answer_with_times_is_none(tmp_path: Path) -> None:
    times = "From <3.5> to <9>."
    asked = "<image>\nQuestion: What is it?\nOptions:\n(A) a dog\n(B) a cat"
    turns = [talk(asked, "It is neither.", "When?", times), talk("<image>\nWhen is it?", times, "And when?", times)]
    path = tmp_path / "released.json"
    path.write_text(json.dumps([{**RELEASED[1], "conversation": conversation} for conversation in turns]))
    (question,), notes = read_released(path)
    assert (question.answer, question.options, question.letter) == ("It is neither.", (), "") and notes


def test_ranges_of_the_report_hold_their_lower_edge_and_the_end_of_the_video() -> None:
    moments = [Moment(0, 2), Moment(9.99, 10), Moment(10, 10)]
    items = [GroundedQuestion(f"k{n}", "v", "", 10.0, "Who?", "a dog", (one,)) for n, one in enumerate(moments)]
    text = report.page("set", items)
    for cells in (("0 to 1", 2), ("2 to 5", 1), ("1 to 2", 0), ("10 % to 20 %", 1), ("90 % to 100 %", 2)):
        assert "<td>{}</td><td>{}</td>".format(*cells) in text


def test_a_page_without_an_item_still_tells_why() -> None:
    text = report.page("none", [], reasons={"the model refuses": 5})
    assert "0 are kept" in text and "the model refuses" in text


def test_a_dry_run_calls_nobody_and_tells_the_calls_and_the_price(well_behaved: ChatServer, tmp_path: Path) -> None:
    captions = write_captions(tmp_path, 12)
    given = ["--captions", str(captions), "--format", "activitynet", "--out", str(tmp_path / "o" / "set.json")]
    priced = [*given, "--endpoint", well_behaved.url, "--model", "m", "--price-in", "100", "--price-out", "100"]
    result = CliRunner().invoke(app, [*priced, "--judge", "--limit", "2", "--dry-run"])
    events = sum(len(video["timestamps"]) for video in list(json.loads(captions.read_text()).values())[:2])
    assert result.exit_code == 0, result.output
    for line in (
        f"{events} calls: question",
        f"{events} calls: judge",
        f"{3 * events} calls: blind",
        "at these prices",
    ):
        assert line in result.output
    assert not well_behaved.bodies and not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--out", "set.jsonl"], "ends with .json"),
        (["--no-events", "--dry-run"], "nothing to ask about"),
        ([], "--endpoint and --model"),
        (["--format", "pdf"], "activitynet"),
        (["--language", "English", "--dry-run"], "two letters"),
        (["--budget", "3", "--endpoint", "http://localhost", "--model", "m"], "needs the price"),
    ],
)
def test_wrong_options_are_one_clear_line(tmp_path: Path, changes: list[str], said: str) -> None:
    captions = write_captions(tmp_path, 12)
    given = ["--captions", str(captions), "--format", "activitynet", "--out", str(tmp_path / "set.json")]
    result = CliRunner().invoke(app, [*given, *changes])
    assert result.exit_code == 1 and said in result.output and "Traceback" not in result.output


def test_the_captions_are_never_overwritten(tmp_path: Path) -> None:
    path = write_captions(tmp_path, 12)
    content = path.read_bytes()
    for form in ("activitynet", "released"):
        given = ["--captions", str(path), "--format", form, "--out", str(path), "--dry-run"]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 1 and "a file of its own" in result.output and path.read_bytes() == content
