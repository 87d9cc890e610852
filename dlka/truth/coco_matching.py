"""Which detections find an object, and which object: COCO's rule for one picture and one class.

The evaluator that gives the AP figures keeps its matches to itself; resampling pictures and judging boxes need them.
"""

from __future__ import annotations

import numpy as np

AREAS = {"all": (0.0, 1e10), "S": (0.0, 32.0**2), "M": (32.0**2, 96.0**2), "L": (96.0**2, 1e10)}  # both ends belong
IOUS = np.linspace(0.5, 0.95, 10)


def match(found: np.ndarray, truth: np.ndarray, ious: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """The object of every detection: [A, T, D] int64, an index into truth, or -1.

    found [D, 4], best score first, and truth [G, 4]: boxes x, y (upper left), width, height; ious [T]: least overlap
    in 0..1; ignored [A, G] bool: objects that are not asked for, once for each of A questions (such as size ranges).

    One detection after the other takes the free object that it overlaps most, the last of several; an ignored object
    only where no other one is left (pycocotools, COCOeval.evaluateImg).
    """
    pairs = np.full((len(ignored), len(ious), len(found)), -1)
    if not len(truth):
        return pairs
    overlap = box_iou(found, truth)
    least = np.minimum(ious, 1 - 1e-10)
    rank = np.where(ignored, 0.0, 2.0)[:, None]  # [A, 1, G]: above any overlap of an ignored object
    free = np.ones((len(ignored), len(ious), len(truth)), bool)
    last = len(truth) - 1
    for d in np.flatnonzero(overlap.max(axis=1) >= least.min()):
        allowed = free & (overlap[d] >= least[:, None])
        value = np.where(allowed, rank + overlap[d], -1.0)
        best = last - value[..., ::-1].argmax(axis=-1)  # argmax gives the first of equals, COCO's loop the last
        hit = np.take_along_axis(allowed, best[..., None], -1)[..., 0]
        pairs[..., d] = np.where(hit, best, -1)
        a, t = np.nonzero(hit)
        free[a, t, best[a, t]] = False
    return pairs


def box_iou(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Overlap of boxes [D, 4] and [G, 4] (x, y, width, height): [D, G] float64, rounded as COCO rounds it."""
    a, b = found[:, None].astype(np.float64), truth[None].astype(np.float64)
    sides = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = sides.clip(0).prod(axis=-1)
    return common / (a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - common)
