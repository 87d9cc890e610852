"""Paired bootstrap over pictures of COCO average precision.

A resample draws as many pictures as there are, with replacement, and the same ones for every model: the difference of
two models' replicates tells what is due to the choice of pictures (Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993).

A resample is not evaluated from the boxes on. Detections are matched to objects once; then each picture has a weight,
how often it was drawn, and precision and recall are weighted sums along the detections in order of score. The result is
COCO's AP, at its 101 points of recall, of a data set in which each picture stands as often as it was drawn, copies side
by side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlka.analysis.judging import AREAS, IOUS, match, share_inside, xywh
from dlka.types import Detections

MOST = 100  # detections a picture and class that count, as COCO has it
RECALLS = np.linspace(0.0, 1.0, 101)
BLOCK = 4_000_000  # numbers that are worked on at once
Rows = Sequence[dict[str, Any]]


def coco_rows(image: int, boxes: np.ndarray, classes: np.ndarray) -> list[dict[str, Any]]:
    """COCO annotations of one picture; boxes [n, 4] as x, y (upper left), width, height in pixels."""
    return [
        {"image_id": image, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for box, c in zip(np.asarray(boxes, np.float64).tolist(), classes.tolist())
    ]


def detection_rows(image: int, detections: Detections, category: Mapping[int, int]) -> list[dict[str, Any]]:
    """COCO results of one picture; category: the model's class number -> the data's."""
    rows = coco_rows(image, xywh(detections.boxes), np.array([category[int(c)] for c in detections.classes], np.int64))
    return [{**row, "score": float(score)} for row, score in zip(rows, detections.scores)]


class ClassCurves:
    """Detections of one class in all pictures, best score first, matched for every size range and overlap.

    truth, found: COCO rows of this class; multiplicities [R, P]: how often picture p counts in resample r.
    """

    def __init__(self, truth: Rows, found: Rows, multiplicities: np.ndarray) -> None:
        self._drawn = np.ascontiguousarray(multiplicities.T, np.int32)  # [P, R]
        objects, detections = _by_picture(truth), _by_picture(found)
        shape = (len(AREAS), len(IOUS), 0)
        scores, pictures = [np.zeros(0)], [np.zeros(0, np.int64)]
        hit, counted = [np.zeros(shape, bool)], [np.zeros(shape, bool)]
        self._objects = np.zeros((len(AREAS), multiplicities.shape[1]), np.int64)
        for picture in sorted({*objects, *detections}):
            labelled, rows = objects.get(picture, []), detections.get(picture, [])
            crowds = _table([row for row in labelled if row["iscrowd"]])
            there = _table([row for row in labelled if not row["iscrowd"]])
            score = np.array([row["score"] for row in rows], np.float64)
            # COCO cuts first and matches then: detections after the best MOST take no object from these.
            best = np.argsort(-score, kind="stable")[:MOST]
            boxes = _table(rows)[best]
            # [A, G]: an object outside of a size range is no miss in it, and no false alarm is what finds it.
            ignored = _outside(there[:, 4])
            self._objects[:, picture] = (~ignored).sum(axis=1)
            pairs = match(boxes[:, :4], there[:, :4], IOUS, ignored)
            matched = pairs >= 0
            # Index -1, a detection without an object, takes the column that is added at the end; it means nothing.
            vain = np.take_along_axis(np.pad(ignored, ((0, 0), (0, 1)))[:, None], pairs, -1) & matched
            scores.append(score[best])
            pictures.append(np.full(len(best), picture))
            hit.append(matched)
            # Nor does a detection without an object count where it is itself outside of the range, or in a crowd.
            in_crowd = share_inside(_corners(boxes), _corners(crowds)) >= IOUS[:, None]  # [T, D]
            counted.append(~vain & (matched | ~(_outside(boxes[:, 4])[:, None] | in_crowd)))
        # One list over all pictures: what a resample changes is how often each place of it counts, not the order.
        score, place = np.concatenate(scores), np.concatenate(pictures)
        order = np.argsort(-score, kind="stable")
        order, self._copy = _with_copies(order, score, place, self._drawn.max(axis=1, initial=0))
        self._picture = place[order]
        self._hit, self._counted = np.concatenate(hit, -1)[..., order], np.concatenate(counted, -1)[..., order]

    def average_precision(self, area: str) -> tuple[np.ndarray, np.ndarray]:
        """AP at each of IOUS [T, R] float64, and where there are objects to find [R] bool (AP is 0 elsewhere)."""
        a = list(AREAS).index(area)
        objects = self._objects[a] @ self._drawn  # [R]
        ap = np.zeros((len(IOUS), len(objects)))
        if not objects.any():
            return ap, objects > 0
        # Overlaps for which the same detections count share the sums over them.
        groups, of_iou = np.unique(self._counted[a], axis=0, return_inverse=True)
        for number, counted in enumerate(groups):
            columns = np.flatnonzero(counted)
            ious = np.flatnonzero(of_iou.reshape(-1) == number)
            # Weights are [columns, resamples]: as many resamples at once as keep them in memory.
            step = max(1, BLOCK // max(1, len(columns)))
            for first in range(0, len(objects), step):
                block = slice(first, first + step)
                weights = self._weights(columns, block)
                total = weights.cumsum(axis=0, dtype=np.int32)
                for t in ious:
                    hits = np.flatnonzero(self._hit[a, t, columns])
                    ap[t, block] = _area(weights[hits], total[hits], objects[block])
        return ap, objects > 0

    def _weights(self, columns: np.ndarray, block: slice) -> np.ndarray:
        """How often each of these detections counts: [columns, resamples of the block] int32."""
        weights = self._drawn[:, block][self._picture[columns]]
        # Laid out copy by copy, a detection is there once in copy c if its picture was drawn more than c times.
        copies = np.flatnonzero(self._copy[columns] >= 0)
        weights[copies] = weights[copies] > self._copy[columns][copies, None]
        return weights


def _area(weights: np.ndarray, total: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Average precision [R] from the hits in order of score, H of them.

    weights [H, R]: how often each counts; total [H, R]: detections up to it, itself included; objects [R]: to be found.

    COCO takes, at each point of recall, the best precision from there on. Between two hits precision only falls, so
    hits alone decide; a point of recall belongs to the first hit that reaches it.
    """
    good = weights.cumsum(axis=0, dtype=np.int32)
    precision = np.divide(good, total, out=np.zeros(good.shape), where=total > 0)
    best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    # [H, R]: points of recall up to each hit; those that it adds get the best precision from it on.
    reached = np.searchsorted(RECALLS, good / np.maximum(objects, 1), side="right")
    return (best * np.diff(reached, axis=0, prepend=0)).sum(axis=0) / len(RECALLS)


