"""AP of many pictures: its value, its intervals, and when there are too few pictures to decide."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dlka.analysis.bootstrap import coco_rows
from dlka.analysis.many.precision import FEWEST, Precision, precisions
from dlka.analysis.many.tables import decision, verdict

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
    assert decision(ap).startswith("<b>D-LKA is better here.</b> AP is 90.1 (D-LKA) and 30.7 (baseline) on 20 pictures")
    (ap,) = precisions(run(20, range(6), range(18)))
    assert decision(ap).startswith("<b>baseline is better here.</b>")


def test_an_interval_that_holds_zero_decides_nothing():
    (ap,) = precisions(run(20, range(2, 16), range(12)))
    assert ap.intervals[2][0] <= 0 <= ap.intervals[2][1]
    assert decision(ap).startswith("<b>Too few to decide</b> which model is better. AP is")
    assert "better here" not in decision(ap)


def test_few_pictures_decide_nothing_whatever_is_found():
    (ap,) = precisions(run(FEWEST - 1, range(FEWEST), ()))
    assert ap.values == pytest.approx([1, 0, 1])
    assert ap.intervals == []
    assert decision(ap) == (
        "<b>Too few to decide</b> which model is better. AP is 100.0 (D-LKA) and 0.0 (baseline) on 9 pictures with "
        f"labelled objects. With {FEWEST} or more the page says how sure that is, and how many it takes."
    )


def test_as_many_pictures_as_it_is_said_to_take_decide():
    """A model that finds two thirds beside one that finds a third: too few at first, and enough where it was said."""

    def thirds(pictures):
        return run(pictures, [i for i in range(pictures) if i % 3], range(0, pictures, 3))

    (few,) = precisions(thirds(12))
    assert not few.decided
    assert 12 < few.needed < 200
    assert f"about {few.needed} pictures like these" in decision(few)
    (enough,) = precisions(thirds(2 * few.needed))
    assert enough.decided
    assert enough.needed == 0


def test_a_difference_that_is_rounded_to_nothing_has_no_sign():
    alike = Precision(False, 12, [0.5, 0.5004, -0.0004], [(0.4, 0.6), (0.4, 0.6), (-0.0003, 0.0004)])
    assert "a difference of 0.0 with the 95 % interval 0.0 to 0.0" in decision(alike)


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
    assert verdict([ap, small]) == [decision(ap), decision(small)]
    assert decision(ap).startswith("<b>D-LKA is better here.</b>")
    assert decision(small).startswith("<b>Too few to decide</b> which model is better at small objects.")
    (told,) = verdict([small, small])
    assert told.count("Too few to decide") == 1, "once is enough"


def test_without_labelled_objects_there_is_no_precision():
    assert precisions(run(0, (), ())) == []
    assert "nobody can tell which model is better" in verdict([])[0]
    crowded = run(3, (), ())
    crowded.objects = [{**row, "iscrowd": 1} for row in crowded.objects]
    assert precisions(crowded) == []
