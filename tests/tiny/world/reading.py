"""A reader of the world's sentences written apart from their writer: keywords in, (colour, shape, motion) out."""

import re

COLOURS = {"red", "orange", "yellow", "green", "blue", "pink", "white"}
SHAPES = {
    "circle": "circle", "disc": "circle", "square": "square", "box": "square", "triangle": "triangle", "star": "star",
    "ring": "ring", "hoop": "ring", "moon": "moon", "crescent": "moon",
}  # fmt: skip
MOTIONS = [  # the first that is found counts
    (r"anticlockwise|counterclockwise", "anticlockwise"),
    (r"clockwise|hands of a clock", "clockwise"),
    (r"blink|flash|flicker|on and off", "blinks"),
    (r"bounc|hop(?!es)|jump", "bounces"),
    (r"grow|bigger|larger|increas", "grows"),
    (r"shrink|smaller|tinier|decreas", "shrinks"),
    (r"spin|rotat", "spins"),
    (r"(?:mov|go|slid|travel|drift)\w* (?:to the )?left", "left"),
    (r"(?:mov|go|slid|travel|drift)\w* (?:to the )?right", "right"),
    (r"(?:mov|go|slid|travel|drift)\w* (?:up|to the top)", "up"),
    (r"(?:mov|go|slid|travel|drift)\w* (?:down|to the bottom)", "down"),
]


def read(text: str) -> tuple[str | None, str | None, str | None]:
    """Return the colour, shape and motion that a description names, None where it names none."""
    text = text.lower().replace("hoop", "ring")
    words = re.findall(r"\w+", text)
    colour = next((word for word in words if word in COLOURS), None)
    shape = next((SHAPES[word] for word in words if word in SHAPES), None)
    motion = next((name for pattern, name in MOTIONS if re.search(pattern, text)), None)
    return colour, shape, motion


def fits(figure, description) -> bool:
    """Say whether a figure is as described."""
    colour, shape, motion = description
    motions = {"spins": ("clockwise", "anticlockwise")}.get(motion, (motion,))
    return (
        colour in (None, figure.colour) and shape in (None, figure.shape) and (not motion or figure.motion in motions)
    )


def matching(scene, text: str) -> list[int]:
    """Return the numbers of the events that a description fits."""
    return [i for i, event in enumerate(scene.events) if fits(event, read(text))]
