"""The effective receptive field against finite differences of the network itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deforming import deforming, hooks, picture

from dlka.analysis.examples import examples
from dlka.images import read_image
from dlka.inference.box_gradients import BLOCK, effective_receptive_field
from dlka.inference.interventions import Intervention
from dlka.inference.predictor import load_predictor

CELL = (3, 4)


@pytest.fixture(scope="module")
def model():
    return deforming("residual").double()


def output_sum(model, x, block):
    seen = []
    handle = model.get_submodule(block).register_forward_hook(lambda m, i, o: seen.append(o))
    with torch.no_grad():
        model(x)
    handle.remove()
    return float(seen[0][0, :, CELL[0], CELL[1]].sum())


@pytest.mark.slow
def test_patches_are_sums_of_absolute_derivatives(model):
    x, block = picture().double(), "model.16"
    field = effective_receptive_field(model, x, block, CELL)
    assert field.shape == (64 // BLOCK, 96 // BLOCK)
    for row, column in ((6, 8), np.unravel_index(field.argmax(), field.shape)):
        total = 0.0
        for colour, y, x_ in np.ndindex(3, BLOCK, BLOCK):
            sides = []
            for step in (1e-6, -1e-6):
                moved = x.clone()
                moved[0, colour, row * BLOCK + y, column * BLOCK + x_] += step
                sides.append(output_sum(model, moved, block))
            total += abs(sides[0] - sides[1]) / 2e-6
        assert field[row, column] == pytest.approx(total, rel=2e-2)  # a derivative jumps where a read crosses a cell


def test_no_hook_and_no_gradient_is_left_behind(model):
    x = picture().double()
    effective_receptive_field(model, x, "model.16", CELL)
    assert hooks(model) == 0
    assert x.grad is None
    assert not x.requires_grad
    with pytest.raises(ValueError, match=r"cell: expected \(row, column\) on a map of 8 x 12, got \(8, 0\)"):
        effective_receptive_field(model, x, "model.16", (8, 0))
    with pytest.raises(ValueError, match=r"block: expected one of model\.16, .*, got 'x'"):
        effective_receptive_field(model, x, "x", CELL)
    assert hooks(model) == 0


def test_a_predictor_sees_the_deformation_that_is_asked_for():
    predictor, _ = load_predictor("residual")
    image = read_image(examples()["Two people"])[::4, ::4].copy()
    predictor.predict(image, size=320)  # keeps tensors without gradients in the head
    learned = predictor.receptive_field(image, "model.24", (2, 3), size=320)
    rigid = predictor.receptive_field(image, "model.24", (2, 3), size=320, intervention=Intervention(strength=0.0))
    assert learned.shape == rigid.shape
    assert learned.min() >= 0
    assert np.abs(learned - rigid).max() > 0.01 * learned.max()
