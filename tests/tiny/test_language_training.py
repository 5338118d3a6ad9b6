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
    group = draw_group(about[1], all_tasks, 200, np.random.default_rng(0))
    assert group and all(c.kind in ("unknown", "talk") for c in group)


def test_a_group_holds_as_many_tokens_as_asked_for_and_at_least_one_conversation(encoder):
    about, rng = conversations_about(4, encoder, 0), np.random.default_rng(0)
    longest = max(len(c.ids) for c in about)
    for _ in range(20):
        assert 450 - longest < sum(len(c.ids) for c in draw_group(about, PHASES[-1], 450, rng)) <= 450
    assert len(draw_group(about, PHASES[-1], 1, rng)) == 1
