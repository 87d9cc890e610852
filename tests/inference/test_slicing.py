"""Slices of a picture: boxes come back to the right place, and small objects are found that the whole hides."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dlka.analysis.examples import examples
from dlka.analysis.pairing import box_iou
from dlka.images import read_image
from dlka.inference.predictor import load_predictor
from dlka.inference.slicing import look_in_slices, slices_per_side
from dlka.types import Detections

SQUARES = [(10, 12, 30, 40), (150, 20, 170, 44), (5, 100, 24, 118), (95, 62, 109, 74), (180, 100, 200, 120)]


def bright(part):
    """A detector of bright things: the box around each, its score by its area."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((part[..., 0] > 128).astype(np.uint8))
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:]], np.float32).reshape(-1, 4)
    rows = np.argsort(-stats[1:, 4], kind="stable")
    scores = np.sort(stats[1:, 4] / 1000)[::-1].astype(np.float32)
    n = count - 1
    return Detections(
        boxes[rows], scores, np.zeros(n, np.int64), np.full(n, 3), np.stack([rows, rows], 1).astype(np.int64)
    )


@pytest.mark.parametrize("per_side", [2, 3])
def test_boxes_come_back_to_their_place(per_side):
    image = np.zeros((120, 200, 3), np.uint8)
    for x1, y1, x2, y2 in SQUARES:
        image[y1:y2, x1:x2] = 255
    seen = look_in_slices(bright, image, per_side)
    assert sorted(map(tuple, seen.detections.boxes.astype(int).tolist())) == sorted(SQUARES), "each once, and whole"
    assert (np.diff(seen.detections.scores) <= 0).all()
    for box, number in zip(seen.detections.boxes, seen.fired):
        overlap = box_iou(box[None], seen.slices[number][None])[0, 0]
        assert overlap > 0, "the slice that fired sees the object"


def test_slices_cover_the_picture_and_overlap():
    for size in ((120, 200), (81, 57), (1081, 1919)):
        for per_side in (2, 3):
            seen = look_in_slices(bright, np.zeros((*size, 3), np.uint8), per_side)
            assert len(seen.slices) == per_side**2
            covered = np.zeros(size, int)
            for x1, y1, x2, y2 in seen.slices:
                covered[y1:y2, x1:x2] += 1
            assert covered.min() == 1
            assert covered.max() == 4
            width = seen.slices[0, 2] - seen.slices[0, 0]
            assert seen.slices[0, 2] - seen.slices[1, 0] == pytest.approx(0.2 * width, abs=2)
            assert len(seen.detections) == len(seen.fired) == 0


def test_the_slice_that_fired_is_named():
    image = np.zeros((120, 200, 3), np.uint8)
    image[100:110, 10:20] = 255
    seen = look_in_slices(bright, image, 2)
    assert seen.fired.tolist() == [2], "row by row: below at the left"
    assert seen.detections.levels.tolist() == [3]


def test_how_many_slices():
    assert slices_per_side((1080, 810), 640) == 2
    assert slices_per_side((1281, 300), 640) == 3


def test_small_copies_that_the_whole_hides_are_found():
    """48 small copies of a picture whose objects are known, so that every place with an object is known."""
    predictor = load_predictor("control")[0]
    bus = read_image(examples()["Bus stop"])
    width, height = 135, 180
    tile = cv2.resize(bus, (width, height), interpolation=cv2.INTER_AREA)
    known = predictor.predict(bus).detections.boxes * (width / bus.shape[1])
    truth = np.concatenate([known + [x * width, y * height] * 2 for y in range(6) for x in range(8)])

    def found(boxes):
        return int((box_iou(truth, boxes).max(axis=1) > 0.5).sum())

    def look(part):
        return predictor.predict(part, size=416).detections

    image = np.tile(tile, (6, 8, 1))
    whole, sliced = found(look(image).boxes), found(look_in_slices(look, image, 3).detections.boxes)
    assert whole < 0.2 * len(truth)
    assert sliced > 0.6 * len(truth)
