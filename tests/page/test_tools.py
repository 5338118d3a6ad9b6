"""The tools of MCP as an agent meets them, on a fresh server: typed lists, data back, and files by their addresses."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client

from grounded.serving import Services
from grounded.types import Answer, Moment
from tests.page.conftest import launched
from tests.page.stub import service

Call = tuple[str, dict[str, Any]]
ANSWER = Answer("ground", "x", "", "", 8.0, (Moment(2.0, 4.0, 0.9),)).to_dict()


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that nobody has asked anything."""
    import app

    page = app.build(Services.of(service()), [])
    yield launched(page)
    page.close()


def session(url: str, work: Callable[[ClientSession], Any]) -> Any:
    """Return what some work with a session gives; Playwright's event loop runs in the tests' own thread."""

    async def connected() -> Any:
        async with (
            streamable_http_client(f"{url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as s,
        ):
            await s.initialize()
            return await work(s)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, connected()).result()


def results(url: str, *calls: Call) -> list[types.CallToolResult]:
    async def work(s: ClientSession) -> list[types.CallToolResult]:
        return [await s.call_tool(name, arguments) for name, arguments in calls]

    return session(url, work)


def upload(url: str, file: Path) -> str:
    """Upload a file as Gradio's helper for agents does, and return the address that it builds."""
    with file.open("rb") as opened:
        stored = httpx.post(f"{url}/gradio_api/upload", files={"files": opened}).raise_for_status().json()[0]
    return f"{url}/gradio_api/file={stored}"


def test_the_tools_are_typed_described_and_say_that_they_only_read(url: str) -> None:
    tools = {tool.name: tool for tool in session(url, lambda s: s.list_tools()).tools}
    assert list(tools) == [
        "find_moments",
        "describe_range",
        "choose_option",
        "list_events",
        "ask_about_video",
        "export_moments",
    ]
    for tool in tools.values():
        assert tool.title and tool.annotations and tool.annotations.readOnlyHint
        jsonschema.Draft202012Validator.check_schema(tool.inputSchema)
        jsonschema.Draft202012Validator.check_schema(tool.outputSchema)
        for parameter in tool.inputSchema["properties"].values():
            assert isinstance(parameter.get("type") or parameter.get("enum"), str | list) and parameter["description"]
    best = tools["find_moments"].inputSchema["properties"]["best"]
    assert (best["type"], best["minimum"], best["maximum"], best["default"]) == ("integer", 1, 10, 3)
    options = tools["choose_option"].inputSchema["properties"]["options"]
    assert (options["items"]["type"], options["minItems"], options["maxItems"]) == ("string", 2, 26)
    assert tools["export_moments"].inputSchema["properties"]["format"]["enum"][-1] == "mp4"
    assert tools["find_moments"].inputSchema["required"] == ["video", "query"]


@pytest.mark.parametrize("time", ["first", "second"])
def test_every_tool_answers_about_an_uploaded_file_on_a_fresh_server(server: str, film: Path, time: str) -> None:
    video = upload(server, film)
    calls: list[Call] = [
        ("find_moments", {"video": video, "query": "a red circle spins", "best": 2}),
        ("describe_range", {"video": video, "start": 1, "end": 2.5}),
        ("choose_option", {"video": video, "question": "Which?", "options": ["one", "two"]}),
        ("list_events", {"video": video}),
        ("ask_about_video", {"video": video, "question": "What?"}),
        ("export_moments", {"answers": [ANSWER], "format": "srt"}),
        ("export_moments", {"answers": [ANSWER], "format": "mp4", "video": video, "moment": 0}),
    ]
    found = results(server, *calls)
    schemas = {tool.name: tool.outputSchema for tool in session(server, lambda s: s.list_tools()).tools}
    for (name, _), result in zip(calls, found, strict=True):
        assert not result.isError, (name, result.content)
        assert json.loads(result.content[0].text) == result.structuredContent  # type: ignore[union-attr]
        jsonschema.validate(result.structuredContent, schemas[name])
    ground, refer, *_, srt, clip = [result.structuredContent or {} for result in found]
    assert [(m["start"], m["end"]) for m in ground["moments"]] == [(2, 4), pytest.approx((4.8, 6.4))]
    assert [(m["start"], m["end"]) for m in refer["moments"]] == [(1, 2.5)]
    assert "00:00:02,000" in httpx.get(srt["file"]).text
    assert httpx.get(clip["file"]).content[4:8] == b"ftyp"


def test_a_file_may_be_written_into_the_call(url: str, film: Path) -> None:
    inline = "data:video/mp4;base64," + base64.b64encode(film.read_bytes()).decode()
    (result,) = results(url, ("list_events", {"video": inline}))
    assert not result.isError and len((result.structuredContent or {})["moments"]) == 3


def test_errors_are_sentences_for_an_agent(url: str, film: Path, tmp_path: Path) -> None:
    words = tmp_path / "it's <b>words.mp4"
    words.write_text("no video")
    video = upload(url, film)
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("find_moments", {"video": video, "query": "x", "best": 11}, "11 is greater than the maximum of 10"),
        ("find_moments", {"video": video, "query": "x", "bets": 3}, "'bets' was unexpected"),
        ("find_moments", {"video": video, "query": " "}, "the query is empty"),
        ("find_moments", {"video": upload(url, words), "query": "x"}, "is not a video"),
        ("choose_option", {"video": video, "question": "?", "options": ["one"]}, "['one'] is too short"),
        ("export_moments", {"answers": [{"task": "ground"}], "format": "csv"}, "question is missing"),
        ("find_moments", {"video": "film.mp4", "query": "x"}, "provide a url"),
    ]
    for (*_, expected), result in zip(cases, results(url, *[case[:2] for case in cases]), strict=True):
        text = result.content[0].text  # type: ignore[union-attr]
        assert result.isError and expected in text
        assert not any(word in text for word in ("&#", "&lt;", "__init__", "Traceback", "<b>"))


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9/clip.mp4",
        "{url}/gradio_api/file=/etc/hostname",
        "{url}/gradio_api/file={uploads}/../../../../../../etc/hostname",
        "http://127.0.0.1:9/gradio_api/file={uploaded}",
    ],
)
def test_the_guard_against_addresses_of_others_stays(url: str, film: Path, address: str) -> None:
    uploaded = upload(url, film).split("file=")[1]
    place = address.format(url=url, uploaded=uploaded, uploads=Path(uploaded).parents[1])
    (result,) = results(url, ("list_events", {"video": place}))
    assert result.isError and "cannot be read from here" in result.content[0].text  # type: ignore[union-attr]
