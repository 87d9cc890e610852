"""Bilinear reading of a map, as the page's scripts do it."""

from __future__ import annotations

import numpy as np


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
