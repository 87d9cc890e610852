"""Detections against ground truth, from literals."""

from __future__ import annotations

import numpy as np
import pytest

from dlka.analysis.judging import (
    AGREEMENTS,
    FALSE_ALARMS,
    MISSED_BY_ONE,
    Counts,
    agreement,
    count,
    failings,
    judge,
    verdict,
)
from dlka.analysis.labels import Truth
from dlka.analysis.pairing import match_detections
from dlka.types import Detections

BOX = (10, 10, 30, 30)  # 400 px, small
WIDE = (100, 100, 160, 160)  # 3600 px, medium


def found(*rows):
    """Detections out of rows (box, score, class)."""
    n = len(rows)
    boxes, scores, classes = zip(*rows) if rows else ((), (), ())
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(classes, np.int64),
        np.full(n, 3),
        np.zeros((n, 2), np.int64),
    )


def truth(*rows, labelled=range(5)):
    """Truth out of rows (box, class, crowd)."""
    boxes, classes, crowd = zip(*rows) if rows else ((), (), ())
    return Truth(
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(crowd, bool),
        frozenset(labelled),
    )


def moved(box, right):
    return (box[0] + right, box[1], box[2] + right, box[3])


def test_the_surer_box_takes_the_object_and_the_other_is_a_false_alarm():
    judged = judge(found((moved(BOX, 4), 0.9, 1), (BOX, 0.8, 1)), truth((BOX, 1, False)))
    assert judged.verdicts == ("hit", "false alarm")
    assert judged.object_of.tolist() == [0, -1]
    assert judged.found_by.tolist() == [0]


def test_a_hit_needs_half_overlap_and_the_class():
    there = truth((BOX, 1, False))
    assert judge(found(((10, 10, 30, 50), 0.9, 1)), there).verdicts == ("hit",), "just half"
    assert judge(found(((10, 10, 30, 50.1), 0.9, 1)), there).verdicts == ("false alarm",)
    assert judge(found((BOX, 0.9, 2)), there).verdicts == ("false alarm",)


def test_a_box_takes_the_free_object_that_it_overlaps_most():
    there = truth((BOX, 1, False), (moved(BOX, 5), 1, False))
    judged = judge(found((moved(BOX, 4), 0.9, 1), (moved(BOX, 5), 0.8, 1)), there)
    assert judged.object_of.tolist() == [1, 0], "the surer one goes first, the other one takes what is left"


def test_crowds_are_neither_hit_nor_missed_nor_false_alarms():
    there = truth(((0, 0, 200, 200), 1, True), (BOX, 1, False))
    detections = found((BOX, 0.9, 1), (WIDE, 0.8, 1), (moved(WIDE, 20), 0.7, 1), (moved(WIDE, 90), 0.6, 1))
    judged = judge(detections, there)
    assert judged.verdicts == ("hit", "not counted", "not counted", "false alarm"), "the last lies outside by 5 of 6"
    counts = count(detections, there, judged)
    assert (counts.objects(), counts.hits, counts.false_alarms) == (1, {"S": 1}, {"M": 1})


def test_classes_that_nobody_labelled_are_not_counted():
    judged = judge(found((BOX, 0.9, 3), (WIDE, 0.8, 1)), truth(labelled=[1]))
    assert judged.verdicts == ("not counted", "false alarm")


def test_counts_by_size_add_up():
    there = truth((BOX, 1, False), (moved(BOX, 50), 1, False), (WIDE, 2, False))
    detections = found((WIDE, 0.9, 2), (BOX, 0.8, 1), ((0, 0, 200, 200), 0.7, 1))
    counts = count(detections, there, judge(detections, there))
    assert (counts.hits, counts.misses, counts.false_alarms) == ({"M": 1, "S": 1}, {"S": 1}, {"L": 1})
    assert counts.objects() == len(there)
    assert counts.recall("S") == 0.5
    assert counts.recall("L") is None
    assert counts.recall() == pytest.approx(2 / 3)
    assert counts.precision() == pytest.approx(2 / 3)
    double = counts + counts
    assert (double.objects(), double.objects("S"), double.false_alarms["L"]) == (6, 4, 2)
    assert Counts().recall() is None
    assert Counts().precision() is None


def test_hits_are_counted_by_the_size_of_the_object_and_false_alarms_by_their_own():
    there = truth(((0, 0, 31, 31), 1, False), ((100, 100, 133, 133), 1, False))
    detections = found(((0, 0, 33, 33), 0.9, 1), ((100, 100, 133, 133), 0.8, 1), ((0, 200, 31, 231), 0.7, 1))
    counts = count(detections, there, judge(detections, there))
    assert (counts.hits, counts.misses, counts.false_alarms) == ({"S": 1, "M": 1}, {}, {"S": 1})
    assert agreement(there, judge(detections, there), judge(found(), there)) == {
        ("hit only by D-LKA", "S"): 1,
        ("hit only by D-LKA", "M"): 1,
    }


