"""Where one deform stage reads at an object, close-ups beside each other at one scale: before and after the picture was
changed, or of the object at several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.collections import LineCollection

from dlka import palette
from dlka.inference.kernel_shape import kernel_shape, spread
from dlka.inference.letterbox import Letterbox
from dlka.render import legend
from dlka.render.box_samples import BoxSamples, inside
from dlka.render.boxes import corners
from dlka.render.canvas import Paper, Tiles
from dlka.render.geometry import Point, Reads, check_picture, reads_at
from dlka.render.picture import View, muted
from dlka.render.samples import draw_reads, sample_key
from dlka.types import Capture


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


WIDTH = 1600  # pixels of the sheet
SMALL = 0.65  # of the usual type: a row of pictures is looked at on a screen wider than a phone


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
