"""The cells behind a box, against a suppression written out box by box."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dlka.analysis.examples import examples
from dlka.analysis.pairing import box_iou
from dlka.images import read_image
from dlka.inference.box_origin import best_cell, candidates
from dlka.inference.predictor import load_predictor
from dlka.models.blocks import suppress


def crowd(cells=400, classes=3, seed=0):
    """A raw output [1, 4 + classes, cells] of boxes that overlap a lot."""
    random = np.random.default_rng(seed)
    boxes = np.concatenate([random.uniform(20, 80, (2, cells)), random.uniform(20, 40, (2, cells))])
    scores = random.uniform(0, 1, (classes, cells)) ** 3
    return torch.from_numpy(np.concatenate([boxes, scores])[None].astype(np.float32))


def by_hand(output, confidence, iou, classes):
    """Index of a cell -> index of the cell that won over it."""
    table = output[0].numpy().T.astype(np.float64)
    best = table[:, 4:].argmax(1)
    score = table[:, 4:].max(1)
    boxes = np.concatenate([table[:, :2] - table[:, 2:4] / 2, table[:, :2] + table[:, 2:4] / 2], axis=1)
    left = [i for i in score.argsort()[::-1] if score[i] > confidence and (classes is None or best[i] in classes)]
    owner = {}
    while left:
        winner = left.pop(0)
        owner[winner] = winner
        for other in list(left):
            if best[other] == best[winner] and box_iou(boxes[[other]], boxes[[winner]])[0, 0] > iou:
                owner[other] = winner
                left.remove(other)
    return owner


@pytest.mark.parametrize(("confidence", "iou", "classes"), [(0.25, 0.7, None), (0.05, 0.3, None), (0.1, 0.5, [0, 2])])
def test_every_candidate_belongs_to_the_box_that_won_over_it(confidence, iou, classes):
    output = crowd()
    seen = candidates(output, confidence, iou, classes)
    _, winners = suppress(output, confidence, iou, classes)
    expected = by_hand(output, confidence, iou, classes)
    assert len(expected) > len(winners) + 20, "many are merged"
    got = {int(i): int(winners[o]) for i, o in zip(seen.index, seen.owner)}
    assert got == expected
    own = winners.numpy()[seen.owner] == seen.index
    np.testing.assert_allclose(seen.overlap[own], 1, atol=1e-6)
    assert (seen.overlap[~own] > iou).all()


def test_no_candidate_and_too_many():
    assert len(candidates(crowd(), 1.0, 0.7).index) == 0
    apart = crowd(330)  # 330 boxes that touch nobody: only 300 are kept
    apart[0, :2], apart[0, 2:4], apart[0, 4:] = 50.0 * torch.arange(330), 10.0, torch.rand(3, 330) / 2 + 0.4
    seen = candidates(apart, 0.25, 0.7)
    assert (seen.owner == -1).sum() == 30
    assert sorted(seen.owner[seen.owner >= 0]) == list(range(300))


def test_the_best_cell_for_a_class_among_those_that_overlap():
    output = np.zeros((6, 4), np.float32)
    output[:4] = np.array([[50, 50, 20, 20], [52, 50, 20, 20], [50, 50, 60, 60], [51, 50, 20, 20]]).T
    output[5] = [0.1, 0.3, 0.9, 0.2]  # the third scores best but its box is another one
    index, overlap = best_cell(output, 1, np.array([40, 40, 60, 60]))
    assert index == 1
    assert overlap == pytest.approx(18 / 22)
    assert best_cell(output, 1, np.array([400, 400, 420, 420])) is None


def test_detections_of_a_model_own_their_cells():
    predictor, _ = load_predictor("control")
    image = read_image(examples()["Two people"])
    seen, origins = predictor.predict(image, size=320).detections, predictor.box_origins(image, size=320)
    found = origins.candidates
    assert len(found.index) > len(seen)
    behind = []
    for i in range(len(seen)):
        index = origins.index(int(seen.levels[i]), tuple(seen.cells[i]))
        others = origins.merged(index)
        assert origins.output[4 + seen.classes[i], index] == pytest.approx(seen.scores[i], abs=1e-6)
        assert (found.scores[others] <= seen.scores[i] + 1e-6).all()
        assert (found.owner[others] == i).all()
        behind += [index, *found.index[others]]
    assert sorted(behind) == sorted(found.index), "every candidate is behind one box"
    with pytest.raises(ValueError, match=r"got \(99, 0\) on P3"):
        origins.index(3, (99, 0))
