"""The stand-ins take what the real model and the real encoded video take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from grounded.engine.encoded_video import EncodedVideo
from grounded.engine.grounder import Grounder
from tests.evaluation.fake import FakeEncodedVideo, FakeModel

PAIRS = [
    (getattr(fake, name), getattr(real, name))
    for fake, real in ((FakeModel, Grounder), (FakeEncodedVideo, EncodedVideo))
    for name in vars(fake)
    if not name.startswith("_")
]


def test_every_way_to_ask_has_a_stand_in() -> None:
    assert [fake.__name__ for fake, _ in PAIRS] == [
        "watch",
        "encode_clip",
        "ground",
        "refer",
        "choose",
        "caption",
        "ask",
    ]


@pytest.mark.parametrize(("fake", "real"), PAIRS, ids=lambda function: function.__name__)
def test_a_stand_in_takes_the_arguments_of_the_real_one(fake: Callable[..., Any], real: Callable[..., Any]) -> None:
    ours, theirs = (inspect.signature(function).parameters for function in (fake, real))
    assert list(ours)[1:] == [name for name in theirs if name in ours][1:]
    for name, parameter in list(ours.items())[1:]:
        assert (parameter.kind, parameter.default) == (theirs[name].kind, theirs[name].default), name
    needed = [name for name, parameter in theirs.items() if parameter.default is parameter.empty]
    assert set(needed) <= set(ours)
