"""Boxes of one model on a changed picture: what it kept, what it finds anew, and what it lost, where that must be."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from dlka import palette
from dlka.render import legend
from dlka.render.boxes import Names, Outline, draw_outlines
from dlka.render.canvas import Canvas
from dlka.types import Detections

KEPT_LINE, NEW_LINE, LOST_LINE = "-", "--", ":"


def draw_followed(
    image: np.ndarray,
    found: Detections,
    names: Names,
    colour: str,
    title: str,
    *,
    new: Collection[int] = (),
    lost: Sequence[tuple[np.ndarray, int]] = (),
    chosen: np.ndarray | None = None,
    width: int = 720,
) -> Canvas:
    """Boxes of `found` in the model's colour, dashed for those whose index is in `new`; lost objects dotted.

    lost: box [4] at pixel edges, where it must be, and class id; chosen: box of the object that is followed, whose
    corners are marked.
    """
    canvas = Canvas(image, width)
    outlines = [
        Outline(box, f"{names[int(c)]} {score:.2f}", colour, NEW_LINE if i in new else KEPT_LINE)
        for i, (box, c, score) in enumerate(zip(found.boxes, found.classes, found.scores))
    ]
    outlines += [Outline(box, f"{names[c]} lost", palette.MUTED, LOST_LINE) for box, c in lost]
    missing = draw_outlines(canvas, outlines)
    legend.title(canvas, title)
    entries = [
        legend.Entry(f"found again {len(found) - len(new)}", colour=colour, line=KEPT_LINE),
        legend.Entry(f"new {len(new)}", colour=colour, line=NEW_LINE),
        legend.Entry(f"lost {len(lost)}: where it must be", colour=palette.MUTED, line=LOST_LINE),
    ]
    if chosen is not None:
        _mark_corners(canvas, chosen)
        entries.append(legend.Entry("corners: the object to follow", colour=palette.INK))
    legend.key(canvas, entries)
    if missing:
        legend.note(canvas, f"{missing} {'label' if missing == 1 else 'labels'} left out for want of room.")
    legend.finish(canvas)
    return canvas


def _mark_corners(canvas: Canvas, box: np.ndarray) -> None:
    """Four angles a little outside the box."""
    room = 4 * canvas.line / canvas.scale
    x1, y1, x2, y2 = box - 0.5 + (-room, -room, room, room)
    arm_x, arm_y = (max(0.25 * (high - low), 2 * room) for low, high in ((x1, x2), (y1, y2)))
    for x, step_x in ((x1, arm_x), (x2, -arm_x)):
        for y, step_y in ((y1, arm_y), (y2, -arm_y)):
            angle = np.array([(x + step_x, y), (x, y), (x, y + step_y)])
            canvas.axes.plot(*angle.T, color=palette.PAPER, linewidth=2.6 * canvas.line, zorder=4)
            canvas.axes.plot(*angle.T, color=palette.INK, linewidth=1.3 * canvas.line, zorder=4)
