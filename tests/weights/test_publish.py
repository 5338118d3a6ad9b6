"""Uploading: a whole converted model goes to the hub with a card, and comes back from the cache without converting."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from grounded import weights
from grounded.config import RELEASED
from grounded.errors import WeightsError
from grounded.weights import TINY, hub, publish, storage


class FakeApi:
    """A hub that keeps what it gets in a folder, laid out as its cache is."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.private: bool | None = None

    def create_repo(self, hub_id: str, private: bool, exist_ok: bool) -> str:
        assert exist_ok
        self.private = private
        return f"https://hub.test/{hub_id}"

    def snapshot(self, hub_id: str) -> Path:
        repository = self.cache / f"models--{hub_id.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / "main").write_text("0" * 40)
        folder = repository / "snapshots" / ("0" * 40)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def upload_file(self, path_or_fileobj: bytes, path_in_repo: str, repo_id: str) -> None:
        (self.snapshot(repo_id) / path_in_repo).write_bytes(path_or_fileobj)

    def upload_folder(self, repo_id: str, folder_path: Path, allow_patterns: list[str]) -> None:
        for name in allow_patterns:
            shutil.copy(folder_path / name, self.snapshot(repo_id) / name)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi(tmp_path / "hub")
    monkeypatch.setattr(publish, "HfApi", lambda: fake)
    monkeypatch.setattr(
        hub,
        "snapshot_download",
        lambda hub_id, local_files_only: str(fake.snapshot(hub_id)) if local_files_only else "",
    )
    return fake


def test_what_is_uploaded_loads_without_converting_and_without_asking_the_hub(api: FakeApi, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(TINY, tmp_path / "converted"))
    (folder / "notes.txt").write_text("private")
    assert weights.upload(folder, "owner/name", private=True) == "https://hub.test/owner/name"
    assert api.private
    snapshot = api.snapshot("owner/name")
    assert {path.name for path in snapshot.iterdir()} == {"README.md", *storage.files(TINY)}
    assert weights.find("owner/name", torch.device("cpu")) == snapshot


def test_a_cache_that_lacks_a_shard_is_not_taken_for_whole(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.upload(TINY, "owner/name")
    next(api.snapshot("owner/name").glob("*.safetensors")).unlink()  # as ZeroGPU does after packing
    monkeypatch.setattr(hub, "look_up", lambda *_: (_ for _ in ()).throw(WeightsError("the hub was asked")))
    with pytest.raises(WeightsError, match="the hub was asked"):
        weights.find("owner/name", torch.device("cpu"))


@pytest.mark.parametrize(
    ("name", "licence", "words"),
    [
        ("phi3.5", "other", ["WHB139426/Grounded-Video-LLM", "Phi-3.5", "InternVideo2"]),
        ("llama3", "other", ["Built with Meta Llama 3", "InternVideo2"]),
        ("tiny", "apache-2.0", ["trained from nothing"]),
    ],
)
def test_the_card_tells_licence_source_and_how_to_load(name: str, licence: str, words: list[str]) -> None:
    config = RELEASED[name] if name in RELEASED else storage.read_config(TINY)
    card: ModelCard = publish.card(config, "owner/name")
    facts: dict[str, Any] = card.data.to_dict()
    assert facts["license"] == licence and facts["pipeline_tag"] == "video-text-to-text"
    for word in ['grounded.load("owner/name")', "GROUNDED_MODEL=owner/name", *words]:
        assert word in card.text


@pytest.mark.parametrize(("hub_id", "sentence"), [("name", "must be OWNER/NAME"), ("a/b/c", "must be OWNER/NAME")])
def test_a_place_that_is_none_is_refused(api: FakeApi, hub_id: str, sentence: str) -> None:
    with pytest.raises(WeightsError, match=sentence):
        weights.upload(TINY, hub_id)
    assert api.private is None


def test_an_unfinished_folder_is_refused(api: FakeApi, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(TINY, tmp_path / "converted"))
    shard = next(folder.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="is not a whole converted model"):
        weights.upload(folder, "owner/name")
    assert api.private is None
