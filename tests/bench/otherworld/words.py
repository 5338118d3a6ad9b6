"""What is asked: the events in many wordings, what is not there, ways to ask for a time, and conversations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from grounded.tiny.world.wordings import MOTION_WORDS, NUMBERS

from .films import MOTIONS, Event, Film

SYNONYMS = {
    "left": ("heads left", "slides over to the left side", "travels leftward", "wanders off to the left"),
    "right": ("heads right", "slides over to the right side", "travels rightward", "wanders off to the right"),
    "up": ("rises", "climbs", "floats upward", "ascends"),
    "down": ("falls", "sinks", "floats downward", "descends"),
    "clockwise": ("revolves clockwise", "rolls round clockwise", "keeps turning clockwise", "twirls clockwise"),
    "anticlockwise": ("revolves counter-clockwise", "twirls anticlockwise", "keeps turning anti-clockwise"),
    "grows": ("gets large", "swells", "expands", "enlarges", "becomes big"),
    "shrinks": ("gets tiny", "contracts", "becomes little", "diminishes", "gets small"),
    "blinks": ("twinkles", "keeps going dark and bright", "vanishes and comes back", "turns on and off"),
    "bounces": ("leaps", "jumps repeatedly", "springs up and down", "hops about"),
}
ASK_FORMS = (
    "When does {subject} {base}?",
    "Can you find the moment when {subject} {third}?",
    "Where in the video does {subject} {base}?",
    "At what time did {subject} {base}?",
    "Find the moment when {subject} {third}.",
    "Tell me when {subject} {third}.",
    "From when to when does {subject} {base}?",
    "During which seconds is {subject} {gerund}?",
    "Which part of the video shows {subject} {gerund}?",
    "Is there a moment when {subject} {third}, and where?",
)
TEMPLATES = {
    "politeness": (
        "Could you please find {subject} {gerund}? Thank you!",
        "Hello! I would like to see {subject} {gerund}, please.",
        "please show me when {subject} {third}, thanks a lot",
        "Would you be so kind as to find the part where {subject} {third}?",
    ),
    "tense": (
        "{subject} {past}", "{subject} was {gerund}", "{subject} has {participle}", "{subject} had been {gerund}",
        "{subject} is going to {base}", "{subject} will {base}",
    ),
    "question forms": ASK_FORMS,
}  # fmt: skip
GERMAN = {
    "red": "rot", "orange": "orangefarben", "yellow": "gelb", "green": "grün", "blue": "blau", "pink": "pinkfarben",
    "white": "weiß", "circle": "er Kreis", "square": "es Quadrat", "triangle": "es Dreieck", "star": "er Stern",
    "ring": "er Ring", "moon": "er Mond", "left": "bewegt sich nach links", "right": "bewegt sich nach rechts",
    "up": "bewegt sich nach oben", "down": "bewegt sich nach unten", "clockwise": "dreht sich im Uhrzeigersinn",
    "anticlockwise": "dreht sich gegen den Uhrzeigersinn", "grows": "wächst", "shrinks": "schrumpft",
    "blinks": "blinkt", "bounces": "hüpft",
}  # fmt: skip
FRENCH = {
    "red": "rouge", "orange": "orange", "yellow": "jaune", "green": "vert", "blue": "bleu", "pink": "rose",
    "white": "blanc", "circle": "un cercle", "square": "un carré", "triangle": "un triangle", "star": "une étoile",
    "ring": "un anneau", "moon": "un croissant", "left": "va à gauche", "right": "va à droite", "up": "monte",
    "down": "descend", "clockwise": "tourne dans le sens horaire", "grows": "grandit", "shrinks": "rétrécit",
    "anticlockwise": "tourne dans le sens antihoraire", "blinks": "clignote", "bounces": "rebondit",
}  # fmt: skip
FEMININE = {"vert": "verte", "bleu": "bleue", "blanc": "blanche"}
ENGLISH = ("typos", "synonyms", *TEMPLATES)
OTHER_LANGUAGES = ("German", "French")
UNRELATED = (
    "a dog barks", "a man cooks a pancake", "the end", "?", "a woman opens a door", "two children play football",
    "a car drives through the rain", "somebody laughs", "a cat sleeps on a sofa", "the chef cuts an onion",
    "a train arrives at the station", "people dance at a wedding", "the sun sets over the sea", "a bird flies away",
    "he puts the phone into his pocket", "a girl reads a book", "an aeroplane lands", "the crowd cheers",
    "a doctor talks to a patient", "snow falls on the mountains", "a white dog grows", "a red car moves left",
    "a blue elephant blinks", "a green bottle spins clockwise", "a yellow bus moves right", "a pink flamingo bounces",
    "a white horse moves up", "an orange cat shrinks", "a red house grows", "a blue fish moves down", "asdf qwer zxcv",
    "hello", "thank you very much", "12345", "...", "what is the capital of France", "credits roll over black",
    "a title appears on the screen", "the referee shows a card", "a hand writes a letter", "water boils in a pot",
    "the teacher cleans the blackboard", "how are you today", "a guitar solo", "lorem ipsum dolor sit amet",
)  # fmt: skip


def say(template: str, event: Event) -> str:
    """Return a template filled with an event in canonical words; one without a colour has none."""
    subject = f"a{'n' * (event.colour == 'orange')} {event.colour} {event.shape}".replace("  ", " ")
    return template.format(subject=subject, **vars(MOTION_WORDS[event.motion].canonical))


def caption(event: Event) -> str:
    """Return the canonical words of an event: "a red circle moves left"."""
    return say("{subject} {third}", event)


def reworded(rng: Random, event: Event, wording: str) -> str:
    """Return a query for an event: canonical, or in one of `ENGLISH` or `OTHER_LANGUAGES`."""
    match wording:
        case "canonical":
            return caption(event)
        case "typos":
            return _misspelt(rng, caption(event))
        case "synonyms":
            return say("{subject} ", event) + rng.choice(SYNONYMS[event.motion])
        case "German":
            return f"ein {GERMAN[event.colour]}{GERMAN[event.shape]} {GERMAN[event.motion]}"
        case "French":
            colour = FRENCH[event.colour]
            colour = FEMININE.get(colour, colour) if event.shape == "star" else colour
            return f"{FRENCH[event.shape]} {colour} {FRENCH[event.motion]}"
    return say(rng.choice(TEMPLATES[wording]), event)


def _misspelt(rng: Random, text: str) -> str:
    """Return a text with two letters swapped, one left out or one doubled, inside a word of four letters or more."""
    words = text.split()
    place = rng.choice([i for i, word in enumerate(words) if len(word) >= 4])
    word, at = words[place], rng.randrange(1, len(words[place]) - 2)
    before, letter, after = word[:at], word[at], word[at + 1 :]
    forms = {before + after[0] + letter + after[1:], before + after, before + letter + letter + after}
    words[place] = rng.choice(sorted(forms - {word}))
    return " ".join(words)


def near_misses(rng: Random, film: Film) -> list[str]:
    """Return the captions of events that differ from those of the film in their motion alone, and are not in it."""
    there = [event.description for event in film.events]
    motions = [[m for m in MOTIONS if (e.colour, e.shape, m) not in there] for e in film.events]
    misses = [caption(replace(e, motion=rng.choice(others))) for e, others in zip(film.events, motions, strict=True)]
    return list(dict.fromkeys(misses))


@dataclass(frozen=True)
class Turn:
    """A question as asked in a conversation, the same asked fresh, and its answer: words, or an event's moment."""

    asked: str
    fresh: str
    answer: str | Event


def conversations(film: Film) -> list[tuple[Turn, ...]]:
    """Return conversations of three turns, with and without references; none where the first two events overlap."""
    one, two, *_ = film.events
    if one.end > two.start or one not in film.single or two not in film.single:
        return []
    when, count = "When does {subject} {base}?", "How many events are there in the video?"
    first = Turn("What happens first?", "What happens first?", caption(one))
    last = Turn("What happens last?", "What happens last?", caption(film.events[-1]))
    number = Turn(count, count, NUMBERS[len(film.events)])
    when_one, when_two = (Turn(say(when, event), say(when, event), event) for event in (one, two))
    it = Turn("When does it happen?", when_one.fresh, one)
    and_two = Turn(say("And when does {subject} {base}?", two), when_two.fresh, two)
    after = Turn("And what comes after?", f"What happens after {caption(one)}?", caption(two))
    before = Turn("What happens before that?", f"What happens before {caption(two)}?", caption(one))
    return [(first, it, after), (when_two, before, number), (when_one, and_two, last), (number, when_one, first)]
