"""Fetching: only what is needed, from the cache where it can be, and one sentence for whatever goes wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from grounded import weights
from grounded.errors import WeightsError
from grounded.weights import hub
from grounded.weights.names import HUB_ID, LAYOUTS


class FakeHub:
    """A repository with the files of a layout, and an untrained LLM that nobody needs."""

    def __init__(self, files: dict[str, int], error: Exception | None = None) -> None:
        self.files, self.error = files, error
        self.fetched: list[str] = []

    def model_info(self, hub_id: str, files_metadata: bool) -> Any:
        if self.error:
            raise self.error
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=n, size=s) for n, s in self.files.items()])

    def snapshot_download(self, hub_id: str, allow_patterns: list[str], local_files_only: bool = False) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("nothing is cached")
        self.fetched = allow_patterns
        return "snapshot"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    files = {name: 1000 for name in LAYOUTS["phi3.5"].files}
    files["Phi-3.5-vision-instruct-seperated/language_model_seperated/model.safetensors"] = 8_000_000_000
    fake = FakeHub(files)
    monkeypatch.setattr(hub, "HfApi", lambda: fake)
    monkeypatch.setattr(hub, "snapshot_download", fake.snapshot_download)
    return fake


def test_the_untrained_language_model_is_not_fetched(fake: FakeHub) -> None:
    assert hub.fetch(hub.look_up(HUB_ID, LAYOUTS["phi3.5"].files)) == Path("snapshot")
    assert sorted(fake.fetched) == sorted(LAYOUTS["phi3.5"].files)


def test_what_a_repository_has_in_folders_for_others_is_not_fetched(fake: FakeHub) -> None:
    fake.files = {"config.json": 1, "model.safetensors": 2_030_000_000, "onnx/model.onnx": 3_000_000_000}
    download = hub.look_up("HuggingFaceTB/SmolVLM2-500M-Video-Instruct")
    assert download.bytes == 2_030_000_001 and hub.fetch(download)
    assert fake.fetched == ["config.json", "model.safetensors"]


def test_what_the_cache_holds_is_not_asked_for(fake: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("four")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda _, name: str(tmp_path / name))
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, local_files_only, **__: str(tmp_path))
    fake.error = AssertionError("the hub was asked")
    assert hub.look_up(HUB_ID, ["a"]) == hub.Download(HUB_ID, ("a",), (), 0, 4)
    assert hub.fetch(hub.look_up(HUB_ID, ["a"])) == tmp_path


def test_a_repository_that_lacks_a_file_is_refused_by_name(fake: FakeHub) -> None:
    del fake.files[LAYOUTS["phi3.5"].checkpoint]
    with pytest.raises(WeightsError, match="on the hub lacks ckpt/sft_llava"):
        hub.fetch(hub.look_up(HUB_ID, LAYOUTS["phi3.5"].files))
    assert not fake.fetched


def test_a_download_larger_than_the_disk_does_not_begin(fake: FakeHub, tmp_path: Path) -> None:
    fake.files[LAYOUTS["phi3.5"].checkpoint] = 10**17
    with pytest.raises(WeightsError, match=r"phi3.5 takes 100000010.3 GB of disk .* but .* has .* GB free; .* upload"):
        weights.convert(HUB_ID, "phi3.5", tmp_path)
    assert not fake.fetched and not list(tmp_path.iterdir())


def test_only_what_the_cache_lacks_is_counted_as_to_be_fetched(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = LAYOUTS["phi3.5"]
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda _, name: name if name == layout.checkpoint else None)
    download = hub.look_up(HUB_ID, layout.files)
    assert (download.bytes, download.missing_bytes) == (7000, 6000)
    assert set(download.missing) == set(layout.files) - {layout.checkpoint}


RESPONSE = httpx2.Response(403, request=httpx2.Request("GET", "https://hub.test"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (GatedRepoError("gated", response=RESPONSE), "is gated: accept its terms"),
        (RepositoryNotFoundError("none", response=RESPONSE), "was not found on the hub"),
        (HFValidationError("bad"), "is neither a folder nor a valid hub id"),
        (LocalEntryNotFoundError("offline"), "the hub cannot be reached"),
        (httpx2.ConnectError("no route"), r"the hub cannot be reached \(ConnectError\)"),
        (HfHubHTTPError("500", response=RESPONSE), "owner/name on the hub: 500"),
        (OSError(28, "No space left on device"), "fetching owner/name failed: .*No space left"),
    ],
)
def test_every_failure_is_one_sentence(fake: FakeHub, error: Exception, sentence: str) -> None:
    fake.error = error
    with pytest.raises(WeightsError, match=sentence):
        hub.look_up("owner/name", ["a"])
