"""Looks: the same events drawn otherwise, in other colours, sizes, paces and lines, and what may befall the frames."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .figures import OWN_LOOK, Look, pick_one
from .scenes import PATTERNS, Backdrop, Scene, draw_scene

RGB = {
    "red": (228, 38, 38),
    "orange": (255, 142, 20),
    "yellow": (250, 228, 50),
    "green": (48, 190, 70),
    "blue": (48, 112, 255),
    "pink": (250, 110, 205),
    "white": (242, 242, 242),
}
_PAINTS = {  # what else is called by these names
    "red": ((255, 0, 0), (200, 16, 30), (220, 50, 47), (214, 39, 40)),
    "orange": ((255, 165, 0), (255, 127, 14), (245, 130, 32), (255, 140, 0)),
    "yellow": ((255, 255, 0), (255, 220, 0), (240, 205, 30), (255, 235, 80)),
    "green": ((0, 128, 0), (0, 200, 0), (44, 160, 44), (60, 180, 75)),
    "blue": ((0, 0, 255), (31, 119, 180), (30, 80, 220), (20, 60, 170)),
    "pink": ((255, 105, 180), (227, 119, 194), (255, 150, 200), (255, 80, 200)),
    "white": ((255, 255, 255), (230, 230, 230), (248, 248, 240), (255, 255, 255)),
}
_OWN_SHARE = 0.4  # of the videos of the wide world, which look as the world's own
_LEAST_CONTRAST = 105.0  # between a figure and the backdrop, as a distance in RGB
_LUMA = np.array((0.299, 0.587, 0.114))
_TO_YUV = np.array([_LUMA, (-0.14713, -0.28886, 0.436), (0.615, -0.51499, -0.10001)])


def draw_wide_scene(seed: int) -> Scene:
    """Return the scene of a seed in a look drawn for it: two in five have the world's own, the others any other."""
    rng = np.random.default_rng([seed, 8])
    if rng.random() < _OWN_SHARE:
        return draw_scene(seed)
    scene = draw_scene(seed, draw_look(rng))
    return replace(scene, backdrop=_draw_backdrop(rng, scene))


def draw_look(rng: np.random.Generator) -> Look:
    """Return another look than the world's own."""

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability)

    def between(low: float, high: float) -> float:
        return round(low + (high - low) * float(rng.random()), 4)

    def grey_or(colour: tuple[int, int, int]) -> tuple[int, int, int]:
        return colour if chance(0.6) else (250, 250, 250)

    look = Look(
        size=round(math.exp(between(math.log(0.36), math.log(2.0))), 4) if chance(0.7) else 1.0,
        pace=round(math.exp(between(math.log(0.3), math.log(1.5))), 4) if chance(0.6) else 1.0,
        once=chance(0.35),
        tilted=chance(0.15),
        swing=between(0.22, 0.6) if chance(0.5) else OWN_LOOK.swing,
        lit=between(0.4, 0.65) if chance(0.5) else OWN_LOOK.lit,
        mark="" if chance(0.5) else ("bar" if chance(0.4) else "spot"),
        mark_colour=grey_or(OWN_LOOK.mark_colour),
        hollow=between(0.12, 0.28) if chance(0.25) else 0.0,
        rim=between(0.0, 0.16),
        contour=grey_or((15, 15, 20)) if chance(0.35) else None,
        ring=between(0.14, 0.24),
        notch=between(0.40, 0.58),
        bite=(between(0.1, 0.5), between(0.1, 0.5)),
        shading=0.0 if chance(0.6) else between(0.0, 0.2),
        halo=0.0 if chance(0.6) else between(0.0, 0.5),
        paints={name: pick_one(rng, paints) for name, paints in _PAINTS.items() if chance(0.7)},
        fps=between(2.0, 12.0) if chance(0.2) else None,
        stage=between(0.56, 0.92) if chance(0.2) else 1.0,
        bars=0 if chance(0.7) else int(rng.integers(256)),
    )
    if chance(0.5):
        return look
    return replace(
        look,
        hue=between(-18.0, 18.0) if chance(0.35) else 0.0,
        saturation=(0.0 if chance(0.25) else between(0.4, 1.5)) if chance(0.35) else 1.0,
        brightness=between(0.45, 1.3) if chance(0.5) else 1.0,
        blur=between(0.2, 1.0) if chance(0.35) else 0.0,
        noise=between(2.0, 14.0) if chance(0.35) else 0.0,
    )


def _draw_backdrop(rng: np.random.Generator, scene: Scene) -> Backdrop:
    """Return a backdrop from which the colours of all figures differ; the scene's own where none is found."""
    paints = [np.array(scene.look.paints.get(f.colour, RGB[f.colour])) for f in scene.figures]
    if rng.random() < 0.2:
        return scene.backdrop
    outlined = scene.look.contour is not None and scene.look.rim > 0.06 and not scene.look.hollow
    least = _LEAST_CONTRAST / 2 if outlined else _LEAST_CONTRAST
    light = rng.random() < 0.5
    for _ in range(60):
        level = 232.0 if light else pick_one(rng, (25.0, 60.0, 128.0))
        colour = np.clip(level + rng.normal(0, pick_one(rng, (6, 26)), 3), 0, 255)
        other, pattern = None, pick_one(rng, PATTERNS)
        contrast = float(rng.uniform(0, 30))
        if rng.random() < 0.4:
            contrast = 0.0
        elif rng.random() < 0.45:
            pattern, other = "gradient", np.clip(colour + rng.normal(0, 60, 3), 0, 255)
        grounds = [colour] if other is None else [colour, other, (colour + other) / 2]
        if min(float(np.linalg.norm(p - g)) for p in paints for g in grounds) >= least + contrast:
            drift = (0.0, 0.0) if rng.random() < 0.6 else tuple(np.round(rng.uniform(-0.05, 0.05, 2), 4).tolist())
            seed = int(rng.integers(1 << 30))
            far = None if other is None else _levels(other)
            return Backdrop(pattern, _levels(colour), round(contrast, 2), drift, seed, far)
    return scene.backdrop


def _levels(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


def disturb(frames: np.ndarray, look: Look, seed: int) -> np.ndarray:
    """Return frames, uint8 (T, H, W, 3), after what the look does to whole frames; ``seed`` draws the noise."""
    if (look.hue, look.saturation, look.brightness, look.blur, look.noise) == (0.0, 1.0, 1.0, 0.0, 0.0):
        return frames
    turn = math.radians(look.hue)
    cos, sin = look.saturation * math.cos(turn), look.saturation * math.sin(turn)
    colours = np.linalg.inv(_TO_YUV) @ np.array([(1, 0, 0), (0, cos, -sin), (0, sin, cos)]) @ _TO_YUV
    pictures = frames.astype(np.float32) @ (look.brightness * colours).T.astype(np.float32)
    if look.blur:
        side = 0.33 * look.blur
        for axis in (1, 2):
            near = np.roll(pictures, 1, axis) + np.roll(pictures, -1, axis)
            pictures = (1.0 - 2.0 * side) * pictures + side * near
    if look.noise:
        grain = np.random.default_rng([seed, 9]).normal(0, look.noise, (8, *pictures.shape[1:])).astype(np.float32)
        pictures += grain[np.arange(len(pictures)) % 8]
    return np.clip(pictures + 0.5, 0, 255).astype(np.uint8)
