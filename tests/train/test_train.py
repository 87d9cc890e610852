"""Training end to end on a few drawn pictures, and the losses of a teacher."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ultralytics.cfg import DEFAULT_CFG_DICT

from dlka.errors import DlkaError
from dlka.inference.predictor import Predictor
from dlka.layers import DeformConv
from dlka.models.build import build_model
from dlka.models.catalog import find
from dlka.models.weights import Card, load_model, save_weights
from dlka.offset_nets import OffsetConv2d, SeparableOffsetNet
from dlka.train.loss import RecipeLoss
from dlka.train.recipe import Recipe
from dlka.train.trainer import read_start
from dlka.train.training import fit, pseudo_label, train


def rows(file):
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def trained(squares, tmp_path_factory):
    """The weights file of two epochs, and the folder that everything was written to."""
    work = tmp_path_factory.mktemp("run")
    recipe = Recipe("residual", str(squares), epochs=2, size=64, batch=4, seed=3)
    return train(recipe, work / "out" / "squares.safetensors", work / "runs" / "first", "cpu"), work


@pytest.mark.slow
def test_a_run_ends_in_one_file_with_its_recipe_and_figures(trained):
    path, work = trained
    model, card = load_model(path)
    assert (card.placement, card.scale, card.offsets, card.seed) == ("residual", "n", "dense", 3)
    assert card.names == {0: "square", 1: "person"}
    assert json.loads(card.recipe)["epochs"] == 2
    assert str(work) not in card.recipe, "no path of this machine travels with the file"
    assert card.metrics["pictures"] == 8
    assert 0 <= card.metrics["AP50"] <= 1
    assert card.data.endswith("weights of epoch 2, the last one, not chosen on any data")
    assert "in part" in (work / "runs" / "first" / "ledger.txt").read_text()
    offsets = [m for m in model.modules() if isinstance(m, OffsetConv2d)]
    assert len(offsets) == 6
    assert any(m.weight.abs().max() > 0 for m in offsets), "offsets were learned"


@pytest.mark.slow
@pytest.mark.parametrize(("offsets", "count"), [("separable", 6), ("none", 0)])
def test_the_recipes_offsets_are_trained(squares, tmp_path, offsets, count):
    recipe = Recipe("residual", str(squares), offsets=offsets, epochs=1, size=64, batch=4)
    model, card = load_model(train(recipe, tmp_path / "twin.safetensors", tmp_path / "run", "cpu"))
    assert card.offsets == offsets
    nets = [m.offset_net for m in model.modules() if isinstance(m, DeformConv)]
    assert len(nets) == count
    assert all(isinstance(net, SeparableOffsetNet) for net in nets)
    assert not nets or any(net.pointwise.weight.abs().max() > 0 for net in nets), "offsets were learned"


@pytest.mark.slow
def test_the_same_recipe_and_seed_give_the_same_file(trained, squares, tmp_path, same_weights):
    recipe = Recipe("residual", str(squares), epochs=2, size=64, batch=4, seed=3)
    again = train(recipe, tmp_path / "squares.safetensors", tmp_path / "run", "cpu")
    assert same_weights(again, trained[0])
    other = tmp_path / "other.safetensors"
    fit(replace(recipe, seed=4), other, tmp_path / "run", "cpu")
    assert not same_weights(other, again)
    assert rows(tmp_path / "run/curves.csv") != rows(trained[1] / "runs/first/curves.csv")


@pytest.mark.slow
def test_what_a_run_leaves_to_look_at(trained):
    folder = trained[1] / "runs" / "first"
    curves = rows(folder / "curves.csv")
    assert [row["epoch"] for row in curves] == ["1", "2"]
    assert all(float(row[name]) > 0 for row in curves for name in ("box_loss", "cls_loss", "dfl_loss"))
    assert "AP" not in curves[0], "nothing looked at the validation part"
    offsets = rows(folder / "offsets.csv")
    assert [row["epoch"] for row in offsets] == ["1"] * 6 + ["2"] * 6
    assert offsets[0]["label"] == "P3 5x5"
    assert float(offsets[6]["mean"]) > 0
    assert {row["health"] for row in offsets} <= {"dead", "healthy"}
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((folder / "report.json").read_text())
    assert report["settings"]["size"] == 640
    assert report["metrics"]["AP"] == load_model(trained[0])[1].metrics["AP"]
    assert len(report["stage_offsets"]) == 6
    assert (folder / "state.pt").stat().st_size < 10_000, "what is finished takes no room"


@pytest.mark.slow
def test_without_a_validation_part_it_is_trained_all_the_same(squares, tmp_path, capsys):
    data = tmp_path / "only.yaml"
    data.write_text(f"path: {squares}\ntrain: images/train\nval: []\nnames: [square, person]\n")
    (squares / "images/val").rename(squares / "images/away")
    try:
        recipe = Recipe("control", str(data), epochs=1, size=64, batch=4)
        out = train(recipe, tmp_path / "o.safetensors", tmp_path / "run", "cpu")
    finally:
        (squares / "images/away").rename(squares / "images/val")
    assert load_model(out)[1].metrics == {}
    assert not (tmp_path / "run/report.json").exists()
    told = capsys.readouterr().out
    assert "only train: 8 pictures, 8 boxes of 1 of 2 classes, 100 % of them under 32x32 px" in told
    assert "Warning: no training picture shows person." in told
    assert "Weights: copied" in told
    assert "There is no validation part, so nothing was measured." in told


@pytest.mark.slow
def test_a_teacher_is_learned_from_and_crops_of_mosaics_in_bfloat16(squares, teacher_file, tmp_path):
    recipe = Recipe("neck", str(squares), teacher=str(teacher_file), epochs=1, size=96, crop=64, batch=4)
    recipe = replace(recipe, bfloat16=True, mosaic=0.5, unlabelled=str(squares / "images/val"))
    fit(recipe, tmp_path / "o.safetensors", tmp_path / "run", "cpu")
    (row,) = rows(tmp_path / "run/curves.csv")
    assert all(float(row[name]) > 0 for name in ("soft_cls", "soft_box", "feature"))
    listed = (tmp_path / "run/train.txt").read_text().split()
    assert len(listed) == 16
    assert sum("pseudo-labels-val-teacher-640-0.3" in line for line in listed) == 8
    assert all(t.isfinite().all() for t in load_model(tmp_path / "o.safetensors")[0].state_dict().values())


@pytest.mark.slow
def test_from_scratch_everything_learns_and_is_measured_at_its_own_size(squares, tmp_path):
    recipe = Recipe("residual", str(squares), start="none", epochs=1, size=64, batch=4, seed=3)
    run = tmp_path / "run"
    model, card = load_model(train(recipe, tmp_path / "out.safetensors", run, "cpu"))
    first, (stock, _) = "model.0.conv.weight", read_start("control")
    assert not torch.allclose(model.state_dict()[first], stock[first], atol=0.1)
    assert not (run / "ledger.txt").exists()
    assert json.loads((run / "report.json").read_text())["settings"]["size"] == card.metrics["size"] == 64
    assert json.loads(card.recipe)["start"] == "none"


@pytest.mark.slow
def test_frozen_layers_stay_as_they_were(trained):
    path, _ = trained
    state, _ = read_start("control")
    new = load_model(path)[0].state_dict()
    for name in ("model.0.conv.weight", "model.4.m.0.cv1.bn.running_mean"):
        torch.testing.assert_close(new[name], state[name], rtol=1e-2, atol=1e-3)
    assert not torch.allclose(new["model.12.cv1.conv.weight"], state["model.12.cv1.conv.weight"], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"placement": "tail"}, "placement: expected one of control, neck"),
        ({"offsets": "sparse"}, "offsets: expected one of dense, separable, none, features, got 'sparse'"),
        ({"scale": "xs"}, "scale: expected one of n, s, m, l, x, got 'xs'"),
        ({"data": "nowhere"}, "expected a data set folder with data.yaml"),
        ({"start": "nowhere.safetensors"}, "there is no such file"),
        ({"start": "nothing"}, "model: expected one of .*control.*got 'nothing'"),
        ({"start": "residual"}, "expected a stock YOLOv8, which a control is, got placement residual"),
        ({"scale": "s"}, "control is of scale n: give stock weights of scale s, for example"),
        ({"unlabelled": "anything"}, "give --teacher, too"),
        ({"unlabelled": "nowhere", "teacher": "control"}, "nowhere: expected a folder with pictures"),
        ({"teacher": "control"}, "a teacher with the data's 2 classes, got one with 80"),
        ({"teacher": "neck"}, "--teacher neck: expected a stock YOLOv8"),
        ({"size": 100}, "size: expected a multiple of 32 from 32 to 4096, got 100"),
        ({"crop": 448}, "crop: expected at most the size, 416, got 448"),
        ({"epochs": 0}, "epochs: expected 1 or more, got 0"),
        ({"start": "none", "teacher": "control"}, "a model from scratch has no teacher"),
        ({"lr": float("nan")}, "lr: expected 0 or more, got nan"),
        ({"mosaic": 2.0}, "mosaic: expected 0 to 1, got 2.0"),
        ({"offset_warmup": 3.0}, "offset_warmup: expected 0 to 2, got 3.0"),
    ],
)
def test_refused_before_the_first_epoch(squares, tmp_path, change, says):
    recipe = Recipe(**{"placement": "neck", "data": str(squares), **change})
    with pytest.raises(DlkaError, match=says):
        train(recipe, tmp_path / "out.safetensors", tmp_path / "run", "cpu")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("abacus", "--device: expected cpu, mps, or numbers of GPUs as in 0 or 0,1, got abacus"),
        ("0,99", "torch finds 2 CUDA GPUs here"),
        ("0,1", "batch: expected a multiple of the 2 GPUs, got 3"),
    ],
)
def test_devices_that_are_not_there(squares, tmp_path, monkeypatch, device, says):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DlkaError, match=says):
        train(Recipe("neck", str(squares), batch=3), tmp_path / "out.safetensors", tmp_path / "run", device)
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_command_would_open_is_refused(squares, tmp_path):
    with pytest.raises(DlkaError, match=r"out: expected a name that ends in \.safetensors"):
        train(Recipe("neck", str(squares)), tmp_path / "out", tmp_path / "run", "cpu")
    assert not list(tmp_path.iterdir())


def test_no_pictures_is_said(squares, tmp_path):
    (tmp_path / "data.yaml").write_text("names: [a]")
    with pytest.raises(DlkaError, match="expected a folder with pictures"):
        train(Recipe("neck", str(tmp_path)), tmp_path / "o.safetensors", tmp_path / "run", "cpu")


@pytest.mark.slow
def test_pseudo_labels_are_what_the_teacher_sees(tmp_path):
    from dlka.analysis.examples import examples

    (tmp_path / "pool").mkdir()
    bus = examples()["Bus stop"]
    (tmp_path / "pool" / "bus.jpg").write_bytes(bus.read_bytes())
    teacher = Predictor(load_model(find("control"))[0])
    count = pseudo_label(teacher, [tmp_path / "pool" / "bus.jpg"], tmp_path / "out", 0.5, 320)
    lines = (tmp_path / "out" / "labels" / "bus.txt").read_text().splitlines()
    assert len(lines) == count > 0
    rows = np.array([line.split() for line in lines], float)
    assert ((rows[:, 1:] > 0) & (rows[:, 1:] <= 1)).all()
    assert (tmp_path / "out" / "images" / "bus.jpg").resolve() == (tmp_path / "pool" / "bus.jpg").resolve()
    assert pseudo_label(teacher, [tmp_path / "pool" / "bus.jpg"], tmp_path / "out", 0.5, 320) == 0, (
        "done pictures are not done again"
    )


def losses(student, teacher):
    student.args = SimpleNamespace(**DEFAULT_CFG_DICT)
    loss = RecipeLoss(student, teacher, 1.0)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    batch = {
        "img": x,
        "batch_idx": torch.zeros(1),
        "cls": torch.zeros(1, 1),
        "bboxes": torch.tensor([[0.5, 0.5, 0.3, 0.3]]),
    }
    student.train()
    for module in student.modules():  # the teacher's statistics, so that equal models give equal outputs
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    return loss(student(x), batch)


@pytest.mark.slow
def test_a_student_like_its_teacher_has_nothing_left_to_learn_from_it():
    torch.manual_seed(0)
    teacher = build_model("control").eval().requires_grad_(False)
    student = build_model("control")
    student.load_state_dict(teacher.state_dict())
    _, items = losses(student, teacher)
    assert abs(float(items["soft_cls"])) < 1e-4
    assert abs(float(items["soft_box"])) < 1e-6
    assert float(items["feature"]) < 1e-9


def test_soft_targets_reach_the_student_only():
    torch.manual_seed(0)
    teacher = build_model("control").eval().requires_grad_(False)
    for branch in teacher.model[22].cv3:
        branch[-1].bias += 5  # a new model is sure of nothing
    student = build_model("control")
    total, items = losses(student, teacher)
    assert float(items["soft_cls"]) > 0
    assert float(items["soft_box"]) > 0
    assert float(items["feature"]) > 0
    total.sum().backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert student.model[22].cv3[0][2].weight.grad.abs().sum() > 0


def test_card_of_a_saved_file_survives(tmp_path):
    model, card = load_model(find("control"))
    assert isinstance(card, Card)
    save_weights(tmp_path / "again.safetensors", model.state_dict(), card)
    assert load_model(tmp_path / "again.safetensors")[1] == card
