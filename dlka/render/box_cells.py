"""A box with the cells that gave it and the samples behind them, and a map of what its class depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from dlka import palette
from dlka.inference.letterbox import Letterbox
from dlka.render import legend
from dlka.render.box_samples import BoxSamples, inside
from dlka.render.boxes import corners
from dlka.render.canvas import Canvas, Paper, Tiles
from dlka.render.geometry import to_picture
from dlka.render.legend import CELL, ZERO_READ, Mark, draw_marks
from dlka.render.maps import check_scale, map_canvas, sequential
from dlka.render.picture import View, muted, whole

INSIDE, OUTSIDE = Mark(palette.DLKA), Mark(palette.DLKA, hollow=True)  # samples, against a box
GRID = Mark(palette.REGULAR, shape="s")
LIVELY = 0.8  # share of a map's sum that a close-up shows at least
CLOSE = 0.25  # free room around what a close-up shows, in its sides


@dataclass(frozen=True)
class BoxCells:
    """One panel. All [4] or [n, 4] x1 y1 x2 y2 in original pixels, at pixel edges.

    label   what the panel says about itself; colour: the model's; line: the style of the box's outline
    box     of the model, or of the other one where it found none; winner: square of the winning cell; merged: squares
            of the others
    """

    label: str
    colour: str
    line: str
    box: np.ndarray
    winner: np.ndarray
    merged: np.ndarray


def close_view(boxes: Sequence[np.ndarray], image: np.ndarray | None = None) -> View:
    """A square view that holds all of the boxes [4] with some room around them; with an image no more than that."""
    all_ = np.array(boxes, np.float64) - 0.5
    low, high = all_[:, :2].min(axis=0), all_[:, 2:].max(axis=0)
    view = View.around((low + high) / 2, max(float((high - low).max()), 1.0) * (0.5 + CLOSE))
    if image is None:
        return view
    edge = whole(image)
    return View(*np.maximum(view[:2], edge[:2]), *np.minimum(view[2:], edge[2:]))


def outline(axes: Axes, box: np.ndarray, colour: str, line: float, style: str = "-") -> None:
    """A box [4] over a light rim."""
    for ink, width, dash in ((palette.PAPER, 2.2 * line, "-"), (colour, 1.3 * line, style)):
        axes.add_collection(LineCollection(corners(box[None]), colors=ink, linewidths=width, linestyles=dash, zorder=5))


def draw_cells(image: np.ndarray, panels: Sequence[BoxCells], title: str) -> Paper:
    """Panels side by side in one window: box, winning cell (filled) and cells merged into it (outlines)."""
    view = close_view([b for p in panels for b in (p.box, p.winner, *p.merged)])
    image, paper = muted(image), Tiles(1, len(panels))
    for i, panel in enumerate(panels):
        axes, _ = paper.tile(image, view, 0, i)
        if len(panel.merged):
            for colour, thick in ((palette.RIM, 1.6), (palette.REGULAR, 0.7)):
                axes.add_collection(
                    LineCollection(corners(panel.merged), colors=colour, linewidths=thick * paper.line, zorder=3)
                )
        square = PolyCollection(
            corners(panel.winner[None]), facecolors=panel.colour, edgecolors=palette.PAPER, zorder=4
        )
        square.set(alpha=0.75, linewidth=paper.line)
        axes.add_collection(square)
        outline(axes, panel.box, panel.colour, paper.line, panel.line)
        paper.caption(axes, panel.label)
    legend.title(paper, title)
    legend.key(
        paper,
        [
            legend.Entry("winning cell", Mark(palette.MUTED, shape="s")),
            legend.Entry("cell whose box was merged into it", Mark(palette.REGULAR, shape="s", hollow=True)),
        ],
    )
    legend.note(paper, "Squares are cells of the maps that the boxes come from. The panels show the same window.")
    return legend.finish(paper)


def draw_box_samples(
    image: np.ndarray,
    rows: Sequence[Sequence[tuple[str, BoxSamples]]],
    box: np.ndarray,
    colour: str,
    line: str,
    title: str,
) -> Paper:
    """Where one cell reads, against a box: a row per block, a panel per stage and for both composed; one window a row.

    Samples inside the box are discs, those outside rings.
    """
    image, paper, zeros = muted(image), Tiles(len(rows), max(map(len, rows))), False
    for i, row in enumerate(rows):
        half = max(samples.reads.reach for _, samples in row)
        centre = row[0][1].reads.centre
        half = max(half, float(np.abs(box.reshape(2, 2) - 0.5 - centre).max()) * 1.1)
        for j, (label, samples) in enumerate(row):
            axes, scale = paper.tile(image, View.around(centre, half), i, j)
            outline(axes, box, colour, paper.line, line)
            _draw_reads(axes, samples, box, 0.75 * paper.line, scale)
            paper.caption(axes, f"{label}: {samples.share:.0%}, grid {samples.regular_share:.0%}")
            zeros |= samples.reads.zeros > 0
    legend.title(paper, title)
    entries = [
        legend.Entry("cell", CELL),
        legend.Entry("reads inside the box", INSIDE),
        legend.Entry("reads outside", OUTSIDE),
        legend.Entry("regular grid", GRID),
    ]
    if zeros:
        entries.append(legend.Entry("outside the map, reads zero", ZERO_READ))
    legend.key(paper, entries)
    legend.note(
        paper,
        "Shares are those of all reads that are inside the box. Composed: every path of the second stage through the "
        "first. The panels of a row show one window.",
    )
    return legend.finish(paper)


def _draw_reads(axes: Axes, samples: BoxSamples, box: np.ndarray, line: float, scale: float) -> None:
    """scale: sheet pixels per original pixel."""
    reads = samples.reads
    spacing = reads.per_cell * scale * (1 if reads.composed else min(reads.stage.dilation))
    outside = OUTSIDE
    if reads.composed:  # 1225 paths
        size, outside = float(np.clip(0.16 * spacing, 2 * line, 3.5 * line)), OUTSIDE._replace(alpha=0.5)
    else:
        size = float(np.clip(0.3 * spacing, 2.2 * line, 5.5 * line))
        paths = np.stack([reads.regular, reads.samples], axis=1)
        axes.add_collection(LineCollection(list(paths), colors=palette.REGULAR, linewidths=0.5 * line, zorder=3))
    draw_marks(axes, reads.regular, GRID, 0.5 * size, 0.4 * line)
    within = inside(reads.samples, box[None])
    for chosen, mark in ((reads.zero, ZERO_READ), (~reads.zero & ~within, outside), (~reads.zero & within, INSIDE)):
        draw_marks(axes, reads.samples[chosen], mark, size, 0.7 * line)
    draw_marks(axes, reads.centre[None], CELL, 2.2 * max(size, 4 * line), 1.1 * line)


@dataclass(frozen=True)
class Evidence:
    """A map about one box. values [H, W] >= 0 on cells of `stride` letterboxed pixels; box [4] x1 y1 x2 y2 in original
    pixels, with its outline's colour and style; centre [2]: (x, y) of the cell that is asked about, there, too."""

    values: np.ndarray
    stride: int
    box: np.ndarray
    colour: str
    line: str
    centre: np.ndarray
    title: str
    subtitle: str


