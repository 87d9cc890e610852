"""Charts of figures: one sheet, one look, and files whose bytes depend on nothing but what is drawn. And how a training
run went: losses, average precision and offsets by epoch.

As for the other drawings, matplotlib's object-oriented API only. Lengths are points, 72 to an inch, and a sheet is
PHONE of them wide: on a screen of that width the type is as large as the palette says.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from itertools import cycle, product
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dlka import palette
from dlka.render.canvas import PHONE, Drawing
from dlka.render.legend import numbered

SHARPNESS = 3  # pixels of a PNG to a point
LEFT, RIGHT = 40.0, 10.0  # points beside axes that take the whole width
# By offsets: told apart without colours too.
MARKS = {"dense": "o", "separable": "D", "none": "s", "features": "^", "plain": "X"}
HOLLOW = ("none", "features")
VARIANT_WORDS = {
    "dense": "D-LKA, dense offsets",
    "separable": "D-LKA, separable offsets",
    "none": "rigid twin: no offsets",
    "features": "twin of the same size: nothing moves",
    "plain": "no D-LKA",
}


def sheet(height: float) -> Figure:
    """An empty white sheet, `height` points tall."""
    return Figure(figsize=(PHONE / 72, height / 72), dpi=72 * SHARPNESS, facecolor=palette.PAPER)


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Quiet axes over a rectangle in points from the sheet's top left corner."""
    across, down = figure.get_size_inches() * 72
    axes = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.tick_params(labelsize=palette.FONT_SIZE - 1, colors=palette.MUTED, length=2, width=0.6, pad=2)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set(color=palette.MUTED, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.label.set(color=palette.INK, fontsize=palette.FONT_SIZE)
    axes.yaxis.label.set(color=palette.INK, fontsize=palette.FONT_SIZE)
    return axes


def titled(
    figure: Figure, top: float, title: str, above: float, height: float, xlabel: str = "", ylabel: str = ""
) -> Axes:
    """Axes as wide as the sheet, `above` points below their title's place `top`, with horizontal grid lines."""
    write(figure, LEFT, top + 14, title, fontweight="bold")
    axes = panel(figure, LEFT, top + above, PHONE - LEFT - RIGHT, height)
    axes.set_xlabel(xlabel, labelpad=2)
    axes.set_ylabel(ylabel, labelpad=2)
    axes.grid(axis="y", color=palette.OUTSIDE, linewidth=0.6)
    return axes


def write(figure: Figure, left: float, top: float, text: str, **style: Any) -> None:
    """Text whose baseline lies `top` points below the sheet's upper edge; dollar signs are dollar signs."""
    across, down = figure.get_size_inches() * 72
    style = {"fontsize": palette.FONT_SIZE, "color": palette.INK, **style}
    figure.text(left / across, 1 - top / down, text, parse_math=False, **style)


def variant_key(offsets: str) -> Line2D:
    """How models with these offsets are marked, for a legend."""
    return Line2D([], [], label=VARIANT_WORDS[offsets], **variant_style(offsets))


def variant_style(offsets: str) -> dict[str, Any]:
    """Mark, colour and size of a model's point; hollow for the twins in which nothing moves."""
    colour = palette.VARIANT_COLOURS[offsets]
    return {
        **{"marker": MARKS[offsets], "linestyle": "none", "color": colour, "markersize": 5, "markeredgewidth": 1.2},
        "markerfacecolor": palette.PAPER if offsets in HOLLOW else colour,
    }


def key(figure: Figure, top: float, entries: list[Line2D], columns: int = 2, line: float = 1.6) -> None:
    """The legend; line: length of its lines in text heights. It stands `top` points
    below the sheet's upper edge on."""
    down = figure.get_size_inches()[1] * 72
    figure.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(0, 1 - top / down),
        ncols=columns,
        frameon=False,
        fontsize=palette.FONT_SIZE - 0.5,
        labelcolor=palette.INK,
        handlelength=line,
        handletextpad=0.5,
        columnspacing=1.2,
        borderaxespad=0.3,
        borderpad=0.2,
        labelspacing=0.35,
    )


def chart_png(figure: Figure) -> bytes:
    """The sheet as a PNG file, SHARPNESS pixels to a point."""
    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()


def chart_svg(figure: Figure, title: str) -> bytes:
    """The sheet as an SVG file; title: what it shows, for those who cannot see it."""
    with matplotlib.rc_context({"svg.hashsalt": "dlka"}):  # otherwise the ids in it are random
        return Drawing(figure, title).to_svg()


HEIGHT, TITLE, FOOT, ENTRY = 120.0, 24.0, 38.0, 14.0  # points: axes, above and below them, a line of the legend
DASHES = ("-", "--", ":", "-.")  # once all colours are used up
AVERAGES = ("AP", "AP50")

Lines = dict[str, tuple[list[float], list[float]]]


def curves_chart(curves: Sequence[Mapping[str, Any]], offsets: Sequence[Mapping[str, Any]] = ()) -> Figure:
    """Panels below each other: losses; AP and AP50, if `curves` has them; mean offset of every stage, if there are any.

    curves: a row an epoch, "epoch" and figures by name, AP in 0..1; losses that are zero all along are left out.
    offsets: rows with "epoch", "stage", "label" and "mean" (cells). ValueError for no epochs.
    """
    if not curves:
        raise ValueError("expected at least one epoch to draw, got none")
    epochs = [float(row["epoch"]) for row in curves]
    names = [name for name in curves[0] if name != "epoch" and name not in AVERAGES]
    losses: Lines = {n: (epochs, [float(row[n]) for row in curves]) for n in names if any(row[n] for row in curves)}
    measured: Lines = {n: (epochs, [100 * row[n] for row in curves]) for n in AVERAGES if n in curves[0]}
    panels = [("Losses", losses, "log"), ("Validation, %", measured, "linear")]
    panels.append(("Mean offset, cells", _by_stage(offsets), "linear"))
    panels = [one for one in panels if one[1]]
    heights = [TITLE + HEIGHT + FOOT + ENTRY * ((len(lines) + 2) // 3) for _, lines, _ in panels]
    figure = sheet(sum(heights) + 6)
    for number, (title, lines, scale) in enumerate(panels):
        top = sum(heights[:number])
        axes = titled(figure, top, title, TITLE, HEIGHT)
        axes.set_xlabel("epoch", labelpad=1)
        axes.set_yscale(scale)
        axes.tick_params(which="minor", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        entries = []
        for (name, (x, y)), (dash, colour) in zip(lines.items(), cycle(product(DASHES, palette.FLOW_WHEEL))):
            style: dict[str, Any] = {"color": colour, "linestyle": dash}
            shown = [value if value > 0 or scale == "linear" else math.nan for value in y]
            axes.plot(x, shown, linewidth=1.2, marker="." if len(x) < 40 else "", markersize=4, **style)
            entries.append(Line2D([], [], label=name, linewidth=1.2, **style))
        key(figure, top + TITLE + HEIGHT + FOOT - 12, entries, columns=3, line=2)
    return figure


def _by_stage(offsets: Sequence[Mapping[str, Any]]) -> Lines:
    """A line a stage; where several stages have one label, they are numbered in the order they run."""
    labels = {row["stage"]: row["label"] for row in offsets}
    lines: Lines = {}
    for stage, name in zip(labels, numbered(list(labels.values()))):
        rows = [row for row in offsets if row["stage"] == stage]
        lines[name] = ([float(row["epoch"]) for row in rows], [float(row["mean"]) for row in rows])
    return lines
