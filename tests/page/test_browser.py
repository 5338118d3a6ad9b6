"""The page as people use it, in headless Chromium: the mouse, the keyboard, several tabs and several visitors."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grounded.time_tokens import parse_seconds
from grounded.video import probe
from tests.page.conftest import SECONDS, write_film

PATIENCE = 30_000  # milliseconds
SHIFTS = """window.shift = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true })"""
TABS = {
    "Find a moment": "found",
    "Describe a range": "described",
    "Multiple choice": "chosen",
    "List events": "captioned",
    "Ask": "said",
}


class Page:
    """One visitor's page."""

    def __init__(self, tab: Any, url: str) -> None:
        self.tab = tab
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        tab.set_default_timeout(PATIENCE)
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        tab.goto(url)
        tab.wait_for_selector("#timeline .row")  # the first example, or what the link asks, is answered

    def upload(self, film: Path, duration: float = SECONDS) -> None:
        with self.tab.expect_file_chooser() as chooser:
            self.tab.get_by_role("button", name="Your own video").click()
        chooser.value.set_files(str(film))
        self.tab.wait_for_function(
            "d => Math.abs(Number(document.querySelector('#timeline .film').getAttribute('aria-valuemax')) - d) < 0.1"
            " && document.querySelector('#timeline .timeline').dataset.own === 'true'"
            " && document.querySelector('#player video')?.readyState >= 1",
            arg=duration,
        )

    def ground(self, query: str, rows: int = 1) -> None:
        self.tab.get_by_label("What to look for").fill(query)
        self.tab.get_by_role("button", name="Find it").click()
        self.wait_for_rows(rows)

    def wait_for_rows(self, count: int) -> None:
        self.tab.wait_for_function("n => document.querySelectorAll('#timeline .row').length === n", arg=count)

    def open(self, name: str) -> None:
        self.tab.get_by_role("tab", name=name, exact=True).click()

    def time(self) -> float:
        return float(self.tab.evaluate("document.querySelector('#player video').currentTime"))

    def paused(self) -> bool:
        return bool(self.tab.evaluate("document.querySelector('#player video').paused"))

    def wait_until_stopped(self) -> None:
        self.tab.wait_for_function("document.querySelector('#player video').paused")


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    opened = Page(context.new_page(), url)
    yield opened
    context.close()
    assert not opened.errors


def test_a_click_on_a_segment_plays_that_moment_and_stops_at_its_end(page: Page, film: Path) -> None:
    page.upload(film)
    page.ground("a red circle spins")
    assert page.tab.locator("#timeline .segment").count() == 2
    page.tab.locator("#timeline .segment").first.click()
    page.tab.wait_for_function("Math.abs(document.querySelector('#player video').currentTime - 2) < 1")
    assert not page.paused()
    page.wait_until_stopped()
    assert page.time() == pytest.approx(4, abs=0.05)
    assert page.hosts == {page.tab.url.split("/")[2]}, "the page asks no other host for anything"


def test_a_moment_can_be_looped(page: Page, film: Path) -> None:
    page.upload(film)
    page.ground("a red circle spins")
    page.tab.locator("#timeline .segment").first.click()
    page.tab.locator("#timeline .loop").click()
    page.tab.wait_for_function("document.querySelector('#player video').currentTime > 3.5")
    page.tab.wait_for_function("document.querySelector('#player video').currentTime < 2.5")
    assert not page.paused(), "it plays the moment again"
    page.tab.locator("#timeline .loop").click()
    page.wait_until_stopped()
    assert page.time() == pytest.approx(4, abs=0.05)


def test_the_second_question_says_that_it_was_faster(page: Page, other_film: Path) -> None:
    page.upload(other_film, 5)
    page.ground("one")
    assert "watched the video in" in page.tab.locator("#found .made").first.text_content()
    page.ground("two", rows=2)
    assert "already watched" in page.tab.locator("#found .made").first.text_content()


