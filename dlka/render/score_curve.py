"""Score of one object against its size, for two models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from dlka import palette
from dlka.render.canvas import PHONE
from dlka.render.chart import key, panel, sheet, write
from dlka.render.recall import ROLES, TICKS
from dlka.types import MEDIUM_AREA, SMALL_AREA

TITLE, HEIGHT, FOOT, LINE = 28.0, 170.0, 34.0, 12.0  # points: above the axes, they, their labels, a line of text
LEFT, RIGHT = 40.0, 10.0
# Where both models agree, the square stands around the dot.
MARKS: dict[str, dict[str, Any]] = {
    "dlka": {"marker": "o", "markersize": 4},
    "control": {"marker": "s", "markersize": 7, "markerfacecolor": "none"},
}


def score_chart(
    title: str,
    sizes: Sequence[float],
    scores: dict[str, tuple[str, Sequence[float]]],
    confidence: float,
    span: tuple[float, float],
    note: str = "",
) -> Figure:
    """A curve a model over a logarithmic axis of sizes in px; the limits of COCO's size bins and the confidence too.

    scores: role, a key of MARKS -> (label for the legend, a score 0..1 for every size, as far as it was measured).
    span: least and greatest size of the axis. Raises ValueError where a curve has not one score for every size.
    """
    for label, values in scores.values():
        if len(values) != len(sizes):
            raise ValueError(f"{label}: expected {len(sizes)} scores, one a size; got {len(values)}")
    lines = note.splitlines()
    figure = sheet(TITLE + HEIGHT + FOOT + 34 + LINE * len(lines))
    write(figure, LEFT, 14, title, fontweight="bold")
    axes = panel(figure, LEFT, TITLE, PHONE - LEFT - RIGHT, HEIGHT)
    axes.set_xscale("log")
    low, high = span[0] / 1.08, span[1] * 1.08
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1)
    ticks = [t for t in (*TICKS, 768, 1024) if low <= t <= high]
    if len(ticks) > 11:  # a wide span has more ticks than room
        ticks = [t for t in ticks if (t & (t - 1)) == 0 or t == 96]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=palette.OUTSIDE, linewidth=0.6)
    axes.set_xlabel("object size: square root of box area, px of the picture", labelpad=2)
    axes.set_ylabel("score", labelpad=2)
    limits = (SMALL_AREA**0.5, MEDIUM_AREA**0.5)
    for edge in limits:
        if low < edge < high:
            axes.axvline(edge, color=palette.MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    for name, first, last in (("S", 0.0, limits[0]), ("M", *limits), ("L", limits[1], float("inf"))):
        left, right = max(first, low), min(last, high)
        if left < right:
            middle = (left * right) ** 0.5
            axes.text(middle, 1.01, name, ha="center", va="bottom", fontsize=palette.FONT_SIZE, color=palette.MUTED)
    limit: dict[str, Any] = {"color": palette.INK, "linewidth": 0.8, "linestyle": (0, (6, 3))}
    axes.axhline(confidence, zorder=1, **limit)
    entries = []
    for role, (label, values) in scores.items():
        colour, dashes = ROLES[role]
        style: dict[str, Any] = {"color": colour, "linestyle": dashes, "linewidth": 1.5}
        style |= MARKS[role]
        axes.plot(sizes, values, clip_on=False, **style)
        entries.append(Line2D([], [], label=label, **style))
    entries.append(Line2D([], [], label=f"confidence {confidence:g}: boxes below are not shown", **limit))
    key(figure, TITLE + HEIGHT + FOOT - 4, entries, line=3)
    for i, text in enumerate(lines):
        style = {"fontsize": palette.FONT_SIZE - 1, "color": palette.MUTED}
        write(figure, 8, TITLE + HEIGHT + FOOT + 38 + LINE * i, text, **style)
    return figure
