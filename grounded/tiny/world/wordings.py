"""How people say things about the world: words for shapes and motions, and templates for questions, as tables.

Each table has the canonical wording first, then those of training, then (``held_out``) those that measure how well the
model understands phrases that it never met. The held-out wordings combine known words: each of their words occurs in
some training wording. The templates are in ``templates.toml``.

Placeholders: ``{query}`` any description; ``{clause}`` "a red circle moves left"; ``{noun}`` "a red circle moving
left"; ``{subject}``, ``{figure}``, ``{third}``, ``{base}`` and ``{gerund}`` "a red circle", "red circle", "moves left",
"move left", "moving left"; ``{other_clause}`` and ``{other_noun}`` a second event; ``{start}`` and ``{end}`` times.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from ... import prompts


@dataclass(frozen=True)
class Templates:
    """The wordings of one question or phrase."""

    canonical: str
    training: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class Verb:
    """One motion phrase in three forms: "moves left", "move left", "moving left"."""

    third: str
    base: str
    gerund: str


def _verbs(*phrases: str) -> tuple[Verb, ...]:
    """Read "moves/move/moving left" into its three forms."""
    verbs = []
    for phrase in phrases:
        forms, _, rest = phrase.partition(" ")
        third, base, gerund = (f"{form} {rest}".strip() for form in forms.split("/"))
        verbs.append(Verb(third, base, gerund))
    return tuple(verbs)


@dataclass(frozen=True)
class MotionWords:
    """The phrases for one motion."""

    canonical: Verb
    training: tuple[Verb, ...]
    held_out: tuple[Verb, ...]


_GO = (
    "moves/move/moving",
    "goes/go/going",
    "slides/slide/sliding",
    "travels/travel/travelling",
    "drifts/drift/drifting",
)
_SPIN = ("spins/spin/spinning", "turns/turn/turning", "rotates/rotate/rotating")


def _combined(verbs: tuple[str, ...], directions: tuple[str, ...]) -> MotionWords:
    """Pair every verb with every direction; a third of the pairs is held out, so that all its words are known."""
    pairs = [(i + j, f"{verb} {way}") for i, verb in enumerate(verbs) for j, way in enumerate(directions)]
    training = _verbs(*(phrase for n, phrase in pairs if n % 3 != 2))
    return MotionWords(training[0], training[1:], _verbs(*(phrase for n, phrase in pairs if n % 3 == 2)))


def _listed(canonical: str, training: tuple[Verb, ...], held_out: tuple[Verb, ...] = ()) -> MotionWords:
    return MotionWords(_verbs(canonical)[0], training, held_out)


SPINS = "spins"  # either way round: a motion of descriptions, not of figures
MOTION_WORDS = {
    "left": _combined(_GO, ("left", "leftwards", "to the left")),
    "right": _combined(_GO, ("right", "rightwards", "to the right")),
    "up": _combined(_GO, ("up", "upwards", "to the top")),
    "down": _combined(_GO, ("down", "downwards", "to the bottom")),
    "clockwise": _combined(_SPIN, ("clockwise", "in a clockwise direction", "like the hands of a clock")),
    "anticlockwise": _combined(_SPIN, ("anticlockwise", "in an anticlockwise direction", "counterclockwise")),
    "grows": _listed(
        "grows/grow/growing",
        _verbs("gets/get/getting bigger", "becomes/become/becoming larger", "increases/increase/increasing in size"),
        _verbs("becomes/become/becoming bigger", "gets/get/getting larger", "grows/grow/growing in size"),
    ),
    "shrinks": _listed(
        "shrinks/shrink/shrinking",
        _verbs("gets/get/getting smaller", "becomes/become/becoming tinier", "decreases/decrease/decreasing in size"),
        _verbs("becomes/become/becoming smaller", "gets/get/getting tinier", "shrinks/shrink/shrinking in size"),
    ),
    "blinks": _listed(
        "blinks/blink/blinking",
        _verbs("flashes/flash/flashing", "flickers/flicker/flickering", "goes/go/going on and off"),
        _verbs("blinks/blink/blinking on and off", "flashes/flash/flashing on and off"),
    ),
    "bounces": _listed(
        "bounces/bounce/bouncing",
        _verbs("hops/hop/hopping", "jumps/jump/jumping up and down", "bounces/bounce/bouncing on the ground"),
        _verbs("bounces/bounce/bouncing up and down", "hops/hop/hopping on the ground", "jumps/jump/jumping"),
    ),
}
APPEARS = Verb("appears", "appear", "")  # for a description without a motion
MOTION_WORDS[SPINS] = _listed("spins/spin/spinning", _verbs("rotates/rotate/rotating"), ())

SHAPE_WORDS = {  # canonical first; the others occur in paraphrases
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "ring": ("ring", "hoop"),
    "moon": ("moon", "crescent"),
}
THINGS = ("object", "thing")  # for a description without a shape

NOT_THERE = "Not in the video."
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _read_templates() -> dict[str, Templates]:
    canonical = {
        "ground": prompts.ground("{query}"),
        "refer": prompts.refer("{start}", "{end}"),
        "caption": prompts.CAPTION,
        "evidence": prompts.EVIDENCE,
    }
    tables = tomllib.loads(Path(__file__).with_name("templates.toml").read_text(encoding="utf-8"))
    return {
        name: Templates(table.get("canonical") or canonical[name], tuple(table["training"]), tuple(table["held_out"]))
        for name, table in tables.items()
    }


TEMPLATES = _read_templates()
