"""How people say things about the world: words for shapes and motions, and templates for questions, as tables.

Each table has the canonical wording first, then those of training, then (``held_out``) those that measure how well the
model understands phrases that it never met. The held-out wordings combine known words: each of their words occurs in
some training wording.

Placeholders: ``{query}`` any description; ``{clause}`` "a red circle moves left"; ``{noun}`` "a red circle moving
left"; ``{subject}``, ``{figure}``, ``{third}``, ``{base}`` and ``{gerund}`` "a red circle", "red circle", "moves left",
"move left", "moving left"; ``{other_clause}`` and ``{other_noun}`` a second event; ``{start}`` and ``{end}`` times.
"""

from __future__ import annotations

from dataclasses import dataclass

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

CLAUSES = Templates(
    "{a} {figure} {third}",
    (
        "the {figure} {third}",
        "{a} {figure} that {third}",
        "{a} {figure} is {gerund}",
        "there is {a} {figure} that {third}",
    ),
    ("there is {a} {figure} {gerund}", "you can see that {a} {figure} {third}", "{a} {figure} which is {gerund}"),
)
NOUNS = Templates(
    "{a} {figure} {gerund}",
    (
        "the {figure} {gerund}",
        "{a} {figure} that {third}",
        "{a} {figure} which {third}",
        "the {figure} that is {gerund}",
    ),
    ("{a} {figure} that is {gerund}", "the {figure} which is {gerund}", "the {figure} that {third}"),
)

GROUND = Templates(
    prompts.ground("{query}"),
    (
        "When does {subject} {base}?",
        "When does this happen: {query}?",
        "Find the moment when {clause}.",
        "Find {noun}.",
        "Show me {noun}.",
        "At what time does {subject} {base}?",
        "Locate this event in the video: '{query}'.",
        "Which part of the video shows {noun}?",
        "When can you see {noun}?",
        "When can I see {noun}?",
        "From when to when does {subject} {base}?",
        "Return the start and the end of the event '{query}'.",
        "Please find {noun} in the video.",
        "I am looking for {noun}. Where in the video is it?",
        "Tell me when {clause}.",
        "Can you tell me the time when {clause}?",
        "What is the moment of the video in which {clause}?",
        "{query}",
    ),
    (
        "Please tell me when {clause}.",
        "In which part of the video does {subject} {base}?",
        "Can you find the moment when {clause}?",
        "Where in the video can I see {noun}?",
        "Please return the part of the video that shows {noun}.",
        "From when to when can you see {noun}?",
        "What is the start and the end of this event: {query}?",
        "Locate {noun}.",
        "I am looking for the moment when {clause}. Find it.",
        "At what time can you see {noun} in the video?",
    ),
)
REFER = Templates(
    prompts.refer("{start}", "{end}"),
    (
        "What happens from {start} to {end}?",
        "Describe what happens between {start} and {end}.",
        "What can you see from {start} to {end}?",
        "Please describe the video from {start} to {end}.",
        "Tell me what is happening between {start} and {end}.",
    ),
    (
        "Please describe what is happening from {start} to {end}.",
        "What can I see between {start} and {end}?",
        "Describe the event from {start} to {end}.",
    ),
)
CAPTION = Templates(
    prompts.CAPTION,
    (
        "Describe all events in the video with their start and end.",
        "List every event of the video with its time.",
        "Report what happens in the video and when.",
    ),
    (
        "List what happens in the video with start and end timestamps.",
        "Please describe every event in the video and report its start and end.",
    ),
)
EVIDENCE = Templates(
    prompts.EVIDENCE,
    ("When can you see that in the video?", "Which part of the video shows your answer?"),
    ("Which timestamps correspond to your answer?", "When does the video show that?"),
)
FIRST = Templates(
    "What happens first?",
    ("Which event is the first in the video?", "What is the first event?", "What can you see first?"),
    ("Which event happens first in the video?", "What happens first in the video?"),
)
LAST = Templates(
    "What happens last?",
    ("Which event is the last in the video?", "What is the last event?", "What can you see last?"),
    ("Which event happens last in the video?", "What happens last in the video?"),
)
AFTER = Templates(
    "What happens after {clause}?",
    ("What is the next event after {clause}?", "Which event comes right after {noun}?", "{clause}: what happens next?"),
    ("What comes right after {noun}?", "Which event is next after {clause}?"),
)
BEFORE = Templates(
    "What happens before {clause}?",
    ("What is the event right before {clause}?", "Which event comes before {noun}?", "What can you see before {noun}?"),
    ("What comes right before {noun}?", "Which event is right before {clause}?"),
)
ORDER = Templates(
    "Does {subject} {base} before {other_clause}?",
    (
        "Is it right that {clause} before {other_clause}?",
        "Can you see {noun} before {other_noun}?",
        "Is {noun} before {other_noun} in the video?",
    ),
    ("Can you see that {clause} before {other_clause}?", "Is it right that {noun} comes before {other_noun}?"),
)
REPEATS = Templates(
    "How many times does {subject} {base}?",
    ("How often does {subject} {base}?", "How often can you see {noun}?", "Count how often {clause}."),
    ("How many times can you see {noun}?", "Count how many times {clause}."),
)
EVENTS = Templates(
    "How many events are there in the video?",
    ("How many events can you see?", "Count the events in the video.", "How many events happen in the video?"),
    ("How many events are in the video?", "Count how many events happen."),
)
EXISTS = Templates(
    "Does {subject} {base} in the video?",
    ("Can you see {noun}?", "Is there {noun} in the video?", "Is it right that {clause}?"),
    ("Can you see {noun} in the video?", "Does the video show {noun}?"),
)
WHAT_MOTION = Templates(
    "What does the {figure} do?",
    ("How does the {figure} move?", "What can you see the {figure} do?"),
    ("What does the {figure} do in the video?",),
)
WHAT_COLOUR = Templates(
    "What colour is the {figure} that {third}?",
    ("Which colour is the {figure} {gerund}?", "The {figure} that {third} is of which colour?"),
    ("Which colour is the {figure} that {third}?",),
)
WHAT_SHAPE = Templates(
    "What shape is the {figure} that {third}?",
    ("Which shape is the {figure} {gerund}?", "The {figure} that {third} is of which shape?"),
    ("Which shape is the {figure} that {third}?",),
)
PRESENT = Templates(
    "Which of these happens in the video?",
    ("Which of these events can you see?", "What happens in the video?"),
    ("Which of these events happens in the video?",),
)
MISSING = Templates(
    "Which of these does not happen in the video?",
    ("Which of these events is not in the video?", "What does not happen in the video?"),
    ("Which of these events does not happen?",),
)

NOT_THERE = "Not in the video."
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
