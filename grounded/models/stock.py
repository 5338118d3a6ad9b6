"""transformers' own vision-language models as `decoding` runs them: what their families share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from .attention import CACHED_SDPA
from .cache import PrefixCache
from .decoding import VideoPrefix
from .progress import layer_progress

TOGETHER = 16  # frames that pass the vision tower together


class LanguageModel:
    """The text part of a model with its head, called as transformers' causal language models are.

    ``axes`` is of how many numbers a position consists: 3 where pictures have time, height and width.
    """

    def __init__(self, text: Any, head: Any, config: Any, axes: int = 1) -> None:
        self.model, self.head, self.config, self.axes = text, head, config, axes
        if config._attn_implementation == "sdpa":
            self.set_attn_implementation(CACHED_SDPA)

    def set_attn_implementation(self, name: str) -> None:
        self.model.set_attn_implementation(name)

    def __call__(
        self,
        inputs_embeds: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        logits_to_keep: int = 0,
        **rest: Any,
    ) -> SimpleNamespace:
        """Return ``logits`` (rows, L or ``logits_to_keep``, vocabulary); ``position_ids`` (rows, L) are of words."""
        if position_ids is not None and self.axes > 1:
            position_ids = position_ids.expand(self.axes, -1, -1)
        hidden = self.model(inputs_embeds=inputs_embeds, position_ids=position_ids, **rest).last_hidden_state
        return SimpleNamespace(logits=self.head(hidden[:, -logits_to_keep:]))


class StockNetwork:
    """Keeps the protocol `Network`; ``model`` is one of transformers' `…ForConditionalGeneration`.

    ``visual_token`` is the id in whose places visual tokens stand, ``tower`` what makes them; with ``offload`` it is on
    the device only while a video is encoded.
    """

    def __init__(
        self,
        model: Any,
        language_model: LanguageModel,
        visual_token: int,
        tower: Sequence[torch.nn.Module],
        offload: bool = False,
    ) -> None:
        self.model, self.language_model, self.visual_token = model.eval(), language_model, visual_token
        self.tower, self.offload = tower, offload

    @property
    def device(self) -> torch.device:
        return self.language_model.head.weight.device

    @torch.inference_mode()
    def encode(
        self, pixels: torch.Tensor, config: Any, on_progress: Callable[[float], None] | None = None
    ) -> torch.Tensor:
        """Return visual tokens, on the CPU, of frames uint8 (T, 3, H, W) that were resized as ``config`` says."""
        encoded, parts = [], pixels.split(TOGETHER)
        try:
            for part in self.tower:
                part.to(self.device)
            with layer_progress(dict.fromkeys(self.tower, 1), len(parts), on_progress):
                for frames in parts:
                    encoded.append(self.encode_part(frames.to(self.device), config).cpu())
        finally:
            for part in self.tower if self.offload else ():
                part.to("cpu")
        return torch.cat(encoded)

    def encode_part(self, pixels: torch.Tensor, config: Any) -> torch.Tensor:
        """Return the visual tokens of at most `TOGETHER` frames; none of a part attends to another part."""
        raise NotImplementedError

    def visual_state(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the tensors that visual tokens depend on, by name."""
        for number, part in enumerate(self.tower):
            for name, tensor in part.state_dict().items():
                yield f"{number}.{name}", tensor

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of token ids, (..., hidden)."""
        return self.model.get_input_embeddings()(ids)

    @torch.inference_mode()
    def read(self, ids: Sequence[int], visual: torch.Tensor, shift: int = 0, **settings: Any) -> VideoPrefix:
        """Run the language model over a prompt's ids up to the end of the video.

        ``visual`` (visual tokens, hidden) stand at the places of `visual_token`; ``settings`` go to the text part, and
        ``shift`` is as in `PrefixCache`.
        """
        tokens = torch.tensor(list(ids), device=self.device)
        embeddings = self.embed(tokens)
        embeddings[tokens == self.visual_token] = visual.to(embeddings)
        cache = PrefixCache(shift)
        self.language_model.model(inputs_embeds=embeddings[None], cache=cache, use_cache=True, **settings)
        return VideoPrefix(embeddings, cache)
