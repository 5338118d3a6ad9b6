"""The stub of the page's tests has the signatures of what it stands for."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from grounded.engine.encoded_video import Conversation, EncodedVideo
from grounded.engine.grounder import Grounder
from grounded.models.grounded_videollm.processor import GroundedVideoLLM
from tests.page.stub import StubConversation, StubEncodedVideo, StubFamily, StubGrounder

PAIRS = [
    (StubFamily, GroundedVideoLLM),
    (StubGrounder, Grounder),
    (StubEncodedVideo, EncodedVideo),
    (StubConversation, Conversation),
]
METHODS = [
    (stub, real, name)
    for stub, real in PAIRS
    for name, method in vars(stub).items()
    if inspect.isfunction(method) and not name.startswith("_")
]


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize(("stub", "real", "name"), METHODS)
def test_a_stubs_method_takes_what_the_real_one_takes(stub: type, real: type, name: str) -> None:
    assert parameters(getattr(stub, name)) == parameters(getattr(real, name))
