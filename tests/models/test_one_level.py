"""Models without a pyramid: one detection map, several D-LKA blocks on it, and what everything else makes of that."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from dlka.analysis.stages import all_stage_stats
from dlka.inference.letterbox import Letterbox
from dlka.inference.predictor import Predictor
from dlka.inference.probe import probe, stages
from dlka.models import catalog
from dlka.models.build import DLKAModel, build_model, model_config, plain_of
from dlka.models.model_yaml import ATTENTION
from dlka.models.weights import Card, load_model, save_weights
from dlka.models.yaml_lint import diagnose, report_text
from dlka.types import stage_labels
from tests.deforming import deforming, picture

NAMES = {0: "circle", 1: "cross", 2: "E"}
KERNELS = ("5x5", "7x7 d3")


def with_blocks(count: int) -> dict:
    """The placement with so many D-LKA blocks, three classes."""
    config = model_config("one-level", classes=3, offsets="separable")
    *_, head = config["head"]
    config["head"] = [[-1, 1, ATTENTION, []] for _ in range(count)] + [[[3 + count], *head[1:]]]
    return config


def labels(count: int) -> list[str]:
    places = [f" block {n + 1}" for n in range(count)] if count > 1 else [""]
    return [f"P3 {kernel}{place}" for place in places for kernel in KERNELS]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_block_has_two_stages_of_its_own_name(count):
    model = DLKAModel(with_blocks(count), verbose=False).eval()
    assert model.stride.tolist() == [8]
    found = stages(model)
    assert stage_labels(found) == labels(count)
    with torch.no_grad(), probe(model) as captures:
        model(picture())
    assert [gate.level for gate in captures.gates] == ["P3"] * count
    stats = all_stage_stats(captures.offsets, Letterbox.fit((64, 96), 96))
    assert [row.label for row in stats] == labels(count)


def test_blocks_of_neck_and_head_are_told_apart_by_their_place():
    found = stage_labels(stages(build_model("neck-head").eval()))
    assert found[:2] == ["P3 5x5 neck", "P3 7x7 d3 neck"]
    assert found[6:8] == ["P3 5x5 head", "P3 7x7 d3 head"]
    several = stage_labels(stages(build_model("neck", "m").eval()))  # two bottlenecks in every C2f
    assert several[:4] == ["P3 5x5 block 1", "P3 7x7 d3 block 1", "P3 5x5 block 2", "P3 7x7 d3 block 2"]
    assert len(set(several)) == len(several) == 12


@pytest.mark.parametrize("placement", ["one-level", "one-level-plain"])
def test_the_doctor_has_nothing_to_say(placement):
    report = diagnose(model_config(placement))
    assert report.ok, report_text(report)
    assert report.notes == []
    assert report.rows[-1][2] == "Detect1x1"


def test_the_doctor_notes_a_row_that_lost_its_stride():
    config = model_config("one-level")
    config["backbone"][1][3] = [128]
    report = diagnose(config)
    assert report.ok  # it builds
    assert report.notes == [
        "row 1: Conv [128] has kernel 1 and stride 1; with stride 2 the last row would read the usual strides"
    ]
    finer = deepcopy(model_config("one-level"))
    finer["backbone"][3][3] = [256, 3, 1]  # stride 4, spelled out
    assert diagnose(finer).notes == []


@pytest.mark.parametrize("placement", ["one-level", "one-level-plain"])
@pytest.mark.parametrize("offsets", ["separable", "features"])
def test_weights_come_back_as_they_went(placement, offsets, tmp_path):
    model = deforming(placement, offsets=offsets)
    card = Card(placement, "n", offsets, NAMES, 320, "drawn", "none", "AGPL-3.0", 0, {})
    save_weights(tmp_path / "one.safetensors", model.state_dict(), card, exact=True)
    again, read = load_model(tmp_path / "one.safetensors")
    assert read == card
    assert again.stride.tolist() == [8]
    x = picture()
    with torch.no_grad():
        assert torch.equal(again(x)[0], model(x)[0])


def test_a_picture_is_padded_as_for_a_model_with_a_pyramid():
    image = np.random.default_rng(0).integers(0, 255, (70, 97, 3), np.uint8)
    one, three = (Predictor(deforming(p), torch.device("cpu")) for p in ("one-level", "control"))
    seen, other = (predictor.predict(image, size=96, confidence=0) for predictor in (one, three))
    assert seen.letterbox == other.letterbox
    assert seen.letterbox.padded == (96, 96)
    assert set(seen.detections.levels.tolist()) == {3}
    assert seen.detections.cells.max() < 12
    origins = one.box_origins(image, size=96, confidence=0)
    assert origins.output.shape[1] == len(origins.levels) == 12 * 12
    cell = tuple(seen.detections.cells[0].tolist())
    gradients = one.box_gradients(image, 3, cell, int(seen.detections.classes[0]), size=96)
    assert np.abs(gradients.cam).max() > 0
    with pytest.raises(ValueError, match="size: expected a multiple of 32"):
        one.predict(image, size=72)


def test_its_fair_comparison_goes_by_id_and_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)

    def put(model: str, placement: str, names: dict[int, str] = NAMES) -> None:
        card = Card(placement, "n", "dense", names, 320, "drawn", "none", "AGPL-3.0", 0, {})
        save_weights(tmp_path / f"{model}.safetensors", build_model(placement, "n", len(names)).state_dict(), card)

    put("scenes-one-level", "one-level")
    assert catalog.control_of("scenes-one-level") is None
    put("a-plain", "one-level-plain")
    assert catalog.control_of("scenes-one-level") == "a-plain", "better than none"
    put("stock", "control")
    assert catalog.control_of("scenes-one-level") == "stock", "the whole detector before its plain twin"
    put("scenes-control", "control", {0: "dragon"})
    assert catalog.control_of("scenes-one-level") == "stock", "classes decide"
    put("scenes-control", "one-level-plain")
    assert catalog.control_of("scenes-one-level") == "scenes-control"
    assert plain_of("one-level") == "one-level-plain"
    assert plain_of("head") == "control"