def test_a_query_looks_closer_and_its_price_is_told_before_and_after(page: Page, tmp_path: Path) -> None:
    page.upload(write_film(tmp_path / "long.mp4", seconds=110), 110)
    page.tab.get_by_role("button", name="Settings").first.click()
    page.tab.get_by_text("asks up to 8 more parts").wait_for()
    page.ground("a red circle spins")
    assert "may miss what is short" in page.tab.locator("#found .note").inner_text()
    page.tab.get_by_role("button", name="Look closer, part by part").click()
    page.wait_for_rows(2)
    page.tab.get_by_text(re.compile("Window [2-8] of 8, about")).wait_for()
    assert page.tab.locator("#found .moment").count() == 2, "the answer from the whole is there meanwhile"
    page.tab.locator("#found .cancel").click()
    page.tab.get_by_text("this is the answer from one look").wait_for()
    assert page.tab.locator("#found .moment").count() == 2
    page.tab.get_by_label("Look closer").check()
    page.ground("a red circle spins", rows=3)
    page.tab.locator("#found .doing").wait_for(state="hidden")
    assert page.tab.locator("#found .note").is_hidden()
    assert re.search(r"after searching \d+ parts", page.tab.locator("#found .made").first.text_content())
    page.tab.once("dialog", lambda dialog: dialog.accept())
    page.tab.locator("#player button[aria-label='Clear']").click()
    page.tab.get_by_text("Finds what is short in a long video.", exact=True).wait_for()


def test_what_is_not_there_is_said_in_words(page: Page, film: Path) -> None:
    page.upload(film)
    page.ground("nothing of the kind")
    assert "Not in this video: the model is 97 % sure" in page.tab.locator("#found .answer").inner_text()
    assert "not in this video (97 %)" in page.tab.locator("#timeline .row").inner_text()


def test_a_drag_over_the_strip_asks_what_happens_there(page: Page, film: Path) -> None:
    page.upload(film)
    box = page.tab.locator("#timeline .film").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.tab.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.tab.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.tab.mouse.up()
    assert "0:02.0 – 0:04.0" in page.tab.locator("#timeline .from-to").inner_text()
    page.tab.locator("#timeline .describe").click()
    page.tab.wait_for_selector("#described .answer")
    assert "A red circle spins." in page.tab.locator("#described").inner_text()
    for label, seconds in (("From", 2), ("To", 4)):
        field = page.tab.get_by_label(label, exact=True).input_value()
        assert re.fullmatch(r"0:\d\d\.\d\d", field) and parse_seconds(field) == pytest.approx(seconds, abs=0.1)


def test_everything_can_be_done_by_keyboard(page: Page, film: Path) -> None:
    page.upload(film)
    page.tab.get_by_label("What to look for").focus()
    page.tab.keyboard.type("a star")
    page.tab.keyboard.press("Enter")
    page.wait_for_rows(1)
    first = page.tab.locator("#timeline .segment").first
    first.focus()
    page.tab.keyboard.press("ArrowRight")
    assert page.tab.evaluate("document.activeElement.dataset.start") == "4.8"
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_function("document.querySelector('#player video').currentTime >= 4.8")
    page.wait_until_stopped()
    assert page.time() == pytest.approx(6.4, abs=0.05)
    page.tab.locator("#timeline .film").focus()
    page.tab.keyboard.press("Home")
    page.tab.wait_for_function("document.querySelector('#player video').currentTime === 0")
    page.tab.keyboard.press("ArrowRight")
    page.tab.wait_for_function("document.querySelector('#player video').currentTime === 0.1")  # one frame
    page.tab.keyboard.press("ArrowLeft")
    page.tab.wait_for_function("document.querySelector('#player video').currentTime === 0")
    page.tab.keyboard.press("Shift+ArrowRight")
    page.tab.wait_for_function("document.querySelector('#player video').currentTime === 1")
    page.tab.keyboard.press("[")
    page.tab.wait_for_function("document.querySelector('#timeline .from-to').textContent.startsWith('0:01.0 ')")
    page.tab.keyboard.press("End")
    page.tab.wait_for_function("document.querySelector('#player video').currentTime > 7.5")
    page.tab.keyboard.press("]")
    assert re.match(r"0:01\.0 – 0:0[78]\.\d", page.tab.locator("#timeline .from-to").inner_text())
    page.tab.keyboard.press("Escape")
    assert page.tab.locator("#timeline .from-to").inner_text() == "Drag over the strip to choose a range."
    page.tab.keyboard.press("Home")
    page.tab.keyboard.press("Space")
    page.tab.wait_for_function("!document.querySelector('#player video').paused")
    page.tab.keyboard.press("Space")
    page.wait_until_stopped()


