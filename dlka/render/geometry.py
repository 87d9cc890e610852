"""Where cells, taps and samples lie on the original picture. No drawing here; numpy only.

Points are (x, y) in pixels of the original picture, measured at pixel centres; cells are (row, column).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlka.errors import DlkaError
from dlka.inference.letterbox import Letterbox
from dlka.ops.sampling import cell_to_pixel, composed_locations, output_size, sampling_locations, tap_grid
from dlka.types import Capture, Stage

Cell = tuple[int, int]
Point = tuple[float, float]  # (x, y) in original pixels


def to_picture(positions: np.ndarray, stride: float, letterbox: Letterbox) -> np.ndarray:
    """[..., 2] (y, x) in cells of a map with this stride -> [..., 2] (x, y) in original pixels."""
    return letterbox.points_back(cell_to_pixel(positions[..., ::-1].astype(np.float64), stride))


def pixels_per_cell(stride: float, letterbox: Letterbox) -> float:
    """Original pixels along one cell (mean of the two axes, which differ by the rounding of the letterbox)."""
    return float(stride / letterbox.scale_xy.mean())


def check_picture(image: np.ndarray, letterbox: Letterbox) -> None:
    """ValueError unless the letterbox was made for a picture [H, W, 3] of this size."""
    if image.shape[:2] != letterbox.original:
        (high, wide), (h, w) = letterbox.original, image.shape[:2]
        raise ValueError(f"expected a picture of {high} x {wide} (height x width), as its letterbox, got {h} x {w}")


def map_size(stride: int, letterbox: Letterbox) -> Cell:
    """(H, W) of a feature map of the letterboxed picture."""
    return -(-letterbox.padded[0] // stride), -(-letterbox.padded[1] // stride)


def sampled_size(capture: Capture, letterbox: Letterbox) -> Cell:
    """(H, W) of the map that a stage samples; ValueError if the capture is of a picture of another size."""
    stage = capture.stage
    size = map_size(stage.stride, letterbox)
    expected = output_size(size, stage.kernel, stage.step, stage.padding, stage.dilation)
    if expected != capture.offset.shape[1:]:
        raise ValueError(
            f"{stage.label}: expected an offset map of {expected[0]} x {expected[1]} cells for a letterboxed picture "
            f"of {letterbox.padded[0]} x {letterbox.padded[1]} pixels, got {capture.offset.shape[1]} x "
            f"{capture.offset.shape[2]}: pass the letterbox that the capture was made with"
        )
    return size


def locations(capture: Capture, deformed: bool = True) -> np.ndarray:
    """[K, 2, H, W] (y, x): where every tap of every cell reads, in cells of the sampled map; or the undeformed grid."""
    stage = capture.stage
    geometry = (stage.kernel, stage.step, stage.padding, stage.dilation)
    if not deformed:
        return tap_grid((capture.offset.shape[1], capture.offset.shape[2]), *geometry)
    # float64: a float32 coordinate near cell 100 has steps of up to 2e-4 original pixels.
    return sampling_locations(capture.offset.astype(np.float64), *geometry)


def sample_points(captures: Sequence[Capture], cell: Cell, letterbox: Letterbox, deformed: bool = True) -> np.ndarray:
    """Where one cell reads, (x, y): [K, 2] of a stage; of the two stages of a block, in order, every path through both.

    captures: the stage, or both; then [K2 * K1, 2], the cell is one of the second stage, and NaN stands for a path that
    reads zero in between. deformed: with the offsets, or the regular grid.
    """
    first, last = captures[0], captures[-1]
    (row, column), (height, width) = cell, last.offset.shape[1:]
    if not (0 <= row < height and 0 <= column < width):
        raise DlkaError(f"{last.stage.label}: expected a cell (row, column) on the {height} x {width} map, got {cell}")
    places = locations(last, deformed)[:, :, row, column]
    if first is not last:
        places = composed_locations(places, locations(first, deformed)).reshape(-1, 2)
    return to_picture(places, first.stage.stride, letterbox)


def zero_reads(positions: np.ndarray, size: Cell) -> np.ndarray:
    """positions [..., 2] (y, x) in cells -> [...] bool: no part of the bilinear read is on the map; NaN counts too."""
    return np.logical_not(((positions > -1) & (positions < np.array(size))).all(axis=-1))


def cell_positions(capture: Capture) -> np.ndarray:
    """[2, H, W] (y, x): the middle of every cell's undeformed kernel, in cells of the sampled map.

    For the usual odd kernel with "same" padding and step 1 this is simply the cell itself.
    """
    return locations(capture, deformed=False).mean(axis=0)


def cell_centres(capture: Capture, letterbox: Letterbox) -> np.ndarray:
    """[H, W, 2] (x, y): the centres of a stage's cells."""
    return to_picture(cell_positions(capture).transpose(1, 2, 0), capture.stage.stride, letterbox)


