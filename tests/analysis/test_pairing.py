"""Pairing of two models' detections: one to one, nothing lost, no favour to either model or to an order."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlka.analysis.pairing import box_iou, match_detections, rows, summary
from dlka.types import BOTH, CLASS_CHANGED, KIND_NAMES, ONLY_FIRST, ONLY_SECOND, Detections, Pairing

SWAPPED = {BOTH: BOTH, CLASS_CHANGED: CLASS_CHANGED, ONLY_FIRST: ONLY_SECOND, ONLY_SECOND: ONLY_FIRST}


def detections(*items: tuple) -> Detections:
    """From (x1, y1, x2, y2, score, class); level 3 and the item's place as cell."""
    table = np.array(items, np.float64).reshape(-1, 6)
    return Detections(
        boxes=table[:, :4].astype(np.float32),
        scores=table[:, 4].astype(np.float32),
        classes=table[:, 5].astype(np.int64),
        levels=np.full(len(table), 3),
        cells=np.stack([np.arange(len(table)), np.full(len(table), 7)], axis=1),
    )


def taken(d: Detections, order: list[int]) -> Detections:
    return Detections(*(getattr(d, name)[order] for name in ("boxes", "scores", "classes", "levels", "cells")))


def indices(comparison: Pairing) -> list[tuple]:
    return [(p.kind, p.first, p.second) for p in comparison.pairs]


def content(d: Detections, index: int | None) -> tuple | None:
    if index is None:
        return None
    return (*d.boxes[index].tolist(), float(d.scores[index]), int(d.classes[index]), *d.cells[index].tolist())


def told(comparison: Pairing, a: Detections, b: Detections) -> list[tuple]:
    """The pairs in order, by what the boxes say instead of where they stand in their list."""
    return [(p.kind, content(a, p.first), content(b, p.second), p.iou, p.score_change) for p in comparison.pairs]


# IoU


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 9]])
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 7], [-5, -5, 30, 30]])
    got = box_iou(a, b)
    np.testing.assert_allclose(got, [[1, 50 / 150, 0, 0.1, 100 / 1225], [0, 0, 0, 0, 0]], rtol=1e-15)
    assert box_iou(a, b[:0]).shape == (2, 0)
    assert box_iou(a[:0], b).shape == (0, 5)


def test_iou_agrees_with_torchvision() -> None:
    torch = pytest.importorskip("torch")
    from torchvision.ops import box_iou as other

    low = np.random.default_rng(0).uniform(0, 50, (2, 20, 2))
    a, b = np.concatenate([low, low + np.random.default_rng(1).uniform(1, 50, low.shape)], axis=-1)
    np.testing.assert_allclose(box_iou(a, b), other(torch.tensor(a), torch.tensor(b)).numpy(), atol=1e-12)


# Pairing by hand


def test_the_four_kinds() -> None:
    a = detections((0, 0, 20, 20, 0.9, 0), (50, 0, 90, 40, 0.8, 2), (100, 0, 110, 10, 0.3, 1))
    b = detections((50, 0, 90, 42, 0.6, 7), (0, 2, 20, 20, 0.7, 0), (200, 0, 300, 100, 0.5, 1))
    got = match_detections(a, b)
    assert indices(got) == [
        (ONLY_FIRST, 2, None),
        (BOTH, 0, 1),
        (CLASS_CHANGED, 1, 0),
        (ONLY_SECOND, None, 2),
    ]
    assert [p.area for p in got.pairs] == [100, 400, 1600, 10_000]
    assert [p.size for p in got.pairs] == ["S", "S", "M", "L"]
    assert [p.iou for p in got.pairs] == pytest.approx([0, 0.9, 1600 / 1680, 0])
    assert [p.score_change for p in got.pairs] == pytest.approx([0.3, 0.2, 0.2, -0.5])


def test_the_best_fit_is_paired_although_two_worse_ones_add_up_to_more() -> None:
    # IoU a0-b0 0.9, a0-b1 0.6, a1-b0 0.54, a1-b1 0: together 0.6 + 0.54 > 0.9.
    a = detections((0, 0, 100, 10, 0.9, 0), (40, 0, 94, 10, 0.9, 0))
    b = detections((0, 0, 90, 10, 0.9, 0), (0, 0, 60, 10, 0.9, 0))
    got = match_detections(a, b, iou_threshold=0.5)
    assert (BOTH, 0, 0) in indices(got)


