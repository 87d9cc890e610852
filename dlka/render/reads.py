"""Everything that a picture of one chosen point shows, as numbers: what is read, from where, and what is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlka.inference.letterbox import Letterbox
from dlka.render.geometry import (
    Cell,
    cell_at,
    cell_centres,
    composed_grid_points,
    composed_points,
    grid_points,
    map_edges,
    outside,
    pixels_per_cell,
    sample_points,
    sampled_size,
)
from dlka.types import Capture, Stage

Point = tuple[float, float]  # (x, y) in original pixels


@dataclass(frozen=True)
class Reads:
    """What one cell of a stage reads, directly or (composed) through the stage before it.

    stage    the stage that the cell belongs to
    composed whether the reads go on through the first stage of the block
    cell     (row, column); centre [2] (x, y) of it in original pixels, like all points here
    samples  [n, 2]; composed: only paths that are not lost
    regular  [m, 2]: the undeformed places, without repeats if composed
    zero     [n] bool: samples outside the map, which read zero
    lost     number of composed paths that leave the map between the two stages, and so read zero too
    edges    (left, top, right, bottom) of the sampled map
    per_cell original pixels per cell
    """

    stage: Stage
    composed: bool
    cell: Cell
    centre: np.ndarray
    samples: np.ndarray
    regular: np.ndarray
    zero: np.ndarray
    lost: int
    edges: tuple[float, float, float, float]
    per_cell: float

    @property
    def zeros(self) -> int:
        """How many reads give zero because they are outside the map, lost ones included."""
        return int(self.zero.sum()) + self.lost

    @property
    def reach(self) -> float:
        """Half the side of a square around the cell that holds grid and samples, wild ones left out."""
        grid = float(np.abs(self.regular - self.centre).max(initial=self.per_cell))
        finite = self.samples[np.isfinite(self.samples).all(axis=1)]
        moved = float(np.abs(finite - self.centre).max(initial=0.0))
        return max(grid, min(moved, 2 * grid)) + 1.2 * self.per_cell


def reads_at(captures: Sequence[Capture], point: Point, letterbox: Letterbox) -> Reads:
    """The reads of the cell nearest to a point: of one stage, or of the two stages of a block, in order, composed."""
    if len(captures) not in (1, 2):
        raise ValueError(f"expected one stage, or the two stages of a block in order, got {len(captures)} stages")
    first, last = captures[0], captures[-1]
    if first.stage.block != last.stage.block:
        raise ValueError(f"expected two stages of one block, got {first.stage.block} and {last.stage.block}")
    size = sampled_size(first, letterbox)
    cell, lost = cell_at(point, last, letterbox), 0
    if first is last:
        samples, regular = sample_points(last, cell, letterbox), grid_points(last, cell, letterbox)
        zero = outside(last, cell, letterbox)
    else:
        paths = composed_points(first, last, cell, letterbox).reshape(-1, 2)
        through = np.isfinite(paths).all(axis=1)
        samples, lost = paths[through], int((~through).sum())
        grid = composed_grid_points(first, last, cell, letterbox).reshape(-1, 2)
        regular = np.unique(grid[np.isfinite(grid).all(axis=1)], axis=0)
        position = (letterbox.points_forward(samples) + 0.5) / first.stage.stride - 0.5
        zero = np.any((position <= -1) | (position >= np.array(size[::-1])), axis=1)
    return Reads(
        stage=last.stage,
        composed=first is not last,
        cell=cell,
        centre=cell_centres(last, letterbox)[cell],
        samples=samples,
        regular=regular,
        zero=zero,
        lost=lost,
        edges=map_edges(size, first.stage.stride, letterbox),
        per_cell=pixels_per_cell(last.stage.stride, letterbox),
    )
