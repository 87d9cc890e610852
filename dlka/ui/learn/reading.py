"""The map that the step on bilinear reading reads, and the sheet of the playground."""

from __future__ import annotations

import numpy as np

SHEET = 320  # px: side of the playground's sheet, and of the model's input that it becomes
EXAMPLE_MAP = np.array([[0, 1, 2, 1], [2, 8, 6, 0], [1, 6, 9, 3], [0, 2, 4, 1]])  # made up, easy to add
EXAMPLE_POINT = 2.6, 0.5  # (y, x) where it is read at first: from there training leads to the largest value
ASKED_POINT = 1.25, 2.5  # where the question is
