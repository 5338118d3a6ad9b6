"""Questions as files: the released annotation format, a JSONL with what an evaluation needs, and timed captions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from ... import prompts
from ...config import GROUNDING_TOKEN
from .descriptions import caption, describe
from .questions import WorldQuestion
from .scenes import Scene

DATASET = "grounded_world"


def video_id(scene: Scene) -> str:
    """Return the name of a scene's video, without its suffix."""
    return f"world_{scene.seed:08d}"


def annotation(scene: Scene, question: WorldQuestion, number: int, video_file: str) -> dict[str, Any]:
    """Return a question in the released annotation format; times stay seconds, as in ``<12.5>``."""
    conversation: list[dict[str, str | None]] = []
    for i, turn in enumerate(question.turns):
        mark = GROUNDING_TOKEN if turn.grounding else ""
        head = " ".join(filter(None, (prompts.IMAGE if i == 0 else "", mark)))
        conversation.append({"from": "human", "value": f"{head}\n{turn.question}" if head else turn.question})
        conversation.append({"from": "gpt", "value": turn.answer})
    return {
        "question_id": f"{video_id(scene)}_{number:03d}",
        "video_id": video_id(scene),
        "video_file": video_file,
        "dataset_name": DATASET,
        "conversation": conversation,
    }


def record(scene: Scene, question: WorldQuestion, number: int) -> dict[str, Any]:
    """Return a question with everything that is known of its answer, as plain data."""
    head = {"question_id": f"{video_id(scene)}_{number:03d}", "video_id": video_id(scene), "duration": scene.duration}
    return head | dataclasses.asdict(question)


def timed_captions(scenes: Iterable[Scene]) -> dict[str, dict[str, Any]]:
    """Return the scenes' events as ActivityNet Captions writes them: duration, timestamps and sentences by video."""
    return {
        video_id(scene): {
            "duration": scene.duration,
            "timestamps": [list(event.moment) for event in scene.events],
            "sentences": [caption(describe(event)) for event in scene.events],
        }
        for scene in scenes
    }