def test_same_class_comes_before_a_better_fit_of_another_class() -> None:
    a = detections((0, 0, 10, 10, 0.9, 0))
    b = detections((0, 0, 10, 10, 0.9, 5), (0, 0, 10, 6, 0.9, 0))
    assert set(indices(match_detections(a, b))) == {(BOTH, 0, 1), (ONLY_SECOND, None, 0)}


def test_equal_overlaps_go_to_the_nearer_score() -> None:
    a, b = detections((0, 0, 10, 10, 0.3, 0), (0, 0, 10, 10, 0.9, 0)), detections((0, 0, 10, 10, 0.8, 0))
    assert set(indices(match_detections(a, b))) == {(BOTH, 1, 0), (ONLY_FIRST, 0, None)}
    a, b = detections((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.3, 0)), detections((0, 0, 10, 10, 0.4, 0))
    assert set(indices(match_detections(a, b))) == {(BOTH, 1, 0), (ONLY_FIRST, 0, None)}


def test_the_threshold_belongs_to_the_match() -> None:
    a, b = detections((0, 0, 10, 10, 0.9, 0)), detections((0, 0, 10, 5, 0.9, 0))
    assert match_detections(a, b, 0.5).count(BOTH) == 1
    assert match_detections(a, b, 0.5001).count(BOTH) == 0


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1, float("nan")])
def test_thresholds_outside_the_range_are_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="iou_threshold"):
        match_detections(detections(), detections(), threshold)


@pytest.mark.parametrize(("side", "size"), [(31.99, "S"), (32, "M"), (95.99, "M"), (96, "L"), (0.5, "S"), (1000, "L")])
def test_size_bins_are_half_open(side: float, size: str) -> None:
    one = detections((0, 0, side, side, 0.5, 0))
    assert match_detections(one, detections()).pairs[0].size == size
    assert match_detections(detections(), one).pairs[0].size == size


def test_nothing_found_by_either() -> None:
    got = match_detections(detections(), detections())
    assert got.pairs == ()
    assert summary(got.pairs)["objects"] == 0
    assert summary(got.pairs)["mean_score_change"] is None
    assert rows(got, {}) == []


# Pairing, properties: coarse coordinates and few scores and classes make ties and duplicates common.


@st.composite
def sets(draw: st.DrawFn, with_area: bool = False) -> Detections:
    smallest = 1 if with_area else 0
    coordinate, extent = st.integers(0, 6), st.integers(smallest, 4)
    items = draw(
        st.lists(
            st.tuples(coordinate, coordinate, extent, extent, st.sampled_from([0.25, 0.5, 0.75]), st.integers(0, 2)),
            max_size=9,
        )
    )
    unit = draw(st.sampled_from([8.0, 32.0, 33.3]))
    return detections(*((x * unit, y * unit, (x + w) * unit, (y + h) * unit, s, c) for x, y, w, h, s, c in items))


THRESHOLDS = st.sampled_from([0.1, 0.5, 0.75, 1.0])
quick = settings(deadline=None, max_examples=150)


@quick
@given(sets(), sets(), THRESHOLDS)
def test_one_to_one_and_nothing_lost(a: Detections, b: Detections, threshold: float) -> None:
    got = match_detections(a, b, threshold)
    assert sorted(p.first for p in got.pairs if p.first is not None) == list(range(len(a)))
    assert sorted(p.second for p in got.pairs if p.second is not None) == list(range(len(b)))
    assert sum(summary(got.pairs)["kinds"].values()) == len(got.pairs) == summary(got.pairs)["objects"]


@quick
@given(sets(), sets(), THRESHOLDS)
def test_every_pair_is_what_it_says(a: Detections, b: Detections, threshold: float) -> None:
    iou = box_iou(a.boxes, b.boxes)
    got = match_detections(a, b, threshold)
    for p in got.pairs:
        assert (p.first is None, p.second is None) == (p.kind == ONLY_SECOND, p.kind == ONLY_FIRST)
        if p.first is not None and p.second is not None:
            assert p.iou == iou[p.first, p.second] >= threshold
            assert (a.classes[p.first] == b.classes[p.second]) == (p.kind == BOTH)
        else:
            assert p.iou == 0
    left = [p.first for p in got.pairs if p.kind == ONLY_FIRST]
    right = [p.second for p in got.pairs if p.kind == ONLY_SECOND]
    assert (iou[np.ix_(left, right)] < threshold).all()  # whatever could be paired is paired
    assert [p.area for p in got.pairs] == sorted(p.area for p in got.pairs)