def cell_at(point: Point, capture: Capture, letterbox: Letterbox) -> Cell:
    """(row, column) of the cell whose centre is nearest to a point of the original picture."""
    centres = cell_centres(capture, letterbox)
    column = np.abs(centres[0, :, 0] - point[0]).argmin()
    row = np.abs(centres[:, 0, 1] - point[1]).argmin()
    return int(row), int(column)


def map_edges(size: Cell, stride: float, letterbox: Letterbox) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a whole map in original pixels (point coordinates), padding included."""
    (left, top), (right, bottom) = to_picture(
        np.array([[-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5]]), stride, letterbox
    )
    return left, top, right, bottom


def cell_squares(cells: np.ndarray, strides: np.ndarray, letterbox: Letterbox) -> np.ndarray:
    """cells [n, 2] (row, column) on maps with these strides [n] -> [n, 4] x1 y1 x2 y2 in original pixels, at edges."""
    corner = cells[:, ::-1] * strides[:, None]
    return letterbox.boxes_back(np.concatenate([corner, corner + strides[:, None]], axis=1).astype(np.float64))


def cells_under(
    points: np.ndarray, cells: int, stride: float, letterbox: Letterbox, axis: int, first: float = 0, step: int = 1
) -> np.ndarray:
    """The cell under each coordinate of one axis (0: x, 1: y), -1 beyond the map.

    points [n] in original pixels. The map has this many cells with centres at first, first + step, ... on a map of
    the given stride; each covers its step x stride letterboxed pixels.
    """
    both = np.zeros((len(points), 2))
    both[:, axis] = points
    position = (letterbox.points_forward(both)[:, axis] + 0.5) / stride - 0.5  # inverse of cell_to_pixel
    index = np.floor((position - first) / step + 0.5).astype(int)
    return np.where((index >= 0) & (index < cells), index, -1)


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
    return reads_of(captures, cell_at(point, captures[-1], letterbox), letterbox)


def reads_of(captures: Sequence[Capture], cell: Cell, letterbox: Letterbox) -> Reads:
    """The same for a cell of the last stage."""
    first, last = captures[0], captures[-1]
    if first.stage.block != last.stage.block:
        raise ValueError(f"expected two stages of one block, got {first.stage.block} and {last.stage.block}")
    size = sampled_size(first, letterbox)
    samples, regular = (sample_points(captures, cell, letterbox, deformed) for deformed in (True, False))
    lost = 0
    if first is last:
        zero = zero_reads(locations(last)[:, :, cell[0], cell[1]], size)
    else:
        through = np.isfinite(samples).all(axis=1)
        samples, lost = samples[through], int((~through).sum())
        regular = np.unique(regular[np.isfinite(regular).all(axis=1)], axis=0)
        position = (letterbox.points_forward(samples) + 0.5) / first.stage.stride - 0.5
        zero = zero_reads(position[:, ::-1], size)
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
