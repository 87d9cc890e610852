"""Rows of the legend strip: title, sentences, colour bars, keys. Each adds itself below what is there already.

And the point marks that a key explains: with a dark rim, visible on any picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from dlka import palette
from dlka.inference.letterbox import Letterbox
from dlka.render.canvas import Paper
from dlka.render.geometry import pixels_per_cell
from dlka.types import Capture, Stage

QUIET = 0.88  # text height of what is said in passing, in those of the legend
ROW = 1.45  # line height in text heights
Sheet = TypeVar("Sheet", bound=Paper)


class Mark(NamedTuple):
    """How a kind of point looks. shape: a matplotlib marker; hollow: a ring instead of a disc."""

    colour: str
    shape: str = "o"
    hollow: bool = False
    alpha: float = 1.0


REGULAR = Mark(palette.REGULAR, hollow=True)
SAMPLE = Mark(palette.DLKA)
ZERO_READ = Mark(palette.DLKA, shape="x")
CELL = Mark(palette.REGULAR, shape="+")


def draw_marks(axes: Axes, points: np.ndarray, mark: Mark, size: float, line: float) -> Line2D:
    """Marks at points [n, 2] (x, y) in data coordinates, `size` pixels wide; returns the upper of the two layers."""
    stroked = mark.hollow or mark.shape in "x+"
    for colour, edge, thickness in (
        (palette.RIM, palette.RIM, 1.9 * line if stroked else 0.8 * line),
        (mark.colour, mark.colour, 0.8 * line if stroked else 0.0),
    ):
        layer = Line2D(
            points[:, 0],
            points[:, 1],
            linestyle="none",
            marker=mark.shape,
            markersize=size,
            markerfacecolor="none" if mark.hollow else colour,
            markeredgecolor=edge,
            markeredgewidth=thickness,
            alpha=mark.alpha,
            zorder=4,
        )
        axes.add_line(layer)
    return layer


class Entry(NamedTuple):
    """One row of a key: a mark as it is drawn on the picture, or without one a piece of line."""

    text: str
    mark: Mark | None = None
    colour: str = palette.INK
    line: str = "-"
    thin: bool = False


def number(value: float) -> str:
    """A figure for people: up to two decimals, fewer for large ones, more for tiny ones; exponents for absurd ones."""
    size = abs(value)
    if size < 1e-4:
        return "0"
    if size >= 1e5:
        return f"{value:.1e}"
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 4
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


def cells_and_pixels(cells: float, per_cell: float) -> str:
    """A length both ways, for example "1.5 cells = 12 px"."""
    return f"{number(cells)} {'cell' if cells == 1 else 'cells'} = {number(cells * per_cell)} px"


@lru_cache(maxsize=4096)  # the same words again and again; asking the font costs more than drawing them
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line of text in pixels."""
    font = get_font(findfont(FontProperties(weight="bold" if bold else "normal")))
    font.set_size(size, 72)
    font.set_text(text, 0.0)
    return font.get_width_height()[0] / 64


def kernel(stage: Stage) -> str:
    """A stage's kernel for people, for example "7x7 d3"."""
    return stage.label.removeprefix(stage.level).strip()


def numbered(labels: Sequence[str]) -> list[str]:
    """Labels that stand several times get their number, in order: "P3 (1)", "P3 (2)"."""
    return [
        label if labels.count(label) == 1 else f"{label} ({labels[: i + 1].count(label)})"
        for i, label in enumerate(labels)
    ]


def stage_line(capture: Capture, letterbox: Letterbox) -> str:
    """Which deform stage a picture shows, and how large its cells are."""
    stage, (height, width) = capture.stage, capture.offset.shape[1:]
    dilation = "x".join(str(d) for d in dict.fromkeys(stage.dilation))
    per_cell = number(pixels_per_cell(stage.stride, letterbox))
    return (
        f"{stage.level} · {stage.kernel[0]}x{stage.kernel[1]} kernel, dilation {dilation} · "
        f"map {width}x{height} · 1 cell = {per_cell} px"
    )


