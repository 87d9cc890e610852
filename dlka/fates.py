"""What became of a model's objects when the picture was changed: kept, lost, new, or out of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlka.compare import BOTH, CHANGED, ONLY_BASELINE, ONLY_DLKA, box_iou, compare
from dlka.transforms import map_boxes
from dlka.types import Detections

SEEN = 0.5  # share of an object's box that must still be on the picture, or it has left


@dataclass(frozen=True)
class Fates:
    """Indices into the detections before and after; every detection of either is in exactly one of these.

    expected  [N, 4] float64: where the boxes of before must be now, clipped to the picture
    kept      pairs (before, after) of one class; renamed  pairs whose class is another one now
    lost      before, on the picture still; gone  before, out of the picture; new  after
    """

    expected: np.ndarray
    kept: tuple[tuple[int, int], ...]
    renamed: tuple[tuple[int, int], ...]
    lost: tuple[int, ...]
    gone: tuple[int, ...]
    new: tuple[int, ...]


def expected_boxes(boxes: np.ndarray, moved: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where boxes [N, 4] must be after a change, clipped to the picture of (height, width), and [N] bool: still seen.

    moved: the matrix of the change (dlka/transforms.py).
    """
    mapped = map_boxes(boxes, moved)
    clipped = mapped.clip(0, [size[1], size[0], size[1], size[0]])
    left, whole = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (clipped, mapped))
    return clipped, left >= SEEN * whole


def fates(before: Detections, after: Detections, moved: np.ndarray, size: tuple[int, int]) -> Fates:
    """Match the boxes of the unchanged picture, mapped, with those of the changed one, one to one, at IoU 0.5."""
    expected, seen = expected_boxes(before.boxes, moved, size)
    here = np.flatnonzero(seen)
    mapped = Detections(
        expected[here].astype(np.float32),
        before.scores[here],
        before.classes[here],
        before.levels[here],
        before.cells[here],
    )
    # The same pairing as between two models; "D-LKA" stands for before here, "baseline" for after.
    pairs = compare(mapped, after).pairs

    def paired(kind: str) -> tuple[tuple[int, int], ...]:
        ends = [(p.dlka, p.baseline) for p in pairs if p.kind == kind]
        return tuple((int(here[i]), j) for i, j in ends if i is not None and j is not None)

    return Fates(
        expected=expected,
        kept=paired(BOTH),
        renamed=paired(CHANGED),
        lost=tuple(int(here[p.dlka]) for p in pairs if p.kind == ONLY_DLKA),
        gone=tuple(int(i) for i in np.flatnonzero(~seen)),
        new=tuple(p.baseline for p in pairs if p.kind == ONLY_BASELINE and p.baseline is not None),
    )


def best_score(found: Detections, box: np.ndarray, class_id: int, least_iou: float) -> float:
    """The best score of a box of this class that overlaps `box` [4] by least_iou or more; 0 if there is none."""
    fits = (box_iou(found.boxes, box[None])[:, 0] >= least_iou) & (found.classes == class_id)
    return float(found.scores[fits].max(initial=0.0))
