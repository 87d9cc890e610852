"""Training end to end on a few drawn pictures, and the losses of a teacher."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from ultralytics.cfg import DEFAULT_CFG_DICT

from dlka.inference.predictor import Predictor
from dlka.jobs.dataset import DataRefused
from dlka.jobs.pseudo_labels import pseudo_label
from dlka.jobs.recipe import Recipe, TrainingRefused
from dlka.jobs.recipe_loss import RecipeLoss
from dlka.jobs.recipe_trainer import RecipeTrainer
from dlka.jobs.train import read_start, train
from dlka.layers import DeformConv
from dlka.models.build import build_model
from dlka.models.catalog import find
from dlka.models.weights import Card, load_model, save_weights
from dlka.offset_nets import OffsetConv2d, SeparableOffsetNet


def draw(folder, count, labels=True):
    """Pictures with one bright square each, and where it is."""
    random = np.random.default_rng(0)
    for i in range(count):
        image = random.integers(0, 60, (64, 80, 3), np.uint8)
        x, y = random.integers(0, 48, 2)
        image[y : y + 16, x : x + 16] = 230
        (folder / "images").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / f"{i}.png"), image)
        if labels:
            (folder / "labels").mkdir(exist_ok=True)
            row = f"0 {(x + 8) / 80} {(y + 8) / 64} {16 / 80} {16 / 64}"
            (folder / "labels" / f"{i}.txt").write_text(row)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    for part in ("train", "val"):
        draw(folder / part, 8)
        for kind in ("images", "labels"):
            (folder / kind).mkdir(exist_ok=True)
            (folder / part / kind).rename(folder / kind / part)
    (folder / "data.yaml").write_text("names: {0: square, 1: person}\n")
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Stock weights that know other classes: the control model."""
    return str(find("control"))


@pytest.fixture(scope="module")
def trained(data, start, tmp_path_factory):
    work = tmp_path_factory.mktemp("run")
    recipe = Recipe("residual", str(data), start, epochs=2, size=64, batch=4, frozen=10, seed=3)
    return train(recipe, work / "out" / "squares.safetensors", work / "runs" / "first", "cpu"), work


def test_a_run_ends_in_one_file_with_its_recipe_and_figures(trained):
    path, work = trained
    model, card = load_model(path)
    assert (card.placement, card.scale, card.offsets, card.seed) == ("residual", "n", "dense", 3)
    assert card.names == {0: "square", 1: "person"}
    assert json.loads(card.recipe)["epochs"] == 2
    assert str(work) not in card.recipe, "no path of this machine travels with the file"
    assert card.metrics["pictures"] == 8
    assert 0 <= card.metrics["AP50"] <= 1
    assert "in part" in (work / "runs" / "first" / "ledger.txt").read_text()
    offsets = [m for m in model.modules() if isinstance(m, OffsetConv2d)]
    assert len(offsets) == 6
    assert any(m.weight.abs().max() > 0 for m in offsets), "offsets were learned"


@pytest.mark.parametrize(("offsets", "count"), [("separable", 6), ("none", 0)])
def test_the_recipes_offsets_are_trained(data, start, tmp_path, offsets, count):
    recipe = Recipe("residual", str(data), start, offsets=offsets, epochs=1, size=64, batch=4)
    model, card = load_model(train(recipe, tmp_path / "twin.safetensors", tmp_path / "run", "cpu"))
    assert card.offsets == offsets
    nets = [m.offset_net for m in model.modules() if isinstance(m, DeformConv)]
    assert len(nets) == count
    assert all(isinstance(net, SeparableOffsetNet) for net in nets)
    assert not nets or any(net.pointwise.weight.abs().max() > 0 for net in nets), "offsets were learned"


def test_frozen_layers_stay_as_they_were(trained, start):
    path, _ = trained
    state, _ = read_start(find("control"))
    new = load_model(path)[0].state_dict()
    for name in ("model.0.conv.weight", "model.4.m.0.cv1.bn.running_mean"):
        torch.testing.assert_close(new[name], state[name], rtol=1e-2, atol=1e-3)
    assert not torch.allclose(new["model.12.cv1.conv.weight"], state["model.12.cv1.conv.weight"], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"placement": "tail"}, TrainingRefused, "placement: expected one of control, neck"),
        ({"offsets": "sparse"}, TrainingRefused, "offsets: expected one of dense, separable, none, got 'sparse'"),
        ({"scale": "xs"}, TrainingRefused, "scale: expected one of n, s, m, l, x, got 'xs'"),
        ({"data": "nowhere"}, DataRefused, "expected a data set folder with data.yaml"),
        ({"start": "nowhere.safetensors"}, ValueError, "there is no such file"),
        ({"unlabelled": "anything"}, TrainingRefused, "give --teacher, too"),
    ],
)
def test_refused_before_the_first_epoch(data, start, tmp_path, change, error, says):
    recipe = Recipe(**{"placement": "neck", "data": str(data), "start": start, **change})
    with pytest.raises(error, match=says):
        train(recipe, tmp_path / "out.safetensors", tmp_path / "run", "cpu")
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_command_would_open_is_refused(data, start, tmp_path):
    with pytest.raises(TrainingRefused, match=r"out: expected a name that ends in \.safetensors"):
        train(Recipe("neck", str(data), start), tmp_path / "out", tmp_path / "run", "cpu")
    assert not list(tmp_path.iterdir())


def test_no_pictures_is_said(data, start, tmp_path):
    (tmp_path / "data.yaml").write_text("names: [a]")
    with pytest.raises(DataRefused, match="expected a folder with pictures"):
        train(Recipe("neck", str(tmp_path), start), tmp_path / "o.safetensors", tmp_path / "run", "cpu")


def test_pseudo_labels_are_what_the_teacher_sees(tmp_path):
    from dlka.ui.examples import examples

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
    assert pseudo_label(teacher, [tmp_path / "pool" / "bus.jpg"], tmp_path / "out", 0.5, 320) == 0, "done pictures are not done again"


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


@pytest.mark.parametrize(
    ("offsets", "parts"), [("dense", ["weight", "bias"]), ("separable", ["depthwise.weight", "pointwise.weight"])]
)
def test_learning_rates_by_origin(data, start, offsets, parts):
    state, names = read_start(find("control"))
    recipe = Recipe("neck", str(data), start, lr=1.0, copied_lr=0.1, offset_lr=0.01)
    model = build_model("neck", offsets=offsets)
    trainer = RecipeTrainer.__new__(RecipeTrainer)
    trainer.recipe = recipe
    from dlka.models.transfer import transfer

    trainer.ledger = transfer(model, state, {i: names[i] for i in range(80)}, names)
    optimizer = trainer.build_optimizer(model)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    named = dict(model.named_parameters())
    gating = "model.15.m.0.cv2.spatial_gating_unit"
    assert rate[id(named["model.0.conv.weight"])] == 0.1
    assert rate[id(named["model.15.cv1.conv.weight"])] == 1.0
    assert [rate[id(named[f"{gating}.conv0.offset_net.{part}"])] for part in parts] == [0.01, 0.01]
    assert rate[id(named[f"{gating}.conv0.deform_conv.weight"])] == 1.0
    assert len(rate) == len(named)


def test_card_of_a_saved_file_survives(tmp_path):
    model, card = load_model(find("control"))
    assert isinstance(card, Card)
    save_weights(tmp_path / "again.safetensors", model.state_dict(), card)
    assert load_model(tmp_path / "again.safetensors")[1] == card
