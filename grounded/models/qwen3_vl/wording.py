"""How questions are put to Qwen3-VL and its kin, and how each writes a moment: one table, with sources."""

from __future__ import annotations

import dataclasses

from ..processor import Wording

# Zhang et al., 2025, arXiv:2512.14698, evaluation/utils.py of TencentARC/TimeLens; there for plain Qwen3-VL too.
ONE_MOMENT = Wording(
    ground="Please find the visual event described by the sentence '{query}', determining its starting and ending "
    "times. The format should be: 'The event happens in <start time> - <end time> seconds'.",
    opening="The event happens in ",
    joiner=" - ",
    between=" seconds, ",
    closing=" seconds.",
    # Qwen3-VL's cookbook, video understanding.
    caption="Localize a series of activity events in the video, output the start and end timestamp for each event, and "
    "describe each event with sentences. Provide the result in json format with 'mm:ss.ff' format for time depiction.",
    # Video-MME's (arXiv:2405.21075), which Qwen reports its figures with.
    choose="Select the best answer to the following multiple-choice question based on the video. Respond with only the "
    "letter ({letters}) of the correct option.\n{question}\n{options}\nThe best answer is:",
    # Our own: nobody publishes one.
    refer="Describe what happens in the video from {start} seconds to {end} seconds.",
    evidence="When does the video show what your answer rests on? "
    "The format should be: 'The event happens in <start time> - <end time> seconds'.",
    write=lambda seconds: f"{seconds:.1f}",
    tick=0.1,
    unit=" seconds",
)
# The model card of MCG-NJU/TimeLens2.
ALL_MOMENTS = dataclasses.replace(
    ONE_MOMENT,
    ground='Given the query: "{query}", return ALL time spans (in seconds) where the query is relevant.\n'
    "Output format MUST be a JSON array of [start, end] pairs.\n",
    opening="[[",
    joiner=", ",
    between="], [",
    closing="]]",
    several=True,
)
