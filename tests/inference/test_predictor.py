"""The predictor: Ultralytics' boxes for the stock model, and for every box the cell that really produced it."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from torch.nn import Conv2d
from ultralytics import YOLO
from ultralytics.utils import ASSETS

from dlka.analysis.pairing import match_detections
from dlka.images import read_image
from dlka.inference.interventions import Intervention
from dlka.inference.letterbox import Letterbox
from dlka.inference.predictor import PredictionFailed, Predictor, load_predictor
from dlka.inference.probe import probe
from dlka.layers import DeformableLKA, DeformConv
from dlka.models.catalog import find
from dlka.models.checkpoint import convert
from dlka.models.weights import load_model
from dlka.offset_nets import OffsetConv2d

CPU = torch.device("cpu")
PLACEMENTS = ["control", "neck", "residual", "head"]


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    bus, zidane = read_image(ASSETS / "bus.jpg"), read_image(ASSETS / "zidane.jpg")
    hopper = read_image(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    return {
        "bus": bus,
        "zidane": zidane,
        "hopper": hopper,
        "odd": np.ascontiguousarray(bus[211:, 13:614]),
        "flat": np.ascontiguousarray(zidane[100:333]),
        # Not a width whose input is rounded down to a multiple of 32: there Ultralytics takes the scale back from the
        # padded size, a little too small (217 x 1080 at 320: boxes up to 3 pixels too low).
        "tall": np.ascontiguousarray(bus[:, 60:281]),
        "tiny": np.ascontiguousarray(zidane[::9, ::9]),
    }


@pytest.fixture(scope="module")
def stock(shared, tmp_path_factory) -> Predictor:
    """The stock model after its whole way: checkpoint, weights file, predictor."""
    file = tmp_path_factory.mktemp("stock") / "yolov8n.safetensors"
    convert(shared / "weights" / "yolov8n.pt", file)
    return load_predictor(str(file), "cpu")[0]


@pytest.fixture(scope="module")
def ultralytics(shared) -> YOLO:
    return YOLO(shared / "weights" / "yolov8n.pt", task="detect")


@pytest.fixture(scope="module")
def control() -> Predictor:
    return load_predictor("control", "cpu")[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bus", "zidane", "hopper", "odd", "flat", "tall", "tiny"])
@pytest.mark.parametrize(("confidence", "size"), [(0.25, 640), (0.05, 320)])
def test_boxes_are_ultralytics(stock, ultralytics, pictures, name, confidence, size):
    image = pictures[name]
    found = stock.predict(image, confidence=confidence, size=size).detections
    bgr = np.ascontiguousarray(image[..., ::-1])
    expected = ultralytics.predict(bgr, conf=confidence, iou=0.7, imgsz=size, device="cpu", verbose=False)[0].boxes
    assert len(expected) > 0
    np.testing.assert_array_equal(found.classes, expected.cls.numpy())
    np.testing.assert_allclose(found.scores, expected.conf.numpy(), atol=1e-4, rtol=0)
    np.testing.assert_allclose(found.boxes, expected.xyxy.numpy(), atol=0.01, rtol=0)


@pytest.mark.slow
def test_files_give_ultralytics_boxes_too(stock, ultralytics):
    file = ASSETS / "bus.jpg"
    found = stock.predict(read_image(file)).detections
    expected = ultralytics.predict(file, device="cpu", verbose=False)[0].boxes
    np.testing.assert_allclose(found.boxes, expected.xyxy.numpy(), atol=0.01, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("model", PLACEMENTS)
@pytest.mark.parametrize("name", ["bus", "odd", "flat"])
def test_every_box_comes_from_its_cell(pictures, model, name):
    predictor, image = load_predictor(model, "cpu")[0], pictures[name]
    prediction = predictor.predict(image, confidence=0.01, size=320, multi_label=True)
    found, box = prediction.detections, prediction.letterbox
    x = torch.from_numpy(box.apply(image)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        raw = predictor.model(x)[0][0].double().numpy()  # [4 + nc, cells]
    assert len(found) > 0
    first, maps = 0, {}
    for level in (3, 4, 5):
        rows, columns = (side >> level for side in box.padded)
        maps[level] = raw[:, first : first + rows * columns].reshape(-1, rows, columns)
        first += rows * columns
    for detected, score, number, level, (row, column) in zip(
        found.boxes, found.scores, found.classes, found.levels, found.cells
    ):
        cx, cy, w, h = maps[level][:4, row, column]
        corners = box.boxes_back(np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]))
        height, width = image.shape[:2]
        np.testing.assert_allclose(detected, corners.clip(0, [width, height] * 2), atol=2e-3)
        assert maps[level][4 + number, row, column] == pytest.approx(score, abs=1e-6)


def test_control_finds_the_bus_and_the_people(control, pictures):
    found = control.predict(pictures["bus"]).detections
    count = Counter(control.names[int(c)] for c in found.classes)
    assert count["bus"] >= 1
    assert count["person"] >= 3


@pytest.mark.parametrize("model", PLACEMENTS)
def test_the_same_question_has_the_same_answer(pictures, model):
    predictor = load_predictor(model, "cpu")[0]
    first, again = (predictor.predict(pictures["odd"], confidence=0.01, size=320) for _ in range(2))
    assert_same(first, again)
    assert len(first.captures) == (0 if model == "control" else 6)
    assert len(first.gates) == len(first.captures) // 2


def test_a_model_is_loaded_once_however_it_is_asked_for():
    assert load_predictor("control") is load_predictor("control", None)


def test_several_threads(pictures):
    predictor = load_predictor("neck", "cpu")[0]
    # Strengths differ too: one caller's must not reach another.
    questions = [(pictures[name], strength) for name in ("odd", "tiny", "flat") for strength in (0.0, 1.0)]

    def ask(question):
        image, strength = question
        return predictor.predict(image, confidence=0.01, size=160, intervention=Intervention(strength=strength))

    alone = [ask(q) for q in questions]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(ask, questions * 3))
    for a, b in zip(together, alone * 3):
        assert_same(a, b)


def test_strength_scales_the_captures(pictures):
    predictor = load_predictor("neck", "cpu")[0]
    learned, half, rigid = (
        predictor.predict(pictures["tiny"], size=160, intervention=Intervention(strength=s)) for s in (1, 0.5, 0)
    )
    np.testing.assert_array_equal(half.captures[0].offset, learned.captures[0].offset * np.float32(0.5))
    assert all((c.offset == 0).all() for c in rigid.captures)
    assert_same(learned, predictor.predict(pictures["tiny"], size=160))


def test_classes_are_kept(control, pictures):
    (bus,) = (i for i, name in control.names.items() if name == "bus")
    found = control.predict(pictures["bus"], classes=[bus]).detections
    assert set(found.classes) == {bus}


def test_nothing_found(control):
    prediction = control.predict(np.full((50, 70, 3), 114, np.uint8), size=320)
    assert len(prediction.detections) == 0
    assert prediction.letterbox == Letterbox.fit((50, 70), 320)
    assert prediction.device == "cpu"
    assert set(prediction.milliseconds) == {"letterbox", "model", "boxes"}


def test_boxes_lie_on_the_picture(control, pictures):
    for image in (pictures["bus"], pictures["tall"]):
        boxes = control.predict(image, confidence=0.01).detections.boxes
        assert (boxes >= 0).all()
        assert (boxes <= [image.shape[1], image.shape[0]] * 2).all()


def test_the_model_given_is_left_alone():
    model, _ = load_model(find("neck"))
    before = deepcopy(model.state_dict())
    Predictor(model, CPU).predict(np.zeros((32, 32, 3), np.uint8), size=32)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


@pytest.mark.parametrize("model", PLACEMENTS)
def test_maps_stay_channels_last_on_the_cpu(pictures, model):
    """From the picture to the head no layer gives out a map in other memory."""
    predictor = load_predictor(model, "cpu")[0]
    assert all(is_last(p) for p in predictor.model.parameters() if p.dim() == 4)
    seen: dict[str, bool] = {}
    hooks = [
        m.register_forward_hook(lambda m, i, o, name=name: seen.update({name: is_last(o)}))
        for name, m in predictor.model.named_modules()
        if isinstance(m, Conv2d | DeformConv | DeformableLKA) and ".dfl." not in name  # boxes, which are no map
    ]
    predictor.predict(pictures["odd"], size=320)
    for hook in hooks:
        hook.remove()
    assert len(seen) > 60
    assert all(seen.values())


def test_the_layout_changes_no_result(pictures):
    model, _ = load_model(find("neck"))
    predictor = Predictor(model, CPU)
    prediction = predictor.predict(pictures["odd"], confidence=0.01, size=320)
    x = torch.from_numpy(prediction.letterbox.apply(pictures["odd"])).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad(), probe(model) as captures:
        model(x.contiguous())
    for ours, plain in zip(prediction.captures + prediction.gates, captures.offsets + captures.gates, strict=True):
        for name in ("offset", "values"):
            np.testing.assert_allclose(getattr(ours, name, 0), getattr(plain, name, 0), atol=1e-3)


def test_bfloat16_runs_in_it_and_keeps_offsets_in_float32(pictures):
    model, _ = load_model(find("neck"))
    dtypes: dict[type, set] = {}
    exact, mixed = Predictor(model, CPU), Predictor(model, CPU)
    hooks = [
        m.register_forward_hook(lambda m, i, o: dtypes.setdefault(type(m), set()).add(o.dtype))
        for m in mixed.model.modules()
        if isinstance(m, Conv2d)
    ]
    with torch.autocast("cpu", torch.bfloat16):
        found = mixed.predict(pictures["bus"])
    wanted = exact.predict(pictures["bus"])
    for hook in hooks:
        hook.remove()
    assert dtypes == {Conv2d: {torch.bfloat16}, OffsetConv2d: {torch.float32}}
    pairs = match_detections(found.detections, wanted.detections).pairs
    assert [p.kind for p in pairs] == ["both"] * len(wanted.detections)
    # Processors round differently: those that compute in bfloat16 by themselves, and those that only store it.
    assert all(p.iou > 0.85 and abs(p.score_change) < 0.05 for p in pairs)
    assert any(p.score_change for p in pairs)
    for ours, theirs in zip(found.captures, wanted.captures):
        assert ours.offset.dtype == np.float32
        np.testing.assert_allclose(ours.offset, theirs.offset, atol=0.1)


def is_last(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("value", "end"),
    [
        (float("nan"), "22.cv2.0.2.weight"),
        (float("inf"), "22.cv2.0.2.weight"),
        (float("nan"), "0.conv.weight"),
        (float("inf"), "0.conv.weight"),
        (float("nan"), "conv0.offset_net.bias"),  # an infinite offset reads zero, which is finite
    ],
)
def test_output_that_is_not_finite_is_told(value, end):
    model, _ = load_model(find("neck"))
    name = next(n for n, _ in model.named_parameters() if n.endswith(end))
    model.get_parameter(name).data.flatten()[0] = value
    with pytest.raises(PredictionFailed, match="not finite"):
        Predictor(model, CPU).predict(np.full((64, 64, 3), 90, np.uint8), size=64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 33}, "size: expected a multiple of 32 from 32 to 4096, got 33"),
        ({"size": 0}, "size: expected a multiple of 32"),
        ({"size": -32}, "size: expected a multiple of 32"),
        ({"size": 4128}, "size: expected a multiple of 32"),
        ({"confidence": 1.1}, "confidence and iou: expected 0 to 1, got 1.1"),
        ({"confidence": float("nan")}, "confidence and iou: expected 0 to 1"),
        ({"iou": -0.1}, "confidence and iou: expected 0 to 1"),
        ({"image": np.zeros((64, 64), np.uint8)}, r"image: expected RGB \[H, W, 3\] uint8, got \[64, 64\] uint8"),
        ({"image": np.zeros((64, 64, 4), np.uint8)}, r"got \[64, 64, 4\]"),
        ({"image": np.zeros((64, 64, 3))}, "got .* float64"),
    ],
    ids=str,
)
def test_bad_arguments(control, arguments, message):
    with pytest.raises(ValueError, match=message):
        control.predict(**{"image": np.zeros((64, 64, 3), np.uint8), **arguments})


def assert_same(a, b):
    for name in ("boxes", "scores", "classes", "levels", "cells"):
        np.testing.assert_array_equal(getattr(a.detections, name), getattr(b.detections, name))
    for left, right in zip(a.captures + a.gates, b.captures + b.gates, strict=True):
        for name in ("offset", "values"):
            np.testing.assert_array_equal(getattr(left, name, 0), getattr(right, name, 0))


def test_a_weights_file_that_was_written_anew_is_read_anew(tmp_path):
    """Else who trains into the same file sees the old model's boxes."""
    file = tmp_path / "mine.safetensors"
    known = []
    for model, wait in (("control", 0), ("scenes-control", 1)):
        file.write_bytes(find(model).read_bytes())
        os.utime(file, ns=(wait, wait))
        known.append(load_predictor(str(file), "cpu")[0])
    assert [len(predictor.names) for predictor in known] == [80, len(load_predictor("scenes-control")[0].names)]
    assert load_predictor(str(file), "cpu")[0] is known[1]
