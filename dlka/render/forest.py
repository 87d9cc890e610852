"""Forest plot: differences between models as points with intervals, one row a model, one column a measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dlka import palette
from dlka.render.canvas import PHONE
from dlka.render.chart import key, panel, sheet, variant_key, variant_style, write

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
        for number, left in enumerate(lefts):
            axes = panel(figure, left, top + HEAD, width, height)
            axes.set_xlim(*_range(group))
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


def _range(group: Group) -> tuple[float, float]:
    """Both ends of the group's scale: everything that is drawn, and zero."""
    values = [v for row in group.rows for e in row.estimates if e for v in (e.value, e.low, e.high, *e.seeds)]
    low, high = min([0.0, *values]), max([0.0, *values])
    pad = PAD * ((high - low) or 1)
    return low - pad, high + pad