def test_the_keyboard_stays_at_its_moment_when_another_answer_comes(page: Page, film: Path) -> None:
    page.upload(film)
    page.tab.get_by_label("What to look for").fill("a star")
    page.tab.get_by_label("What to look for").press("Enter")
    page.wait_for_rows(1)
    page.tab.locator("#timeline .segment").last.focus()
    start = page.tab.evaluate("document.activeElement.dataset.start")
    # A click by script leaves the focus where it is.
    page.tab.get_by_role("button", name="Find it").evaluate("button => button.click()")
    page.wait_for_rows(2)
    assert start and page.tab.evaluate("document.activeElement.dataset.start") == start


def test_a_stranger_sees_an_answer_first_and_has_a_clip_of_an_example_after_two_clicks(page: Page) -> None:
    assert page.tab.locator("#timeline .question").all_inner_texts() == ["an example"]
    assert page.tab.locator("#timeline .from-to").inner_text().startswith("0:02.0 – 0:04.0"), (
        "the best moment is chosen"
    )
    assert page.time() == pytest.approx(2.2, abs=0.05) and page.paused(), "and shown"
    page.tab.locator("#timeline .cut").click()
    clip = page.tab.locator("#timeline .clip")
    with page.tab.expect_download() as download:
        clip.click()
    assert download.value.suggested_filename == "film_2.0-4.0.mp4"
    assert probe(download.value.path()).duration == pytest.approx(2, abs=0.15)
    page.tab.keyboard.press("Escape")
    assert clip.is_hidden(), "it was of another range"


@pytest.mark.parametrize("width", [390, 1280])
def test_an_example_is_answered_with_one_click_in_every_tab_and_moves_nothing(page: Page, width: int) -> None:
    page.tab.set_viewport_size({"width": width, "height": 844})
    page.tab.reload()
    page.wait_for_rows(1)
    page.tab.evaluate(SHIFTS)
    page.tab.locator("#gallery .film").first.click()
    page.wait_for_rows(1)
    page.tab.wait_for_timeout(1000)
    assert page.tab.evaluate("window.shift") < 0.05
    for rows, (name, reply) in enumerate(TABS.items(), 1):
        page.open(name)
        question = page.tab.locator(".shelf button:visible")
        (question if name != "List events" else page.tab.get_by_role("button", name="List all events")).first.click()
        page.tab.wait_for_selector(f"#{reply} .answer")
        page.wait_for_rows(rows)
        if name == "Multiple choice":
            assert "✓ (A) one" in page.tab.locator("#chosen .option.chosen").inner_text()


def test_an_example_takes_the_place_of_an_own_video_only_when_that_is_wanted(page: Page, other_film: Path) -> None:
    page.upload(other_film, 5)
    page.ground("a star")
    assert page.tab.locator(".shelf button:visible").count() == 0, "examples are about their own videos"
    page.tab.once("dialog", lambda dialog: dialog.dismiss())
    page.tab.locator("#gallery .film").first.click()
    page.tab.once("dialog", lambda dialog: dialog.dismiss())
    page.tab.locator("#player button[aria-label='Clear']").click()
    assert page.tab.locator("#timeline .question").all_inner_texts() == ["a star"]
    page.tab.once("dialog", lambda dialog: dialog.accept())
    page.tab.locator("#gallery .film").first.click()
    page.tab.wait_for_function("document.querySelector('#timeline .question').textContent === 'an example'")


