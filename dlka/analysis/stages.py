"""How far a deform stage moves its taps on one picture, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dlka.inference.letterbox import Letterbox
from dlka.ops.sampling import split_offset
from dlka.render.geometry import pixels_per_cell
from dlka.render.offsets import outside_share
from dlka.types import Capture, stage_labels

MOVED = 0.1  # cells; offsets below hardly change a bilinear read

# In the place of what a model without deform stages does not have.
NO_STAGES = (
    "This model has no deform stages, so there are no offsets to show. Choose one with dense or separable offsets."
)


@dataclass(frozen=True)
class StageStats:
    """Lengths of all offsets of a stage (every tap of every cell), in cells and in pixels of the original picture.

    moved    share of offsets longer than 0.1 cell; outside, regular_outside  share of samples, and of the undeformed
             taps, that lie wholly outside the map and read zero; both in 0..1
    varies   standard deviation over cells of a tap's offset, mean over taps and axes, in cells: 0 where every cell
             has the same deformation whatever the picture shows
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


def stage_stats(capture: Capture, letterbox: Letterbox) -> StageStats:
    """The numbers of one stage on one picture. Offsets must be finite."""
    stage = capture.stage
    length = np.hypot(*split_offset(capture.offset))
    mean, p95, maximum = float(length.mean()), float(np.percentile(length, 95)), float(length.max())
    per_cell = pixels_per_cell(stage.stride, letterbox)
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
        outside=outside_share(capture, letterbox),
        regular_outside=outside_share(capture, letterbox, deformed=False),
    )


def all_stage_stats(captures: Sequence[Capture], letterbox: Letterbox) -> list[StageStats]:
    """stage_stats of every stage, in the order the stages ran; labels are distinct."""
    labels = stage_labels([capture.stage for capture in captures])
    return [replace(stage_stats(capture, letterbox), label=label) for capture, label in zip(captures, labels)]
