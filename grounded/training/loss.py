"""The forward pass of training: visual tokens are put among the words, and the loss is taken on the answers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..models import VideoLLM
from ..video import pixels
from .data import IGNORED, VIDEO


class Learner(nn.Module):
    """A model with its loss, in the form that transformers' Trainer expects; takes the batches of `data.collate`."""

    accepts_loss_kwargs = True  # the Trainer passes `num_items_in_batch`

    def __init__(self, model: VideoLLM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        attention_mask: torch.Tensor,
        image_pixels: torch.Tensor,
        video_pixels: torch.Tensor,
        has_video: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return ``{"loss": ...}``: the cross-entropy summed over the labels and divided by their number.

        ``num_items_in_batch`` is that number over the whole batch of an optimiser step, where this is only a part.
        """
        visual = self.model.splice(*self._features(image_pixels, video_pixels))
        embeddings, mask, targets = join(
            self.model.embed(input_ids.clamp(min=0)), visual, input_ids, attention_mask, labels, has_video
        )
        if torch.is_autocast_enabled(embeddings.device.type):
            embeddings = embeddings.to(torch.get_autocast_dtype(embeddings.device.type))
        targets = F.pad(targets[:, 1:], (0, 1), value=IGNORED)  # each position predicts the next
        columns = (targets != IGNORED).any(dim=0).nonzero()[:, 0]  # the head is wide: only these are computed
        logits = self.model.language_model(
            inputs_embeds=embeddings, attention_mask=mask, use_cache=False, logits_to_keep=columns
        ).logits
        targets = targets[:, columns]
        total = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        count = (targets != IGNORED).sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        return {"loss": total / count.to(total.device).clamp(min=1)}

    @torch.no_grad()
    def _features(self, image: torch.Tensor, video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features of both frozen towers, one video at a time."""
        segments = video.unflatten(1, (self.model.config.segments, -1))
        device, dtype = self.model.device, self.model.video_tower.cls_token.dtype
        images = [pixels.normalise(frames, pixels.IMAGE_STATISTICS, device, dtype) for frames in image]
        videos = [pixels.normalise(frames, pixels.VIDEO_STATISTICS, device, dtype) for frames in segments]
        return (
            torch.stack([self.model.image_features(frames) for frames in images]),
            torch.stack([self.model.video_features(frames) for frames in videos]),
        )

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        """Recompute the language model's layers in the backward pass; called by the Trainer."""
        self.model.language_model.activation_checkpointing_enable(activation_checkpointing_kwargs, **settings)


def join(
    embedded: torch.Tensor,
    visual: torch.Tensor,
    ids: torch.Tensor,
    attention_mask: torch.Tensor,
    labels: torch.Tensor,
    has_video: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Put the visual tokens (B, V, hidden) where `VIDEO` stands among embedded words (B, L, hidden).

    Where a conversation has no video they come last, with attention 0.

    Returns:
        Embeddings (B, L - 1 + V, hidden), attention mask and labels (B, L - 1 + V).
    """
    count = visual.shape[1]
    rows = []
    for row in range(len(ids)):
        at = int((ids[row] == VIDEO).nonzero()[0, 0])
        place = at if has_video[row] else ids.shape[1] - 1
        words = [torch.cat([x[row, :at], x[row, at + 1 :]]) for x in (embedded, attention_mask, labels)]
        inserted = [
            visual[row].to(embedded.dtype),
            attention_mask.new_full((count,), int(has_video[row])),
            labels.new_full((count,), IGNORED),
        ]
        rows.append([torch.cat([w[:place], v, w[place:]]) for w, v in zip(words, inserted, strict=True)])
    embeddings, mask, targets = (torch.stack(parts) for parts in zip(*rows, strict=True))
    return embeddings, mask, targets
