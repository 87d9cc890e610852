"""Which objects count as found, by hand."""

from __future__ import annotations

import numpy as np

from dlka.analysis.bootstrap import coco_rows
from dlka.experiments.measure import objects_found


def rows(image, number, *boxes):
    return coco_rows(image, np.array(boxes, np.float64), np.full(len(boxes), number))


def scored(image, number, *pairs):
    return [{**rows(image, number, box)[0], "score": score} for box, score in pairs]


def found(truth, *detections):
    return objects_found(truth, [row for part in detections for row in part])[1].tolist()


A, B = (10, 10, 20, 20), (60, 60, 30, 40)


def test_side_is_the_root_of_the_area():
    side, hit = objects_found(rows(0, 0, A, B), [])
    np.testing.assert_allclose(side, [20, 1200**0.5], rtol=1e-6)
    assert (side.dtype, hit.tolist()) == (np.float32, [False, False])
    assert [len(part) for part in objects_found([], scored(0, 0, (A, 0.9)))] == [0, 0]


def test_picture_class_score_and_overlap_must_do():
    truth = rows(0, 0, A, B)
    assert found(truth, scored(0, 0, (A, 0.25), (B, 0.9))) == [True, True]
    assert found(truth, scored(0, 0, (A, 0.24), (B, 0.9))) == [False, True]
    assert found(truth, scored(0, 1, (A, 0.9)), scored(1, 0, (B, 0.9))) == [False, False]
    x, y, w, h = B
    assert found(truth, scored(0, 0, ((x + 10, y, w, h), 0.9))) == [False, True]  # IoU 20 / 40
    assert found(truth, scored(0, 0, ((x + 11, y, w, h), 0.9))) == [False, False]


def test_one_detection_finds_one_object():
    x, y, w, h = A
    truth = rows(0, 0, A, (x + 4, y, w, h))
    between = (x + 1, y, w, h)
    assert found(truth, scored(0, 0, (between, 0.9))) == [True, False]
    assert found(truth, scored(0, 0, (between, 0.9), (between, 0.8))) == [True, True]
    truth = rows(0, 0, A, (x + 6, y, w, h))
    both, first = (x + 2, y, w, h), (x - 3, y, w, h)  # overlaps enough with both, with the first alone
    assert found(truth, scored(0, 0, (first, 0.9), (both, 0.3))) == [True, True]
    assert found(truth, scored(0, 0, (first, 0.3), (both, 0.9))) == [True, False]  # the best score chooses first


def test_the_order_is_that_of_truth():
    truth = rows(3, 1, A) + rows(0, 0, A) + rows(3, 0, B, A)
    assert found(truth, scored(3, 0, (A, 0.5)), scored(0, 0, (A, 0.5))) == [False, True, False, True]
