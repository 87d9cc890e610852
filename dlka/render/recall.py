"""Against the size of objects: recall of models, how far it is above control, the score of one object, the spread of
samples behind a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator

from dlka import palette
from dlka.render.chart import key, sheet, titled, write
from dlka.types import MEDIUM_AREA, SMALL_AREA

HEIGHT, TITLE, FOOT = 150.0, 24.0, 34.0  # points: axes, what stands above and below them
BELOW, BETWEEN = 80.0, 12.0  # points: the axes of the differences, and above them
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
        upper = titled(figure, top, one.title, TITLE, HEIGHT, ylabel="recall, %")
        sizes = "object size: square root of box area, px"
        lower = titled(figure, top, "", TITLE + HEIGHT + BETWEEN, BELOW, sizes, "- control, points")
        _draw(upper, one.sides, one.curves)
        _draw(lower, one.sides, one.gains)
        upper.tick_params(labelbottom=False)
        low, high = upper.get_ylim()
        upper.set_ylim(max(low, 0), min(high, 100))
        lower.axhline(0, color=palette.INK, linewidth=0.8, zorder=1)
        lower.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        lower.yaxis.set_major_formatter(lambda y, _: f"{y:+.3g}" if abs(y) > 1e-9 else "0")
        entries = [Line2D([], [], label=curve.label, **_style(curve.role)) for curve in one.curves]
        key(figure, top + TITLE + HEIGHT + BETWEEN + BELOW + FOOT - 6, entries, line=3)
    _notes(figure, sum(each) + 8, lines)
    return figure


def _draw(axes: Axes, sides: np.ndarray, curves: Sequence[Curve]) -> None:
    """Curves in per cent over a logarithmic axis of sizes, with the limits of COCO's size bins."""
    _size_axis(axes, sides[0] / 1.06, sides[-1] * 1.06, TICKS)
    for curve in curves:
        style = _style(curve.role)
        axes.fill_between(sides, 100 * curve.low, 100 * curve.high, color=style["color"], alpha=0.13, linewidth=0)
        axes.plot(sides, 100 * curve.recall, **style)
    _size_bins(axes, sides[0], sides[-1], 0.6)


def _style(role: str, **mark: Any) -> dict[str, Any]:
    """How the curve of a role is drawn; mark: another one than a dot."""
    colour, line = ROLES[role]
    return {"color": colour, "linestyle": line, "linewidth": 1.5, "marker": ".", "markersize": 4, **mark}


def _size_axis(axes: Axes, low: float, high: float, ticks: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _size_bins(axes: Axes, low: float, high: float, width: float) -> None:
    """Dotted lines between small, medium and large, as far as they lie within low..high."""
    for edge in BINS:
        if low < edge < high:
            axes.axvline(edge, color=palette.MUTED, linewidth=width, linestyle=(0, (1, 2)), zorder=0)


def _notes(figure: Figure, top: float, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        write(figure, 8, top + 12 * number, line, fontsize=palette.FONT_SIZE - 1, color=palette.MUTED)


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
    axes = titled(
        figure, 0, title, above, high_axes, "object size: square root of box area, px of the picture", "score"
    )
    low, high = span[0] / 1.08, span[1] * 1.08
    ticks = [t for t in (*TICKS, 768, 1024) if low <= t <= high]
    if len(ticks) > 11:  # a wide span has more ticks than room
        ticks = [t for t in ticks if (t & (t - 1)) == 0 or t == 96]
    _size_axis(axes, low, high, ticks)
    axes.set_ylim(0, 1)
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
        style = _style(role, **MARKS[role])
        axes.plot(sizes, values, clip_on=False, **style)
        entries.append(Line2D([], [], label=label, **style))
    entries.append(Line2D([], [], label=f"confidence {confidence:g}: boxes below are not shown", **limit))
    key(figure, foot - 4, entries, line=3)
    _notes(figure, foot + 38, lines)
    return figure


EVEN = 6**-0.5  # spread of samples that fill a square of side 1 evenly: each axis has a variance of 1 / 12

_DOT: dict[str, Any] = {"linestyle": "none", "markersize": 5, "markeredgewidth": 1}
STYLES: dict[bool, dict[str, Any]] = {
    True: {**_DOT, "marker": "o", "color": palette.DLKA},
    False: {**_DOT, "marker": "s", "color": palette.BASELINE, "markerfacecolor": "none"},
}
REGULAR_STYLE: dict[str, Any] = {**_DOT, "marker": "_", "color": palette.INK, "markersize": 8}


@dataclass(frozen=True)
class SpreadPoint:
    """One box. side: square root of its area; learned, regular: spread of the samples of its cell with and without
    offsets, all in px of the picture; ours: the D-LKA model's box, not the baseline's."""

    side: float
    learned: float
    regular: float
    ours: bool


def spread_chart(panels: Mapping[str, Sequence[SpreadPoint]]) -> Figure:
    """One panel a kind of stage ("7x7 d3"), below each other, on the same axes. ValueError for no points."""
    panels = {name: points for name, points in panels.items() if points}
    if not panels:
        raise ValueError("expected at least one box to draw, got none")
    sides = np.array([p.side for points in panels.values() for p in points])
    spreads = np.array([s for points in panels.values() for p in points for s in (p.learned, p.regular)])
    above = 22.0  # points: the title
    each = above + HEIGHT + FOOT
    figure = sheet(each * len(panels) + 34)
    wide = np.array([sides.min() / 1.25, sides.max() * 1.25])
    for number, (name, points) in enumerate(panels.items()):
        top = each * number
        axes = titled(figure, top, name, above, HEIGHT, "box size: square root of its area, px", "spread, px")
        axes.grid(axis="x", color=palette.OUTSIDE, linewidth=0.6)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(*wide)
        axes.set_ylim(spreads.min() / 1.4, spreads.max() * 1.4)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_minor_formatter(NullFormatter())
        axes.plot(wide, wide * EVEN, ":", color=palette.MUTED, linewidth=1.2, zorder=1)
        at, low, high = np.array([(p.side, p.regular, p.learned) for p in points]).T
        axes.vlines(at, low, high, color=palette.MUTED, linewidth=0.5, zorder=1)
        for ours, style in STYLES.items():
            group = [p for p in points if p.ours == ours]
            axes.plot([p.side for p in group], [p.learned for p in group], zorder=3, **style)
        axes.plot(at, low, zorder=2, **REGULAR_STYLE)
    key(
        figure,
        each * len(panels) - 2,
        [
            Line2D([], [], label="learned, box of D-LKA", **STYLES[True]),
            Line2D([], [], label="learned, box of the baseline", **STYLES[False]),
            Line2D([], [], label="regular grid at the same cell", **REGULAR_STYLE),
            Line2D([], [], label="samples that fill the box evenly", color=palette.MUTED, linestyle=":", linewidth=1.2),
        ],
    )
    return figure
