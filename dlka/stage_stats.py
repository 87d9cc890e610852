"""How far a deform stage moves its taps on one picture, in numbers, and whether that looks healthy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dlka.inference.letterbox import Letterbox
from dlka.ops.sampling import sampling_locations, split_offset, tap_grid
from dlka.types import Capture

MOVED = 0.1  # cells; offsets below hardly change a bilinear read
DEAD = 0.05  # cells; if 95 % of all offsets are below, the stage is as good as rigid
LOST = 0.25  # share; if so many more samples than the regular grid's leave the map, the stage has run away


@dataclass(frozen=True)
class StageStats:
    """Lengths of all offsets of a stage (every tap of every cell), in cells and in pixels of the original picture.

    moved    share of offsets longer than 0.1 cell; outside, regular_outside  share of samples, and of the undeformed
             taps, that lie wholly outside the map and read zero; both in 0..1
    varies   standard deviation over cells of a tap's offset, mean over taps and axes, in cells: 0 where every cell
             has the same deformation whatever the picture shows
    health   "dead": 95 % of offsets are under 0.05 cell; "exploding": over 25 points more samples than regular taps
             leave the map, or the mean offset is longer than half the kernel's extent; else "healthy"
    """

    name: str
    label: str
    cells: tuple[int, int]
    stride: int
    mean: float
    p95: float
    maximum: float
    mean_px: float
    p95_px: float
    maximum_px: float
    moved: float
    varies: float
    outside: float
    regular_outside: float
    health: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def stage_stats(capture: Capture, letterbox: Letterbox) -> StageStats:
    """The numbers of one stage on one picture. Offsets must be finite."""
    stage = capture.stage
    dy, dx = split_offset(capture.offset)
    length = np.hypot(dy, dx)
    mean, p95, maximum = float(length.mean()), float(np.percentile(length, 95)), float(length.max())
    per_cell = stage.stride / float(letterbox.scale_xy.mean())
    size = (letterbox.padded[0] // stage.stride, letterbox.padded[1] // stage.stride)
    geometry = (stage.kernel, stage.step, stage.padding, stage.dilation)
    outside = _outside(sampling_locations(capture.offset, *geometry), size)
    regular = _outside(tap_grid(capture.offset.shape[-2:], *geometry), size)
    half_extent = max((k - 1) * d / 2 for k, d in zip(stage.kernel, stage.dilation))
    health = "healthy"
    if p95 < DEAD:
        health = "dead"
    elif outside - regular > LOST or mean > half_extent:
        health = "exploding"
    return StageStats(
        name=stage.name,
        label=stage.label,
        cells=(capture.offset.shape[1], capture.offset.shape[2]),
        stride=stage.stride,
        mean=mean,
        p95=p95,
        maximum=maximum,
        mean_px=mean * per_cell,
        p95_px=p95 * per_cell,
        maximum_px=maximum * per_cell,
        moved=float((length > MOVED).mean()),
        varies=float(capture.offset.std(axis=(1, 2)).mean()),
        outside=outside,
        regular_outside=regular,
        health=health,
    )


def all_stage_stats(captures: Sequence[Capture], letterbox: Letterbox) -> list[StageStats]:
    """stage_stats of every stage, in the order the stages ran."""
    return [stage_stats(capture, letterbox) for capture in captures]


def _outside(locations: np.ndarray, size: tuple[int, int]) -> float:
    """Share of locations [K, 2, H, W] (y, x) at or beyond -1 and the map's size, where reads are zero."""
    y, x = locations[:, 0], locations[:, 1]
    return float(((y <= -1) | (x <= -1) | (y >= size[0]) | (x >= size[1])).mean())
