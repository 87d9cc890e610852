"""Drawn data that a detector can be trained on in seconds."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dlka.models.build import build_model
from dlka.models.catalog import find
from dlka.models.transfer import transfer
from dlka.models.weights import load_card, load_model, save_weights

NAMES = {0: "square", 1: "person"}


def draw(root, part, count):
    """Pictures 80x64 with one bright square of 16 px each on dark noise, and where it is."""
    random = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (root / kind / part).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        image = random.integers(0, 60, (64, 80, 3), np.uint8)
        x, y = random.integers(0, 48, 2)
        image[y : y + 16, x : x + 16] = 230
        cv2.imwrite(str(root / "images" / part / f"{i}.png"), image)
        row = f"0 {(x + 8) / 80} {(y + 8) / 64} {16 / 80} {16 / 64}"
        (root / "labels" / part / f"{i}.txt").write_text(row)


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
