"""Close-ups of where the deformable kernels of a chosen point read, over the regular grid that they started from: of
one stage or all; beside each other at one scale, before and after the picture was changed, or of an object at several
sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from dlka import palette
from dlka.inference.kernel_shape import kernel_shape, spread
from dlka.inference.letterbox import Letterbox
from dlka.render import legend
from dlka.render.box_samples import BoxSamples, inside
from dlka.render.boxes import corners
from dlka.render.canvas import Canvas, Paper, Tiles
from dlka.render.geometry import Point, Reads, check_picture, reads_at
from dlka.render.legend import CELL, REGULAR, SAMPLE, ZERO_READ, draw_marks
from dlka.render.picture import View, muted
from dlka.types import Capture

WINDOW = 3 / 4  # height of a close-up in its widths
WIDTH = 1600  # pixels of the sheet of several sizes
SMALL = 0.65  # of the usual type: a row of pictures is looked at on a screen wider than a phone


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


def _reach(reads: Reads) -> str:
    """How far the reads and the grid spread, both ways; those that are not finite left out."""

    def both(points: np.ndarray) -> str:
        points = points[np.isfinite(points).all(axis=1)]
        width, height = np.ptp(points, axis=0) if len(points) else (0.0, 0.0)
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


class Side(NamedTuple):
    """One side: picture [H, W, 3] uint8, the stage's capture on it, the point (x, y) in original pixels, and the box
    [4] of the object at pixel edges (None: no object, just a point)."""

    image: np.ndarray
    capture: Capture
    letterbox: Letterbox
    point: Point
    box: np.ndarray | None = None


def moved(reads: Reads) -> float:
    """Mean length of the offsets of one stage's taps, in original pixels."""
    return float(np.hypot(*(reads.samples - reads.regular).T).mean())


def draw_before_after(before: Side, after: Side) -> Paper:
    """Two close-ups beside each other with one window size, each around its own cell."""
    sides = (before, after)
    for side in sides:
        check_picture(side.image, side.letterbox)
    reads = [reads_at([side.capture], side.point, side.letterbox) for side in sides]
    # The wider side decides for both, so that lengths can be compared by eye.
    half = max(one.reach for one in reads)
    paper = Tiles(1, 2)
    for i, (name, side, one) in enumerate(zip(("before", "after"), sides, reads)):
        axes, scale = paper.tile(muted(side.image), View.around(one.centre, half), 0, i)
        if side.box is not None:
            path = corners(side.box[None].astype(np.float64))
            # A light line below the dark one, to be seen on any picture.
            for colour, line in ((palette.PAPER, 2.2), (palette.INK, 1.0)):
                axes.add_collection(LineCollection(path, colors=colour, linewidths=line * paper.line, zorder=2))
        draw_reads(axes, one, 0.75 * paper.line, scale)
        paper.caption(axes, name, 0.9, "bold")
    legend.title(
        paper,
        f"Where {before.capture.stage.label} reads at the chosen place, before and after",
        legend.stage_line(before.capture, before.letterbox),
    )
    sample_key(paper, sum(one.zeros for one in reads), composed=False)
    if before.box is not None:
        legend.key(paper, [legend.Entry("box of the object, and where it must be after", colour=palette.INK)])
    legend.note(paper, f"Both windows are {legend.number(2 * half)} px of the picture wide.")
    return legend.finish(paper)


def numbers(before: Side, after: Side | None) -> list[tuple[str, tuple[float | None, float | None]]]:
    """What the close-ups show, in figures: name -> (before, after); after is None where the object is not seen.

    Lengths in px of the picture; spread: root mean square distance of the samples from their middle. The last one
    only where there is an object.
    """

    def of(side: Side | None) -> list[float | None]:
        if side is None:
            return [None] * 5
        reads = reads_at([side.capture], side.point, side.letterbox)
        on = None if side.box is None else float(inside(reads.samples, side.box[None]).mean())
        shape = kernel_shape(reads.regular[:, ::-1], reads.samples[:, ::-1])
        return [moved(reads), spread(reads.samples), float(shape.zoom), float(shape.rotation), on]

    names = (
        "taps moved by, px",
        "samples spread by, px",
        "kernel zoomed, times",
        "kernel turned by, °",
        "samples in the box of the object",
    )
    told = list(zip(names, zip(of(before), of(after))))
    return told if before.box is not None else told[:-1]


@dataclass(frozen=True)
class AtSize:
    """One object at one size.

    size     px of its longer side; image [H, W, 3] uint8: the picture that it stands in; middle: its own, (x, y) in px
    samples  of the cell that found it, or that lies at its middle, against its true box
    score    of the box that found it, 0..1; None where none did
    """

    size: float
    image: np.ndarray
    middle: Point
    samples: BoxSamples
    score: float | None

    @property
    def zoom(self) -> float:
        """How far apart the samples lie, in spreads of the regular grid: 1 as it is."""
        return self.samples.spread / self.samples.regular_spread

    @property
    def half(self) -> float:
        """Half the side of the square around its middle that holds it, the grid and the samples, in px.

        Samples further away than the picture is large read nothing, and may lie beyond it.
        """
        reads = self.samples.reads
        finite = reads.samples[np.isfinite(reads.samples).all(axis=1)]
        grid, moved = (float(np.abs(p - self.middle).max(initial=0.0)) for p in (reads.regular, finite))
        return max(0.5 * self.size, grid, min(moved, max(self.image.shape) / 2)) + reads.per_cell


def draw_size_row(title: str, subtitle: str, sizes: Sequence[AtSize]) -> Paper:
    """The pictures beside each other, each cropped around the object's middle, all in one measure, so that a length on
    one is the same on the others; below each the size, the zoom and the score. Raises ValueError for no sizes."""
    half = max(one.half for one in sizes)
    paper = Tiles(1, len(sizes), WIDTH)
    paper.font *= SMALL
    scores = ["not found" if one.score is None else f"score {one.score:.2f}" for one in sizes]
    texts = [(f"{one.size:g} px", f"zoom {one.zoom:.2f}", score) for one, score in zip(sizes, scores)]
    # Rows for the texts below the pictures, before the legend takes those that follow.
    tops = [paper.grow(legend.ROW * paper.font) for _ in texts[0]]
    for number, (one, lines) in enumerate(zip(sizes, texts)):
        axes, scale = paper.tile(muted(one.image), View.around(one.middle, half), 0, number)
        draw_reads(axes, one.samples.reads, 0.75 * paper.line, scale)
        for top, line in zip(tops, lines):
            bold = "bold" if line.startswith("zoom") else "normal"
            at = number * paper.pitch + paper.side / 2, top + 1.05 * paper.font
            legend.write(paper, *at, line, palette.INK, ha="center", fontweight=bold)
    legend.title(paper, title, subtitle)
    paper.legend += [", ".join(lines) for lines in texts]
    zeros = sum(one.samples.reads.zeros for one in sizes)
    sample_key(paper, None if zeros else 0, composed=False)
    legend.note(paper, "Zoom: how far apart the samples lie, in spreads of the regular grid. All crops in one measure.")
    beyond = sum(int((np.abs(one.samples.reads.samples - one.middle) > half).any(axis=1).sum()) for one in sizes)
    if beyond:
        legend.note(paper, f"Beyond the crops, and counted in the zoom: {beyond} of the samples.", warn=True)
    if any(one.score is None for one in sizes):
        legend.note(paper, "Not found: no box of its class overlaps it by half; the cell at its middle is shown.")
    return legend.finish(paper)