@quick
@given(sets(), sets(), THRESHOLDS)
def test_pairing_is_stable(a: Detections, b: Detections, threshold: float) -> None:
    """No two boxes of one class fit each other better than both fit their partners."""
    iou = box_iou(a.boxes, b.boxes)
    own, other = np.zeros(len(a)), np.zeros(len(b))
    for p in match_detections(a, b, threshold).pairs:
        if p.kind == BOTH:
            own[p.first], other[p.second] = p.iou, p.iou
    better = (iou > own[:, None]) & (iou > other[None]) & (iou >= threshold)
    assert not (better & (a.classes[:, None] == b.classes[None])).any()


@quick
@given(sets(), sets(), THRESHOLDS)
def test_swapping_the_models_swaps_the_answer(a: Detections, b: Detections, threshold: float) -> None:
    there, back = match_detections(a, b, threshold), match_detections(b, a, threshold)
    swapped = [(SWAPPED[k], y, x, iou, -change) for k, x, y, iou, change in told(there, a, b)]
    assert Counter(swapped) == Counter(told(back, b, a))
    assert summary(there.pairs)["kinds"] == {
        name: summary(back.pairs)["kinds"][KIND_NAMES[SWAPPED[kind]]] for kind, name in KIND_NAMES.items()
    }
    change = summary(there.pairs)["mean_score_change"]
    assert summary(back.pairs)["mean_score_change"] == (None if change is None else -change)


@quick
@given(sets(with_area=True), THRESHOLDS)
def test_a_model_agrees_with_itself(a: Detections, threshold: float) -> None:
    got = match_detections(a, a, threshold)
    assert all(p.kind == BOTH and p.iou == 1 and p.score_change == 0 for p in got.pairs)
    assert len(got.pairs) == len(a)
    assert summary(got.pairs)["mean_score_change"] == (0 if len(a) else None)


@quick
@given(sets(), sets(), THRESHOLDS, st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing(a: Detections, b: Detections, threshold: float, random) -> None:
    order_a, order_b = list(range(len(a))), list(range(len(b)))
    random.shuffle(order_a)
    random.shuffle(order_b)
    c, d = taken(a, order_a), taken(b, order_b)
    assert told(match_detections(c, d, threshold), c, d) == told(match_detections(a, b, threshold), a, b)


# Summary, rows, disagreements


def example() -> Pairing:
    a = detections(
        (0, 0, 20, 20, 0.75, 0), (50, 0, 90, 40, 0.75, 2), (100, 0, 110, 10, 0.5, 1), (0, 90, 40, 130, 0.5, 9)
    )
    b = detections((50, 0, 90, 40, 0.25, 7), (0, 0, 20, 20, 0.5, 0), (200, 0, 205, 5, 0.25, 1))
    return match_detections(a, b)


def test_summary() -> None:
    got = summary(example().pairs)
    assert got["objects"] == 5
    assert got["kinds"] == {"both": 1, "class changed": 1, "only D-LKA": 2, "only baseline": 1}
    assert got["sizes"] == {
        "S": {"both": 1, "class changed": 0, "only D-LKA": 1, "only baseline": 1},
        "M": {"both": 0, "class changed": 1, "only D-LKA": 1, "only baseline": 0},
        "L": dict.fromkeys(KIND_NAMES.values(), 0),
    }
    assert got["mean_score_change"] == 0.25
    assert json.loads(json.dumps(got)) == got


def test_rows() -> None:
    got = rows(example(), {0: "person", 1: "bird", 2: "car", 7: "truck"})
    assert json.loads(json.dumps(got)) == got
    assert [row["area"] for row in got] == [25, 100, 400, 1600, 1600]
    assert [row["class"] for row in got] == ["bird", "bird", "person", "truck -> car", "class 9"]
    assert got[2] == {
        "size": "S",
        "area": 400,
        "kind": "both",
        "class": "person",
        "iou": 1,
        "score_change": 0.25,
        "dlka_class": "person",
        "dlka_score": 0.75,
        "dlka_box": [0, 0, 20, 20],
        "dlka_level": "P3",
        "dlka_cell": [0, 7],
        "baseline_class": "person",
        "baseline_score": 0.5,
        "baseline_box": [0, 0, 20, 20],
        "baseline_level": "P3",
        "baseline_cell": [1, 7],
    }
    assert got[0]["kind"] == "only baseline"
    assert {key for key, value in got[0].items() if value is None} == {
        "iou",
        *(f"dlka_{key}" for key in ("class", "score", "box", "level", "cell")),
    }
