"""Which boxes of one model are hits and which are false alarms, and which objects nobody hit, by COCO's rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlka.truth.coco_matching import match
from dlka.truth.labels import Truth
from dlka.types import Detections

HIT, FALSE_ALARM, UNCOUNTED = "hit", "false alarm", "not counted"
IOU = 0.5  # least overlap of a hit


@dataclass(frozen=True)
class Judgement:
    """Detections of one model on one picture against its truth.

    verdicts  one of HIT, FALSE_ALARM, UNCOUNTED for each detection; uncounted are those of classes that nobody
              labelled, and those that lie in a crowd
    object_of [D] int64, index of the object that each detection hits, -1 for none
    found_by  [G] int64, index of the detection that hits each object, -1 for none; always -1 for a crowd
    """

    verdicts: tuple[str, ...]
    object_of: np.ndarray
    found_by: np.ndarray


def judge(found: Detections, truth: Truth, iou: float = IOU) -> Judgement:
    """One to one, class by class: detections take objects by score, each the free one that it overlaps most.

    A detection that is left over lies in a crowd of its class where at least `iou` of its own area does, as COCO has
    it; any number may.
    """
    object_of, found_by = np.full(len(found), -1), np.full(len(truth), -1)
    verdicts = np.full(len(found), FALSE_ALARM, dtype=object)
    verdicts[~np.isin(found.classes, list(truth.labelled))] = UNCOUNTED
    by_score = np.argsort(-found.scores, kind="stable")
    for number in set(found.classes.tolist()) & set(truth.classes.tolist()):
        ours = by_score[found.classes[by_score] == number]
        there = np.flatnonzero((truth.classes == number) & ~truth.crowd)
        nobody = np.zeros((1, len(there)), bool)
        pairs = match(_xywh(found.boxes[ours]), _xywh(truth.boxes[there]), np.array([iou]), nobody)[0, 0]
        hits, objects = ours[pairs >= 0], there[pairs[pairs >= 0]]
        object_of[hits], found_by[objects], verdicts[hits] = objects, hits, HIT
        rest = ours[pairs < 0]
        crowds = truth.boxes[(truth.classes == number) & truth.crowd]
        verdicts[rest[_share_inside(found.boxes[rest], crowds) >= iou]] = UNCOUNTED
    return Judgement(tuple(verdicts.tolist()), object_of, found_by)


def _xywh(boxes: np.ndarray) -> np.ndarray:
    boxes = boxes.astype(np.float64)
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])


def _share_inside(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The share 0..1 of each box [D, 4] that lies in the region [R, 4] which holds most of it: [D]."""
    a, b = boxes[:, None].astype(np.float64), regions[None]
    common = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=-1)
    area = (a[..., 2:] - a[..., :2]).prod(axis=-1)
    return np.divide(common, area, out=np.zeros_like(common), where=area > 0).max(axis=1, initial=0)
