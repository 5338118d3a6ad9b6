"""The world's own films, as files of the command `world`, and copies of films that ffmpeg disturbed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from grounded.tiny.world.wordings import MOTION_WORDS
from tests.video import files

from .films import Event, Film

DISTURBANCES = {  # arguments of ffmpeg
    "crf 45": ("-crf", "45"),
    "letterbox": ("-vf", "pad=iw:iw:0:(oh-ih)/2"),
    "hue +15": ("-vf", "hue=h=15"),
    "hue -15": ("-vf", "hue=h=-15"),
    "blur": ("-vf", "gblur=sigma=3"),
    "10 fps": ("-r", "10"),
    "60 fps": ("-r", "60"),
}
EXTREMES = {  # told, but no goal is set for them
    "brightness x 0.5": ("-vf", "colorchannelmixer=rr=0.5:gg=0.5:bb=0.5"),
    "grey": ("-vf", "hue=s=0"),  # its events have no colour
}
_MOTIONS = {words.canonical.third: motion for motion, words in MOTION_WORDS.items()}


def own_films(folder: Path, count: int) -> list[Film]:
    """Return the first held-out films of the world; they are written where ``folder`` lacks them."""
    command = [sys.executable, "-m", "grounded", "world", "--out", str(folder), "--videos", str(count)]
    subprocess.run(command, check=True, capture_output=True)
    films = []
    for name, film in json.loads((folder / "captions.json").read_text(encoding="utf-8")).items():
        captions = [re.fullmatch(r"an? (\w+) (\w+) (.+)", caption).groups() for caption in film["sentences"]]
        events = [Event(c, s, _MOTIONS[m], *t) for (c, s, m), t in zip(captions, film["timestamps"], strict=True)]
        films.append(Film(folder / "videos" / f"{name}.mp4", tuple(events)))
    return films


def disturbed(film: Film, kind: str, folder: Path) -> Film:
    """Return a film encoded anew with one of `DISTURBANCES` or `EXTREMES`, made where ``folder`` lacks it."""
    path = folder / f"{film.path.stem} {kind}.mp4"
    if not path.exists():
        files.ffmpeg("-i", film.path, *files.H264, *(DISTURBANCES | EXTREMES)[kind], path)
    return Film(path, tuple(replace(e, colour="") if kind == "grey" else e for e in film.events))