def test_the_rows_of_an_example_survive_a_reload(page: Page) -> None:
    page.ground("a red circle spins", rows=2)
    assert "text=a+red+circle+spins" in page.tab.url, "the address bar follows"
    page.tab.reload()
    page.wait_for_rows(2)
    assert page.tab.locator("#timeline .question").all_inner_texts() == ["a red circle spins", "an example"]


def test_an_own_video_and_its_rows_survive_a_reload_until_its_file_is_gone(page: Page, other_film: Path) -> None:
    page.upload(other_film, 5)
    page.ground("a star")
    page.tab.reload()
    page.wait_for_rows(1)
    page.tab.wait_for_function("document.querySelector('#player video')?.duration === 5")
    page.ground("a moon", rows=2)
    assert page.tab.locator("#timeline .question").all_inner_texts() == ["a moon", "a star"]
    source = page.tab.evaluate("JSON.parse(sessionStorage['grounded:own']).source")
    Path(source).unlink()
    # Before the page's own script, which would write what is on the stage over it.
    page.tab.add_init_script("if (localStorage.kept) sessionStorage['grounded:own'] = localStorage.kept")
    for path in (source, str(other_film)):  # what was not uploaded here is never opened
        page.tab.evaluate("source => localStorage.kept = JSON.stringify({source, rows: []})", path)
        page.tab.goto(page.tab.url.partition("?")[0])  # an address that names an example asks for it
        page.tab.get_by_text("Your video is not here any more: upload it again.").wait_for()
        page.tab.wait_for_function("document.querySelector('#timeline .question')?.textContent === 'an example'")


def test_a_guess_is_marked_where_it_is_read(page: Page, film: Path) -> None:
    page.upload(film)
    page.ground("a teddy bear")
    assert "does not know “teddy”" in page.tab.locator("#found .band").inner_text()
    assert "sure" not in page.tab.locator("#found .answer").inner_text()
    assert page.tab.locator("#timeline .row.guess .segment").count() == 2
    assert "%" not in page.tab.locator("#timeline .row").inner_text()


def test_captions_are_listed_and_shown_over_the_video(page: Page, film: Path) -> None:
    page.upload(film)
    page.open("List events")
    page.tab.get_by_role("button", name="List all events").click()
    page.wait_for_rows(1)
    assert page.tab.locator("#captioned .moment").count() == 3
    assert "a red circle <b>spins</b>" in page.tab.locator("#captioned .answer").inner_text()
    cues = page.tab.evaluate(
        "[...[...document.querySelector('#player video').textTracks].find(t => t.label === 'grounded').cues]"
        ".map(cue => cue.text)"
    )
    assert cues[0] == "a red circle &lt;b>spins&lt;/b>"


def test_a_conversation_remembers_and_its_times_can_be_clicked(page: Page, film: Path) -> None:
    page.upload(film)
    page.open("Ask")
    box = page.tab.get_by_label("Question", exact=True).locator("visible=true")
    for number, question in enumerate(("What?", "And then?"), 1):
        box.fill(question)
        page.tab.get_by_role("button", name="Ask", exact=True).click()
        page.wait_for_rows(number)
        assert box.input_value() == "", "the field is free for the next question"
    assert page.tab.locator("#said .answer").count() == 2
    assert "Question 2: And then?" in page.tab.locator("#said .answer").last.inner_text()
    page.tab.locator("#said .time").last.click()
    page.tab.wait_for_function("document.querySelector('#player video').currentTime >= 2")
    page.tab.get_by_role("button", name="New conversation").click()
    page.tab.wait_for_selector("#said .answer", state="detached")


def test_cancel_stops_an_answer_and_the_next_question_works(page: Page, film: Path) -> None:
    page.upload(film)
    page.tab.get_by_label("What to look for").fill("slow query")
    page.tab.get_by_role("button", name="Find it").click()
    page.tab.wait_for_selector("#found .writing:visible")
    shorter = page.tab.locator("#found .writing").inner_text()
    page.tab.wait_for_function(
        "n => document.querySelector('#found .writing').textContent.length > n", arg=len(shorter)
    )
    page.tab.locator("#found .cancel").click()
    page.tab.wait_for_selector("#found .note:visible")
    assert page.tab.locator("#found .note").inner_text() == "Stopped."
    page.ground("quick")


