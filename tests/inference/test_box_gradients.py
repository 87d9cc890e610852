"""LayerCAM and the gradient of one box, against finite differences of the network itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deforming import deforming, hooks, picture
from torch import nn

from dlka.analysis.examples import examples
from dlka.images import read_image
from dlka.inference.box_gradients import BLOCK, box_gradients
from dlka.inference.interventions import Intervention
from dlka.inference.predictor import load_predictor

LEVEL, CELL, NUMBER = 0, (3, 4), 1


class Head(nn.Module):
    """The class branch of one level: logit = 2 * first channel - second channel of the cell and of its left one."""

    def __init__(self):
        super().__init__()
        branch = nn.Conv2d(2, 1, (1, 3), padding=(0, 1), bias=False)
        branch.weight.data = torch.tensor([[[[2.0, 2, 0]], [[-1.0, -1, 0]]]])
        self.cv3 = nn.ModuleList([branch])

    def forward(self, maps):
        raise AssertionError("the rest of the head is not needed")


class Tiny(nn.Module):
    """Two maps of half the picture's size: the red channel's mean, and its negative."""

    def __init__(self):
        super().__init__()
        self.model = nn.ModuleList([nn.AvgPool2d(4), Head()])

    def forward(self, x):
        red = self.model[0](x)[:, :1]
        return self.model[1]([torch.cat([red, -red], 1)])


def test_layercam_of_a_network_that_can_be_worked_out_by_hand():
    x = torch.zeros(1, 3, 8, 12)
    x[0, 0, :4, 4:8], x[0, 0, :4, :4] = 0.5, 0.25
    seen = box_gradients(Tiny(), x, 0, (0, 1), 0)
    assert seen.logit == pytest.approx(3 * (0.5 + 0.25))
    # ReLU(2) * red + ReLU(-1) * (-red): the negative gradient counts nothing.
    np.testing.assert_allclose(seen.cam, [[0.5, 1.0, 0], [0, 0, 0]])
    np.testing.assert_allclose(seen.field, [[3, 3, 0], [0, 0, 0]], atol=1e-6)  # d logit: 3 for all 16 pixels together
    assert seen.reach == 2
    assert box_gradients(Tiny(), -x, 0, (0, 1), 0).cam.max() == 0, "what speaks against the class is not shown"


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["residual", "head"])
def test_the_field_is_the_derivative_of_the_class_logit(placement):
    model = deforming(placement).double()
    x = picture(32, 64).double()
    seen = box_gradients(model, x, LEVEL, CELL, NUMBER)

    def logits(at):
        with torch.no_grad():
            scores = model(at)[1]["scores"].view(len(at), 3, -1)[..., : 4 * 8].view(len(at), 3, 4, 8)
        return scores[:, NUMBER, CELL[0], CELL[1]]

    assert seen.logit == pytest.approx(float(logits(x)[0]))
    row, column = np.unravel_index(seen.field.argmax(), seen.field.shape)
    steps = torch.zeros(3 * BLOCK * BLOCK, 3, 32, 64, dtype=torch.double)
    for i, (colour, down, across) in enumerate(np.ndindex(3, BLOCK, BLOCK)):
        steps[i, colour, row * BLOCK + down, column * BLOCK + across] = 1e-6
    total = float((logits(x + steps) - logits(x - steps)).abs().sum()) / 2e-6
    assert seen.field[row, column] == pytest.approx(total, rel=2e-2)  # a derivative jumps where a read crosses a cell
    assert hooks(model) == 0


def test_a_class_branch_of_plain_convolutions_reaches_five_cells_each_way():
    seen = box_gradients(deforming("control"), picture(), LEVEL, CELL, NUMBER)
    assert seen.reach == 25
    rows, columns = np.nonzero(seen.cam)
    assert abs(rows - CELL[0]).max() <= 2
    assert abs(columns - CELL[1]).max() <= 2


@pytest.mark.parametrize(
    ("level", "cell", "number", "says"),
    [(3, CELL, 0, "level: expected 0 to 2"), (0, (8, 0), 0, "map of 8 x 12"), (0, CELL, 3, "class: expected 0 to 2")],
)
def test_what_is_not_there_is_refused(level, cell, number, says):
    model = deforming("control")
    with pytest.raises(ValueError, match=says):
        box_gradients(model, picture(), level, cell, number)
    assert hooks(model) == 0


@pytest.mark.slow
def test_a_predictor_explains_the_box_that_it_found():
    predictor, _ = load_predictor("residual")
    image = read_image(examples()["Two people"])[::2, ::2].copy()
    found = predictor.predict(image, size=320).detections  # keeps tensors without gradients in the head
    ask = (int(found.levels[0]), tuple(found.cells[0]), int(found.classes[0]))
    learned = predictor.box_gradients(image, *ask, size=320)
    assert 1 / (1 + np.exp(-learned.logit)) == pytest.approx(found.scores[0], abs=1e-4)
    assert learned.cam.max() > 0
    rigid = predictor.box_gradients(image, *ask, size=320, intervention=Intervention(strength=0.0))
    assert rigid.logit != learned.logit
