"""Bilinear reading of a map, and the map of ink that the playground reads. The page's scripts do the same."""

from __future__ import annotations

import numpy as np

SHEET = 320  # px: side of the playground's sheet, and of the model's input that it becomes
CELL = 8  # px: a cell of level P3
EXAMPLE_MAP = np.array([[0, 1, 2, 1], [2, 8, 6, 0], [1, 6, 9, 3], [0, 2, 4, 1]])  # made up, easy to add
EXAMPLE_POINT = 1.25, 2.5  # (y, x) where it is read


def read_bilinear(values: np.ndarray, y: float, x: float) -> float:
    """What is read from a map [H, W] at a real-valued place, in cells; cells outside the map are zero."""
    top, left = int(np.floor(y)), int(np.floor(x))
    fy, fx = y - top, x - left
    total = 0.0
    for row, column, share in (
        (top, left, (1 - fy) * (1 - fx)),
        (top, left + 1, (1 - fy) * fx),
        (top + 1, left, fy * (1 - fx)),
        (top + 1, left + 1, fy * fx),
    ):
        if 0 <= row < values.shape[0] and 0 <= column < values.shape[1]:
            total += share * float(values[row, column])
    return total


def ink_map(drawing: np.ndarray) -> np.ndarray:
    """Grey drawing [SHEET, SHEET, 3] uint8 -> [40, 40] float64: the share of ink in each cell, 0 white to 1 black."""
    ink = 1 - drawing[..., 0].astype(np.float64) / 255
    cells = SHEET // CELL
    return ink.reshape(cells, CELL, cells, CELL).mean((1, 3))
