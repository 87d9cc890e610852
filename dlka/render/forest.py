"""Models against each other: the forest plot, differences as points with intervals, one row a model, one column a
measure; and accuracy against cost, one point a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dlka import palette
from dlka.render.boxes import overlap
from dlka.render.canvas import PHONE
from dlka.render.chart import LEFT, RIGHT, key, panel, sheet, titled, variant_key, variant_style, write
from dlka.render.legend import text_width

ROW, HEAD, TICKS = 15.0, 20.0, 20.0  # points: a row, a group's title, the tick labels below a group
APART = 5.0  # points more before a row that begins a family
LABELS, GAP, MARGIN = 106.0, 22.0, 8.0  # points: room for row labels, between the columns, at the sheet's edge
PAD = 0.06  # of the range beyond the outermost interval


@dataclass(frozen=True)
class Estimate:
    """A difference with the ends of its interval, and the differences of single seeds; all in one unit."""

    value: float
    low: float
    high: float
    seeds: Sequence[float] = ()


@dataclass(frozen=True)
class Row:
    """One model. offsets: a key of VARIANT_WORDS; estimates: one a column, None where there is none; first: it
    begins a family of rows, which stands a little apart."""

    label: str
    offsets: str
    estimates: Sequence[Estimate | None]
    first: bool = True


@dataclass(frozen=True)
class Group:
    """Rows that share a title and a scale."""

    title: str
    rows: Sequence[Row]


def forest(groups: Sequence[Group], columns: Sequence[str], interval: str) -> Figure:
    """columns: what the estimates of a row are, with unit, for example "AP - control, points"; interval: what the bars
    span, for the legend. Each group has a scale of its own, the same in all its columns, with zero on it.

    ValueError for no rows, and for rows that have not one estimate a column.
    """
    if not any(group.rows for group in groups):
        raise ValueError("expected at least one row to draw, got none")
    if any(len(row.estimates) != len(columns) for group in groups for row in group.rows):
        raise ValueError(f"expected {len(columns)} estimates in every row")
    groups = [group for group in groups if group.rows]
    shown = {row.offsets for group in groups for row in group.rows}
    seeds = any(len(e.seeds) > 1 for group in groups for row in group.rows for e in row.estimates if e)
    entries = [variant_key(offsets) for offsets in palette.VARIANT_COLOURS if offsets in shown]
    entries.append(Line2D([], [], color=palette.INK, linewidth=1.4, label=interval))
    if seeds:
        entries.append(Line2D([], [], label="single seeds", **_seed_style(palette.INK)))
    top = MARGIN + 14
    figure = sheet(top + sum(HEAD + _places(group)[1] + TICKS for group in groups) + 8 + 14 * ((len(entries) + 1) // 2))
    width = (PHONE - LABELS - GAP * (len(columns) - 1) - GAP / 2) / len(columns)
    lefts = [LABELS + number * (width + GAP) for number in range(len(columns))]
    for left, title in zip(lefts, columns):
        write(figure, left, MARGIN + 8, title, fontweight="bold")
    for group in groups:
        write(figure, MARGIN, top + 13, group.title, fontweight="bold", color=palette.MUTED)
        places, height = _places(group)
        # The group's scale holds everything that is drawn, and zero.
        values = [v for row in group.rows for e in row.estimates if e for v in (e.value, e.low, e.high, *e.seeds)]
        low, high = min([0.0, *values]), max([0.0, *values])
        pad = PAD * ((high - low) or 1)
        for number, left in enumerate(lefts):
            axes = panel(figure, left, top + HEAD, width, height)
            axes.set_xlim(low - pad, high + pad)
            axes.set_ylim(height, 0)
            _draw(axes, group, places, number)
        for place, row in zip(places, group.rows):
            colour = palette.INK if row.first else palette.MUTED
            write(figure, LABELS - 7, top + HEAD + place + 3, row.label, ha="right", color=colour)
        top += HEAD + height + TICKS
    key(figure, top + 2, entries)
    return figure


def _places(group: Group) -> tuple[list[float], float]:
    """Points from the top of a group's axes to each row's middle, and to their lower end."""
    places: list[float] = []
    end = 0.0
    for row in group.rows:
        end += APART if row.first and places else 0
        places.append(end + ROW / 2)
        end += ROW
    return places, end + 2


def _draw(axes: Axes, group: Group, places: Sequence[float], column: int) -> None:
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], min_n_ticks=3))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:+.3g}" if abs(x) > 1e-9 else "0")
    axes.grid(axis="x", color=palette.OUTSIDE, linewidth=0.6)
    axes.axvline(0, color=palette.INK, linewidth=0.8, zorder=1)
    for place, row in zip(places, group.rows):
        estimate = row.estimates[column]
        if estimate is None:
            continue
        style = variant_style(row.offsets)
        axes.plot([estimate.low, estimate.high], [place] * 2, color=style["color"], linewidth=1.4, zorder=2)
        axes.plot([estimate.value], [place], zorder=3, **style)
        if len(estimate.seeds) > 1:
            axes.plot(
                estimate.seeds, [place + 0.33 * ROW] * len(estimate.seeds), zorder=2, **_seed_style(style["color"])
            )


def _seed_style(colour: str) -> dict[str, Any]:
    return {"marker": ".", "linestyle": "none", "color": colour, "markersize": 3.5, "markeredgewidth": 0}


HEIGHT, TITLE, FOOT = 170.0, 22.0, 34.0  # points: axes, what stands above and below them
CONTROL_STYLE: dict[str, Any] = {
    "marker": "*",
    "linestyle": "none",
    "color": palette.BASELINE,
    "markersize": 9,
    "markeredgewidth": 0,
}
POINT, NAME = 4.0, palette.FONT_SIZE - 1.5  # points: half a mark, height of the names beside them


@dataclass(frozen=True)
class Candidate:
    """One model. cost and gain: as the axes say; low, high: ends of a bar at the point; offsets: a key of
    VARIANT_WORDS, or "" for the model that the others are compared to."""

    label: str
    offsets: str
    cost: float
    gain: float
    low: float
    high: float


def tradeoff(panels: Sequence[tuple[str, Sequence[Candidate]]], cost: str, gain: str, bars: str) -> Figure:
    """One panel a (title, candidates), below each other. cost, gain: axis labels with units; bars: what the bars span.

    ValueError for no candidates.
    """
    panels = [(title, candidates) for title, candidates in panels if candidates]
    if not panels:
        raise ValueError("expected at least one model to draw, got none")
    shown = {c.offsets for _, candidates in panels for c in candidates}
    entries = [variant_key(offsets) for offsets in palette.VARIANT_COLOURS if offsets in shown]
    if "" in shown:
        entries.insert(0, Line2D([], [], label="control", **CONTROL_STYLE))
    entries.append(Line2D([], [], color=palette.INK, linewidth=1, label=bars))
    each = TITLE + HEIGHT + FOOT
    figure = sheet(each * len(panels) + 6 + 14 * ((len(entries) + 1) // 2))
    for number, (title, candidates) in enumerate(panels):
        axes = titled(figure, each * number, title, TITLE, HEIGHT, cost, gain)
        axes.margins(x=0.1, y=0.12)
        for candidate in candidates:
            style = variant_style(candidate.offsets) if candidate.offsets else CONTROL_STYLE
            if candidate.high > candidate.low:
                bar = [candidate.low, candidate.high]
                axes.plot([candidate.cost] * 2, bar, color=style["color"], linewidth=1, alpha=0.6, zorder=2)
            axes.plot([candidate.cost], [candidate.gain], zorder=3, **style)
        _name(axes, candidates, PHONE - LEFT - RIGHT, HEIGHT)
    key(figure, each * len(panels) + 2, entries)
    return figure


def _name(axes: Axes, candidates: Sequence[Candidate], across: float, down: float) -> None:
    """Each name beside its point, where it covers least of all others; across, down: size of the axes in points."""
    axes.autoscale_view()

    def place(gain: str) -> np.ndarray:
        return axes.transLimits.transform([(c.cost, getattr(c, gain)) for c in candidates]) * (across, down)

    points, lows, highs = place("gain"), place("low"), place("high")
    taken = [(x - POINT, y - POINT, x + POINT, y + POINT) for x, y in points]
    taken += [(x - 1, low, x + 1, high) for (x, low), (_, high) in zip(lows, highs)]
    for candidate, (x, y) in zip(candidates, points):
        if not candidate.offsets:  # the star is in the legend
            continue
        width = text_width(candidate.label, NAME)
        best = min(_sides(x, y, width), key=lambda box: _covered(box, taken, across, down))
        taken.append(best)
        left, low, _, _ = best
        axes.annotate(
            candidate.label,
            (candidate.cost, candidate.gain),
            (left - x, low - y),
            textcoords="offset points",
            fontsize=NAME,
            color=palette.INK,
            parse_math=False,
        )


def _sides(x: float, y: float, width: float) -> list[tuple[float, float, float, float]]:
    """Boxes (left, low, right, high) in points that the name of a point may take, best first."""
    heights = (-NAME / 2 + 1, POINT - 1, -NAME - POINT + 3)
    rows = [(left, y + up) for up in heights for left in (x + POINT + 1, x - POINT - 1 - width)]
    rows += [(x - width / 2, y + up) for up in (POINT + 1, -NAME - POINT)]
    return [(left, low, left + width, low + NAME) for left, low in rows]


def _covered(box: tuple[float, ...], others: Sequence[tuple[float, ...]], across: float, down: float) -> float:
    """Square points of others under a box; what lies outside the axes counts double."""
    own = np.array(box)
    inside = overlap(own, np.array([(0, 0, across, down)]))[0]
    return float(overlap(own, np.array(others)).sum() + 2 * ((own[2] - own[0]) * (own[3] - own[1]) - inside))
