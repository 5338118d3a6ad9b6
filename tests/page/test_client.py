"""The API as scripts see it: five tasks and an export, clean data, and sentences where something is wrong."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file

from grounded.video import probe
from tests.page.conftest import SECONDS, write_film
from tests.page.stub import StubGrounder

ENDPOINTS = ("/ground", "/refer", "/choose", "/caption", "/ask", "/export")


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


def test_the_named_endpoints_are_these_and_no_others(client: Client) -> None:
    described: Any = client.view_api(return_format="dict")
    assert sorted(described["named_endpoints"]) == sorted(ENDPOINTS)
    names = [[p["parameter_name"] for p in described["named_endpoints"][name]["parameters"]] for name in ENDPOINTS]
    assert names == [
        ["video", "query", "best", "fine"],
        ["video", "start", "end"],
        ["video", "question", "options"],
        ["video"],
        ["video", "question"],
        ["answers", "format", "video", "moment"],
    ]
    answer = described["named_endpoints"]["/ground"]["returns"][0]["type"]
    assert {"task", "moments", "text"} <= set(answer["properties"])


def test_ground_gives_moments_inside_the_video(client: Client, film: Path) -> None:
    answer = client.predict(handle_file(film), "a red circle spins", 2, api_name="/ground")
    assert answer["task"] == "ground"
    assert [(m["start"], m["end"]) for m in answer["moments"]] == [(2, 4), pytest.approx((4.8, 6.4))]
    assert answer["duration"] == SECONDS
    assert answer["model"] == "stub"
    json.dumps(answer)


def test_ground_looks_closer_at_a_long_video_when_asked_to(client: Client, tmp_path: Path) -> None:
    long_film = write_film(tmp_path / "long.mp4", seconds=100)
    once = client.predict(handle_file(long_film), "a red circle spins", 1, api_name="/ground")
    closer = client.predict(handle_file(long_film), "a red circle spins", 1, True, api_name="/ground")
    assert once["windows"] == 0 and closer["windows"] > 0
    (wide,), (narrow,) = once["moments"], closer["moments"]
    assert narrow["end"] - narrow["start"] < wide["end"] - wide["start"]


def test_the_same_video_is_watched_once(client: Client, grounder: StubGrounder, film: Path, tmp_path: Path) -> None:
    client.predict(handle_file(film), "first", 1, api_name="/ground")
    encoded = grounder.family.encoded
    copy = shutil.copy(film, tmp_path / "another name.mp4")
    answer = client.predict(handle_file(copy), "second", 1, api_name="/ground")
    assert answer["cached"]
    assert grounder.family.encoded == encoded


def test_the_other_tasks_answer(client: Client, film: Path) -> None:
    file = handle_file(film)
    said = client.predict(file, 1, 2.5, api_name="/refer")
    assert said["text"] == "A red circle spins."
    assert [(m["start"], m["end"], m["text"]) for m in said["moments"]] == [(1, 2.5, said["text"])], "the asked range"
    chosen = client.predict(file, "Which?", ["one", "two"], api_name="/choose")
    assert chosen["choice"] == "A"
    assert [option["text"] for option in chosen["options"]] == ["one", "two"]
    assert chosen["moments"], "the moment that shows the answer"
    assert len(client.predict(file, api_name="/caption")["moments"]) == 3
    assert client.predict(file, "What?", api_name="/ask")["text"].startswith("Question 1: What?")


@pytest.mark.parametrize("form", ["json", "csv", "vtt", "srt", "edl", "xml", "otio"])
def test_export_writes_every_form(client: Client, film: Path, form: str) -> None:
    answer = client.predict(handle_file(film), api_name="/caption")
    path = Path(client.predict([answer], form, handle_file(film), 0, api_name="/export"))
    assert path.suffix == f".{form}"
    assert "blue star" in path.read_text(encoding="utf-8")


def test_export_cuts_a_moment_out(client: Client, film: Path) -> None:
    answer = client.predict(handle_file(film), "x", 1, api_name="/ground")
    clip = client.predict([answer], "mp4", handle_file(film), 0, api_name="/export")
    assert probe(clip).duration == pytest.approx(2, abs=0.15)


def test_errors_are_sentences(client: Client, film: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.mp4"
    words.write_text("no video")
    answer = client.predict(handle_file(film), "x", 1, api_name="/ground")
    cases = (
        ((handle_file(film), "", 1), "/ground", "the query is empty"),
        ((handle_file(film), "x" * 5000, 1), "/ground", "query: string should have at most 2000 characters"),
        ((handle_file(film), "x", 0), "/ground", "best: input should be greater than or equal to 1"),
        ((handle_file(film), "x", 11), "/ground", "best: input should be less than or equal to 10"),
        ((handle_file(film), "x", 2.5), "/ground", "best: input should be a valid integer"),
        ((handle_file(film), "x", 1, "yes"), "/ground", "fine: input should be a valid boolean"),
        ((handle_file(words), "x", 1), "/ground", "words.mp4 is not a video"),
        ((handle_file(film), 3, 1), "/refer", "must come first"),
        ((handle_file(film), "3", 1), "/refer", "start: input should be a valid number"),
        ((handle_file(film), 3, 100), "/refer", "outside the video"),
        ((handle_file(film), "Which?", "one"), "/choose", "options: input should be a valid list"),
        ((handle_file(film), "Which?", ["one"]), "/choose", "options: list should have at least 2 items"),
        (([{"no": "answer"}], "csv", None, 0), "/export", "this is no answer of grounded: task is missing"),
        (([answer], "exe", None, 0), "/export", "format: input should be 'json', 'csv'"),
        (([answer], "mp4", handle_file(film), "x"), "/export", "moment: input should be a valid integer"),
        (([answer], "mp4", handle_file(film), [0]), "/export", "moment: input should be a valid integer"),
        (([answer | {"duration": 1.7e308}], "vtt", None, 0), "/export", "no answer of grounded: no video lasts"),
        (([answer | {"moments": []}], "edl", handle_file(film), 0), "/export", "there is no moment"),
        (([answer | {"moments": []}], "mp4", handle_file(film), 0), "/export", "one of the 0 moments"),
    )
    for inputs, endpoint, words_of_error in cases:
        with pytest.raises(Exception, match=words_of_error):
            client.predict(*inputs, api_name=endpoint)


def test_a_file_of_the_server_cannot_be_named(client: Client) -> None:
    stolen = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(Exception):  # noqa: B017  Gradio's own error has no class that can be imported
        client.predict(stolen, "x", 1, api_name="/ground")


def test_the_example_client_calls_every_endpoint(url: str, film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "client.py"))
    code["main"](url, str(film))
    printed = capsys.readouterr().out
    for word in (
        "ground   2.0 s to 4.0 s",
        "refer    A red",
        "choose   A",
        "caption ",
        "ask      Question 1",
        ".vtt",
        ".mp4",
    ):
        assert word in printed
