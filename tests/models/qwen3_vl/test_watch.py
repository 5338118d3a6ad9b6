"""A folder as the hub has them, from loading to answers about a film."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from typer.testing import CliRunner

import grounded
from grounded import time_text
from grounded.__main__ import app
from grounded.engine import encoded_video, grounder
from grounded.engine.disk_cache import DiskCache
from grounded.engine.encoded_video import EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.engine.search import SearchConfig
from grounded.errors import QuestionError, TimeError, WeightsError
from grounded.models import quantized
from grounded.models.qwen3_vl.wording import ALL_MOMENTS, ONE_MOMENT
from grounded.serving import remote
from grounded.serving.events import Answered
from grounded.serving.local import LocalModel
from grounded.serving.service import Service
from grounded.types import TASKS, Moment, Question
from grounded.weights import pretrained
from tests.models.qwen3_vl import small
from tests.models.qwen3_vl.test_prompt import family

FILM = Path(__file__).parents[3] / "examples/film-1.mp4"


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_video, "_NEW_TOKENS", dict.fromkeys(TASKS, 24))


@pytest.fixture(scope="module")
def video(watcher: Grounder) -> EncodedVideo:
    return watcher.watch(FILM)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model writes no times: give it some."""
    monkeypatch.setattr(time_text, "moments", lambda raw, duration: (Moment(1.0, 3.0), Moment(4.0, min(9.0, duration))))


def test_a_film_is_watched_and_asked_all_tasks(video: EncodedVideo) -> None:
    frames = grounded.sample(FILM, len(video.times))
    assert video.times == tuple(frames.times.tolist()) and len(video.times) == 24, "as many as the folder says"
    assert video.step == pytest.approx(video.duration / 24)
    answers = [
        video.ground("a circle spins"),
        video.refer(1.0, 3.5),
        video.choose("What spins?", ["a ring", "a square"], evidence=True),
        video.caption(),
        video.ask("What happens at 0:02?"),
    ]
    assert [answer.task for answer in answers] == ["ground", "refer", "choose", "caption", "ask"]
    assert all(answer.raw and answer.model == "small-qwen3-vl" and answer.absent is None for answer in answers)
    assert sum(option.score or 0 for option in answers[2].options) == pytest.approx(1)
    assert [answer.raw for answer in video.ground(["a ring", "a circle spins"])][1] == answers[0].raw


def test_questions_are_worded_with_times_in_seconds(watcher: Grounder) -> None:
    model = family(watcher)
    assert "at 90.0 seconds" in model.turn(Question("ask", "What happens at 1:30?"), 100.0).question
    with pytest.raises(TimeError):
        model.turn(Question("ask", "What happens at 1:30?"), 60.0)
    with pytest.raises(QuestionError):
        model.turn(Question("ground", "  "), 60.0)
    assert "<|im_end|>" not in model.turn(Question("ground", "x<|im_end|>y"), 60.0).question


@pytest.mark.usefixtures("writes")
def test_a_query_gets_moments_with_probabilities(video: EncodedVideo) -> None:
    answer = video.ground("a circle spins", best=3)
    assert [(m.start, m.end) for m in answer.moments[:2]] == [(1.0, 3.0), (4.0, 9.0)]
    assert all(0 <= (m.score or -1) <= 1 for m in answer.moments) and len(answer.moments) <= 3
    assert answer.text.startswith("From 1.0 s to 3.0 s, 4.0 s to 9.0 s")


@pytest.mark.usefixtures("writes")
def test_a_window_is_seen_with_frames_of_its_own(video: EncodedVideo) -> None:
    assert video.watch_window is not None
    part = video.watch_window(2.0, 7.0)
    assert len(part.times) == 10 and part.times[0] >= 0 and part.times[-1] < 5
    answer = video.ground("a circle", fine=SearchConfig(window=5.0, most=3, candidates=1, around=3.0))
    assert answer.windows > 0 and all(0 <= m.start <= m.end <= video.duration for m in answer.moments)


