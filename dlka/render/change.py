"""What changes between two looks at one picture, and what one model keeps, finds and loses on a changed picture."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke

from dlka import palette
from dlka.render import legend
from dlka.render.boxes import Names, Outline, Sides, close, corners, draw_outlines, pair_outline
from dlka.render.canvas import Canvas
from dlka.render.legend import Mark, draw_marks
from dlka.types import BOTH, Detections, Pairing

NEEDS_DEFORMATION = Mark(palette.ONLY_DEFORMED, shape="*")
KEPT_LINE, NEW_LINE, LOST_LINE = "-", "--", ":"  # of a changed picture


LEARNED_CHANGED = Sides("learned", "changed", palette.DLKA, palette.WHAT_IF)


def draw_change(
    image: np.ndarray,
    pairing: Pairing,
    names: Names,
    title: str,
    sides: Sides = LEARNED_CHANGED,
    lost: Collection[int] | None = None,
) -> Canvas:
    """Boxes that come or go in strong lines; those that stay thin and grey, with the change of a score that moved.

    pairing: after against before; lost: index into `before` of the boxes to mark as found only with deformation, None
    where the picture is not about that.
    """
    canvas = Canvas(image)
    outlines = [pair_outline(pairing, pair, names, sides) for pair in pairing.pairs]
    missing = draw_outlines(canvas, outlines)
    legend.title(canvas, title)
    entries = sides.key(pairing)
    if lost is not None:
        marked = [o.box for o, pair in zip(outlines, pairing.pairs) if pair.second in lost]
        if marked:
            points = np.array(marked, np.float64)[:, [2, 1]] - 0.5  # upper right corners
            draw_marks(canvas.axes, points, NEEDS_DEFORMATION, 1.5 * canvas.font, canvas.line)
        entries.append(legend.Entry(f"only with deformation: {len(marked)}", NEEDS_DEFORMATION))
    legend.key(canvas, entries)
    legend.note(
        canvas, f"Signed numbers: change of a score, {sides.after} minus {sides.before}, from {sides.moved:g} on."
    )
    return close(canvas, missing)


def draw_sliced(
    image: np.ndarray, pairing: Pairing, names: Names, title: str, sides: Sides, slices: np.ndarray, fired: np.ndarray
) -> Canvas:
    """The same for a look in slices: their grid is drawn, and every box after says which slice it comes from.

    slices [M, 4], x1 y1 x2 y2 in pixels of the picture; fired [N], for every box after its slice's index.
    """
    canvas = Canvas(image)
    _draw_grid(canvas, slices)
    outlines = []
    for pair in pairing.pairs:
        outline = pair_outline(pairing, pair, names, sides)
        if pair.first is not None:
            text = "" if pair.kind == BOTH else f"{outline.label} "
            outline = outline._replace(label=f"{text}#{fired[pair.first] + 1}")
        outlines.append(outline)
    missing = draw_outlines(canvas, outlines)
    legend.title(canvas, title)
    grid = legend.Entry(f"{len(slices)} slices, #1 to #{len(slices)}", colour=palette.MUTED, line=":")
    legend.key(canvas, [*sides.key(pairing), grid])
    legend.note(canvas, "The number at a box is the slice that fired.")
    return close(canvas, missing)


def _draw_grid(canvas: Canvas, slices: Sequence[np.ndarray] | np.ndarray) -> None:
    """Outlines of overlapping slices, light over dark dots, and each one's number in its middle."""
    paths = corners(np.asarray(slices, np.float64))
    for colour, line, width in ((palette.RIM, "-", 0.5), (palette.PAPER, ":", 1.0)):
        canvas.axes.add_collection(
            LineCollection(paths, colors=colour, linestyles=line, linewidths=width * canvas.line, alpha=0.8, zorder=1.5)
        )
    for number, (x1, y1, x2, y2) in enumerate(slices, 1):
        text = canvas.axes.text(
            (x1 + x2) / 2, (y1 + y2) / 2, f"#{number}", fontsize=1.6 * canvas.font, color=palette.PAPER, alpha=0.75
        )
        text.set(ha="center", va="center", weight="bold", zorder=1.6)
        text.set_path_effects([withStroke(linewidth=canvas.line, foreground=palette.RIM, alpha=0.75)])


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
) -> Canvas:
    """Boxes of `found` in the model's colour, dashed for those whose index is in `new`; lost objects dotted.

    lost: box [4] at pixel edges, where it must be, and class id; chosen: box of the object that is followed, whose
    corners are marked.
    """
    canvas = Canvas(image, 720)
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
    return close(canvas, missing, sizes=False)


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
