"""Short videos that show nothing of the world: photographs, text, slides, cartoons, plain colours, gradients, noise.

Nothing can be downloaded, so all but the photographs is drawn. Those come with gradio, scikit-learn and scikit-image,
as far as these are installed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont, ImageOps

from .films import SIZE, write_video

SECONDS, RATE = 12, 6
PHOTOGRAPHS = {  # by the folder of the package that brings them
    "gradio/media_assets/images": ("cheetah1.jpg", "lion.jpg", "tower.jpg"),
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
    "skimage/data": ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "motorcycle_left.png",
                     "hubble_deep_field.jpg", "ihc.png", "brick.png", "grass.png"),
}  # fmt: skip
VIDEOS = {"gradio/media_assets/videos": ("a.mp4", "b.mp4")}
PROSE = """The harbour was quiet before dawn, and the boats lay side by side along the wall. Nobody had yet opened
the market; crates of ice stood under the roof. A bill of 1,250.00 for March was open, she wrote, and signed."""


def videos(folder: Path) -> dict[str, Path]:
    """Return about forty videos by their names; the drawn ones are written where ``folder`` lacks them."""
    pictures = [(f"photograph {path.stem}", photograph, path) for path in _installed(PHOTOGRAPHS)]
    pictures += [(f"{way.__name__} {n}", way, n) for way, count in DRAWN.items() for n in range(count)]
    for name, way, subject in pictures:
        if not (path := folder / f"{name}.mp4").exists():
            write_video(path, (way(subject, i / SECONDS / RATE) for i in range(SECONDS * RATE)), RATE)
    return {f"video {path.stem}": path for path in _installed(VIDEOS)} | {
        p[0]: folder / f"{p[0]}.mp4" for p in pictures
    }


def _installed(folders: dict[str, tuple[str, ...]]) -> Iterator[Path]:
    for folder, names in folders.items():
        package, _, inside = folder.partition("/")
        if (spec := find_spec(package)) and spec.origin:
            yield from (p for name in names if (p := Path(spec.origin).parent / inside / name).exists())


# Each function below draws the picture of a video, by its photograph or its number, at a time t in [0, 1).


@cache
def _opened(path: Path) -> Image.Image:
    return ImageOps.fit(Image.open(path).convert("RGB"), (SIZE[0] * 2, SIZE[1] * 2))


def photograph(path: Path, t: float) -> Image.Image:
    """Pan over a photograph, then zoom into it."""
    width, height = SIZE
    if t < 0.5:
        left = 2 * t * width
        return _opened(path).resize(SIZE, box=(left, height / 2, left + width, height * 1.5))
    left, top = (t - 0.5) * 1.4 * width, (t - 0.5) * 1.4 * height
    return _opened(path).resize(SIZE, box=(left, top, 2 * width - left, 2 * height - top))


def text(number: int, t: float) -> Image.Image:
    """Show a screen that fills with text, text that scrolls up, or one slide after the other, in turn."""
    kind, page = number % 3, int(t * 3)
    rng = Random(number if kind < 2 else 10 * number + page)
    paper, ink = (("white", "black"), ("black", "lime"), ("navy", "white"), ("ivory", "brown"))[number % 4]
    lines = [" ".join(rng.choices(PROSE.split(), k=(6, 5, 3)[kind])) for _ in range(30)]
    picture, top = Image.new("RGB", SIZE, paper), SIZE[1] * (0.9 - 2 * t) if kind == 1 else 10
    shown = "\n".join(lines[: (3 + int(t * 12), 30, 5)[kind]])
    ImageDraw.Draw(picture).text((10, top), shown, ink, ImageFont.load_default((13, 16, 24)[kind]))
    return picture


def cartoon(number: int, t: float) -> Image.Image:
    """Show people who walk, houses whose windows light up, or a face that talks, in turn."""
    picture = Image.new("RGB", SIZE, ("lightcyan", "midnightblue", "wheat", "palegreen")[number % 4])
    pen, rng = ImageDraw.Draw(picture), Random(number)
    if number % 3 == 2:
        x, lid, mouth = 180 + 20 * math.sin(t * 12), 2 if t * 8 % 1 < 0.2 else 12, 4 + 14 * abs(math.sin(t * 20))
        pen.ellipse((x - 80, 30, x + 80, 215), rng.choice(("bisque", "sandybrown", "peru")), "black", 3)
        for eye in (x - 32, x + 32):
            pen.ellipse((eye - 14, 100 - lid, eye + 14, 100 + lid), "white", "black", 2)
            pen.ellipse((eye - 5, 98 - lid / 3, eye + 5, 98 + lid / 3), "black")
        pen.ellipse((x - 35, 170 - mouth, x + 35, 170 + mouth), "darkred", "black", 2)
        return picture
    pen.rectangle((0, 190, *SIZE), "olivedrab")
    for i in range(1 + number // 3):
        if number % 3:
            x = 40 + 110 * i
            pen.polygon(((x, 120), (x + 40, 80), (x + 80, 120)), "saddlebrown")
            pen.rectangle((x, 120, x + 80, 195), rng.choice(("tan", "firebrick", "gray", "khaki")), "black")
            pen.rectangle((x + 12, 135, x + 32, 155), "gold" if (t * 6 + i) % 2 < 1 else "gray", "black")
        else:
            x, swing = (rng.random() + t * rng.choice((-1, 1))) % 1 * SIZE[0], 14 * math.sin(t * 60 + i)
            pen.ellipse((x - 11, 95, x + 11, 117), "peachpuff", "black")
            for limb in ((x, 117, x, 160), (x - swing, 195, x, 160, x + swing, 195), (x - swing, 145, x, 125)):
                pen.line(limb, "black", 4)
    return picture


def colours(number: int, t: float) -> Image.Image:
    """Show a colour that stays, one that fades into another, or one that is cut to another, in turn."""
    first, second = Random(number).sample(("teal", "crimson", "black", "white", "gold", "indigo", "gray"), 2)
    return Image.blend(Image.new("RGB", SIZE, first), Image.new("RGB", SIZE, second), (0, t, t > 0.5)[number % 3])


def gradient(number: int, t: float) -> Image.Image:
    """Show a gradient that turns, or a round one that widens, in turn."""
    ramp = Image.radial_gradient("L") if number % 2 else Image.linear_gradient("L").rotate(360 * t)
    half = 30 + 90 * t if number % 2 else 90
    shades = Random(number).sample(("navy", "orange", "purple", "white", "green", "black"), 2)
    return ImageOps.colorize(ramp.resize(SIZE, box=(128 - half, 128 - half, 128 + half, 128 + half)), *shades)


def noise(number: int, t: float) -> Image.Image:
    """Show fine noise, coarse noise or lines, in colour or grey; it changes with every frame."""
    mode, size = ("RGB", "L")[number % 2], (SIZE, (12, 8), (1, SIZE[1]))[number % 3]
    data = Random(f"{number} {t}").randbytes(size[0] * size[1] * (3 if mode == "RGB" else 1))
    return Image.frombytes(mode, size, data).resize(SIZE).convert("RGB")


DRAWN = {text: 9, cartoon: 7, colours: 3, gradient: 3, noise: 6}  # how many of each
