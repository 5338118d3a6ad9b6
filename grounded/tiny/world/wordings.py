"""How people say things about the world: words for shapes and motions, and templates for questions, as tables.

Each table has the canonical wording first, then those of training, then (``held_out``) those that measure how well the
model understands phrases that it never met. The held-out wordings combine known words: each of their words occurs in
some training wording. The ``loose`` ones are further words of training, as people use them who do not know the others.
The templates are in ``templates.toml``.

Placeholders: ``{query}`` any description; ``{clause}`` "a red circle goes left"; ``{noun}`` "a red circle going left";
``{subject}``, ``{figure}``, ``{third}``, ``{base}``, ``{gerund}``, ``{past}`` and ``{participle}`` "a red circle", "red
circle", "goes left", "go left", "going left", "went left", "gone left"; ``{other_clause}`` and ``{other_noun}`` a
second event; ``{start}`` and ``{end}`` times.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from ... import prompts
from ...config import TINY
from .figures import T


@dataclass(frozen=True)
class Wordings(Generic[T]):
    """How one thing is said: templates of a question or a phrase, or the verbs for a motion."""

    canonical: T
    training: tuple[T, ...]
    held_out: tuple[T, ...]
    loose: tuple[T, ...]

    @property
    def all(self) -> tuple[T, ...]:
        return (self.canonical, *self.training, *self.held_out, *self.loose)


@dataclass(frozen=True)
class Verb:
    """One motion phrase in five forms: "goes left", "go left", "going left", "went left", "gone left"."""

    third: str
    base: str
    gerund: str
    past: str
    participle: str


_IRREGULAR = (  # each with its past and participle
    "go went gone", "slide slid slid", "spin spun spun", "grow grew grown", "get got got", "become became become",
    "come came come", "shrink shrank shrunk", "fall fell fallen", "sink sank sunk", "rise rose risen", "run ran run",
    "fly flew flown", "drop dropped dropped", "hop hopped hopped", "travel travelled travelled", "leap leapt leapt",
    "bob bobbed bobbed", "spring sprang sprung", "sweep swept swept", "creep crept crept", "skip skipped skipped",
    "keep kept kept",
)  # fmt: skip
_PAST = {base: past for base, *past in (forms.split() for forms in _IRREGULAR)}


def _verbs(*phrases: str) -> tuple[Verb, ...]:
    """Read "moves/move/moving left" into its forms."""
    return tuple(Verb(*map(" ".join, zip(*map(_forms, phrase.split()), strict=True))) for phrase in phrases)


def _forms(word: str) -> tuple[str, ...]:
    if "/" not in word:
        return (word,) * 5
    third, base, gerund = word.split("/")
    regular = base + ("d" if base.endswith("e") else "ed")
    return (third, base, gerund, *_PAST.get(base, (regular, regular)))


_GO = (
    "moves/move/moving", "goes/go/going", "slides/slide/sliding", "travels/travel/travelling", "drifts/drift/drifting",
)  # fmt: skip
_LOOSE_GO = (
    "glides/glide/gliding", "heads/head/heading", "floats/float/floating", "runs/run/running", "flies/fly/flying",
    "shifts/shift/shifting", "wanders/wander/wandering", "rolls/roll/rolling", "sweeps/sweep/sweeping",
    "creeps/creep/creeping", "keeps/keep/keeping moving",
)  # fmt: skip
_SPIN = ("spins/spin/spinning", "turns/turn/turning", "rotates/rotate/rotating")
_LOOSE_SPIN = (
    "revolves/revolve/revolving", "twirls/twirl/twirling", "whirls/whirl/whirling", "swirls/swirl/swirling",
    "rolls/roll/rolling", "turns/turn/turning round", "keeps/keep/keeping spinning",
)  # fmt: skip


def _combined(
    verbs: tuple[str, ...], loose_verbs: tuple[str, ...], directions: tuple[str, ...], *more: str
) -> Wordings[Verb]:
    """Pair every verb with every direction; a third of the pairs is held out, so that all its words are known.

    The loose words are those pairs of ``loose_verbs`` and ``more`` phrases.
    """
    pairs = [(i + j, f"{verb} {way}") for i, verb in enumerate(verbs) for j, way in enumerate(directions)]
    training = _verbs(*(phrase for n, phrase in pairs if n % 3 != 2))
    held_out = _verbs(*(phrase for n, phrase in pairs if n % 3 == 2))
    return Wordings(training[0], training[1:], held_out, _verbs(*_every(loose_verbs, *directions), *more))


def _listed(
    canonical: str, training: tuple[str, ...], held_out: tuple[str, ...], loose: tuple[str, ...]
) -> Wordings[Verb]:
    return Wordings(_verbs(canonical)[0], _verbs(*training), _verbs(*held_out), _verbs(*loose))


def _every(verbs: tuple[str, ...], *ways: str) -> tuple[str, ...]:
    return tuple(f"{verb} {way}" for verb in verbs for way in ways)


def _sideways(to: str, start: str) -> tuple[str, ...]:
    sides = (f"towards the {to}", f"{to}ward", f"to the {to} side", f"over to the {to}", f"off to the {to}")
    return _every(_GO, *sides, f"from {start} to {to}", f"from the {start} to the {to}")


SPINS = "spins"  # either way round: a motion of descriptions, not of figures
APPEARS = Verb("appears", "appear", "", "appeared", "appeared")  # for a description without a motion
MOTION_WORDS = {
    "left": _combined(_GO, _LOOSE_GO, ("left", "leftwards", "to the left"), *_sideways("left", "right")),
    "right": _combined(_GO, _LOOSE_GO, ("right", "rightwards", "to the right"), *_sideways("right", "left")),
    "up": _combined(
        _GO, _LOOSE_GO, ("up", "upwards", "to the top"),
        "rises/rise/rising", "ascends/ascend/ascending", "climbs/climb/climbing", "climbs/climb/climbing up",
        *_every(_GO, "upward", "towards the top", "from the bottom to the top", "up and up"),
    ),
    "down": _combined(
        _GO, _LOOSE_GO, ("down", "downwards", "to the bottom"),
        "falls/fall/falling", "drops/drop/dropping", "sinks/sink/sinking", "descends/descend/descending",
        "falls/fall/falling down",
        *_every(_GO, "downward", "towards the bottom", "from the top to the bottom", "down and down"),
    ),
    "clockwise": _combined(
        _SPIN, _LOOSE_SPIN, ("clockwise", "in a clockwise direction", "like the hands of a clock"),
        *_every(_SPIN, "clock-wise"),
    ),
    "anticlockwise": _combined(
        _SPIN, _LOOSE_SPIN, ("anticlockwise", "in an anticlockwise direction", "counterclockwise"),
        *_every(_SPIN, "anti-clockwise", "counter-clockwise", "against the clock"),
    ),
    "grows": _listed(
        "grows/grow/growing",
        ("gets/get/getting bigger", "becomes/become/becoming larger", "increases/increase/increasing in size"),
        ("becomes/become/becoming bigger", "gets/get/getting larger", "grows/grow/growing in size"),
        (
            "expands/expand/expanding", "swells/swell/swelling", "enlarges/enlarge/enlarging",
            "gets/get/getting large", "gets/get/getting big", "becomes/become/becoming large",
            "inflates/inflate/inflating", "increases/increase/increasing", "scales/scale/scaling up",
            "becomes/become/becoming big", "widens/widen/widening", "blows/blow/blowing up",
            "gets/get/getting huge", "extends/extend/extending", "keeps/keep/keeping growing",
        ),
    ),
    "shrinks": _listed(
        "shrinks/shrink/shrinking",
        ("gets/get/getting smaller", "becomes/become/becoming tinier", "decreases/decrease/decreasing in size"),
        ("becomes/become/becoming smaller", "gets/get/getting tinier", "shrinks/shrink/shrinking in size"),
        (
            "contracts/contract/contracting", "gets/get/getting small", "gets/get/getting tiny",
            "becomes/become/becoming small", "diminishes/diminish/diminishing", "decreases/decrease/decreasing",
            "becomes/become/becoming tiny", "deflates/deflate/deflating", "scales/scale/scaling down",
            "gets/get/getting little", "reduces/reduce/reducing in size", "keeps/keep/keeping shrinking",
        ),
    ),
    "blinks": _listed(
        "blinks/blink/blinking",
        ("flashes/flash/flashing", "flickers/flicker/flickering", "goes/go/going on and off"),
        ("blinks/blink/blinking on and off", "flashes/flash/flashing on and off"),
        (
            "twinkles/twinkle/twinkling", "winks/wink/winking",
            "appears/appear/appearing and disappears/disappear/disappearing", "comes/come/coming and goes/go/going",
            "turns/turn/turning on and off", "flickers/flicker/flickering on and off",
            "disappears/disappear/disappearing and reappears/reappear/reappearing",
            "vanishes/vanish/vanishing and returns/return/returning",
            "pulses/pulse/pulsing", "goes/go/going dark and light", "keeps/keep/keeping blinking",
            "fades/fade/fading in and out",
        ),
    ),
    "bounces": _listed(
        "bounces/bounce/bouncing",
        ("hops/hop/hopping", "jumps/jump/jumping up and down", "bounces/bounce/bouncing on the ground"),
        ("bounces/bounce/bouncing up and down", "hops/hop/hopping on the ground", "jumps/jump/jumping"),
        (
            "leaps/leap/leaping", "leaps/leap/leaping up and down", "springs/spring/springing up and down",
            "bobs/bob/bobbing up and down", "hops/hop/hopping up and down", "moves/move/moving up and down",
            "rebounds/rebound/rebounding", "skips/skip/skipping up and down", "keeps/keep/keeping bouncing",
            "hops/hop/hopping around", "jumps/jump/jumping about", "jumps/jump/jumping again and again",
        ),
    ),
    SPINS: _listed("spins/spin/spinning", ("rotates/rotate/rotating",), (), (*_SPIN, *_LOOSE_SPIN)),
}  # fmt: skip

SHAPE_WORDS = {  # canonical first; the others occur in paraphrases
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "ring": ("ring", "hoop"),
    "moon": ("moon", "crescent"),
}
LOOSE_SHAPES = {
    "circle": ("disk", "ball", "dot"),
    "square": ("block", "quadrangle"),
    "triangle": ("wedge",),
    "star": ("asterisk",),
    "ring": ("loop", "donut", "annulus"),
    "moon": ("half moon", "sickle", "crescent moon"),
}
LOOSE_THINGS = ("shape", "figure", "item")
THINGS = ("object", "thing")  # for a description without a shape

NOT_THERE = TINY.absent_answer
UNKNOWN = TINY.unknown_answer
NOTHING = "Nothing happens."  # in a range that is referred to
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _read_templates() -> dict[str, Wordings[str]]:
    canonical = {
        "ground": prompts.ground("{query}"),
        "refer": prompts.refer("{start}", "{end}"),
        "caption": prompts.CAPTION,
        "evidence": prompts.EVIDENCE,
    }
    tables = tomllib.loads(Path(__file__).with_name("templates.toml").read_text(encoding="utf-8"))
    return {
        name: Wordings(
            table.get("canonical") or canonical[name],
            *(tuple(table.get(kind, ())) for kind in ("training", "held_out", "loose")),
        )
        for name, table in tables.items()
    }


TEMPLATES = _read_templates()
