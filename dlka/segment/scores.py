"""How well labels fit: Dice and the 95th percentile of surface distances, by class, with intervals over cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, generate_binary_structure

RESAMPLES = 2000


def dice(found: np.ndarray, true: np.ndarray) -> float:
    """Dice's overlap 2 |A and B| / (|A| + |B|) of two masks, 0 to 1; not a number where both are empty."""
    total = int(found.sum()) + int(true.sum())
    return 2 * int((found & true).sum()) / total if total else float("nan")


def hd95(found: np.ndarray, true: np.ndarray, spacing: Sequence[float]) -> float:
    """95th percentile of the distances between the surfaces of two masks, from each to the other, both together, in
    units of spacing. Not a number where one of them is empty.

    A surface is the cells of a mask of which a neighbour with a common side is not in it; beyond the border nothing is.
    """
    if not (found.any() and true.any()):
        return float("nan")
    # Nothing is far away from both: what lies outside of their common box does not change a distance.
    there = [
        np.flatnonzero((found | true).any(tuple(a for a in range(found.ndim) if a != axis)))
        for axis in range(found.ndim)
    ]
    box = tuple(slice(cells[0], cells[-1] + 1) for cells in there)
    first, second = _surface(found[box]), _surface(true[box])
    to_second = distance_transform_edt(~second, sampling=spacing)[first]
    to_first = distance_transform_edt(~first, sampling=spacing)[second]
    return float(np.percentile(np.concatenate([to_second, to_first]), 95))


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean of values of cases, and its 95 % interval by resampling the cases; what is no number is left out."""
    values = values[np.isfinite(values)]
    if not len(values):
        return (float("nan"),) * 3
    drawn = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), (2.5, 97.5))
    return float(values.mean()), float(low), float(high)


def _surface(mask: np.ndarray) -> np.ndarray:
    inner: np.ndarray = binary_erosion(mask, generate_binary_structure(mask.ndim, 1), border_value=0)
    return mask & ~inner