def test_two_visitors_never_see_each_others_videos(browser: Any, url: str, film: Path, other_film: Path) -> None:
    contexts = [browser.new_context() for _ in range(2)]
    first, second = (Page(context.new_page(), url) for context in contexts)
    first.upload(film)
    second.upload(other_film, 5)
    for visitor, query in ((first, "slow first"), (second, "slow second")):
        visitor.tab.get_by_label("What to look for").fill(query)
    for visitor in (first, second):
        visitor.tab.get_by_role("button", name="Find it").click()
    for visitor, own, foreign, label in ((first, "first", "second", "0:04.0"), (second, "second", "first", "0:02.5")):
        visitor.wait_for_rows(1)
        text = visitor.tab.locator("body").inner_text()
        assert f"slow {own}" in text
        assert f"slow {foreign}" not in text
        assert label in visitor.tab.locator("#timeline .segment").first.get_attribute("title")
    for context in contexts:
        context.close()


def test_rows_can_be_hidden_and_removed(page: Page, film: Path) -> None:
    page.upload(film)
    page.ground("one")
    page.ground("two", rows=2)
    page.tab.get_by_role("button", name="Hide the row: one").click()
    assert page.tab.locator("#timeline .track").count() == 1
    page.tab.get_by_role("button", name="Show the row: one").click()
    assert page.tab.locator("#timeline .track").count() == 2
    page.tab.get_by_role("button", name="Remove the row: one").click()
    page.wait_for_rows(1)
    page.tab.get_by_role("button", name="Undo").click()
    page.wait_for_rows(2)
    page.tab.get_by_role("button", name="Remove the row: one").click()
    page.wait_for_rows(1)
    page.ground("three", rows=2)
    assert page.tab.locator("#timeline .question").all_inner_texts() == ["three", "two"], "the latest first"


def test_the_rows_that_are_shown_are_exported_with_one_click(page: Page, film: Path) -> None:
    page.upload(film)
    page.ground("a star")
    page.ground("a moon", rows=2)
    page.tab.get_by_role("button", name="Hide the row: a moon").click()
    page.tab.get_by_label("Format of the file").select_option("csv")
    with page.tab.expect_download() as download:
        page.tab.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename == "film.csv"
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert "a star" in text and "a moon" not in text


def test_the_timeline_of_a_long_video_can_be_zoomed(page: Page, tmp_path: Path) -> None:
    page.upload(write_film(tmp_path / "long.mp4", seconds=110), 110)
    page.ground("a red circle spins")
    film, segment = page.tab.locator("#timeline .film"), page.tab.locator("#timeline .segment")

    def width() -> float:
        return float(segment.first.evaluate("element => parseFloat(element.style.width)"))

    assert width() == pytest.approx(25, abs=0.5)
    page.tab.get_by_role("button", name="Show a shorter part, larger").click()
    assert width() == pytest.approx(50, abs=0.5)
    film.focus()
    page.tab.keyboard.press("+")
    assert segment.last.is_hidden(), "it is outside the part that is shown"
    start = float(page.tab.locator("#timeline .pan").input_value())
    box = film.bounding_box()
    page.tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + 9)
    page.tab.wait_for_function(
        "t => Math.abs(document.querySelector('#player video').currentTime - t) < 1", arg=start + 110 / 8
    )
    page.tab.keyboard.press("End")
    page.tab.wait_for_function("document.querySelector('#timeline .pan').value > 80")
    assert page.tab.locator("#timeline .playhead").is_visible(), "the part that is shown follows the player"
    page.tab.keyboard.press("-")
    page.tab.keyboard.press("-")
    assert segment.last.is_visible() and page.tab.locator("#timeline .out").is_disabled()