def test_a_film_that_was_watched_is_kept_on_disk(watcher: Grounder, video: EncodedVideo, tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    for _ in range(2):
        again = watcher.watch(FILM, cache=cache)
        assert torch.equal(again.visual, video.visual) and again.times == video.times
        assert again.ground("a circle spins").raw == video.ground("a circle spins").raw
    assert len(list(tmp_path.iterdir())) == 1


def test_the_service_answers_and_so_does_a_worker_elsewhere(watcher: Grounder, video: EncodedVideo) -> None:
    expected = video.ask("What happens?").raw

    def worker(jobs: Any) -> Any:
        for event in remote.run_jobs(watcher, pickle.loads(pickle.dumps(jobs))):
            yield pickle.loads(pickle.dumps(event))

    for model in (LocalModel(watcher), remote.RemoteModel(watcher, worker)):
        service = Service(watcher.family, model)
        answer = service.answer(FILM, Question("ask", "What happens?"))
        assert answer.raw == expected and not service.may_lose(answer)
        events = list(service.ask(FILM, Question("ground", "a circle spins")))
        assert isinstance(events[-1], Answered) and events[-1].answer.cached
    work = watcher.family.work()
    assert work.weight_bytes > 1e6 and min(work.encode_flops, work.read_flops, work.score_flops) > 0
    costs = remote.Costs(watcher.family)
    more = costs.job(True, [Question("ground")] * 2) - costs.job(True, [Question("ground")])
    assert more == pytest.approx(costs.score + remote.TOKENS["ground"] * remote.TOKEN_SECONDS)


def test_weights_in_several_files_and_another_dtype(words: Tokenizer, stock: Any, tmp_path: Path) -> None:
    folder = small.write(tmp_path / "TimeLens2-2B", stock, words, single=False)
    assert len(list(folder.glob("*.safetensors"))) > 1
    model = family(grounder.load(folder, device="cpu", dtype="bfloat16"))
    assert model.network.model.dtype == torch.bfloat16 and model.wording == ALL_MOMENTS
    assert model.name == "timelens2-2b"
    assert Grounder(model).watch(FILM).ask("What happens?").raw


def test_frames_are_as_large_as_in_the_authors_figures(words: Tokenizer, stock: Any, tmp_path: Path) -> None:
    folder = small.write(tmp_path / "TimeLens-8B", stock, words)
    assert family(grounder.load(folder, device="cpu")).frames.max_pixels == 14_336 * 32 * 32


def test_a_folder_says_what_it_is(folder: Path, watcher: Grounder) -> None:
    assert pretrained.family_of(folder) == "qwen3_vl" and pretrained.is_whole(folder)
    assert family(watcher).wording == ONE_MOMENT and family(watcher).frames.max_frames == 24
    assert grounded.load("tiny", device="cpu").family.name == "tiny"


def test_weights_that_do_not_fit_end_as_a_sentence(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    path = tmp_path / "model/model.safetensors"
    tensors = load_file(path)
    tensors["model.visual.merger.odd"] = tensors.pop("model.visual.merger.norm.weight")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"missing: .*merger.norm.weight\nunexpected: .*merger.odd"):
        grounder.load(tmp_path / "model", device="cpu")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="weights"):
        grounder.load(tmp_path / "model", device="cpu")
    path.unlink()
    with pytest.raises(WeightsError, match="lacks"):
        grounder.load(tmp_path / "model", device="cpu")


def test_what_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(WeightsError, match="timelens-8b"):
        grounder.load("timelens-9b", device="cpu")
    with pytest.raises(WeightsError, match="Qwen/Qwen3-VL-2B-Instruct"):
        grounder.load("qwen3-vl-2b", device="cpu")  # no test may wait for a network
    with pytest.raises(WeightsError, match="needs a converted model"):
        grounded.weights.load(folder, device="cpu")


@pytest.mark.parametrize(("kind", "near"), [("int8", 0.02), ("int4", 0.35)])
def test_weights_in_few_bits_say_nearly_the_same(
    folder: Path, video: EncodedVideo, watcher: Grounder, kind: str, near: float
) -> None:
    model = grounder.load(folder, device="cpu", dtype="float32", quantize=kind, offload=True)
    stock = family(model).network.model
    assert quantized.counts(stock)[kind] == len(quantized.linears(family(watcher).network.model)) > 20
    again = model.watch(FILM)
    difference = (again.visual - video.visual).norm() / video.visual.norm()
    assert 0 < difference < near, f"{difference:.3f}"
    assert again.ask("What happens?").raw


def test_the_facts_of_a_folder_are_told(folder: Path) -> None:
    result = CliRunner().invoke(app, ["info", str(folder), "--json"])
    facts = json.loads(result.stdout)
    assert facts["family"] == "qwen3_vl" and facts["language model"] == "qwen3_vl_text, 64 wide, 4 layers"
    assert facts["bytes"] == (folder / "model.safetensors").stat().st_size


def test_a_folder_of_another_class_is_not_taken_for_this_family(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    with pytest.raises(WeightsError, match="is not a converted model"):
        grounder.load(tmp_path / "model", device="cpu")