def test_hits_and_misses_are_all_objects_whatever_is_found():
    random = np.random.default_rng(0)
    for _ in range(50):
        corners = random.uniform(0, 200, (30, 2))
        boxes = np.hstack([corners, corners + random.uniform(5, 120, (30, 2))])
        crowd = random.random(10) < 0.2
        there = Truth(boxes[:10], random.integers(0, 2, 10), crowd, frozenset([0, 1]))
        detections = found(*((b + random.normal(0, 4), s, c) for b, s, c in zip(boxes, random.random(30), [0, 1] * 15)))
        judged = judge(detections, there)
        counts = count(detections, there, judged)
        assert counts.objects() == (~crowd).sum()
        assert counts.hits.total() == judged.verdicts.count("hit") == (judged.object_of >= 0).sum()
        assert counts.false_alarms.total() == judged.verdicts.count("false alarm")
        for number, thing in enumerate(judged.object_of):
            assert thing < 0 or judged.found_by[thing] == number


def test_who_hits_what():
    there = truth((BOX, 1, False), (moved(BOX, 50), 1, False), (moved(BOX, 90), 1, False), (WIDE, 2, False))
    dlka = judge(found((BOX, 0.9, 1), (moved(BOX, 50), 0.8, 1)), there)
    baseline = judge(found((BOX, 0.9, 1), (WIDE, 0.8, 2)), there)
    assert agreement(there, dlka, baseline) == {
        (AGREEMENTS[0], "S"): 1,
        (AGREEMENTS[1], "S"): 1,
        (AGREEMENTS[2], "M"): 1,
        (AGREEMENTS[3], "S"): 1,
    }


@pytest.mark.parametrize(
    ("dlka", "baseline", "right", "told"),
    [
        ([(BOX, 0.9, 1)], [], "D-LKA", "hit; baseline misses it"),
        ([], [(BOX, 0.9, 1)], "baseline", "hit; D-LKA misses it"),
        ([(WIDE, 0.9, 1)], [], "baseline", "false alarm"),
        ([], [(WIDE, 0.9, 1)], "D-LKA", "false alarm"),
        ([(WIDE, 0.9, 4)], [], "open", "not counted"),
        ([(BOX, 0.9, 1)], [(BOX, 0.9, 2)], "D-LKA", "D-LKA: hit; baseline: false alarm"),
        ([(BOX, 0.9, 2)], [(BOX, 0.9, 1)], "baseline", "D-LKA: false alarm; baseline: hit"),
        ([(BOX, 0.9, 2)], [(BOX, 0.9, 3)], "neither", "D-LKA: false alarm; baseline: false alarm"),
        ([(BOX, 0.9, 4)], [(BOX, 0.9, 3)], "open", "D-LKA: not counted"),
        ([(moved(BOX, 5), 0.9, 1)], [(moved(BOX, -5), 0.9, 1)], "both", "hit; baseline hits the same object"),
    ],
)
def test_who_is_right(dlka, baseline, right, told):
    ours, theirs = found(*dlka), found(*baseline)
    there = truth((BOX, 1, False), labelled=[1, 2, 3])
    pair = match_detections(ours, theirs).pairs[0]
    judged = verdict(pair, judge(ours, there), judge(theirs, there))
    assert judged.right == right
    assert judged.told.startswith(told)


@pytest.mark.parametrize(
    ("dlka", "baseline", "said"),
    [
        ([(BOX, 0.9, 1)], [(BOX, 0.9, 1)], ()),
        ([(BOX, 0.9, 1)], [], (MISSED_BY_ONE,)),
        ([], [(BOX, 0.9, 1)], (MISSED_BY_ONE,)),
        ([(moved(BOX, 90), 0.9, 1)], [], (FALSE_ALARMS,)),
        ([(moved(BOX, 90), 0.9, 1)], [(moved(BOX, 90), 0.9, 1)], (FALSE_ALARMS,)),
        # One object to each other, and only one of both to the label.
        ([(moved(BOX, 3), 0.9, 1)], [(moved(BOX, 7), 0.9, 1)], (MISSED_BY_ONE, FALSE_ALARMS)),
        ([(BOX, 0.9, 2)], [(BOX, 0.9, 1)], (MISSED_BY_ONE, FALSE_ALARMS)),
        ([(BOX, 0.9, 7)], [], ()),  # of a class that nobody labelled
    ],
)
def test_what_the_labels_say_against_a_model(dlka, baseline, said):
    there = truth((BOX, 1, False))
    sides = found(*dlka), found(*baseline)
    (pair,) = match_detections(*sides).pairs
    assert failings(pair, *(judge(side, there) for side in sides)) == said
