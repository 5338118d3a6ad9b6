"""ModelConfig: every number a model is built from, checked once, stored as JSON beside the weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ConfigError

GROUNDING_TOKEN = "<timestamp_grounding>"


@dataclass(frozen=True)
class TowerConfig:
    """A vision transformer; ``depth`` counts the blocks that are built (released files hold one more, never used)."""

    width: int
    depth: int
    heads: int
    mlp_width: int
    image_size: int
    patch_size: int

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"a tower {self.width} wide cannot be shared out among {self.heads} heads")
        if self.image_size % self.patch_size:
            raise ConfigError(f"{self.image_size} pixels are not a whole number of patches of {self.patch_size}")

    @property
    def grid(self) -> int:
        """Patches along one side of a frame."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class ModelConfig:
    """One model.

    ``llm`` holds the numbers of the transformers config named by its ``model_type``; its ``vocab_size`` counts the
    temporal rows too. ``chat`` names a format of `prompts.CHATS`. A segment gives
    ``image_vectors + video_vectors + 1`` visual tokens; ``image_join`` says how the image grid becomes ``image_grid``:
    "merge" joins neighbours and appends a row separator (Phi-3.5-vision), "pool" averages them (LLaVA-NeXT).
    ``unit_projections`` scales projected vectors to length 1 and ``time_embedding`` adds a learned vector per frame;
    ``absent_answer`` is what a model that was trained to refuse says when a query is not in the video, and
    ``unknown_answer`` where it does not know what a video shows or a question means; ``absent_bias`` was added after
    training to the logit of the token that ``absent_answer`` begins with, so that it says so more or less readily, and
    what it believes is read without. All five are off in the released models.
    """

    name: str
    chat: str
    image: TowerConfig
    video: TowerConfig
    llm: Mapping[str, Any]
    image_join: str
    image_grid: int
    video_grid: int = 4
    frames: int = 96
    segments: int = 12
    bins: int = 300
    unit_projections: bool = False
    time_embedding: bool = False
    absent_answer: str = ""
    unknown_answer: str = ""
    absent_bias: float = 0.0

    def __post_init__(self) -> None:
        if self.image_join not in ("merge", "pool"):
            raise ConfigError(f'image_join is {self.image_join!r}; it must be "merge" or "pool"')
        if self.frames % self.segments:
            raise ConfigError(f"{self.frames} frames cannot be cut into {self.segments} equal segments")
        for tower, grid in ((self.image, self.image_grid), (self.video, self.video_grid)):
            if self.image_join == "merge" and tower is self.image and tower.grid % grid:
                raise ConfigError(f"a grid of {tower.grid} patches cannot be joined evenly into {grid}")
        if self.llm.get("model_type") not in ("phi3", "llama"):
            raise ConfigError(f'llm.model_type is {self.llm.get("model_type")!r}; it must be "phi3" or "llama"')

    @property
    def frames_per_segment(self) -> int:
        return self.frames // self.segments

    @property
    def image_vectors(self) -> int:
        """Image vectors of one segment."""
        return self.image_grid * (self.image_grid + (self.image_join == "merge"))

    @property
    def video_vectors(self) -> int:
        """Video vectors of one segment."""
        return self.frames_per_segment * self.video_grid**2

    @property
    def visual_tokens(self) -> int:
        """Visual tokens of a whole video."""
        return self.segments * (self.image_vectors + self.video_vectors + 1)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: the text is not JSON, a field is missing or unknown, or the numbers contradict each other.
        """
        try:
            fields = json.loads(text)
            for tower in ("image", "video"):
                fields[tower] = TowerConfig(**fields[tower])
            return cls(**fields)
        except (TypeError, KeyError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"not the config of a grounded model: {error}") from error


_CLIP = TowerConfig(width=1024, depth=23, heads=16, mlp_width=4096, image_size=336, patch_size=14)
_INTERNVIDEO2 = TowerConfig(width=1408, depth=39, heads=16, mlp_width=6144, image_size=224, patch_size=14)

# The full-size models, and what no released file says. `weights.conversion` reads the LLM's numbers
# and every shape from the files and takes only what a shape cannot tell, the head counts, from here.
PHI35 = ModelConfig(
    name="phi3.5",
    chat="phi3.5",
    image=_CLIP,
    video=_INTERNVIDEO2,
    image_join="merge",
    image_grid=12,
    llm={
        "model_type": "phi3",
        "vocab_size": 32366,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 131072,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "sliding_window": 262144,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 32000,
        "pad_token_id": 32007,
    },
)
LLAMA3 = ModelConfig(
    name="llama3",
    chat="llama3",
    image=_CLIP,
    video=_INTERNVIDEO2,
    image_join="pool",
    image_grid=8,
    llm={
        "model_type": "llama",
        "vocab_size": 128558,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
        "rope_theta": 500000.0,
        "rms_norm_eps": 1e-05,
        "tie_word_embeddings": False,
        "bos_token_id": 128000,
        "eos_token_id": 128009,
        "pad_token_id": 128001,
    },
)
TINY = ModelConfig(
    name="tiny",
    chat="tiny",
    image=TowerConfig(width=128, depth=3, heads=4, mlp_width=384, image_size=64, patch_size=8),
    video=TowerConfig(width=128, depth=4, heads=4, mlp_width=384, image_size=64, patch_size=16),
    image_join="pool",
    image_grid=2,
    video_grid=1,
    frames=72,
    segments=12,
    bins=72,  # a bin is a frame: a finer time cannot be seen
    unit_projections=True,
    time_embedding=True,
    absent_answer="Not in the video.",
    unknown_answer="I do not know.",
    llm={
        "model_type": "phi3",
        "vocab_size": 384,  # checked against the tokenizer where the model is made
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 2048,
        "original_max_position_embeddings": 2048,
        "partial_rotary_factor": 0.5,
        "rms_norm_eps": 1e-05,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    },
)
RELEASED = {config.name: config for config in (PHI35, LLAMA3)}
