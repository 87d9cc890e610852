"""The trainer by its parts: crops, learning rates, precision, and what a process of several GPUs builds."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from ultralytics.data.augment import RandomPerspective
from ultralytics.utils import SETTINGS
from ultralytics.utils.dist import generate_ddp_file

from dlka.layers import DeformConv
from dlka.models.build import build_model
from dlka.models.transfer import transfer
from dlka.train.dataset import find_pictures
from dlka.train.folder import RunFolder
from dlka.train.loss import OFFSETS, build_optimizer
from dlka.train.recipe import Recipe, warmed_up
from dlka.train.recipe_trainer import RecipeTrainer
from dlka.train.trainer import read_start
from dlka.train.training import FIXED

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
BATCH = {
    "img": torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
    "batch_idx": torch.tensor([0.0, 1.0]),
    "cls": torch.zeros(2, 1),
    "bboxes": torch.tensor([[0.5, 0.5, 0.3, 0.3]] * 2),
}


@pytest.fixture
def trainer_of(squares, tmp_path):
    """Recipe settings -> a trainer that stands before its first step, without data loaders."""

    def build(**settings):
        recipe = Recipe(**{"placement": "neck", "data": str(squares), "size": 64, "batch": 4, **settings})
        folder = RunFolder(tmp_path / "run")
        pictures = find_pictures([squares / "images/train"]).pictures
        folder.begin(recipe, tmp_path / "o.safetensors", {0: "square", 1: "person"}, pictures, [])
        overrides = {"task": "detect", "mode": "train", "model": "yolov8n-dlka-neck.yaml", "imgsz": recipe.size}
        given = {"data": str(folder.file("data.yaml")), "project": str(folder.path), "name": "ultralytics"}
        more = {"device": "cpu", "batch": recipe.batch, "mosaic": recipe.mosaic, **FIXED}
        return RecipeTrainer(overrides={**overrides, **given, **more})

    return build


@pytest.mark.parametrize("trial", [None, "t1"])
def test_rays_tune_is_asked_only_in_a_trial(trainer_of, monkeypatch, recwarn, trial):
    tune = pytest.importorskip("ray.tune")
    context = SimpleNamespace(get_trial_id=lambda: trial or warnings.warn("no trial", stacklevel=1))
    monkeypatch.setattr(tune, "get_context", lambda: context)
    told = []
    monkeypatch.setattr(tune, "report", told.append)
    monkeypatch.setitem(SETTINGS, "raytune", True)
    trainer = trainer_of()
    trainer.metrics, trainer.epoch = {}, 0
    asking = [each for each in trainer.callbacks["on_fit_epoch_end"] if "raytune" in each.__module__]
    for each in asking:
        each(trainer)
    assert "no trial" not in [str(one.message) for one in recwarn]
    assert told == ([{"epoch": 1}] if trial else [])


def with_model(trainer):
    trainer.setup_model()
    trainer.set_model_attributes()
    return trainer


def test_boxes_stay_on_their_squares_when_crops_are_cut(trainer_of, squares):
    """Pictures are read at twice their size and cut to a quarter of that; the squares are 32 px then, and brighter
    than everything else. What sticks out of the crop is cut off from its box too."""
    trainer = with_model(trainer_of(size=160, crop=64))
    dataset = trainer.build_dataset(str(trainer.folder.file("train.txt")), "train", 4)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - Ultralytics draws from it
    boxes = 0
    for number in range(80):
        item = dataset[number % len(dataset)]
        assert item["img"].shape == (3, 64, 64)
        bright = item["img"].amax(0).numpy() > 155  # brighter than padding ever is
        assert len(item["bboxes"]) <= 1
        if not len(item["bboxes"]):
            assert bright.mean() < 0.05, "only slivers go without a box"
            continue
        boxes += 1
        cx, cy, w, h = item["bboxes"][0].numpy() * 64
        rows, columns = np.nonzero(bright)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(seen, [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], atol=2)
    assert boxes > 20


def test_every_part_of_a_picture_is_seen(trainer_of):
    trainer = with_model(trainer_of(size=160, crop=64))
    dataset = trainer.build_dataset(str(trainer.folder.file("train.txt")), "train", 4)
    (affine,) = [t for t in dataset.transforms.transforms[0].transforms if isinstance(t, RandomPerspective)]
    random.seed(0)
    whole = {"img": np.zeros((128, 160, 3), np.uint8)}
    middles = np.array([(affine.get_params(whole)["M"] @ [80, 64, 1])[:2] for _ in range(300)])
    assert affine.get_params(whole)["size"] == (64, 64)
    # From where the crop shows the picture's right or lower end to where it shows the other, whatever the zoom.
    np.testing.assert_allclose(middles.min(0), 32 - 48, atol=2)
    np.testing.assert_allclose(middles.max(0), 32 + 48, atol=2)


@pytest.mark.parametrize(("crop", "size"), [(None, 64), (32, 32)])
def test_validation_pictures_are_never_cut(trainer_of, crop, size):
    trainer = with_model(trainer_of(crop=crop))
    listed = str(trainer.folder.file("val.txt"))
    assert trainer.build_dataset(listed, "train", 4)[0]["img"].shape[1:] == (size, size)
    assert max(trainer.build_dataset(listed, "val", 4)[0]["img"].shape[1:]) >= 64


@pytest.mark.parametrize(
    ("offsets", "parts"), [("dense", ["weight", "bias"]), ("separable", ["depthwise.weight", "pointwise.weight"])]
)
@pytest.mark.parametrize("offset_lr", [0.01, 1.0])
def test_learning_rates_by_origin(offsets, parts, offset_lr):
    state, names = read_start("control")
    recipe = Recipe("neck", "data", lr=1.0, copied_lr=0.1, offset_lr=offset_lr)
    model = build_model("neck", offsets=offsets)
    ledger = transfer(model, state, {i: names[i] for i in range(80)}, names)
    optimizer = build_optimizer(model, recipe, ledger.copied, 1e-5)
    group = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    named = dict(model.named_parameters())
    gating = "model.15.m.0.cv2.spatial_gating_unit"
    assert group[id(named["model.0.conv.weight"])]["lr"] == 0.1
    assert group[id(named["model.15.cv1.conv.weight"])]["lr"] == 1.0
    for part in parts:
        mine = group[id(named[f"{gating}.conv0.offset_net.{part}"])]
        assert (mine["lr"], mine[OFFSETS]) == (offset_lr, True)
    assert group[id(named[f"{gating}.conv0.deform_conv.weight"])]["lr"] == 1.0
    assert not group[id(named[f"{gating}.conv0.deform_conv.weight"])][OFFSETS]
    assert len(group) == len(named)


def test_a_wrapped_model_gets_the_same_learning_rates(trainer_of):
    """Several GPUs wrap the model, and names of its parameters get a prefix."""
    trainer = with_model(trainer_of())
    plain = trainer.build_optimizer(trainer.model)
    wrapped = trainer.build_optimizer(nn.DataParallel(trainer.model))
    sizes = [[(g["lr"], g["weight_decay"], len(g["params"])) for g in o.param_groups] for o in (plain, wrapped)]
    assert sizes[0] == sizes[1]
    assert {lr for lr, _, _ in sizes[0]} == {1e-3, 1e-4, 3e-4}


@pytest.mark.parametrize(
    ("epochs", "warmup", "share"),
    [(0, 0, 1), (0, 2, 0), (0.9, 2, 0), (1.25, 2, 0.25), (1.5, 2, 0.5), (2, 2, 1), (7, 2, 1), (0.5, 0.5, 1)],
)
def test_the_offsets_warm_up(epochs, warmup, share):
    assert warmed_up(epochs, warmup) == pytest.approx(share)


def test_a_step_during_the_warm_up_moves_offsets_by_a_part_and_the_rest_in_full(trainer_of):
    trainer = with_model(trainer_of(offset_warmup=2.0))
    trainer.optimizer = torch.optim.SGD(trainer.build_optimizer(trainer.model).param_groups, lr=0)
    trainer.scaler, trainer.train_loader = torch.amp.GradScaler("cpu", enabled=False), range(4)
    moved = {}
    for trainer.batches_done in (0, 6, 8):  # of four batches an epoch
        before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
        for parameter in trainer.model.parameters():
            parameter.grad = torch.full_like(parameter, 1e-3)
        trainer.optimizer_step()
        named = dict(trainer.model.named_parameters())
        for part in ("conv0.offset_net.bias", "conv1.bias"):
            name = f"model.15.m.0.cv2.spatial_gating_unit.{part}"
            moved.setdefault(part, []).append(float((before[name] - named[name].detach()).mean()))
    offset, other = moved["conv0.offset_net.bias"], moved["conv1.bias"]
    assert offset[0] == 0
    assert offset[1] / offset[2] == pytest.approx(0.5, rel=0.01)
    assert other[0] == pytest.approx(other[2], rel=0.01)
    assert {g["lr"] for g in trainer.optimizer.param_groups if g[OFFSETS]} == {3e-4}, "put back after each step"


def test_the_fade_counts_batches_by_the_epoch(trainer_of):
    trainer = with_model(trainer_of(epochs=4))
    trainer.train_loader, trainer.epochs, trainer.resumed = range(5), 4, None
    trainer.run_callbacks("on_train_start")
    weights = []
    for trainer.epoch in (0, 2):  # a resumed run begins at the third
        trainer.run_callbacks("on_train_epoch_start")
        weights.append(trainer.loss_function.feature_weight)
        trainer.run_callbacks("on_train_batch_end")
        weights.append(trainer.loss_function.feature_weight)
    assert weights == pytest.approx([1, 19 / 20, 10 / 20, 9 / 20])


def test_bfloat16_is_for_convolutions_only(trainer_of, teacher_file):
    trainer = with_model(trainer_of(bfloat16=True, teacher=str(teacher_file)))
    trainer.resumed = None
    trainer.run_callbacks("on_train_start")
    seen = {}
    for name, module in trainer.net.named_modules():
        if isinstance(module, DeformConv):
            module.offset_net.register_forward_hook(lambda m, i, o: seen.update(offsets=o.dtype))
            assert module.offset_net.bfloat16_products
        if name == "model.12.cv1.conv":
            module.register_forward_hook(lambda m, i, o: seen.update(convolution=o.dtype))
    trainer.net.train()
    loss, items = trainer.net(BATCH)
    loss.sum().backward()
    assert seen == {"offsets": torch.float32, "convolution": torch.bfloat16}
    assert {loss.dtype, *(value.dtype for value in items.values())} == {torch.float32}
    assert all(float(items[name]) > 0 for name in ("soft_cls", "soft_box", "feature"))
    assert all(p.grad.dtype == torch.float32 for p in trainer.net.parameters() if p.grad is not None)


def test_weights_and_pictures_are_channels_last_on_the_cpu(trainer_of):
    trainer = with_model(trainer_of())
    trainer.resumed = None
    trainer.run_callbacks("on_train_start")
    wide = [p for p in trainer.net.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1]
    assert wide
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in wide)
    batch = trainer.preprocess_batch({"img": torch.zeros(2, 3, 64, 64, dtype=torch.uint8)})
    assert batch["img"].is_contiguous(memory_format=torch.channels_last)


def test_a_process_of_several_gpus_builds_the_same_trainer(trainer_of, teacher_file):
    """What Ultralytics starts for each GPU is a script that gets the overrides; here it stops before it trains."""
    trainer = trainer_of(teacher=str(teacher_file), offsets="separable", seed=9)
    file = Path(generate_ddp_file(trainer))
    state = file.with_suffix(".pt")
    script = file.read_text()
    assert "    trainer.train()\n" in script
    told = "print(trainer.recipe.offsets, trainer.recipe.seed, len(trainer.start[0]), trainer.teacher is not None)"
    calls = (
        "print(type(trainer).__name__, [c for cs in trainer.callbacks.values() for c in cs if 'dlka' in c.__module__])"
    )
    try:
        file.write_text(script.replace("    trainer.train()\n", f"    {told}\n    {calls}\n"))
        done = subprocess.run([sys.executable, str(file)], cwd=ROOT, capture_output=True, text=True)
    finally:
        file.unlink()
        state.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[-2:]
    assert lines[0] == f"separable 9 {len(read_start('control')[0])} True"
    assert lines[1] == "RecipeTrainer []", "callbacks of its own would be handed on and run twice"


def test_losses_and_teacher_work_when_the_model_is_wrapped(trainer_of, teacher_file, tmp_path):
    """As several processes train it, here one on the CPU."""
    trainer = with_model(trainer_of(teacher=str(teacher_file)))
    trainer.resumed = None
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        trainer.model = DistributedDataParallel(trainer.model, find_unused_parameters=True)
        trainer.run_callbacks("on_train_start")
        trainer.model.train()
        loss, items = trainer.model(BATCH)
        loss.sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert float(items["soft_cls"]) > 0
    named = dict(trainer.net.named_parameters())
    assert named["model.15.m.0.cv2.proj_2.weight"].grad.abs().sum() > 0
    assert all(p.grad is None for p in trainer.teacher.parameters())
