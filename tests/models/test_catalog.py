"""Which models there are, and which belong together."""

from __future__ import annotations

import os

import pytest

from dlka.models import catalog
from dlka.models.build import build_model
from dlka.models.weights import Card, load_card, save_weights

COCO = load_card(catalog.WEIGHTS / "control.safetensors").names
THERMAL = dict(enumerate(("person", "car", "bicycle", "other vehicle")))


def put(folder, model, placement, names, offsets="dense"):
    """A weights file of an untrained model."""
    card = Card(placement, "n", offsets, names, 640, "nothing", "none", "AGPL-3.0", 0, {})
    save_weights(folder / f"{model}.safetensors", build_model(placement, "n", len(names), offsets).state_dict(), card)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    put(folder, "control", "control", COCO)
    put(folder, "yolov8n", "control", COCO)
    put(folder, "residual", "residual", COCO, "separable")
    put(folder, "a-drone-control", "control", THERMAL)
    put(folder, "a-thermal-control", "control", THERMAL)
    put(folder, "a-thermal-head-separable", "head", THERMAL, "separable")
    put(folder, "stranger", "head", {0: "dragon"}, "separable")
    return folder


@pytest.fixture(autouse=True)
def in_folder(folder, monkeypatch):
    monkeypatch.setattr(catalog, "WEIGHTS", folder)


def test_coco_comes_first_then_ids():
    assert list(catalog.cards()) == [
        *("control", "residual", "yolov8n"),
        *("a-drone-control", "a-thermal-control", "a-thermal-head-separable", "stranger"),
    ]


def test_the_control_has_the_same_classes_and_the_same_beginning(folder):
    assert catalog.control_of("residual") == "control"
    assert catalog.control_of("a-thermal-head-separable") == "a-thermal-control"
    assert catalog.control_of("stranger") is None
    assert catalog.control_of("nonsense") is None
    put(folder, "residual-control", "control", {0: "dragon"})  # begins alike and is no fair comparison
    assert catalog.control_of("residual") == "control"
    assert catalog.control_of("stranger") == "residual-control", (
        "another stock model of these classes is better than none"
    )
    (folder / "residual-control.safetensors").unlink()


def test_a_file_that_is_no_weights_is_left_out_and_a_new_one_is_seen(folder):
    file = folder / "broken.safetensors"
    file.write_bytes(b"no weights")
    assert "broken" in catalog.available()
    assert "broken" not in catalog.cards()
    put(folder, "broken", "control", {0: "phoenix"})
    os.utime(file, ns=(1, 1))
    assert catalog.cards()["broken"].names == {0: "phoenix"}
    put(folder, "broken", "control", {0: "griffin"})
    assert catalog.cards()["broken"].names == {0: "griffin"}
    file.unlink()
    assert "broken" not in catalog.cards()
