"""Two models behind one page: tiny, and a random small Qwen3-VL whose name says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file

import app
from grounded.command import CachedModelOptions
from grounded.engine import encoded_video
from grounded.errors import ConfigError
from grounded.page.examples import read_examples
from grounded.types import TASKS
from tests.models.qwen3_vl import small
from tests.page.conftest import launched
from tests.page.test_tools import session

RANDOM = "random-qwen3-vl"
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    words = small.tokenizer()
    folder = small.write(tmp_path_factory.mktemp("models") / RANDOM, small.model(words), words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setattr(encoded_video, "_NEW_TOKENS", dict.fromkeys(TASKS, 24))
        examples = read_examples(EXAMPLES)[:1]
        services = app.choose_among(["tiny", str(folder)], CachedModelOptions(device="cpu"), examples)
        assert services.names == ("tiny", RANDOM) and services.together
        page = app.build(services, examples)
        yield launched(page)
        page.close()


def test_the_api_offers_the_models_and_each_answers(url: str) -> None:
    client = Client(url, verbose=False)
    described: Any = client.view_api(return_format="dict")
    for name in ("ground", "refer", "choose", "caption", "ask"):
        *_, model = described["named_endpoints"][f"/{name}"]["parameters"]
        assert model["parameter_name"] == "model" and model["parameter_default"] == "tiny"
        assert model["type"]["enum"] == ["tiny", RANDOM]
    film = handle_file(EXAMPLES / "film-1.mp4")
    assert client.predict(film, "a ring", api_name="/ground")["model"] == "tiny"
    assert client.predict(film, "a ring", 3, False, RANDOM, api_name="/ground")["model"] == RANDOM
    with pytest.raises(Exception, match="unknown model 'gpt'; choose tiny or random-qwen3-vl"):
        client.predict(film, "gpt", api_name="/caption")


def test_agents_see_the_models_as_an_enumeration(url: str) -> None:
    tools = session(url, lambda s: s.list_tools()).tools
    models = [tool.inputSchema["properties"].get("model") for tool in tools]
    assert [model and model["enum"] for model in models] == [["tiny", RANDOM]] * 5 + [None]
    assert all(model["description"] for model in models[:5])


def test_a_visitor_switches_while_a_question_runs(browser: Any, url: str) -> None:
    tab = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    tab.goto(url)
    tab.wait_for_selector("#timeline .row")

    def choose(name: str) -> None:
        tab.get_by_label("Model", exact=True).click()
        tab.get_by_role("option", name=name).click()

    tab.get_by_role("tab", name="List events").click()
    tab.get_by_role("button", name="List all events").click()
    choose(RANDOM)
    tab.get_by_text(f"{RANDOM} answers.").wait_for()
    tab.get_by_role("tab", name="Find a moment").click()
    tab.get_by_label("What to look for").fill("a ring")
    tab.get_by_role("button", name="Find it").click()
    tab.wait_for_function("document.querySelectorAll('#timeline .row').length === 3")
    made = tab.locator("#found .made").first.text_content(), tab.locator("#captioned .made").first.text_content()
    assert RANDOM in made[0] and "tiny" in made[1]
    tab.context.close()


def test_a_space_without_a_gpu_of_its_own_takes_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    with pytest.raises(ConfigError, match="one model"):
        app.choose_among(["tiny", "phi3.5"], CachedModelOptions(), [])
