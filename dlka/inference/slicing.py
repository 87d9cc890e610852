"""One model on overlapping slices of a picture instead of on the whole: more pixels for every object, same weights.

Cutting, moving boxes back and merging them is supervision's `InferenceSlicer`. Import this file only when slices are
asked for: the library takes half a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import supervision

from dlka.types import Detections

OVERLAP = 0.2  # of a slice's side that its neighbour sees too
MERGED = 0.5  # overlap, as a share of the smaller box, at which two boxes of a class are one object


@dataclass(frozen=True)
class Sliced:
    """What was found slice by slice.

    detections  boxes in pixels of the whole picture; levels and cells are those of the slice that fired
    slices      [M, 4] int64, x1 y1 x2 y2 of every slice in pixels of the picture, row by row
    fired       [N] int64, for every detection the slice that its box comes from; of merged ones the best score's
    """

    detections: Detections
    slices: np.ndarray
    fired: np.ndarray


def as_supervision(found: Detections, names: Mapping[int, str]) -> supervision.Detections:
    """The same boxes as supervision has them. names: class id -> name, which become class_name among the data."""
    data: dict[str, Any] = {"class_name": np.array([names[int(number)] for number in found.classes])}
    return supervision.Detections(xyxy=found.boxes, confidence=found.scores, class_id=found.classes, data=data)


def slices_per_side(image_size: tuple[int, int], input_size: int) -> int:
    """2, or 3 where a picture (height, width) has more than twice as many pixels a side as the model's input."""
    return 3 if max(image_size) > 2 * input_size else 2


def look_in_slices(look: Callable[[np.ndarray], Detections], image: np.ndarray, per_side: int) -> Sliced:
    """Look at per_side x per_side overlapping slices of a picture [H, W, 3] uint8.

    look: a part of the picture -> boxes in pixels of that part. Boxes of a class that overlap by MERGED become the one
    box around them, with the mean of their scores weighted by area: so a person cut by a slice's edge is whole again.
    An object larger than a slice may come in pieces.
    """
    height, width = image.shape[:2]
    slices: list[tuple[int, int, int, int]] = []

    def one(numbers: np.ndarray) -> supervision.Detections:
        top, left = divmod(int(numbers[0, 0]), width)
        bottom, right = top + numbers.shape[0], left + numbers.shape[1]
        found = look(np.ascontiguousarray(image[top:bottom, left:right]))
        data: dict[str, Any] = {"level": found.levels, "cell": found.cells, "slice": np.full(len(found), len(slices))}
        slices.append((left, top, right, bottom))
        return supervision.Detections(xyxy=found.boxes, confidence=found.scores, class_id=found.classes, data=data)

    # The least whole sides of slices that cover the picture and overlap as told.
    across, down = (math.ceil(length / (per_side - OVERLAP * (per_side - 1))) for length in (width, height))
    slicer = supervision.InferenceSlicer(
        one,
        slice_wh=(across, down),
        overlap_wh=(int(OVERLAP * across), int(OVERLAP * down)),
        overlap_filter=supervision.OverlapFilter.NON_MAX_MERGE,
        overlap_metric=supervision.OverlapMetric.IOS,
        iou_threshold=MERGED,
    )
    # A slice does not tell where it was cut from, so the slicer is given the numbers of the pixels in their place.
    merged: Any = slicer(np.arange(height * width, dtype=np.int32).reshape(height, width))
    if not len(merged):  # nothing has no data
        ids = np.zeros(0, np.int64)
        nothing = Detections(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ids, ids, np.zeros((0, 2), np.int64)
        )
        return Sliced(nothing, np.array(slices, np.int64), ids)
    kept = merged[np.argsort(-merged.confidence, kind="stable")]
    found = Detections(
        kept.xyxy.astype(np.float32), kept.confidence, kept.class_id, kept.data["level"], kept.data["cell"]
    )
    return Sliced(found, np.array(slices, np.int64), kept.data["slice"])
