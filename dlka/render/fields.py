"""Offset fields as numbers: means over taps, lengths, and the automatic scale for one or several of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dlka.errors import DlkaError
from dlka.ops.sampling import split_offset
from dlka.types import Capture

NEAR_ZERO = 0.05  # cells; offsets below it everywhere are noise, and the legend says so
SMALLEST_SCALE = 0.25  # cells; an automatic scale never goes below, so that noise stays pale
STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)  # friendly numbers for the ends of scales


def _taps(capture: Capture, tap: int | None) -> tuple[np.ndarray, np.ndarray]:
    """dy, dx [T, H, W]: all taps, or only one."""
    if tap is not None and not 0 <= tap < capture.stage.taps:
        raise DlkaError(f"{capture.stage.label}: expected a tap in 0..{capture.stage.taps - 1}, got {tap}")
    dy, dx = split_offset(capture.offset)
    return (dy, dx) if tap is None else (dy[tap : tap + 1], dx[tap : tap + 1])


def mean_offset(capture: Capture, tap: int | None = None) -> np.ndarray:
    """[2, H, W] (dy, dx) in cells: the mean over all taps, or the offset of one tap (row-major index)."""
    dy, dx = _taps(capture, tap)
    return np.stack([dy.mean(axis=0), dx.mean(axis=0)])


def magnitude(capture: Capture, tap: int | None = None) -> np.ndarray:
    """[H, W] in cells: the mean over taps of each tap's offset length, or the length of one tap's offset."""
    dy, dx = _taps(capture, tap)
    return np.hypot(dy, dx).mean(axis=0)


def friendly(value: float) -> float:
    """The next number up that reads well on a legend: 1, 1.2, 1.5, 2, 2.5, ... times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(s for s in STEPS if s * power >= value * (1 - 1e-9)) * power)


def field_scale(
    captures: Iterable[Capture], tap: int | None = None, percentile: float = 99, of_magnitude: bool = False
) -> float:
    """One colour and arrow scale in cells for several captures together.

    A percentile over all their cells of what is drawn: the length of the mean offset (arrows, wheel colours), or
    with of_magnitude the mean length. Rounded up to a friendly number; never below SMALLEST_SCALE.
    """
    fields = [magnitude(c, tap) if of_magnitude else np.hypot(*mean_offset(c, tap)) for c in captures]
    values = np.concatenate([f.ravel() for f in fields]) if fields else np.zeros(0)
    values = values[np.isfinite(values)]
    return friendly(max(float(np.percentile(values, percentile)) if values.size else 0.0, SMALLEST_SCALE))


def near_zero(capture: Capture) -> bool:
    """Whether no tap of any cell is moved by as much as NEAR_ZERO cells."""
    return not (np.abs(capture.offset) >= NEAR_ZERO).any()