def write(paper: Paper, x: float, y: float, text: str, colour: str = palette.MUTED, **style: Any) -> Text:
    """Plain text on the strip at a baseline in strip pixels; dollar signs are dollar signs."""
    style = {"fontsize": paper.font, **style}
    return paper.strip.text(x, y, text, color=colour, parse_math=False, **style)


def wrapped(text: str, size: float, room: float, bold: bool = False) -> list[str]:
    """Lines that fit into a width in pixels, broken at spaces."""
    words = text.split()
    if words and text_width(" ".join(words), size, bold) <= room:  # most often
        return [" ".join(words)]
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, bold) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def margin(paper: Paper) -> float:
    """Free room at the left and right of the strip, in pixels."""
    return 0.7 * paper.font


def _paragraph(paper: Paper, text: str, colour: str, size: float, bold: bool = False) -> None:
    for line in wrapped(text, size, paper.width - 2 * margin(paper), bold):
        top, weight = paper.grow(ROW * size), "bold" if bold else "normal"
        write(paper, margin(paper), top + 1.05 * size, line, colour, fontsize=size, fontweight=weight)
    paper.legend.append(text)


def title(paper: Paper, text: str, subtitle: str = "") -> None:
    """The first row: what is shown, and of what."""
    paper.grow(0.4 * paper.font)
    _paragraph(paper, text, palette.INK, paper.font, bold=True)
    if subtitle:
        _paragraph(paper, subtitle, palette.MUTED, QUIET * paper.font)


def note(paper: Paper, text: str, warn: bool = False) -> None:
    """A sentence in quiet ink, or in full ink when it must not be overlooked."""
    _paragraph(paper, text, palette.INK if warn else palette.MUTED, paper.font * (1 if warn else QUIET))


def finish(paper: Sheet) -> Sheet:
    """Free room below the last row. Returns the paper."""
    paper.grow(0.5 * paper.font)
    return paper


def colour_bar(paper: Paper, colours: np.ndarray, ticks: Sequence[Sequence[str]]) -> None:
    """A horizontal bar of colours [n, 3] uint8 over rows of evenly spread tick labels, first to last colour."""
    em, left, right = paper.font, margin(paper), paper.width - margin(paper)
    top = paper.grow(1.3 * em) + 0.35 * em
    extent = (left, right, top + 0.8 * em, top)
    paper.strip.imshow(colours[None], extent=extent, aspect="auto", interpolation="nearest")
    rim = Rectangle(
        (left, top), right - left, 0.8 * em, fill=False, edgecolor=palette.MUTED, linewidth=0.3 * paper.line
    )
    paper.strip.add_patch(rim)
    for row, labels in enumerate(ticks):
        base = paper.grow(1.25 * em) + 0.95 * em
        for i, label in enumerate(labels):
            place = i / (len(labels) - 1)
            align = "left" if i == 0 else "right" if i == len(labels) - 1 else "center"
            ink = palette.INK if row == 0 else palette.MUTED
            write(paper, left + place * (right - left), base, label, ink, ha=align)
        paper.legend.append(" | ".join(labels))


def key(paper: Paper, entries: Iterable[Entry]) -> None:
    """Marks with their meaning, side by side, as many rows as they need."""
    em, left, room = paper.font, margin(paper), paper.width - margin(paper)
    # From the right end on, so that the first entry opens a row.
    x, top = room, 0
    for entry in entries:
        width = 2.1 * em + text_width(entry.text, em)
        if x + width > room:
            x, top = left, paper.grow(ROW * em)
        middle, y = x + 0.8 * em, top + 0.7 * em
        if entry.mark:
            draw_marks(paper.strip, np.array([[middle, y]]), entry.mark, 0.6 * em, paper.line)
        else:
            strokes = LineCollection(
                [[(middle - 0.7 * em, y), (middle + 0.7 * em, y)]],
                colors=entry.colour,
                linestyles=entry.line,
                linewidths=paper.line * (0.7 if entry.thin else 1.4),
            )
            paper.strip.add_collection(strokes)
        write(paper, x + 1.9 * em, top + 1.05 * em, entry.text, palette.INK)
        paper.legend.append(entry.text)
        x += width + 1.1 * em
