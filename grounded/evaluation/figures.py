"""The parts of a report page: the page itself, tables, and bars and timelines as SVG. Every text is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from ..types import Moment

WIDTH = 640
_LEFT, _TOP, _PLOT, _FOOT = 44, 14, 150, 34
_ROW = 18


def html_page(title: str, parts: Sequence[str]) -> str:
    """Return a page of its own that loads nothing; ``parts`` are HTML."""
    template = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), body="\n".join(parts))


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that scrolls where it is too wide."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


@dataclass(frozen=True)
class Bar:
    """A bar: its label, its height in [0, 1], what is written over it, and how it is explained when pointed at."""

    label: str
    height: float
    value: str
    note: str = ""


def bars(title: str, series: Sequence[Bar], axis: str, top: float = 1.0) -> str:
    """Return a bar chart up to the height ``top``; ``axis`` says what the labels count."""
    if not series:
        return ""
    height = _TOP + _PLOT + _FOOT + 16
    step = (WIDTH - _LEFT - 8) / len(series)
    decimals = 0 if top >= 0.1 else 1
    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="small" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * share:.{decimals}%}</text>'
        for share in (0.0, 0.5, 1.0)
        for y in [_TOP + _PLOT * (1 - share)]
    ]
    for number, bar in enumerate(series):
        tall = _PLOT * min(1.0, max(0.0, bar.height / top))
        x, y = _LEFT + number * step, _TOP + _PLOT - tall
        middle = f"{x + step / 2:.1f}"
        parts.append(
            f"<g><title>{escape(bar.note or f'{bar.label}: {bar.value}')}</title>"
            f'<rect class="bar" x="{x + step * 0.1:.1f}" y="{y:.1f}" width="{step * 0.8:.1f}" height="{tall:.1f}"/>'
            f'<text class="small" x="{middle}" y="{y - 3:.1f}" text-anchor="middle">{escape(bar.value)}</text>'
            f'<text class="small" x="{middle}" y="{_TOP + _PLOT + 14}" text-anchor="middle">{escape(bar.label)}</text>'
            "</g>"
        )
    parts.append(
        f'<text class="small" x="{(WIDTH + _LEFT) / 2}" y="{height - 8}" text-anchor="middle">{escape(axis)}</text>'
    )
    return _svg(title, height, parts)


@dataclass(frozen=True)
class Row:
    """A row of a timeline: whose moments they are, and how they are coloured ("truth" or "answer")."""

    label: str
    kind: str
    moments: Sequence[Moment]


def timeline(title: str, rows: Sequence[Row], duration: float) -> str:
    """Return moments as segments on the video's length, one row above the other; ``duration`` in seconds."""
    left, right = 90, WIDTH - 8
    latest = max([duration, *(m.end for row in rows for m in row.moments)])
    if not latest > 0:
        return ""

    def place(seconds: float) -> float:
        return left + (right - left) * min(max(seconds, 0.0), latest) / latest

    parts = []
    lanes = [(row, number, lane) for row in rows for number, lane in enumerate(_lanes(row.moments))]
    for line, (row, number, lane) in enumerate(lanes):
        y = 4 + line * _ROW
        if number == 0:
            name = escape(row.label)
            parts.append(f'<text class="small" x="{left - 8}" y="{y + 11}" text-anchor="end">{name}</text>')
        parts.append(f'<rect class="track" x="{left}" y="{y}" width="{right - left}" height="{_ROW - 4}"/>')
        for moment in lane:
            start, end = place(moment.start), place(moment.end)
            told = f"{moment.start:.1f} to {moment.end:.1f} s {moment.text}".strip()
            parts.append(
                f'<rect class="{escape(row.kind)}" x="{start:.1f}" y="{y}" width="{max(1.5, end - start):.1f}"'
                f' height="{_ROW - 4}"><title>{escape(told)}</title></rect>'
            )
    foot = 4 + len(lanes) * _ROW + 10
    parts.append(f'<text class="small" x="{left}" y="{foot}">0 s</text>')
    parts.append(f'<text class="small" x="{right}" y="{foot}" text-anchor="end">{latest:.1f} s</text>')
    return _svg(title, foot + 4, parts)


def _lanes(moments: Sequence[Moment]) -> list[list[Moment]]:
    """Return the moments in as many lanes as overlaps need, each in the order of time; one lane where there is none."""
    lanes: list[list[Moment]] = [[]]
    for moment in sorted(moments, key=lambda moment: (moment.start, moment.end)):
        free = next((lane for lane in lanes if not lane or lane[-1].end <= moment.start), None)
        if free is None:
            free = []
            lanes.append(free)
        free.append(moment)
    return lanes


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
