"""Curves against the size of objects: recall of models and how far it is above control, and the score of one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from dlka import palette
from dlka.render.canvas import PHONE
from dlka.render.chart import key, panel, sheet, write
from dlka.types import MEDIUM_AREA, SMALL_AREA

HEIGHT, TITLE, FOOT = 150.0, 24.0, 34.0  # points: axes, what stands above and below them
BELOW, BETWEEN = 80.0, 12.0  # points: the axes of the differences, and above them
LEFT, RIGHT = 40.0, 10.0
TICKS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # px
# Where both models agree, the square stands around the dot.
MARKS: dict[str, dict[str, Any]] = {
    "dlka": {"marker": "o", "markersize": 4},
    "control": {"marker": "s", "markersize": 7, "markerfacecolor": "none"},
}
BINS = (SMALL_AREA**0.5, MEDIUM_AREA**0.5)  # px, between small, medium and large
# One look a role, so that a model keeps it in every panel.
ROLES = {"control": (palette.BASELINE, "--"), "dlka": (palette.DLKA, "-"), "rigid": (palette.MUTED, ":")}


@dataclass(frozen=True)
class Curve:
    """role: a key of ROLES; label: for the legend; recall, low, high [bins]: shares 0..1 with the ends of the band."""

    role: str
    label: str
    recall: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class RecallPanel:
    """sides [bins]: where a bin stands on the axis, in px of the original picture, rising; gains: curves again, of the
    differences to control, -1..1."""

    title: str
    sides: np.ndarray
    curves: Sequence[Curve]
    gains: Sequence[Curve]


def recall_chart(panels: Sequence[RecallPanel], band: str) -> Figure:
    """Panels below each other: recall, under it the differences, and a legend; band: what the bands span, a line or
    several, told below.

    ValueError for no curves, and for curves that have not one value a bin.
    """
    if not any(p.curves for p in panels):
        raise ValueError("expected at least one curve to draw, got none")
    for one in panels:
        if any(len(v) != len(one.sides) for c in (*one.curves, *one.gains) for v in (c.recall, c.low, c.high)):
            raise ValueError(f"{one.title}: expected {len(one.sides)} values in every curve")
    each = [TITLE + HEIGHT + BETWEEN + BELOW + FOOT + 14 * ((len(p.curves) + 1) // 2) for p in panels]
    lines = band.splitlines()
    figure = sheet(sum(each) + 12 * len(lines) + 4)
    for number, one in enumerate(panels):
        top = sum(each[:number])
        write(figure, LEFT, top + 14, one.title, fontweight="bold")
        upper = panel(figure, LEFT, top + TITLE, PHONE - LEFT - RIGHT, HEIGHT)
        lower = panel(figure, LEFT, top + TITLE + HEIGHT + BETWEEN, PHONE - LEFT - RIGHT, BELOW)
        upper.set_ylabel("recall, %", labelpad=2)
        lower.set_ylabel("- control, points", labelpad=2)
        lower.set_xlabel("object size: square root of box area, px", labelpad=2)
        _draw(upper, one.sides, one.curves)
        _draw(lower, one.sides, one.gains)
        upper.tick_params(labelbottom=False)
        low, high = upper.get_ylim()
        upper.set_ylim(max(low, 0), min(high, 100))
        lower.axhline(0, color=palette.INK, linewidth=0.8, zorder=1)
        lower.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        lower.yaxis.set_major_formatter(lambda y, _: f"{y:+.3g}" if abs(y) > 1e-9 else "0")
        key(figure, top + TITLE + HEIGHT + BETWEEN + BELOW + FOOT - 6, [_entry(curve) for curve in one.curves], line=3)
    _notes(figure, sum(each) + 8, lines)
    return figure


def _draw(axes: Axes, sides: np.ndarray, curves: Sequence[Curve]) -> None:
    """Curves in per cent over a logarithmic axis of sizes, with the limits of COCO's size bins."""
    _size_axis(axes, sides[0] / 1.06, sides[-1] * 1.06, TICKS)
    for curve in curves:
        colour, line = ROLES[curve.role]
        axes.fill_between(sides, 100 * curve.low, 100 * curve.high, color=colour, alpha=0.13, linewidth=0)
        axes.plot(sides, 100 * curve.recall, line, color=colour, linewidth=1.5, marker=".", markersize=4)
    _size_bins(axes, sides[0], sides[-1], 0.6)


def _size_axis(axes: Axes, low: float, high: float, ticks: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=palette.OUTSIDE, linewidth=0.6)


def _size_bins(axes: Axes, low: float, high: float, width: float) -> None:
    """Dotted lines between small, medium and large, as far as they lie within low..high."""
    for edge in BINS:
        if low < edge < high:
            axes.axvline(edge, color=palette.MUTED, linewidth=width, linestyle=(0, (1, 2)), zorder=0)


def _notes(figure: Figure, top: float, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        write(figure, 8, top + 12 * number, line, fontsize=palette.FONT_SIZE - 1, color=palette.MUTED)


def _entry(curve: Curve) -> Line2D:
    colour, line = ROLES[curve.role]
    style: Any = {"color": colour, "linestyle": line, "linewidth": 1.5, "marker": ".", "markersize": 4}
    return Line2D([], [], label=curve.label, **style)


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
    above, high_axes = 28.0, 170.0  # points: the title, and the axes
    foot = above + high_axes + FOOT
    figure = sheet(foot + 34 + 12 * len(lines))
    write(figure, LEFT, 14, title, fontweight="bold")
    axes = panel(figure, LEFT, above, PHONE - LEFT - RIGHT, high_axes)
    low, high = span[0] / 1.08, span[1] * 1.08
    ticks = [t for t in (*TICKS, 768, 1024) if low <= t <= high]
    if len(ticks) > 11:  # a wide span has more ticks than room
        ticks = [t for t in ticks if (t & (t - 1)) == 0 or t == 96]
    _size_axis(axes, low, high, ticks)
    axes.set_ylim(0, 1)
    axes.set_xlabel("object size: square root of box area, px of the picture", labelpad=2)
    axes.set_ylabel("score", labelpad=2)
    _size_bins(axes, low, high, 0.8)
    for name, first, last in (("S", 0.0, BINS[0]), ("M", *BINS), ("L", BINS[1], float("inf"))):
        left, right = max(first, low), min(last, high)
        if left < right:
            middle = (left * right) ** 0.5
            axes.text(middle, 1.01, name, ha="center", va="bottom", fontsize=palette.FONT_SIZE, color=palette.MUTED)
    limit: dict[str, Any] = {"color": palette.INK, "linewidth": 0.8, "linestyle": (0, (6, 3))}
    axes.axhline(confidence, zorder=1, **limit)
    entries = []
    for role, (label, values) in scores.items():
        colour, dashes = ROLES[role]
        style = {"color": colour, "linestyle": dashes, "linewidth": 1.5, **MARKS[role]}
        axes.plot(sizes, values, clip_on=False, **style)
        entries.append(Line2D([], [], label=label, **style))
    entries.append(Line2D([], [], label=f"confidence {confidence:g}: boxes below are not shown", **limit))
    key(figure, foot - 4, entries, line=3)
    _notes(figure, foot + 38, lines)
    return figure