def evidence_overlay(
    image: np.ndarray, of: Evidence, letterbox: Letterbox, largest: float, unit: str, view: View
) -> Canvas:
    """The map in colours by the square root of its part of `largest`, the end of the scale in `unit`, which has to be
    the same for all maps that are compared."""
    largest = check_scale(largest, unit)
    colours = sequential(np.sqrt(of.values / largest), 1.0)
    canvas = map_canvas(image, colours, of.stride, letterbox, 0.75, view=view, width=720)
    outline(canvas.axes, of.box, of.colour, canvas.line, of.line)
    draw_marks(canvas.axes, of.centre[None], CELL, 1.2 * canvas.font, canvas.line)
    legend.title(canvas, of.title, of.subtitle)
    ends = ["0", legend.number(largest / 4), f"{legend.number(largest)} {unit}"]
    legend.colour_bar(canvas, sequential(np.linspace(0, 1, 255), 1.0), [ends])
    part = share_inside(of.values, of.stride, letterbox, of.box)
    nothing = "All zero: nothing here speaks for this class."
    legend.note(canvas, nothing if part is None else f"{part:.0%} of it is inside the box.")
    return legend.finish(canvas)


def share_inside(values: np.ndarray, stride: float, letterbox: Letterbox, box: np.ndarray) -> float | None:
    """Part 0..1 of the sum of values [H, W] >= 0 in cells whose centres are inside a box [4]; None where all are 0."""
    centres = to_picture(np.moveaxis(np.indices(values.shape), 0, -1), stride, letterbox)
    total = float(values.sum(dtype=np.float64))
    return float(values[inside(centres, box[None])].sum(dtype=np.float64)) / total if total > 0 else None


def lively_edges(values: np.ndarray, stride: float, letterbox: Letterbox, share: float = LIVELY) -> np.ndarray | None:
    """[4] the box around the cells with the largest values that make up this share of the sum; None where all are 0."""
    flat = np.sort(values.ravel())[::-1].cumsum(dtype=np.float64)
    if flat[-1] <= 0:
        return None
    least = np.sort(values.ravel())[::-1][np.searchsorted(flat, share * flat[-1])]
    rows, columns = np.nonzero(values >= least)
    low = np.array([columns.min(), rows.min()]) * stride
    high = (np.array([columns.max(), rows.max()]) + 1) * stride
    return letterbox.boxes_back(np.concatenate([low, high]).astype(np.float64)[None])[0]
