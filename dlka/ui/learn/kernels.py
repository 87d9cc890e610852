"""How far kernels reach, alone and stacked, and by how many paths. Numpy only."""

from __future__ import annotations

import numpy as np


def reach(kernel: int, dilation: int = 1) -> int:
    """Side of the square that one output cell reads, in cells."""
    return (kernel - 1) * dilation + 1


def taps(kernel: int, dilation: int = 1) -> np.ndarray:
    """[reach, reach] int: 1 where a tap lies, else 0."""
    side = reach(kernel, dilation)
    out = np.zeros((side, side), int)
    out[::dilation, ::dilation] = 1
    return out


def path_counts(first: int = 5, second: int = 7, dilation: int = 3) -> np.ndarray:
    """[R, R] int: by how many pairs of taps each input cell reaches one output cell, R = first + (second - 1) dilation.

    It is the full convolution of both tap patterns, which are products of their axes.
    """
    axis = np.convolve(np.ones(first, int), taps(second, dilation)[0])
    return np.outer(axis, axis)


def hits(kernel: int, dilation: int, side: float) -> int:
    """How many taps lie on a square object of this side, in cells, with the kernel's middle in its middle."""
    away = np.abs(np.arange(kernel) - (kernel - 1) / 2) * dilation
    return int((away <= side / 2).sum()) ** 2
