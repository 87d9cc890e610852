"""What is trained, measured, timed and exported knows models of one detection map, and the twin of the same size."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from dlka.bench.model import KINDS, lively, subjects
from dlka.errors import DlkaError
from dlka.experiments.measure import measure
from dlka.experiments.plan import rigid_twin, split
from dlka.experiments.tables import SIZE, load_latency
from dlka.export.exporter import export_model
from dlka.images import read_image
from dlka.inference.predictor import load_predictor
from dlka.inference.prepared import stage_rows
from dlka.layers import DeformableLKAAttention
from dlka.models.build import build_model, model_config
from dlka.models.model_yaml import ATTENTION
from dlka.models.weights import Card, load_card, save_weights
from dlka.offset_nets import Float32Conv2d, OffsetConv2d
from dlka.train.loss import OFFSETS, OffsetFields, build_optimizer
from dlka.train.recipe import Recipe, check_recipe
from dlka.train.trainer import frozen_layers
from dlka.train.training import fit
from tests.labelled import data_set

pytestmark = pytest.mark.slow

NAMES = {number: f"thing {number}" for number in range(80)}
BLOCKS = [row[2] for row in model_config("one-level")["head"]].count(ATTENTION)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Offsets' word -> the file of a random model of one level."""
    folder = tmp_path_factory.mktemp("weights")
    for offsets in ("separable", "features"):
        card = Card("one-level", "n", offsets, NAMES, 96, "drawn", "none", "AGPL-3.0", 0, {})
        model = lively("one-level", "n", offsets)
        for block in (m for m in model.modules() if isinstance(m, DeformableLKAAttention)):
            nn.init.normal_(block.proj_2.weight, std=0.05)
        save_weights(folder / f"{offsets}.safetensors", model.state_dict(), card)
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    generator = np.random.default_rng(0)
    labels = {f"{n}": (generator.integers(0, 255, (64, 96, 3), np.uint8), ["0 0.5 0.5 0.4 0.4"]) for n in range(2)}
    return data_set(tmp_path_factory.mktemp("data") / "scenes", NAMES, labels)


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
@pytest.mark.parametrize("kind", ["onnx", "torchscript", "pt2"])
def test_exported_files_agree_with_torch(kind, weights, tmp_path):
    if kind == "onnx":
        pytest.importorskip("onnxruntime", minversion="1.25")
    exported = export_model(str(weights["separable"]), kind, tmp_path / f"a.{kind}", True, (160, 96))
    assert len(exported.checks) == 4
    assert len(exported.tensors) == 2 + 3 * BLOCKS  # the input, the boxes, and every block's offsets and gate
    ending = "" if BLOCKS == 1 else f"_{BLOCKS}"
    assert {"offset_P3_5x5", f"offset_P3_7x7_d3{ending}", f"gate_P3{ending}"} <= set(exported.tensors)


def test_an_exported_twin_of_the_same_size_needs_no_operator(weights, tmp_path):
    exported = export_model(str(weights["features"]), "torchscript", tmp_path / "a.torchscript", True, (160, 96))
    assert "dlka" not in exported.load
    assert len(exported.tensors) == 2 + BLOCKS  # no offsets: nothing moves


def test_measured_on_pictures(weights, folder):
    run, twin = (measure(weights[o], folder, f"scenes/one-level-{o}-s0", size=96) for o in ("separable", "features"))
    assert run.parameters == twin.parameters
    assert run.multiply_adds > twin.multiply_adds  # the deformable step is the difference
    labels = [row["label"] for row in run.stage_offsets]
    assert len(labels) == len(set(labels)) == 2 * BLOCKS
    assert {"offsets x0", "gate off"} <= set(run.interventions)
    assert twin.stage_offsets == []
    assert list(twin.interventions) == ["gate off"]


def test_words_of_the_evidence(tmp_path):
    assert split("one-level-features") == ("one-level", "features")
    assert split("one-level-plain") == ("one-level-plain", "dense")
    assert rigid_twin("one-level-separable") == "one-level-rigid"
    assert rigid_twin("one-level-features") is rigid_twin("one-level-plain") is None
    row = {"scale": "n", "size": SIZE, "batch": 1, "bfloat16": False, "milliseconds": 9.0}
    rows = [{"placement": p, "offsets": "none", "ratio": r, **row} for p, r in (("control", 1), ("one-level-plain", 2))]
    timed = {"rows": rows, "machine": {"cpu": "a", "threads": 1}, "device": "cpu"}
    (tmp_path / "a.json").write_text(json.dumps(timed))
    assert load_latency(tmp_path / "a.json").ratio("one-level-plain") == 2


