"""How readily the model answers "Not in the video." and "I do not know.": set after training, on validation videos.

Nearly half of the queries in training are about something that is not there, so the model calls a lot absent that is
there. The bias of the token that such an answer begins with trades one kind of error for the other, and lowering it
removes most false answers of absence before it removes many true ones. The same holds of what it does not know. Both
are set on videos in the world's own look: in others much is too small to be told at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..models import VideoLLM
from .conversations import TALK, TrainingConversation
from .language import Features
from .teacher_forced import answer_logits

FALSE_ABSENT = 0.015  # the share of present events that may be called absent
FALSE_UNKNOWN = 0.01  # the share of the world's own questions that may be called unknown


@torch.inference_mode()
def refusal_margins(
    model: VideoLLM,
    features: Features,
    conversations: Sequence[Sequence[TrainingConversation]],
    before: Sequence[int],
    token: int,
    tasks: Sequence[str],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return by how much the logit of ``token`` exceeds all others where the answers to questions of ``tasks`` begin:
    (N,) where another token is right, and (M,) where it is."""
    asked = [[c for c in about if c.task in tasks and c.kind != TALK] for about in conversations]
    margins, right = [], []
    for about, batch, all_logits in answer_logits(model, features, asked, before):
        first = torch.searchsorted(batch.owner, torch.arange(len(about)))  # owners are in order
        logits = all_logits[first]
        own = logits[:, token].clone()
        logits[:, token] = -torch.inf
        margins.append(own - logits.amax(dim=1))
        right.append(batch.targets[first] == token)
    margin, is_right = torch.cat(margins), torch.cat(right)
    return margin[~is_right], margin[is_right]


def calibrate_refusal(model: VideoLLM, margins: torch.Tensor, token: int, share: float) -> float:
    """Lower the bias of ``token`` until it is likeliest in no more than ``share`` of the cases where another one is
    right; return by how much.

    ``margins`` (N,) are those cases' from `refusal_margins`. The bias is never raised.
    """
    lower = max(0.0, float(margins.quantile(1 - share)))
    with torch.no_grad():
        model.language_model.lm_head.bias[token] -= lower
    return lower
