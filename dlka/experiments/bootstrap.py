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

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlka.analysis.judging import AREAS
from dlka.experiments.curves import ClassCurves

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


def replicates(
    truth: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]], multiplicities: np.ndarray
) -> np.ndarray:
    """AP, AP50, AP_S, AP_M, AP_L (MEASURES) of every resample: [R, 5] float64 in 0..1, nan where no such object is.

    truth and found: COCO annotations and results (image_id, category_id, bbox x y w h, area; score), no crowds; images
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
    """The 2.5 and 97.5 percentiles of replicates [R], for example of the difference of two models'.

    Resamples in which the measure is not defined are left out; (nan, nan) where it never is.
    """
    defined = difference[np.isfinite(difference)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)
