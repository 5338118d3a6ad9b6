"""Each phase draws what it asks for, and each task is drawn as often as the phase says."""

from __future__ import annotations

import numpy as np

from grounded.tiny.conversations import conversations_about, negative_conversations
from grounded.tiny.language_training import draw_group, videos_for
from grounded.tiny.recipe import PHASES


def test_a_phase_draws_only_videos_about_which_it_asks(encoder):
    alignment, *_, all_tasks = PHASES
    about = [
        conversations_about(4, encoder, 0),
        negative_conversations(4, encoder, 0),
        conversations_about(5, encoder, 0),
    ]
    assert videos_for(alignment, [*about, []]).tolist() == [0, 1, 2]
    group = draw_group(about[1], all_tasks, 4, np.random.default_rng(0))
    assert len(group) == 4 and all(c.kind in ("unknown", "talk") for c in group)
