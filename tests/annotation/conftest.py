"""Fixtures for the tests of annotation."""

from __future__ import annotations

from collections.abc import Iterator

import huggingface_hub.constants
import pytest

from tests.annotation.server import ChatServer


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client call the loopback: the tests are offline otherwise."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def well_behaved(reachable: None) -> Iterator[ChatServer]:
    server = ChatServer(well=True)
    yield server
    server.shutdown()
    server.server_close()
