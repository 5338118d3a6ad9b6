"""What a search gives besides text: a sheet of pictures, clips, and an edit list over several films."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from .. import export, video
from ..errors import DataError, GroundedError
from ..files import make_folder, part_of_name, write_text
from ..video import transcode
from .database import printable
from .searching import LibraryAnswer, LibraryMoment

PICTURE = (320, 180)  # pixels of a thumbnail, at most
_TEMPLATES = Environment(
    loader=PackageLoader("grounded.library"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def picture(moment: LibraryMoment, limits: video.Limits = video.LIMITS) -> str:
    """Return the middle of a moment as an address that holds the picture; "" where the film cannot be decoded."""
    try:
        clip = video.sample(moment.path, 1, start=moment.moment.start, end=moment.moment.end, limits=limits)
    except GroundedError:
        return ""
    image, file = Image.fromarray(clip.frames[0].transpose(1, 2, 0)), io.BytesIO()
    image.thumbnail(PICTURE)
    image.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def write_sheet(answer: LibraryAnswer, path: Path) -> None:
    """Write a page of thumbnails that needs no other file."""
    cards = [(found, printable(str(found.path)), picture(found)) for found in answer.moments]
    write_text(path, _TEMPLATES.get_template("sheet.html").render(answer=answer, cards=cards))


def write_clips(answer: LibraryAnswer, folder: Path) -> list[Path]:
    """Cut every moment out of its film; what cannot be cut raises as in `transcode.cut`."""
    make_folder(folder)
    targets = []
    for number, found in enumerate(answer.moments, 1):
        name = part_of_name(found.path) or "film"
        moment = found.moment
        targets.append(folder / f"{number:02d}-{name}_{moment.start:.1f}-{moment.end:.1f}.mp4")
        transcode.cut(found.path, targets[-1], moment.start, moment.end)
    return targets


def list_format(path: Path) -> str:
    """Return the format that a list's ending names.

    Raises:
        DataError: there is no such format.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in export.FORMATS:
        raise DataError(f"{path.name} ends in none of {', '.join(export.FORMATS)}")
    return form


def write_list(answer: LibraryAnswer, path: Path) -> None:
    """Write the moments in the format that the file's ending names; a cut counts in the first film's frames.

    Raises:
        DataError: as in `list_format` and `export.write`.
        VideoError: the first film, whose frame rate a cut needs, cannot be read.
    """
    form, moments = list_format(path), answer.moments
    fps = video.probe(moments[0].path).fps if moments and form in export.CUTS else 25.0
    answers = [found.answer for found in moments]
    films = [printable(str(found.path)) for found in moments]
    write_text(path, export.write(answers, form, title=answer.query, fps=fps, films=films))
