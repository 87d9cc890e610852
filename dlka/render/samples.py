"""Where the deformable kernels of one chosen point read, over the regular grid that they started from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from dlka import palette
from dlka.inference.letterbox import Letterbox
from dlka.render import legend
from dlka.render.canvas import Canvas, Paper, Tiles
from dlka.render.geometry import Point, Reads, check_picture, reads_at
from dlka.render.legend import CELL, REGULAR, SAMPLE, ZERO_READ, draw_marks
from dlka.render.picture import View, muted
from dlka.types import Capture

WINDOW = 3 / 4  # height of a close-up in its widths


def draw_reads(axes: Axes, reads: Reads, line: float, scale: float) -> None:
    """Grid, samples and the lines between them; line: width of a line, scale: sheet pixels per original pixel."""
    left, top, right, bottom = reads.edges
    edge = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=palette.MUTED)
    edge.set(linewidth=0.5 * line, linestyle=":", zorder=2)
    axes.add_patch(edge)
    # Marks as large as the grid leaves room for, but neither too small to see nor so large that they hide the picture.
    spacing = reads.per_cell * scale * (1 if reads.composed else min(reads.stage.dilation))
    size = float(np.clip(0.3 * spacing, 2.2 * line, 5.5 * line))
    kept, zero = reads.samples[~reads.zero], reads.samples[reads.zero]
    if reads.composed:
        # 1225 paths: small marks without lines.
        small = float(np.clip(0.16 * spacing, 1.4 * line, 3 * line))
        draw_marks(axes, reads.regular, REGULAR._replace(hollow=False), 0.6 * small, 0.5 * line)
        draw_marks(axes, kept, SAMPLE._replace(alpha=0.8), small, 0.5 * line)
        draw_marks(axes, zero, ZERO_READ, 1.3 * small, 0.5 * line)
    else:
        paths = np.stack([reads.regular, reads.samples], axis=1)
        for colour, width in ((palette.RIM, 1.1 * line), (palette.REGULAR, 0.5 * line)):
            axes.add_collection(LineCollection(list(paths), colors=colour, linewidths=width, zorder=3))
        draw_marks(axes, reads.regular, REGULAR, 0.8 * size, 0.7 * line)
        draw_marks(axes, kept, SAMPLE, size, line)
        draw_marks(axes, zero, ZERO_READ, size, line)
    draw_marks(axes, reads.centre[None], CELL, 2.2 * size, 1.1 * line)


def mark_point(canvas: Canvas, point: Point) -> None:
    """Mark a chosen point (x, y, original pixels) on a canvas that shows something else."""
    draw_marks(canvas.axes, np.array([point]), REGULAR, 1.1 * canvas.font, 1.2 * canvas.line)
    draw_marks(canvas.axes, np.array([point]), SAMPLE, 0.35 * canvas.font, canvas.line)


def sample_key(paper: Paper, zeros: int | None, composed: bool) -> None:
    entries = [
        legend.Entry("chosen cell", CELL),
        legend.Entry("regular grid", REGULAR._replace(hollow=not composed)),
        legend.Entry("where it reads", SAMPLE),
    ]
    if zeros != 0:
        count = "" if zeros is None else f" ({zeros})"
        entries.append(legend.Entry(f"outside the map, reads zero{count}", ZERO_READ))
        entries.append(legend.Entry("edge of the map", colour=palette.MUTED, line=":"))
    legend.key(paper, entries)


def extent(points: np.ndarray) -> tuple[float, float]:
    """(width, height) of the box around points [n, 2], in their own unit; those that are not finite left out."""
    points = points[np.isfinite(points).all(axis=1)]
    return (float(np.ptp(points[:, 0])), float(np.ptp(points[:, 1]))) if len(points) else (0.0, 0.0)


def _reach(reads: Reads) -> str:
    """How far the reads and the grid spread, both ways."""

    def both(points: np.ndarray) -> str:
        width, height = extent(points)
        cells = f"{legend.number(width / reads.per_cell)} x {legend.number(height / reads.per_cell)} cells"
        return f"{cells} = {legend.number(width)} x {legend.number(height)} px"

    return f"Reads spread over {both(reads.samples)}; the regular grid over {both(reads.regular)}."


def draw_samples(image: np.ndarray, captures: Sequence[Capture], letterbox: Letterbox, point: Point) -> Canvas:
    """A close-up of where the cell nearest to a point (x, y, original pixels) reads: every tap, joined to its
    undeformed place. It may reach beyond the picture, which is plain paper there.

    captures: one stage, or the two stages of a block in order for the composed field: every path through both.
    """
    check_picture(image, letterbox)
    reads = reads_at(captures, point, letterbox)
    (x, y), half = reads.centre, reads.reach
    canvas = Canvas(muted(image), view=View(x - half / WINDOW, y - half, x + half / WINDOW, y + half))
    draw_reads(canvas.axes, reads, canvas.line, canvas.scale)
    row, column = reads.cell
    where = f"cell (row {row}, column {column})"
    if reads.composed:
        taps = [c.stage.taps for c in captures]
        text = f"Composed reads of {where}: {taps[1]} x {taps[0]} paths"
        stages = " through ".join(legend.kernel(c.stage) for c in reversed(captures))
        cell = legend.number(reads.per_cell)
        legend.title(canvas, text, f"{reads.stage.level} · {stages} · 1 cell = {cell} px")
    else:
        text = f"Reads of {where}: {reads.stage.taps} taps"
        legend.title(canvas, text, legend.stage_line(captures[0], letterbox))
    sample_key(canvas, reads.zeros, reads.composed)
    legend.note(canvas, _reach(reads))
    if not reads.composed:
        moved = np.hypot(*(reads.samples - reads.regular).T)
        mean, most = (legend.cells_and_pixels(v / reads.per_cell, reads.per_cell) for v in (moved.mean(), moved.max()))
        legend.note(canvas, f"Taps are moved by {mean} on average, by {most} at most.")
    return legend.finish(canvas)


def draw_samples_grid(image: np.ndarray, captures: Sequence[Capture], letterbox: Letterbox, point: Point) -> Paper:
    """All deform stages of a model at one point: a row per block, a panel per stage, then the composed field.

    The panels of a row share one window, so that they can be compared.
    """
    check_picture(image, letterbox)
    blocks: dict[str, list[Capture]] = {}
    for capture in captures:
        blocks.setdefault(capture.stage.block, []).append(capture)
    if not blocks:
        raise ValueError("expected at least one capture, got none: this model has no deform stage")
    # A row a block: its stages, and where there are two of them the paths through both.
    rows = [
        [reads_at([c], point, letterbox) for c in row] + ([reads_at(row, point, letterbox)] if len(row) == 2 else [])
        for row in blocks.values()
    ]
    image, paper = muted(image), Tiles(len(rows), max(map(len, rows)))
    levels = legend.numbered([row[0].stage.level for row in rows])
    sizes: list[str] = []
    for i, row in enumerate(rows):
        # The widest panel decides for its row; rows differ, or fine levels would shrink to dots beside coarse ones.
        half = max(reads.reach for reads in row)
        sizes.append(f"{levels[i]}: 1 cell = {legend.number(row[0].per_cell)} px")
        for j, reads in enumerate(row):
            axes, scale = paper.tile(image, View.around(reads.centre, half), i, j)
            draw_reads(axes, reads, 0.75 * paper.line, scale)
            missed = f", {reads.zeros} outside" if reads.zeros else ""
            name = "composed" if reads.composed else legend.kernel(reads.stage)
            paper.caption(axes, f"{levels[i]} {name}{missed}")
    legend.title(paper, f"Where every deform stage reads for the point ({point[0]:.0f}, {point[1]:.0f})")
    sample_key(paper, None if any(reads.zeros for row in rows for reads in row) else 0, composed=False)
    legend.note(paper, " · ".join(sizes) + ". The panels of a row show the same window.")
    if any(row[-1].composed for row in rows):
        legend.note(paper, "Composed: every path of the second stage through the first, the block's true reach.")
    return legend.finish(paper)
