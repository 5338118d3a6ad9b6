"""How easily the model says "Not in the video.": set after training, on validation videos.

Nearly half of the queries in training are about something that is not there, so the model denies a lot of what is
there. The bias of the token that a refusal begins with decides between the two kinds of errors, and most false
denials go before many true ones do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..models import VideoLLM
from .conversations import Conversation
from .language import Features
from .probe import answers

DENIED = 0.02  # the share of what is there that may be denied


@torch.inference_mode()
def refusal_odds(
    model: VideoLLM,
    features: Features,
    conversations: Sequence[Sequence[Conversation]],
    before: Sequence[int],
    refusal: int,
    chunk: int = 4,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return by how much the logit of the token ``refusal`` exceeds all others where the answer to a grounding
    question begins: (N,) for what is there, and (M,) for what is not."""
    grounding = [[c for c in about if c.task == "ground"] for about in conversations]
    preferred, absent = [], []
    for asked, batch, all_logits in answers(model, features, grounding, before, chunk):
        first = torch.searchsorted(batch.owner, torch.arange(len(asked)))  # owners are in order
        logits = all_logits[first]
        own = logits[:, refusal].clone()
        logits[:, refusal] = -torch.inf
        preferred.append(own - logits.amax(dim=1))
        absent.append(batch.targets[first] == refusal)
    odds, gone = torch.cat(preferred), torch.cat(absent)
    return odds[~gone], odds[gone]


def set_refusal(model: VideoLLM, there: torch.Tensor, refusal: int) -> float:
    """Lower the bias of the token ``refusal`` until `DENIED` of what is there is denied; return by how much.

    ``there`` (N,) is what `refusal_odds` gives for what is there. The bias is never raised.
    """
    lower = max(0.0, float(there.quantile(1 - DENIED)))
    with torch.no_grad():
        model.language_model.lm_head.bias[refusal] -= lower
    return lower
