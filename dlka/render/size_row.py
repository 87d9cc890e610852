"""One object at several sizes beside each other, and where one stage reads for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlka import palette
from dlka.render import legend
from dlka.render.box_samples import BoxSamples
from dlka.render.canvas import Paper
from dlka.render.picture import View, muted
from dlka.render.reads import Point
from dlka.render.samples import draw_reads, sample_key

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
    gap = max(2, WIDTH // 160)
    side = (WIDTH - gap * (len(sizes) - 1)) // len(sizes)
    paper = Paper(WIDTH, side)
    paper.font *= SMALL
    texts = [(f"{one.size:g} px", f"zoom {one.zoom:.2f}", _found(one.score)) for one in sizes]
    # Rows for the texts below the pictures, before the legend takes those that follow.
    tops = [paper.grow(legend.ROW * paper.font) for _ in texts[0]]
    for number, (one, lines) in enumerate(zip(sizes, texts)):
        (x, y), left = one.middle, number * (side + gap)
        view = View(x - half, y - half, x + half, y + half)
        axes = paper.panel(muted(one.image), view, left, 0, side, side)
        draw_reads(axes, one.samples.reads, 0.75 * paper.line, side / (2 * half))
        for top, line in zip(tops, lines):
            bold = "bold" if line.startswith("zoom") else "normal"
            at = left + side / 2, top + 1.05 * paper.font
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


def _found(score: float | None) -> str:
    return "not found" if score is None else f"score {score:.2f}"