def test_a_file_that_browsers_do_not_play_gets_a_preview(page: Page, tmp_path: Path) -> None:
    page.upload(write_film(tmp_path / "old.mp4", codec="mpeg4"))
    page.tab.wait_for_function("document.querySelector('#timeline .message').textContent.includes('You see a small')")
    page.tab.wait_for_function("document.querySelector('#player video')?.videoWidth === 160")
    assert page.tab.locator(".toast-body").count() == 0, "Gradio does not call it unplayable meanwhile"
    page.ground("through the original")


def test_an_error_is_a_sentence_on_the_page(page: Page, film: Path, tmp_path: Path) -> None:
    page.tab.locator("#player button[aria-label='Clear']").click()
    page.wait_for_rows(0)
    page.tab.get_by_role("button", name="Find it").click()
    page.tab.wait_for_selector("#found .error:visible")
    assert "There is no video yet" in page.tab.locator("#found .error").inner_text()
    words = tmp_path / "words.mp4"
    words.write_text("no video at all")
    page.tab.set_input_files("#player input[type=file]", str(words))
    page.tab.wait_for_selector("#timeline .error:visible")
    assert "is not a video" in page.tab.locator("#timeline .error").inner_text()


def test_a_link_shows_its_answer(browser: Any, url: str) -> None:
    context = browser.new_context()
    opened = Page(context.new_page(), f"{url}/?example=film&task=choose&text=Which%3F&options=one%0Atwo")
    opened.tab.wait_for_selector("#chosen .answer")
    assert opened.tab.get_by_label("Options, one a line").input_value() == "one\ntwo"
    opened.tab.locator("#chosen summary").click()
    assert opened.tab.get_by_role("button", name="Copy a link to this question").is_visible()
    context.close()


def test_a_link_carries_all_settings_and_one_that_is_not_known_says_so(browser: Any, url: str) -> None:
    context = browser.new_context()
    opened = Page(context.new_page(), f"{url}/?example=film&task=ground&text=a+star&best=1&fine=True")
    assert opened.tab.get_by_label("What to look for").input_value() == "a star"
    assert opened.tab.locator("#timeline .segment").count() == 1
    opened.tab.get_by_role("button", name="Settings").first.click()
    assert opened.tab.get_by_label("Look closer").is_checked()
    opened = Page(context.new_page(), f"{url}/?example=gone")
    assert "names no video that is here" in opened.tab.locator("#timeline .message").inner_text()
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(browser: Any, url: str, width: int, theme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844})
    opened = Page(context.new_page(), f"{url}/?__theme={theme}")
    opened.tab.wait_for_selector("#found .answer")
    assert opened.tab.locator("#gallery .film").first.bounding_box()["y"] < 600, "an example is above the fold"
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= width
    opened.tab.locator("#found .answer summary").scroll_into_view_if_needed()
    opened.tab.mouse.wheel(0, 2000)
    assert opened.tab.locator("#player").bounding_box()["y"] >= -30, "the player stays in view"
    for name in TABS:
        assert opened.tab.get_by_role("tab", name=name, exact=True).is_visible()
    context.close()


def test_axe_finds_nothing_serious_in_any_tab(browser: Any, url: str) -> None:
    """Needs axe-core's axe.min.js, from npm, at $GROUNDED_AXE."""
    if not (script := os.environ.get("GROUNDED_AXE")):
        pytest.skip("GROUNDED_AXE does not name axe-core's axe.min.js")
    for theme, width in itertools.product(("light", "dark"), (390, 1280)):
        context = browser.new_context(viewport={"width": width, "height": 1000})
        opened = Page(context.new_page(), f"{url}/?__theme={theme}")
        opened.tab.evaluate(Path(script).read_text(encoding="utf-8") + ";1")
        for name, reply in TABS.items():
            opened.open(name)
            button = opened.tab.get_by_role("button", name="List all events")
            (button if reply == "captioned" else opened.tab.locator(".shelf button:visible")).first.click()
            opened.tab.wait_for_selector(f"#{reply} .answer")
            opened.tab.wait_for_timeout(500)
            found = opened.tab.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
            serious = [
                (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
            ]
            assert serious == []
        context.close()
