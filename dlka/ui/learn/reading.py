"""Bilinear reading of a map, as the page's scripts do it, and what is read."""

from __future__ import annotations

import numpy as np

SHEET = 320  # px: side of the playground's sheet, and of the model's input that it becomes
EXAMPLE_MAP = np.array([[0, 1, 2, 1], [2, 8, 6, 0], [1, 6, 9, 3], [0, 2, 4, 1]])  # made up, easy to add
EXAMPLE_POINT = 2.6, 0.5  # (y, x) where it is read at first: from there training leads to the largest value
ASKED_POINT = 1.25, 2.5  # where the question is


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
