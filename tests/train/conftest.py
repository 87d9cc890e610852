"""Drawn data that a detector can be trained on in seconds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from drawn_squares import draw
from safetensors.torch import load_file

from dlka.models.build import build_model
from dlka.models.catalog import find
from dlka.models.transfer import transfer
from dlka.models.weights import load_card, load_model, save_weights

NAMES = {0: "square", 1: "person"}


@pytest.fixture(scope="session")
def squares(tmp_path_factory):
    """A data set folder: 8 pictures to train on, 8 to measure on."""
    root = tmp_path_factory.mktemp("squares")
    for part in ("train", "val"):
        draw(root, part, 8)
    (root / "data.yaml").write_text("names: {0: square, 1: person}\n")
    return root


@pytest.fixture(scope="session")
def teacher_file(tmp_path_factory):
    """Stock weights that know the classes of `squares`, sure enough of every cell for soft targets to matter."""
    stock, card = load_model(find("control"))
    model = build_model("control", "n", len(NAMES))
    model.names = NAMES
    transfer(model, stock.state_dict(), NAMES, card.names)
    for branch in model.model[22].cv3:
        branch[-1].bias.data.fill_(-1.0)
    file = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_weights(file, model.state_dict(), replace(card, names=NAMES, metrics={}))
    return file


@pytest.fixture(scope="session")
def same_weights():
    """Whether two weights files have the same card and, bit by bit, the same tensors. (In the files' headers the two
    entries stand in any order.)"""

    def same(one, other):
        tensors, others = load_file(one), load_file(other)
        alike = tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in tensors)
        return alike and load_card(one) == load_card(other)

    return same
