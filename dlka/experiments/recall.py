"""Which objects a model finds at all, and how large they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlka.analysis.judging import match

SCORE = 0.25  # what a detection must have to count, as on the page
IOU = 0.5


def objects_found(truth: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Side [n] float32 of every object of truth, and whether it was found [n] bool, in truth's order.

    Side: the root of the box's area, in px of the original picture. Found: a detection of its class with score >= 0.25
    has IoU >= 0.5 with it; detections take objects one to one, best score first, the one that they overlap most.
    truth and found: COCO annotations and results.
    """
    objects, detections = defaultdict(list), defaultdict(list)
    for index, row in enumerate(truth):
        objects[row["image_id"], row["category_id"]].append(index)
    for row in found:
        if row["score"] >= SCORE:
            detections[row["image_id"], row["category_id"]].append(row)
    hit = np.zeros(len(truth), bool)
    for key, indices in objects.items():
        best = sorted(detections[key], key=lambda row: -row["score"])
        boxes = np.array([row["bbox"] for row in best], np.float64).reshape(-1, 4)
        there = np.array([truth[i]["bbox"] for i in indices], np.float64)
        pairs = match(boxes, there, np.array([IOU]), np.zeros((1, len(indices)), bool))[0, 0]
        hit[np.array(indices)[pairs[pairs >= 0]]] = True
    return np.sqrt([row["area"] for row in truth]).astype(np.float32), hit
