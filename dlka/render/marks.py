"""Point marks with a dark rim, visible on any picture, and the same ones on the legend."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from dlka import palette


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
