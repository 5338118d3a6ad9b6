"""The library's tab: results as cards, a click that opens a film at its moment, and hostile names that stay text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client

from grounded.engine.disk_cache import DiskCache
from grounded.library.database import Film, FilmFile, Library, facts_of
from grounded.library.searching import LibrarySearch
from grounded.serving import Services
from grounded.types import Moment
from tests.page.conftest import launched, write_film
from tests.page.stub import StubGrounder, service
from tests.page.test_tools import results

NAME = "<img src=x onerror=alert(1)> film.mp4"
TEXT = "<script>alert(2)</script> a red circle spins"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film that is not in the library."""
    return write_film(tmp_path_factory.mktemp("outside") / "secret.mp4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("library")


@pytest.fixture(scope="module")
def library_url(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[str]:
    import app

    film = write_film(tmp_path_factory.mktemp("films") / NAME)
    grounder = StubGrounder()
    grounder.fingerprint = "stub"
    with pytest.MonkeyPatch.context() as patch, Library(folder, make=True) as library:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        library.add(FilmFile(film, "key", facts_of(film)), Film(8.0, (Moment(2.0, 4.0, None, TEXT),)))
        searcher = LibrarySearch(library, grounder, DiskCache(folder / "tokens"))
        page = app.build(Services.of(service(grounder)), [], searcher)
        yield launched(page)
        page.close()


def test_a_click_on_a_card_opens_the_film_at_the_moment(browser: Any, library_url: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    tab = context.new_page()
    dialogs: list[str] = []
    tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    tab.goto(library_url)
    tab.get_by_role("tab", name="Library", exact=True).click()
    tab.get_by_label("Search all films").fill("a red circle spins")
    tab.get_by_role("button", name="Search", exact=True).click()
    tab.wait_for_selector("#results .card img")
    card = tab.locator("#results .card").first
    assert NAME in card.inner_text() and "0:02.0 – 0:04.0" in card.inner_text()
    card.click()
    tab.wait_for_selector("#timeline .segment")
    tab.wait_for_function("document.querySelector('#player video')?.currentTime > 2")
    assert "film.mp4" in tab.evaluate("decodeURIComponent(document.querySelector('#player video').currentSrc)")
    context.close()
    assert not dialogs


def test_the_api_and_the_tool_search_and_tell_no_folder(library_url: str) -> None:
    [result] = results(library_url, ("search_library", {"query": "a red circle spins", "best": 2}))
    data = result.structuredContent
    assert not result.isError and data["moments"][0]["film"] == NAME and data["moments"][0]["start"] == 2.0
    answer = Client(library_url, verbose=False).predict("a red circle spins", api_name="/search")
    assert answer["moments"][0]["film"] == NAME
    [refused] = results(library_url, ("search_library", {"query": "!?"}))
    assert refused.isError and "holds no word" in refused.content[0].text


def test_no_other_file_is_served(library_url: str, folder: Path, outside: Path) -> None:
    for file in (outside, folder / "library.db"):
        assert file.is_file()
        assert httpx.get(f"{library_url}/gradio_api/file={file}").status_code in (403, 404)
