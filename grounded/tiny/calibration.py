"""How readily the model answers "Not in the video.": set after training, on validation videos.

Nearly half of the queries in training are about something that is not there, so the model calls a lot absent that is
there. The bias of the token that such an answer begins with trades one kind of error for the other, and lowering it
removes most false answers of absence before it removes many true ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..models import VideoLLM
from .conversations import TrainingConversation
from .language import Features
from .teacher_forced import answer_logits

FALSE_ABSENT = 0.02  # the share of present events that may be called absent


@torch.inference_mode()
def absent_margins(
    model: VideoLLM,
    features: Features,
    conversations: Sequence[Sequence[TrainingConversation]],
    before: Sequence[int],
    absent_token: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return by how much the logit of ``absent_token`` exceeds all others where the answer to a grounding question
    begins: (N,) for events that are present, and (M,) for those that are not."""
    grounding = [[c for c in about if c.task == "ground"] for about in conversations]
    margins, absent = [], []
    for about, batch, all_logits in answer_logits(model, features, grounding, before):
        first = torch.searchsorted(batch.owner, torch.arange(len(about)))  # owners are in order
        logits = all_logits[first]
        own = logits[:, absent_token].clone()
        logits[:, absent_token] = -torch.inf
        margins.append(own - logits.amax(dim=1))
        absent.append(batch.targets[first] == absent_token)
    margin, is_absent = torch.cat(margins), torch.cat(absent)
    return margin[~is_absent], margin[is_absent]


def calibrate_absent(model: VideoLLM, present: torch.Tensor, absent_token: int) -> float:
    """Lower the bias of ``absent_token`` until `FALSE_ABSENT` of what is present is called absent; return by how much.

    ``present`` (N,) are the margins of present events from `absent_margins`. The bias is never raised.
    """
    lower = max(0.0, float(present.quantile(1 - FALSE_ABSENT)))
    with torch.no_grad():
        model.language_model.lm_head.bias[absent_token] -= lower
    return lower
