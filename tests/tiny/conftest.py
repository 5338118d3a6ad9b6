"""One tokenizer, one encoder and one untrained model for the tests of the recipe's parts."""

from __future__ import annotations

import pytest

from grounded import prompts
from grounded.config import TINY
from grounded.tiny.conversations import Encoder
from grounded.tiny.recipe import TinyRecipe
from grounded.tiny.run import make_model
from grounded.tiny.world.vocabulary import build_tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer(TINY.bins)


@pytest.fixture(scope="session")
def encoder(tokenizer):
    return Encoder(tokenizer, prompts.CHATS["tiny"], TINY.bins)


@pytest.fixture(scope="session")
def before(tokenizer):
    """The ids of the text before the video."""
    return tokenizer.encode(prompts.before_image(prompts.CHATS["tiny"])).ids


@pytest.fixture(scope="session")
def model():
    return make_model(TinyRecipe())[0].eval()
