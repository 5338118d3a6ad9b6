"""Fixtures that several tests share."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may wait for a network

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests import golden as golden_data

settings.register_profile("untimed", deadline=None)  # a busy machine is no mistake
settings.load_profile("untimed")
torch.set_num_threads(1)  # two threads on two busy cores take longer than one


@pytest.fixture(scope="session")
def golden_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden_data.folder(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="session")
def goldens(golden_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, golden_data.Golden]:
    tmp = tmp_path_factory.mktemp("converted")
    return {llm: golden_data.Golden(golden_root, llm, tmp) for llm in golden_data.LLMS}


@pytest.fixture(params=golden_data.LLMS)
def golden(request: pytest.FixtureRequest, goldens: dict[str, golden_data.Golden]) -> golden_data.Golden:
    """What the authors' code gave, for each language model."""
    return goldens[request.param]
