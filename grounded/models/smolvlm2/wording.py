"""How questions are put to SmolVLM2. Its authors publish wordings for choices, and none for time."""

from __future__ import annotations

from ..processor import Wording


def clock(seconds: float) -> str:
    """Return a time as the prompt has it before each frame, in whole seconds.

    >>> clock(75.9)
    '01:15'
    """
    return f"{int(seconds // 60):02d}:{int(seconds % 60):02d}"


WORDING = Wording(
    ground="When does this happen in the video: '{query}'? The format should be: 'From MM:SS to MM:SS'.",
    refer="Describe what happens in the video from {start} to {end}.",
    # Video-MME's (arXiv:2405.21075).
    choose="Select the best answer to the following multiple-choice question based on the video. Respond with only the "
    "letter ({letters}) of the correct option.\n{question}\n{options}\nThe best answer is:",
    caption="List the events in the video, one a line. The format should be: 'MM:SS - MM:SS: event'.",
    evidence="When does the video show what your answer rests on? The format should be: 'From MM:SS to MM:SS'.",
    opening=" From ",
    joiner=" to ",
    between=", ",
    closing=".",
    write=clock,
    tick=1.0,
)
