"""How far apart the samples behind a box lie, against the size of the box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from dlka import palette
from dlka.render.canvas import PHONE
from dlka.render.chart import key, panel, sheet, write

HEIGHT, TITLE, FOOT = 150.0, 22.0, 34.0  # points: axes, what stands above and below them
LEFT, RIGHT = 40.0, 10.0
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
    each = TITLE + HEIGHT + FOOT
    figure = sheet(each * len(panels) + 34)
    wide = np.array([sides.min() / 1.25, sides.max() * 1.25])
    for number, (name, points) in enumerate(panels.items()):
        top = each * number
        write(figure, LEFT, top + 14, name, fontweight="bold")
        axes = panel(figure, LEFT, top + TITLE, PHONE - LEFT - RIGHT, HEIGHT)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(*wide)
        axes.set_ylim(spreads.min() / 1.4, spreads.max() * 1.4)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("box size: square root of its area, px", labelpad=2)
        axes.set_ylabel("spread, px", labelpad=2)
        axes.grid(color=palette.OUTSIDE, linewidth=0.6)
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
