"""Several models to choose among: loaded when first asked, and a question keeps its own until it is answered."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from grounded.errors import ConfigError, QuestionError, WeightsError
from grounded.serving import Answered, Cancelled, PartialText, Progress, Service, Services, fit_together
from grounded.types import Question
from tests.page.conftest import film as film  # noqa: PLC0414 - a fixture
from tests.page.stub import StubGrounder, service

SLOW, QUICK = Question("ground", "slow"), Question("ground", "a dog")


class Loader:
    """Makes services whose answers tell their name, and keeps which were loaded."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> Service:
        self.names.append(name)
        if name == "broken":
            raise WeightsError("broken cannot be read")
        grounder = StubGrounder()
        grounder.family.name = name
        return service(grounder)


@pytest.mark.parametrize("together", [True, False])
def test_a_model_is_loaded_when_it_is_first_asked(film: Path, together: bool) -> None:
    loader = Loader()
    services = Services(loader, ["a", "b"], together)
    assert services.find("a") is None and services.knowledge("a") == services.knowledge("b")
    for name in ("", "a", "b", "b"):
        services.answer(film, QUICK, name)
    assert loader.names == ["a", "b"]
    assert (services.find("a") is None) is not together, "the first made room where memory is short"
    services.answer(film, QUICK, "a")
    assert loader.names == (["a", "b"] if together else ["a", "b", "a"])


def test_a_switch_waits_for_the_question_that_runs_and_nobody_overtakes_it(film: Path) -> None:
    loader = Loader()
    services = Services(loader, ["a", "b"], together=False)
    order: list[str] = []
    running = services.ask(film, SLOW, None, "a")
    next(event for event in running if isinstance(event, PartialText))

    def ask(name: str) -> None:
        services.answer(film, QUICK, name)
        order.append(name)

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("b", "a")]
    for thread in threads:
        thread.start()
        while not services._entrances["a"].locked():  # the first is in line
            pass
    assert services.find("b") is None and not order
    *_, last = running
    assert isinstance(last, Answered), "the question that was running has its answer"
    for thread in threads:
        thread.join()
    assert order == ["b", "a"] and loader.names == ["a", "b", "a"]


def test_who_waits_for_another_model_can_cancel(film: Path) -> None:
    services = Services(Loader(), ["a", "b"], together=False)
    stop = threading.Event()
    with services.use("a"):
        events = services.ask(film, QUICK, stop, "b")
        assert next(events) == Progress("loading the model", 0.0)
        stop.set()
        with pytest.raises(Cancelled):
            list(events)
    assert services.answer(film, QUICK, "a").moments, "and the one that was there still answers"


def test_a_model_that_cannot_be_loaded_is_a_sentence_each_time(film: Path) -> None:
    services = Services(Loader(), ["a", "broken"], together=False)
    for _ in range(2):
        with pytest.raises(WeightsError, match="cannot be read"):
            services.answer(film, QUICK, "broken")
    assert services.answer(film, QUICK, "a").moments


def test_unknown_and_repeated_names_are_refused(film: Path) -> None:
    with pytest.raises(QuestionError, match="unknown model 'c'; choose a or b"):
        Services(Loader(), ["a", "b"]).answer(film, QUICK, "c")
    with pytest.raises(ConfigError, match="name each once"):
        Services(Loader(), ["a", "a"])


def test_models_are_together_where_their_sizes_are_known_and_fit(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    assert fit_together(["tiny"], cpu)
    assert not fit_together(["tiny", "somebody/else"], cpu)
    assert not fit_together(["llama3"] * 1000, cpu)
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    assert fit_together(["tiny", str(tmp_path)], cpu)
