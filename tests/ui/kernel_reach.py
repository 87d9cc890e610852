"""How far kernels reach, as the lesson counts it."""

from __future__ import annotations

import numpy as np


def reach(kernel, dilation=1):
    """Side of the square that one output cell reads, in cells."""
    return (kernel - 1) * dilation + 1


def hits(kernel, dilation, side):
    """How many taps lie on a square object of this side, in cells, with the kernel's middle in its middle."""
    away = np.abs(np.arange(kernel) - (kernel - 1) / 2) * dilation
    return int((away <= side / 2).sum()) ** 2
