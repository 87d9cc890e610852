"""What became of objects, from literal boxes."""

from __future__ import annotations

import numpy as np
import pytest
from render_builders import detections

from dlka.analysis.pairing import best_score, track
from dlka.analysis.transforms import Change, matrix

SIZE = (100, 200)
BEFORE = [
    [20, 20, 60, 60, 0.9, 0],
    [100, 40, 140, 80, 0.8, 2],
    [150, 10, 190, 30, 0.7, 0],
]


def test_nothing_changed_keeps_everything():
    before = detections(BEFORE)
    all_kept = track(before, before, matrix(Change(), SIZE), SIZE)
    assert sorted(all_kept.kept) == [(0, 0), (1, 1), (2, 2)]
    assert (all_kept.class_changed, all_kept.lost, all_kept.left_frame, all_kept.new) == ((), (), (), ())


def test_everything_that_can_become_of_an_object():
    """Shifted right by 40 px: the first object leaves, the third gets another name, the second is lost, one is new."""
    moved = matrix(Change(right=20), SIZE)
    after = detections([[140, 40, 180, 80, 0.6, 7], [10, 60, 30, 90, 0.5, 0]])
    told = track(detections([BEFORE[2], BEFORE[0], BEFORE[1]]), after, moved, SIZE)
    assert told.kept == ()
    assert told.class_changed == ((2, 0),)
    assert (told.lost, told.left_frame, told.new) == ((1,), (0,), (1,))
    np.testing.assert_allclose(told.expected[1], [60, 20, 100, 60])


def test_an_object_at_the_edge_is_compared_with_what_is_left_of_it():
    moved = matrix(Change(right=10), SIZE)  # by 20 px: 150..190 becomes 170..210, of which 30 of 40 px stay
    after = detections([[170, 10, 200, 30, 0.6, 0]])
    told = track(detections(BEFORE[2:]), after, moved, SIZE)
    assert told.kept == ((0, 0),)


def test_best_score_wants_class_and_overlap():
    found = detections([[0, 0, 10, 10, 0.4, 0], [0, 0, 10, 9, 0.6, 0], [0, 0, 10, 10, 0.9, 2], [0, 5, 10, 15, 0.8, 0]])
    box = np.array([0.0, 0, 10, 10])
    assert best_score(found, box, 0, 0.5) == pytest.approx(0.6)
    assert best_score(found, box, 0, 0.3) == pytest.approx(0.8)
    assert best_score(found, box, 2, 0.5) == pytest.approx(0.9)
    assert best_score(found, box, 5, 0.3) == 0
    assert best_score(detections([]), box, 0, 0.3) == 0
