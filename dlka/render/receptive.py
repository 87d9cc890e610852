"""The effective receptive field of one cell over its picture, with the reads of the block's composed field on top."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Circle

from dlka import palette
from dlka.inference.letterbox import Letterbox
from dlka.render import legend
from dlka.render.canvas import Canvas
from dlka.render.geometry import to_picture
from dlka.render.maps import map_canvas, sequential
from dlka.render.marks import CELL, SAMPLE, draw_marks
from dlka.render.reads import Reads

INFLUENCE = 0.9  # share of all of it, for the radius that is told


def influence_radius(field: np.ndarray, patch: float, letterbox: Letterbox, centre: np.ndarray) -> float:
    """Radius in original pixels around a point [2] (x, y) that holds INFLUENCE of a field's sum; 0 where all is zero.

    field [H, W] on patches of so many letterboxed pixels, not negative.
    """
    rows, columns = np.indices(field.shape)
    places = to_picture(np.stack([rows, columns], axis=-1), patch, letterbox)
    distance = np.hypot(*(places - centre).reshape(-1, 2).T)
    # [H * W]: from the point outwards, until the sum has reached its share.
    order = distance.argsort()
    mass = field.ravel()[order].cumsum(dtype=np.float64)
    return float(distance[order][np.searchsorted(mass, INFLUENCE * mass[-1])]) if mass[-1] > 0 else 0.0


def receptive_field_overlay(
    image: np.ndarray,
    field: np.ndarray,
    patch: float,
    letterbox: Letterbox,
    reads: Reads,
) -> Canvas:
    """The field in sequential colours, the square root of its share of the largest value, under the composed reads."""
    largest = float(field.max())
    shares = np.sqrt(field / largest) if largest > 0 else np.zeros_like(field)
    canvas = map_canvas(image, sequential(shares, 1.0), patch, letterbox, 0.75)
    small = 1.8 * canvas.line
    draw_marks(canvas.axes, reads.samples[~reads.zero], SAMPLE._replace(alpha=0.5), small, 0.4 * canvas.line)
    draw_marks(canvas.axes, reads.centre[None], CELL, 1.2 * canvas.font, canvas.line)
    radius = influence_radius(field, patch, letterbox, reads.centre)
    for colour, line in ((palette.RIM, 2.2), (palette.PAPER, 1.0)):
        canvas.axes.add_patch(
            Circle(tuple(reads.centre), radius, fill=False, edgecolor=colour, linewidth=line * canvas.line)
        )
    row, column = reads.cell
    title = f"What changes cell (row {row}, column {column}) of the block at {reads.stage.level}"
    legend.title(canvas, title, "effective receptive field: gradient of its output on this picture")
    colours = sequential(np.linspace(0, 1, 255), 1.0)
    legend.colour_bar(canvas, colours, [["0", "25 %", "100 % of the largest"]])
    legend.key(canvas, [legend.Entry("chosen cell", CELL), legend.Entry("composed reads of the block", SAMPLE)])
    reach = float(np.hypot(*(reads.samples - reads.centre).T).max(initial=0.0))
    legend.note(
        canvas,
        f"{INFLUENCE:.0%} of the influence comes from within {legend.number(radius)} px of the cell (the circle); the "
        f"block itself reads up to {legend.number(reach)} px away. The rest is the work of all layers before it.",
    )
    if largest == 0:
        legend.note(canvas, "No pixel changes this cell.", warn=True)
    return legend.finish(canvas)