def test_what_is_timed():
    found = subjects(["one-level", "one-level-plain"], "n", [*KINDS, "features"], ["auto"])
    kinds = [(s.placement, s.offsets, s.backend) for s in found]
    assert kinds == [
        ("control", "none", "-"),
        ("one-level", "dense", "auto"),
        ("one-level", "separable", "auto"),
        ("one-level", "none", "-"),
        ("one-level", "features", "-"),
        ("one-level-plain", "none", "-"),
    ]


def test_stages_as_a_table(weights):
    rows = stage_rows(str(weights["separable"]), 96)
    assert [(row["level"], row["map"]) for row in rows] == [("P3", "12x12")] * 2 * BLOCKS
    assert stage_rows(str(weights["features"]), 96) == []


def test_a_net_whose_outputs_are_features_learns_as_an_offset_net_and_is_not_held_to_vary():
    model = build_model("one-level", offsets="features")
    recipe = Recipe("one-level", "data", offsets="features", offset_lr=7e-4)
    groups = build_optimizer(model, recipe, (), 1e-5).param_groups
    moved = sum(p.numel() for group in groups if group[OFFSETS] for p in group["params"])
    assert moved == sum(p.numel() for m in model.modules() if isinstance(m, Float32Conv2d) for p in m.parameters()) > 0
    for net in (m for m in model.modules() if isinstance(m, OffsetConv2d)):
        nn.init.ones_(net.bias)
    fields = OffsetFields(model)
    model(torch.rand(1, 3, 64, 64))
    assert float(fields.alike()) == 0  # features that are alike everywhere harm nobody


def test_layers_that_stay_as_they_are():
    layers = {  # of stock's before the head: 4 without the pyramid, 22 with it
        4: [Recipe("one-level", "data"), Recipe("one-level-plain", "data", frozen=4)],
        3: [Recipe("one-level", "data", frozen=3)],
        0: [Recipe("one-level", "data", start="none"), Recipe("residual", "data", frozen=0)],
        10: [Recipe("residual", "data")],
        22: [Recipe("residual", "data", frozen=99)],
    }
    for count, recipes in layers.items():
        for recipe in recipes:
            check_recipe(recipe)
            assert frozen_layers(recipe) == count
    with pytest.raises(DlkaError, match="frozen: expected 0 or more, got -1"):
        check_recipe(Recipe("one-level", "data", frozen=-1))


def test_a_recipe_starts_from_stock_weights_and_ends_in_a_weights_file(folder, tmp_path):
    (folder / "data.yaml").write_text(f"names: {NAMES}\ntrain: images/val\nval: images/val\n")
    plain_file = tmp_path / "plain.safetensors"
    card = Card("one-level-plain", "n", "dense", NAMES, 96, "drawn", "none", "AGPL-3.0", 0, {})
    save_weights(plain_file, build_model("one-level-plain", "n", len(NAMES)).state_dict(), card)
    recipe = Recipe("one-level", str(folder), str(plain_file), offsets="features", epochs=1, size=64, batch=2)
    fit(recipe, tmp_path / "a.safetensors", tmp_path / "run", "cpu")
    assert load_card(tmp_path / "a.safetensors").offsets == "features"
    ledger = (tmp_path / "run/ledger.txt").read_text()
    plain = sum(p.numel() for p in build_model("one-level-plain", "n", len(NAMES)).parameters())
    copied = int(ledger.split("copied ")[1].split()[0].replace(",", ""))
    assert copied == plain
    predictor, _ = load_predictor(str(tmp_path / "a.safetensors"), "cpu")
    seen = predictor.predict(read_image(folder / "images/val/0.png"), size=64)
    assert seen.captures == ()
    assert len(seen.gates) == BLOCKS
    assert yaml.safe_load((tmp_path / "run/ultralytics/args.yaml").read_text())["freeze"] == 4, "all that there are"


def test_one_level_is_trained_from_scratch_or_from_its_own_kind(folder, tmp_path):
    (folder / "data.yaml").write_text(f"names: {NAMES}\ntrain: images/val\nval: images/val\n")
    plain_file = tmp_path / "plain.safetensors"
    card = Card("one-level-plain", "n", "dense", NAMES, 96, "drawn", "none", "AGPL-3.0", 0, {})
    save_weights(plain_file, build_model("one-level-plain", "n", len(NAMES)).state_dict(), card)

    def refused(**changes):
        with pytest.raises(DlkaError) as refusal:
            fit(Recipe("one-level", str(folder), **changes), tmp_path / "b.safetensors", tmp_path / "b", "cpu")
        return str(refusal.value)

    says = "--{} control: a model of one level has no pyramid: weights of placement control do not fit; {}."
    told = "train from scratch with --start none, or give the weights of a one-level-plain"
    assert refused() == says.format("start", told)
    assert refused(start=str(plain_file), teacher="control") == says.format(
        "teacher", "give the weights of a one-level-plain"
    )
