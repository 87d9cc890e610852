"""Where one deform stage reads at an object, before and after the picture was changed, at one scale."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.collections import LineCollection

from dlka import palette
from dlka.inference.kernel_shape import kernel_shape, spread
from dlka.inference.letterbox import Letterbox
from dlka.render import legend
from dlka.render.box_samples import inside
from dlka.render.boxes import corners
from dlka.render.canvas import WIDTH, Paper
from dlka.render.geometry import check_picture
from dlka.render.picture import View, muted
from dlka.render.reads import Point, Reads, reads_at
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


def zoom_and_rotation(reads: Reads) -> tuple[float, float]:
    """How the samples are zoomed and turned as a whole, against the regular grid: factor, and degrees clockwise."""
    shape = kernel_shape(reads.regular[:, ::-1], reads.samples[:, ::-1])
    return float(shape.zoom), float(shape.rotation)


def share_on(points: np.ndarray, box: np.ndarray) -> float:
    """Share 0..1 of points [n, 2] at pixel centres that lie in a box [4] at pixel edges."""
    return float(inside(points, box[None]).mean())


def draw_before_after(before: Side, after: Side) -> Paper:
    """Two close-ups beside each other with one window size, each around its own cell."""
    sides = (before, after)
    for side in sides:
        check_picture(side.image, side.letterbox)
    reads = [reads_at([side.capture], side.point, side.letterbox) for side in sides]
    gap = max(2, WIDTH // 160)
    room = (WIDTH - gap) // 2
    # The wider side decides for both, so that lengths can be compared by eye.
    half = max(one.reach for one in reads)
    paper = Paper(WIDTH, room)
    for i, (name, side, one) in enumerate(zip(("before", "after"), sides, reads)):
        x, y = one.centre
        view = View(x - half, y - half, x + half, y + half)
        axes = paper.panel(muted(side.image), view, i * (room + gap), 0, room, room)
        if side.box is not None:
            path = corners(side.box[None].astype(np.float64))
            # A light line below the dark one, to be seen on any picture.
            for colour, line in ((palette.PAPER, 2.2), (palette.INK, 1.0)):
                axes.add_collection(LineCollection(path, colors=colour, linewidths=line * paper.line, zorder=2))
        draw_reads(axes, one, 0.75 * paper.line, room / (2 * half))
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
        on = None if side.box is None else share_on(reads.samples, side.box)
        return [moved(reads), spread(reads.samples), *zoom_and_rotation(reads), on]

    names = (
        "taps moved by, px",
        "samples spread by, px",
        "kernel zoomed, times",
        "kernel turned by, °",
        "samples in the box of the object",
    )
    told = list(zip(names, zip(of(before), of(after))))
    return told if before.box is not None else told[:-1]
