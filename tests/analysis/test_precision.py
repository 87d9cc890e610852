"""AP of many pictures: its value, its intervals, and when there are too few pictures to decide."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dlka.analysis.bootstrap import coco_rows
from dlka.analysis.many.tables import FEWEST, decision, precisions

SIDE = {"small": 20.0, "large": 100.0}


def run(pictures, dlka, baseline, sizes=("large",)):
    """What a run has kept: an object of each size in every picture; dlka, baseline: the pictures in which one finds
    its objects, with boxes of nothing in all others."""
    objects, found = [], ([], [])
    for picture in range(pictures):
        boxes = np.array([[9.0, 9.0, SIDE[size], SIDE[size]] for size in sizes])
        rows = coco_rows(picture, boxes, np.zeros(len(sizes), int))
        objects += rows
        for side, hits in zip(found, (dlka, baseline)):
            off = coco_rows(picture, boxes + [500, 0, 0, 0], np.zeros(len(sizes), int))
            side += [{**row, "score": 0.5} for row in (rows if picture in hits else off)]
    return SimpleNamespace(rows=[SimpleNamespace(truth=())] * pictures, objects=objects, found=found)


def test_a_model_that_finds_more_in_most_pictures_is_ahead():
    (ap,) = precisions(run(20, range(18), range(6)))
    assert (ap.small, ap.pictures) == (False, 20)
    assert ap.values[2] == pytest.approx(ap.values[0] - ap.values[1])
    for value, (low, high) in zip(ap.values, ap.intervals):
        assert low < value < high
    assert ap.intervals[2][0] > 0
    assert decision(ap).startswith("AP: D-LKA is ahead on 20 pictures with labelled objects")
    (ap,) = precisions(run(20, range(6), range(18)))
    assert decision(ap).startswith("AP: baseline is ahead")


def test_an_interval_that_holds_zero_decides_nothing():
    (ap,) = precisions(run(20, range(2, 16), range(12)))
    assert ap.intervals[2][0] <= 0 <= ap.intervals[2][1]
    assert decision(ap).startswith("AP: too few to decide, 20 pictures with labelled objects: the interval")
    assert "ahead" not in decision(ap)


def test_few_pictures_decide_nothing_whatever_is_found():
    (ap,) = precisions(run(FEWEST - 1, range(FEWEST), ()))
    assert ap.values == pytest.approx([1, 0, 1])
    assert ap.intervals == []
    assert decision(ap) == "AP: too few to decide, 9 pictures with labelled objects; expected 10 or more."


def test_small_objects_are_counted_by_the_pictures_that_have_some():
    many, few = run(12, range(12), ()), run(3, range(3), (), ("small",))
    for row in few.objects + few.found[0] + few.found[1]:
        row["image_id"] += 12
    both = SimpleNamespace(
        rows=many.rows + few.rows,
        objects=many.objects + few.objects,
        found=tuple(one + other for one, other in zip(many.found, few.found)),
    )
    ap, small = precisions(both)
    assert (ap.pictures, small.pictures) == (15, 3)
    assert decision(ap).startswith("AP: D-LKA is ahead on 15 pictures")
    assert decision(small).startswith("AP of small objects: too few to decide, 3 pictures with labelled small objects;")


def test_without_labelled_objects_there_is_no_precision():
    assert precisions(run(0, (), ())) == []
    crowded = run(3, (), ())
    crowded.objects = [{**row, "iscrowd": 1} for row in crowded.objects]
    assert precisions(crowded) == []
