"""The map of ink that the playground's script reads from a drawing."""

from __future__ import annotations

import numpy as np

from dlka.ui.learn import SHEET

CELL = 8  # px: a cell of level P3


def ink_map(drawing: np.ndarray) -> np.ndarray:
    """Grey drawing [SHEET, SHEET, 3] uint8 -> [40, 40] float64: the share of ink in each cell, 0 white to 1 black."""
    ink = 1 - drawing[..., 0].astype(np.float64) / 255
    cells = SHEET // CELL
    return ink.reshape(cells, CELL, cells, CELL).mean((1, 3))
