"""What is looked at while a model is trained: the validation part, if it may choose, and the offsets."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from deforming import hooks
from ultralytics.models.yolo.detect import DetectionTrainer

from dlka.analysis.stages import all_stage_stats, stage_stats
from dlka.inference.letterbox import Letterbox
from dlka.inference.predictor import Predictor
from dlka.models.build import build_model
from dlka.models.weights import load_model
from dlka.offset_nets import OffsetConv2d
from dlka.train.dataset import find_pictures
from dlka.train.offsets import health_of, offset_rows, told, warnings, watched
from dlka.train.recipe import Recipe
from dlka.train.training import fit
from dlka.types import Capture, Stage


def rows(file):
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def recipe(squares):
    return Recipe("control", str(squares), epochs=2, size=64, batch=4, frozen=0)


@pytest.mark.slow
def test_the_best_epoch_is_kept_and_the_rest_is_left_out(recipe, tmp_path, monkeypatch, capsys):
    fitness = {0: 0.1, 1: 0.3, 2: 0.2, 3: 0.3, 4: 0.9}
    seen = {}

    def validate(self):
        seen[self.epoch] = {name: value.clone() for name, value in self.ema.ema.state_dict().items()}
        return {"metrics/mAP50-95(B)": fitness[self.epoch], "metrics/mAP50(B)": 0.5}, fitness[self.epoch]

    monkeypatch.setattr(DetectionTrainer, "validate", validate)
    out, run = tmp_path / "o.safetensors", tmp_path / "run"
    fit(replace(recipe, epochs=5, patience=2), out, run, "cpu")
    assert sorted(seen) == [0, 1, 2, 3], "two epochs without a better one end it"
    model, card = load_model(out)
    assert card.data.endswith("weights of epoch 2, chosen on the validation part")
    for name in ("model.15.m.0.cv1.bn.running_mean", "model.22.cv2.0.2.bias"):  # these are stored as they are
        assert torch.equal(model.state_dict()[name], seen[1][name])
        assert not torch.equal(model.state_dict()[name], seen[3][name])
    assert [row["AP"] for row in rows(run / "curves.csv")] == ["0.1", "0.3", "0.2", "0.3"]
    assert "The weights of epoch 2 of 4 are kept: the best on the validation part." in capsys.readouterr().out


@pytest.mark.slow
def test_looking_at_the_validation_part_does_not_change_what_is_learned(recipe, tmp_path):
    plain, looked = tmp_path / "plain", tmp_path / "looked"
    fit(recipe, tmp_path / "a.safetensors", plain, "cpu")
    fit(replace(recipe, patience=5), tmp_path / "b.safetensors", looked, "cpu")
    first, second = rows(plain / "curves.csv"), rows(looked / "curves.csv")
    assert [row.keys() - {"AP", "AP50"} for row in second] == [row.keys() for row in first]
    assert all(0 <= float(row["AP"]) <= float(row["AP50"]) <= 1 for row in second)
    assert [{k: v for k, v in row.items() if k not in ("AP", "AP50")} for row in second] == first
    assert load_model(tmp_path / "a.safetensors")[1].data.endswith("not chosen on any data")


@pytest.fixture
def watch(squares):
    return watched([str(p) for p in find_pictures([squares / "images/train"]).pictures])


def test_the_pictures_are_spread_over_the_data():
    assert watched([str(i) for i in range(10)]) == ["0", "2", "5", "7"]
    assert watched(["a"]) == ["a"]


@pytest.mark.slow
def test_a_look_changes_nothing_and_draws_nothing(watch):
    model = build_model("residual").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    offset_rows(model, watch, 64)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert hooks(model) == 0


@pytest.mark.slow
def test_what_is_seen_is_what_a_predictor_sees(watch):
    from dlka.images import read_image

    model = load_model("weights/residual.safetensors")[0]
    seen = offset_rows(model, watch, 64)
    predictor = Predictor(model, torch.device("cpu"))
    analyses = [predictor.predict(read_image(file), size=64) for file in watch]
    stats = [all_stage_stats(analysis.captures, analysis.letterbox) for analysis in analyses]
    for number, row in enumerate(seen):
        same = [one[number] for one in stats]
        assert (row["stage"], row["label"]) == (same[0].name, same[0].label)
        assert row["mean"] == pytest.approx(sum(one.mean for one in same) / 4, rel=1e-3)
        assert row["maximum"] == pytest.approx(max(one.maximum for one in same), rel=1e-3)
    assert offset_rows(build_model("control").eval(), watch, 64) == []


@pytest.mark.parametrize(
    ("value", "health"), [((0, 0), "dead"), ((0.3, -0.4), "healthy"), ((9, 0), "exploding"), ((0, 1.2), "exploding")]
)
def test_health_by_lengths(value, health):
    """A 3x3 kernel: 9 cells lead off the map, a mean of 1.2 beyond half the kernel."""
    stage = Stage("b.conv0", "b", "P3", 8, (3, 3), (1, 1), (1, 1), 4)
    offset = np.zeros((18, 16, 8), np.float32)
    offset[0::2], offset[1::2] = value
    assert health_of(stage, stage_stats(Capture(stage, offset), Letterbox.fit((64, 32), 128))) == health


@pytest.mark.slow
@pytest.mark.parametrize(("bias", "health"), [(0.0, "dead"), (0.5, "healthy"), (40.0, "exploding")])
def test_health_is_told(watch, bias, health):
    model = build_model("head", offsets="separable").eval()
    for module in model.modules():
        if isinstance(module, OffsetConv2d):
            module.bias.data.fill_(bias)
    seen = offset_rows(model, watch, 64)
    assert {row["health"] for row in seen} == {health}
    assert f"over 0.1 cell: {health}" in told(seen[0])
    sentences = warnings(seen)
    assert len(sentences) == (health != "healthy")
    assert all(f"P3 5x5, P3 7x7 d3, P4 5x5, P4 7x7 d3, P5 5x5, P5 7x7 d3: {health}, " in s for s in sentences)
