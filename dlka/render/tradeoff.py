"""Accuracy against cost: one point a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlka import palette
from dlka.render.boxes import overlap
from dlka.render.canvas import PHONE
from dlka.render.chart import key, panel, sheet, variant_key, variant_style, write
from dlka.render.legend import text_width

HEIGHT, TITLE, FOOT = 170.0, 22.0, 34.0  # points: axes, what stands above and below them
LEFT, RIGHT = 40.0, 10.0
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
        entries.insert(0, Line2D([], [], label="control", **_control_style()))
    entries.append(Line2D([], [], color=palette.INK, linewidth=1, label=bars))
    each = TITLE + HEIGHT + FOOT
    figure = sheet(each * len(panels) + 6 + 14 * ((len(entries) + 1) // 2))
    for number, (title, candidates) in enumerate(panels):
        top = each * number
        write(figure, LEFT, top + 14, title, fontweight="bold")
        axes = panel(figure, LEFT, top + TITLE, PHONE - LEFT - RIGHT, HEIGHT)
        axes.set_xlabel(cost, labelpad=2)
        axes.set_ylabel(gain, labelpad=2)
        axes.grid(axis="y", color=palette.OUTSIDE, linewidth=0.6)
        axes.margins(x=0.1, y=0.12)
        for candidate in candidates:
            style = variant_style(candidate.offsets) if candidate.offsets else _control_style()
            if candidate.high > candidate.low:
                bar = [candidate.low, candidate.high]
                axes.plot([candidate.cost] * 2, bar, color=style["color"], linewidth=1, alpha=0.6, zorder=2)
            axes.plot([candidate.cost], [candidate.gain], zorder=3, **style)
        _name(axes, candidates, PHONE - LEFT - RIGHT, HEIGHT)
    key(figure, each * len(panels) + 2, entries)
    return figure


def _control_style() -> dict[str, Any]:
    return {"marker": "*", "linestyle": "none", "color": palette.BASELINE, "markersize": 9, "markeredgewidth": 0}


def _name(axes: Axes, candidates: Sequence[Candidate], across: float, down: float) -> None:
    """Each name beside its point: to the right, or wherever it covers least of points, bars and other names.

    across, down: size of the axes in points.
    """
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