def _with_copies(
    order: np.ndarray, score: np.ndarray, picture: np.ndarray, most: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The order [N'] of the detections, and for each place the number of its picture's copy or -1 for all copies.

    In copies of a picture that stand side by side, detections of equal score come as a, b, a, b and not a, a, b, b:
    such ones are laid out one by one, up to `most` copies of their picture [P].
    """
    score, picture = score[order], picture[order]
    # [N]: one number for the detections of one picture that have one score.
    group = np.cumsum(np.diff(score, prepend=np.nan).astype(bool) | np.diff(picture, prepend=-1).astype(bool))
    tied = np.bincount(group, minlength=1)[group] > 1
    repeats = np.where(tied, np.maximum(most[picture], 1), 1)
    place = np.repeat(np.arange(len(order)), repeats)
    copy = np.arange(len(place)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    # Within such a group copy after copy, within a copy in the order that was there.
    laid = np.lexsort((place, copy, group[place]))
    place, copy = place[laid], copy[laid]
    return order[place], np.where(tied[place], copy, -1)


def _by_picture(rows: Rows) -> dict[int, list[dict[str, Any]]]:
    pictures = defaultdict(list)
    for row in rows:
        pictures[row["image_id"]].append(row)
    return pictures


def _table(rows: Rows) -> np.ndarray:
    """[N, 5] float64: x, y, width, height, area."""
    return np.array([(*row["bbox"], row["area"]) for row in rows], np.float64).reshape(-1, 5)


def _corners(rows: np.ndarray) -> np.ndarray:
    return np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])


def _outside(areas: np.ndarray) -> np.ndarray:
    """Whether each area [N] is outside each size range: [A, N] bool."""
    low, high = np.array(list(AREAS.values())).T[..., None]
    return (areas < low) | (areas > high)


MEASURES = ("AP", "AP50", "AP_S", "AP_M", "AP_L")
COMPARED = ("AP", "AP_S")  # the measures that models are compared by
RESAMPLES = 1000
SEED = 20261122
# Size range -> measure -> which of IOUS it is the mean over.
COLUMNS = {
    "all": {"AP": slice(None), "AP50": slice(1)},
    **{size: {f"AP_{size}": slice(None)} for size in ("S", "M", "L")},
}


def resamples(pictures: int, count: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """How often each picture was drawn: [count, pictures] int32, each row adds up to `pictures`."""
    drawn = np.random.default_rng(seed).integers(0, pictures, (count, pictures))
    return np.stack([np.bincount(row, minlength=pictures) for row in drawn]).astype(np.int32)


def replicates(truth: Rows, found: Rows, multiplicities: np.ndarray) -> np.ndarray:
    """AP, AP50, AP_S, AP_M, AP_L (MEASURES) of every resample: [R, 5] float64 in 0..1, nan where no such object is.

    truth and found: COCO annotations and results (image_id, category_id, bbox x y w h, area; iscrowd, score); images
    are numbered from 0. multiplicities [R, P]: how often picture p counts in resample r, whole numbers from 0.
    """
    sums = np.zeros((len(multiplicities), len(MEASURES)))
    classes = np.zeros(sums.shape)
    # COCO's mean is over classes: one without objects in a resample is left out of that resample's mean.
    for category in sorted({row["category_id"] for row in truth}):
        objects, detections = ([row for row in rows if row["category_id"] == category] for rows in (truth, found))
        curves = ClassCurves(objects, detections, multiplicities)
        for area in AREAS:
            ap, there = curves.average_precision(area)
            for column, overlap in COLUMNS[area].items():
                sums[:, MEASURES.index(column)] += ap[overlap].mean(axis=0)
                classes[:, MEASURES.index(column)] += there
    return np.divide(sums, classes, out=np.full(sums.shape, np.nan), where=classes > 0)


def interval(difference: np.ndarray) -> tuple[float, float]:
    """The 2.5 and 97.5 percentiles of replicates [R], for example of the difference of two models'. Resamples in which
    the measure is not defined are left out; (nan, nan) where it never is."""
    defined = difference[np.isfinite(difference)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)
