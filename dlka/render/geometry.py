"""Where cells, taps and samples lie on the original picture. No drawing here; numpy only.

Points are (x, y) in pixels of the original picture, measured at pixel centres; cells are (row, column).
"""

from __future__ import annotations

import numpy as np

from dlka.errors import DlkaError
from dlka.inference.letterbox import Letterbox
from dlka.ops.sampling import cell_to_pixel, composed_locations, output_size, sampling_locations, tap_grid
from dlka.types import Capture

Cell = tuple[int, int]


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


def locations(capture: Capture) -> np.ndarray:
    """[K, 2, H, W] (y, x): where every tap of every cell reads, in cells of the sampled map."""
    stage = capture.stage
    # float64: a float32 coordinate near cell 100 has steps of up to 2e-4 original pixels.
    return sampling_locations(
        capture.offset.astype(np.float64), stage.kernel, stage.step, stage.padding, stage.dilation
    )


def regular_locations(capture: Capture) -> np.ndarray:
    """[K, 2, H, W] (y, x): the same without the offsets, the tap grid."""
    stage = capture.stage
    return tap_grid(
        (capture.offset.shape[1], capture.offset.shape[2]), stage.kernel, stage.step, stage.padding, stage.dilation
    )


def check_cell(capture: Capture, cell: Cell) -> Cell:
    """The cell itself; ValueError if it is not on the stage's map."""
    height, width = capture.offset.shape[1:]
    if not (0 <= cell[0] < height and 0 <= cell[1] < width):
        raise DlkaError(
            f"{capture.stage.label}: expected a cell (row, column) on the {height} x {width} map, got {cell}"
        )
    return cell


def sample_points(capture: Capture, cell: Cell, letterbox: Letterbox) -> np.ndarray:
    """[K, 2] (x, y): where the taps of one cell read."""
    row, column = check_cell(capture, cell)
    return to_picture(locations(capture)[:, :, row, column], capture.stage.stride, letterbox)


def grid_points(capture: Capture, cell: Cell, letterbox: Letterbox) -> np.ndarray:
    """[K, 2] (x, y): where the taps of one cell would read without offsets."""
    row, column = check_cell(capture, cell)
    return to_picture(regular_locations(capture)[:, :, row, column], capture.stage.stride, letterbox)


def outside(capture: Capture, cell: Cell, letterbox: Letterbox) -> np.ndarray:
    """[K] bool: the taps of one cell that read zero because they lie at or beyond -1 or the size of the map."""
    row, column = check_cell(capture, cell)
    return zero_reads(locations(capture)[:, :, row, column], sampled_size(capture, letterbox))


def zero_reads(positions: np.ndarray, size: Cell) -> np.ndarray:
    """positions [..., 2] (y, x) in cells -> [...] bool: no part of the bilinear read is on the map; NaN counts too."""
    return np.logical_not(((positions > -1) & (positions < np.array(size))).all(axis=-1))


def composed_points(first: Capture, second: Capture, cell: Cell, letterbox: Letterbox) -> np.ndarray:
    """[K2, K1, 2] (x, y): where one cell of the second stage looks through the first; NaN: the path reads zero."""
    row, column = check_cell(second, cell)
    paths = composed_locations(locations(second)[:, :, row, column], locations(first))
    return to_picture(paths, first.stage.stride, letterbox)


def composed_grid_points(first: Capture, second: Capture, cell: Cell, letterbox: Letterbox) -> np.ndarray:
    """[K2, K1, 2] (x, y): the same with both stages undeformed."""
    row, column = check_cell(second, cell)
    paths = composed_locations(regular_locations(second)[:, :, row, column], regular_locations(first))
    return to_picture(paths, first.stage.stride, letterbox)


def cell_positions(capture: Capture) -> np.ndarray:
    """[2, H, W] (y, x): the middle of every cell's undeformed kernel, in cells of the sampled map.

    For the usual odd kernel with "same" padding and step 1 this is simply the cell itself.
    """
    return regular_locations(capture).mean(axis=0)


def cell_centres(capture: Capture, letterbox: Letterbox) -> np.ndarray:
    """[H, W, 2] (x, y): the centres of a stage's cells."""
    return to_picture(cell_positions(capture).transpose(1, 2, 0), capture.stage.stride, letterbox)


def cell_at(point: tuple[float, float], capture: Capture, letterbox: Letterbox) -> Cell:
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
