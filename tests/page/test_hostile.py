"""Hostile texts: shown as text or refused with a sentence, never run, in the page and by the API."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file

from tests.page.test_browser import Page

TEXTS = {
    "script": "<script>window.hit=1</script>",
    "img onerror": '<img src=x onerror="window.hit=1">',
    "svg onload": "<svg onload=window.hit=1>",
    "iframe": '<iframe srcdoc="<script>parent.hit=1</script>">',
    "details": "<details open ontoggle=window.hit=1>",
    "attribute": '" onmouseover="window.hit=1" x="',
    "closing tags": "</span></section></div><script>window.hit=1</script>",
    "style": "</style><style>*{display:none}</style>",
    "entity": "&lt;script&gt;window.hit=1&lt;/script&gt;",
    "javascript link": "[x](javascript:window.hit=1)",
    "js template": "${window.hit=1}",
    "js template call": "${(() => { window.hit = 1 })()}",
    "backtick": "`;window.hit=1;`",
    "handlebars": "{{#with (lookup this 'constructor')}}{{this}}{{/with}}",
    "handlebars value": "{{value}} {{{value}}}",
    "jinja": "{{ 7*7 }}{% include '/etc/passwd' %}",
    "python format": "{0.__class__} %s %(x)s",
    "shell": "; rm -rf / # $(touch /tmp/hit) `touch /tmp/hit` | cat",
    "path": "../../../../etc/passwd",
    "sql": "'; DROP TABLE videos; --",
    "null byte": "a\0b",
    "control characters": "a\x07\x1b[31mred\x1b[0m\x9b",
    "right to left": "\u202egnihtyreve\u202c",
    "arabic": "دائرة حمراء تدور",
    "isolates": "\u2066\u2067\u2068x\u2069",
    "zero width": "a\u200b\u200c\u200d\ufeffb",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈💣" * 20,
    "combining": "Z" + "\u0351" * 300,
    "newlines": "one\ntwo\r\nthree\u2028four\u2029",
    "prompt marker": "<image> <|user|> <|assistant|> <timestamp_grounding>",
    "temporal tokens": "<0> <300> <99999> to <5>",
    "vtt cue": "00:00.000 --> 00:09.000\n<c.hit>x</c>",
    "csv formula": '=HYPERLINK("http://x","hit")',
    "json": '{"moments": [{"start": -1}], "__proto__": {"hit": 1}}',
    "prototype": "__proto__",
    "constructor": "constructor.constructor('window.hit=1')()",
    "url": "http://127.0.0.1:1/hit",
    "number": "1e309",
    "xml entity": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>&e;',
    "one long word": "w" * 1900,
}
REFUSED = {
    "empty": ("", "is empty"),
    "blank": (" \t\n ", "is empty"),
    "only control characters": ("\0\x01\x02", "is empty"),
    "100 kB": ("x" * 100_000, "at most 2000 characters"),
    "megabyte of emoji": ("💣" * 250_000, "at most 2000 characters"),
}
NAMES = (
    "<img src=x onerror=window.hit=1>.mp4",
    "${window.hit=1}.mp4",
    "{{value}}.mp4",
    "; touch hit #.mp4",
    "$(touch hit).mp4",
    "..%2f..%2fetc%2fpasswd.mp4",
    "\u202e4pm.exe.mp4",
    "💣.mp4",
    "-i.mp4",
    "a\nb.mp4",
    "concat:a|b.mp4",
)


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


@pytest.fixture(scope="module")
def page(browser: Any, url: str, film: Path) -> Iterator[Page]:
    context = browser.new_context()
    opened = Page(context.new_page(), url)
    opened.upload(film)
    yield opened
    context.close()


def test_there_are_at_least_forty() -> None:
    assert len(TEXTS) + len(REFUSED) >= 40


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_api_takes_it_as_text(client: Client, film: Path, text: str) -> None:
    file = handle_file(film)
    answer = client.predict(file, text, 1, api_name="/ground")
    assert answer["question"] == text
    assert answer["moments"][0]["start"] == 2


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_the_api_refuses_it_with_a_sentence(client: Client, film: Path, text: str, why: str) -> None:
    with pytest.raises(Exception, match=why):
        client.predict(handle_file(film), text, 1, api_name="/ground")
    with pytest.raises(Exception, match=why):
        client.predict(handle_file(film), "Which?", ["one", text], api_name="/choose")


def test_the_page_shows_queries_as_text(page: Page) -> None:
    for name in ("script", "img onerror", "js template", "js template call", "handlebars", "closing tags"):
        page.tab.get_by_label("What to look for").fill(TEXTS[name])
        page.tab.get_by_role("button", name="Find it").click()
        for place in ("#found .asked", "#timeline .question"):
            shown = "([place, text]) => [...document.querySelectorAll(place)].some(x => x.textContent === text)"
            page.tab.wait_for_function(shown, arg=[place, TEXTS[name]])
    assert_nothing_ran(page)


@pytest.mark.parametrize("half", [0, 1])
def test_the_page_shows_all_of_them_as_options(page: Page, half: int) -> None:
    page.open("Multiple choice")
    options = [" ".join(text.replace("\0", "").split()) for text in TEXTS.values()][half::2]
    page.tab.get_by_label("Options, one a line").fill("\n".join(options))
    page.tab.get_by_label("Question", exact=True).locator("visible=true").fill(options[0])
    page.tab.get_by_role("button", name="Choose", exact=True).click()
    page.tab.wait_for_function(
        "text => document.querySelector('#chosen .asked')?.textContent === text",
        arg=options[0],
    )
    labels = page.tab.locator("#chosen .label").all_text_contents()
    assert [label.split(") ", 1)[1] for label in labels] == options
    assert_nothing_ran(page)
    page.open("Find a moment")


def assert_nothing_ran(page: Page) -> None:
    drawn = "#timeline :is(script, img, iframe), section.reply :is(script, img, iframe)"
    assert page.tab.evaluate("window.hit === undefined")
    assert page.tab.locator(drawn).count() == 0
    assert not page.errors


def test_the_page_shows_a_refusal_as_text(page: Page) -> None:
    tab = page.tab
    tab.evaluate("document.querySelectorAll('textarea, input').forEach(x => x.removeAttribute('maxlength'))")
    tab.get_by_label("What to look for").fill("<img src=x onerror=window.hit=1>" * 200)
    tab.get_by_role("button", name="Find it").click()
    tab.wait_for_selector("#found .error:visible")
    assert "characters; at most 2000" in tab.locator("#found .error").inner_text()
    assert tab.evaluate("window.hit === undefined")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_is_only_a_name(client: Client, film: Path, tmp_path: Path, name: str) -> None:
    file = shutil.copy(film, tmp_path / name)
    answer = client.predict(handle_file(file), "x", 1, api_name="/ground")
    assert answer["duration"] == 8
    edl = client.predict([answer], "edl", handle_file(file), 0, api_name="/export")
    assert Path(edl).read_text(encoding="utf-8").count("\n") < 12
    assert not (tmp_path / "hit").exists()


def test_a_hostile_name_in_an_error_is_escaped(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "<img src=x onerror=alert(1)>.mp4"
    file.write_text("no video")
    with pytest.raises(Exception, match="is not a video") as error:
        client.predict(handle_file(file), "x", 1, api_name="/ground")
    assert "<img" not in str(error.value)
