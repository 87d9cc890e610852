"""Resampled AP against the evaluator itself, given pictures that really stand there several times."""

from __future__ import annotations

import numpy as np
import pytest

from dlka.analysis.bootstrap import MEASURES, interval, replicates, resamples
from dlka.train.val import average_precision

CLASSES = 4


def synthetic(pictures: int, seed: int, ties: bool = False):
    """Objects of all sizes and what a mediocre detector finds of them: shifted, doubled, missed, of a wrong class, of
    nothing; some overlap. Class 2 has objects in one picture only, class 3 has detections but no objects, some
    pictures are empty."""
    rng = np.random.default_rng(seed)
    truth, found = [], []

    def row(image, number, box):
        box = [float(v) for v in box]
        return {"image_id": image, "category_id": number, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}

    def score():
        return float(rng.integers(1, 5) / 5 if ties else rng.random())

    for image in range(pictures):
        for _ in range(0 if image % 5 == 4 else rng.integers(1, 8)):
            side = rng.choice([12, 30, 32, 60, 96, 150], 2) * (1 if ties else rng.uniform(0.9, 1.1, 2))
            box = np.concatenate([rng.integers(0, 400, 2), side])
            number = 2 if image == 1 and rng.random() < 0.5 else int(rng.random() < 0.3)
            truth.append(row(image, number, box))
            for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
                shift = rng.choice([0, 1, 2, 4, 8], 4) * rng.choice([-1, 1], 4) * (side.min() / 60)
                guess = number if rng.random() < 0.8 else int(rng.integers(0, CLASSES))
                found.append(row(image, guess, box + shift) | {"score": score()})
        if image % 3 == 0:  # two objects on each other, one small, one medium; detections between them and beside
            x, side = rng.integers(0, 400), rng.choice([24, 30])
            truth += [row(image, 0, (x, 9, side, side)), row(image, 0, (x + 4, 9, side, side + rng.choice([0, 16])))]
            for shift in rng.choice([0, 1, 2, 3, 4], 2):
                found.append(row(image, 0, (x + shift, 9, side, side)) | {"score": score()})
        for _ in range(rng.integers(0, 6)):
            box = np.concatenate([rng.integers(0, 400, 2), rng.choice([10, 40, 120], 2)])
            found.append(row(image, int(rng.integers(0, CLASSES)), box) | {"score": score()})
    rng.shuffle(found)
    return truth, found


def told(pictures, truth, found):
    """What the evaluator says, as a row of replicates."""
    metrics = average_precision(pictures, range(CLASSES), truth, found)
    return np.array([np.nan if metrics[m] is None else metrics[m] for m in MEASURES])


def copied(rows, drawn):
    """The rows of a data set in which picture p stands drawn[p] times, copies side by side."""
    first = np.cumsum(drawn) - drawn
    return [row | {"image_id": int(first[row["image_id"]] + c)} for row in rows for c in range(drawn[row["image_id"]])]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_all_ones_is_the_evaluator(seed, ties):
    truth, found = synthetic(25, seed, ties)
    got = replicates(truth, found, np.ones((1, 25), np.int32))
    np.testing.assert_allclose(got[0], told(25, truth, found), rtol=0, atol=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_resamples_are_data_sets_of_copies(seed, ties):
    truth, found = synthetic(20, seed + 10, ties)
    drawn = resamples(20, 12, seed)
    drawn[0] = 0  # no class that has objects
    drawn[0, 4] = 20
    drawn[1] = 3  # everything three times is not everything once, where scores are equal
    got = replicates(truth, found, drawn)
    for row, multiplicities in zip(got, drawn):
        count = int(multiplicities.sum())
        expected = told(count, copied(truth, multiplicities), copied(found, multiplicities))
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-9)
    assert np.isnan(got[0]).all()
    assert np.isfinite(got[1:, :2]).all()


@pytest.mark.parametrize("seed", range(4))
def test_boxes_in_crowds_are_not_counted(seed):
    """As the evaluator has it: by the share of the box that lies in the crowd, at each overlap; any number may."""
    truth, found = synthetic(25, seed)
    crowds = [row | {"iscrowd": number % 3 == 0} for number, row in enumerate(truth)]
    got = replicates(crowds, found, np.ones((1, 25), np.int32))
    np.testing.assert_allclose(got[0], told(25, crowds, found), rtol=0, atol=1e-9)
    assert got[0, 0] != replicates([row for row in crowds if not row["iscrowd"]], found, np.ones((1, 25)))[0, 0]


def test_only_a_hundred_detections_of_a_class_count():
    truth, _ = synthetic(2, 0)
    truth = [row for row in truth if row["image_id"] == 0]
    vain = {**truth[0], "bbox": [600.0, 600.0, 20.0, 20.0], "area": 400.0}
    found = [{**vain, "score": 0.9}] * 100 + [{**row, "score": 0.5} for row in truth]
    np.testing.assert_allclose(replicates(truth, found, np.ones((1, 2), int))[0], told(2, truth, found), atol=1e-9)


def test_many_resamples_are_worked_on_in_blocks(monkeypatch):
    truth, found = synthetic(15, 3)
    drawn = resamples(15, 50)
    whole = replicates(truth, found, drawn)
    monkeypatch.setattr("dlka.analysis.bootstrap.BLOCK", 300)
    np.testing.assert_array_equal(replicates(truth, found, drawn), whole)


def test_nothing_found_and_nothing_there():
    truth, found = synthetic(6, 0)
    ones = np.ones((2, 6), int)
    assert (replicates(truth, [], ones)[:, :2] == 0).all()
    assert np.isnan(replicates([], found, ones)).all()


def test_resamples_are_the_same_for_all():
    drawn = resamples(7, 5, 3)
    assert drawn.shape == (5, 7)
    assert (drawn.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(drawn, resamples(7, 5, 3))
    assert (drawn != resamples(7, 5, 4)).any()
    expected = np.random.default_rng(20261122).integers(0, 9, (1000, 9))
    np.testing.assert_array_equal(resamples(9)[123], np.bincount(expected[123], minlength=9))


def test_intervals():
    values = np.arange(1001) / 1000
    assert interval(values) == pytest.approx((0.025, 0.975))
    assert interval(np.array([np.nan, 1.0, np.nan, 1.0])) == (1, 1)
    assert np.isnan(interval(np.full(5, np.nan))).all()
