"""Fixtures for the tests of annotation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.annotation.server import ChatServer


@pytest.fixture
def well_behaved() -> Iterator[ChatServer]:
    server = ChatServer(well=True)
    yield server
    server.shutdown()
    server.server_close()
