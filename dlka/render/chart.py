"""Charts of figures: one sheet, one look, and files whose bytes depend on nothing but what is drawn.

As for the other drawings, matplotlib's object-oriented API only. Lengths are points, 72 to an inch, and a sheet is
PHONE of them wide: on a screen of that width the type is as large as the palette says.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlka import palette
from dlka.render.canvas import PHONE, pdf, pixels, svg

SHARPNESS = 3  # pixels of a PNG to a point
MARKS = {
    "dense": "o",
    "separable": "D",
    "none": "s",
    "features": "^",
    "plain": "X",
}  # by offsets: told apart without colours too
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
    out = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "dlka"}):  # otherwise the ids in it are random
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Title": title})
    return out.getvalue()


@dataclass(frozen=True)
class Chart:
    """A sheet that is handed out as Paper is. title: what stands in its files for those who cannot see it."""

    figure: Figure
    title: str

    def to_array(self) -> np.ndarray:
        """[h, w, 3] uint8, SHARPNESS pixels to a point."""
        return pixels(self.figure)

    def to_png(self) -> bytes:
        """The same pixels as a PNG file."""
        return chart_png(self.figure)

    def to_svg(self, caption: str = "") -> bytes:
        """An SVG file. caption: its description (desc)."""
        return svg(self.figure, self.title, caption)

    def to_pdf(self, caption: str = "") -> bytes:
        """A PDF file of one page. caption: the document's subject."""
        return pdf(self.figure, self.title, caption)
