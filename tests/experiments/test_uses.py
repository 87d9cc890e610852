"""The verdict from figures set by hand, and the command on a small data set against looks made one by one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from labelled import data_set, four_toys, lively_residual
from safetensors import safe_open

from dlka.cli import main
from dlka.drawn.scenes import draw_scene
from dlka.experiments.measure import measure
from dlka.experiments.uses import ANOTHER, IN_USE, MEAN, OFF, OWN, RULE, SHUFFLED, SMALL, UNUSED, uses, verdict
from dlka.inference.interventions import GIVEN
from dlka.inference.predictor import Predictor
from dlka.models.build import build_model
from dlka.models.weights import Card, load_card, save_weights

SIZE = 160


@pytest.mark.parametrize(
    ("off", "another", "word"),
    [
        ((-0.05, [-0.08, -0.02]), (-0.04, [-0.06, -0.01]), IN_USE),
        ((-0.02, [-0.03, -0.01]), (-0.02, [-0.03, -0.0001]), IN_USE),
        ((-0.019, [-0.03, -0.01]), (-0.05, [-0.06, -0.04]), SMALL),  # off costs too little
        ((-0.05, [-0.06, -0.04]), (-0.019, [-0.03, -0.01]), SMALL),
        ((-0.30, [-0.35, -0.25]), (-0.00, [-0.01, 0.01]), SMALL),  # the same kernel everywhere: not its picture's
        ((-0.00, [-0.01, 0.01]), (-0.30, [-0.35, -0.25]), SMALL),
        ((-0.05, [-0.10, 0.01]), (-0.05, [-0.06, -0.04]), SMALL),  # one may be chance
        ((-0.05, [-0.10, 0.00]), (-0.05, [-0.10, 0.01]), UNUSED),  # large, but not beyond chance
        ((0.05, [0.02, 0.08]), (0.05, [0.02, 0.08]), UNUSED),  # better without
        ((None, None), (None, None), UNUSED),
    ],
)
def test_verdicts(off, another, word):
    offsets = {
        name: {"AP_minus_own": value, "AP_minus_own_95": ends}
        for name, (value, ends) in ((OFF, off), (ANOTHER, another))
    }
    said, why = verdict(offsets)
    assert said == word
    assert why.startswith("AP changes by ")


def test_why_is_told_in_points():
    offsets = {
        OFF: {"AP_minus_own": -0.0312, "AP_minus_own_95": [-0.04, -0.022]},
        ANOTHER: {"AP_minus_own": 0.001, "AP_minus_own_95": [-0.005, 0.0002]},
    }
    assert verdict(offsets)[1] == (
        "AP changes by -3.1 [-4.0, -2.2] when they are off and by +0.1 [-0.5, +0.02] with those of another picture."
    )


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    """A model whose blocks and offsets matter more than in the one that it is made of."""
    return lively_residual(tmp_path_factory.mktemp("weights"), gates=8.0, offsets=10.0)


@pytest.fixture(scope="module")
def toys(tmp_path_factory, lively):
    """Four pictures of two shapes, labelled with what the model itself finds."""
    return four_toys(lively, tmp_path_factory.mktemp("data") / "toys", SIZE)


@pytest.fixture(scope="module")
def analyses(toys, lively):
    """What `uses` gives, and what the predictor was asked for it: (intervention, captures)."""
    asked, predict = [], Predictor.predict_all

    def watched(self, images, **options):
        results = predict(self, images, **options)
        asked.extend((options["intervention"], one.captures) for one in results)
        return results

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "predict_all", watched)
        figures = uses(lively, toys, SIZE, device="cpu")
    return figures, asked


@pytest.mark.slow
def test_ap_is_what_measure_gives(analyses, toys, lively):
    figures, _ = analyses
    run = measure(lively, toys, "toys/residual-s0", size=SIZE, device="cpu")
    same = {OWN: run.metrics, OFF: run.interventions["offsets x0"], SHUFFLED: run.interventions["offsets shuffled"]}
    same[ANOTHER] = run.interventions["offsets of another picture"]
    for name, metrics in same.items():
        for measured in ("AP", "AP_M", "AP_L"):
            assert figures["offsets"][name][measured] == pytest.approx(metrics[measured], abs=1e-5), name
    assert list(figures["offsets"]) == [OWN, OFF, SHUFFLED, ANOTHER, MEAN]
    assert (figures["pictures"], figures["objects"], figures["size"]) == (4, run.objects, SIZE)
    assert figures["data"] == "toys val"
    low, high = figures["offsets"][OFF]["AP_minus_own_95"]
    assert low < figures["offsets"][OFF]["AP_minus_own"] < high
    assert (figures["verdict"], figures["why"]) == verdict(figures["offsets"])
    assert "AP_minus_own" not in figures["offsets"][OWN]
    assert [row["label"] for row in figures["stages"]] == [row["label"] for row in run.stage_offsets]


@pytest.mark.slow
def test_the_mean_field_is_each_taps_mean_over_cells_and_pictures(analyses):
    _, asked = analyses
    assert len(asked) == 5 * 4
    own = [
        captures for intervention, captures in asked if intervention.kind == "learned" and intervention.strength == 1
    ]
    means = [i for i, _ in asked[-4:] if i.kind == GIVEN]
    assert len(means) == 4
    for stage, field in means[0].fields.items():
        captured = [c.offset.reshape(len(c.offset), -1) for captures in own for c in captures if c.stage.name == stage]
        assert len(captured) == 4
        assert field.shape == (len(captured[0]), 1, 1)
        np.testing.assert_allclose(field[:, 0, 0], np.concatenate(captured, axis=1).mean(axis=1), rtol=1e-4, atol=1e-6)
    used = next(c for i, captures in asked if i is means[0] for c in captures)
    assert np.ptp(used.offset, axis=(1, 2)).max() < 1e-6


@pytest.mark.slow
def test_the_command_says_it(toys, lively, tmp_path, capsys):
    file = tmp_path / "uses.json"
    argv = ["uses", lively, "--data", str(toys), "--size", str(SIZE), "--limit", "3", "--json", str(file)]
    assert main(argv) == 0
    out, figures = capsys.readouterr().out, json.loads(file.read_text())
    assert out.startswith(f"toys val, 3 pictures, {figures['objects']} objects, {SIZE} px\n")
    for words in (OWN, OFF, SHUFFLED, ANOTHER, MEAN, "AP - own", "P3 5x5", "- chance", figures["why"], RULE):
        assert words in out, words
    assert f"\nlively: {figures['verdict']}. " in out
    for row in figures["stages"]:
        assert row["stage"] in out


@pytest.mark.slow
def test_the_figures_go_into_the_card_and_the_tensors_stay(toys, lively, tmp_path, capsys):
    file, told = tmp_path / "mine.safetensors", tmp_path / "uses.json"
    shutil.copy(lively, file)
    argv = ["uses", str(file), "--data", str(toys), "--size", str(SIZE), "--json", str(told)]
    assert main([*argv, "--limit", "2", "--write"]) == 2
    assert "--write: expected without --limit" in capsys.readouterr().err
    assert main([*argv, "--write"]) == 0
    assert f"Written into the card of {file}." in capsys.readouterr().out
    card, before = load_card(file), load_card(lively)
    figures = json.loads(told.read_text())
    assert card.uses == {name: value for name, value in figures.items() if name not in ("model", "rule", "left_out")}
    assert card.uses != before.uses
    assert replace(card, uses=before.uses) == before
    with safe_open(lively, "pt") as a, safe_open(file, "pt") as b:
        assert all(torch.equal(a.get_tensor(name), b.get_tensor(name)) for name in sorted(a.keys()))


@pytest.mark.slow
def test_a_head_of_one_map_and_drawn_scenes(tmp_path):
    scenes = [draw_scene(3, number, side=96, sizes=(8, 40)) for number in range(2)]
    rows = {}
    for number, scene in enumerate(scenes):
        boxes = [np.array(one.box()) / 96 for one in scene.objects]
        lines = [f"0 {(x1 + x2) / 2} {(y1 + y2) / 2} {x2 - x1} {y2 - y1}" for x1, y1, x2, y2 in boxes]
        rows[f"{number}"] = (np.repeat(scene.picture[..., None], 3, axis=2), lines)
    data = data_set(tmp_path / "scenes", ["shape"], rows)
    torch.manual_seed(0)
    model = build_model("one-level", "n", 1, "separable")
    card = Card("one-level", "n", "separable", {0: "shape"}, 96, "none", '{"start": "none"}', "AGPL-3.0", 0, {})
    save_weights(tmp_path / "level.safetensors", model.state_dict(), card)
    figures = uses(tmp_path / "level.safetensors", data, device="cpu")
    assert figures["size"] == 96, "from scratch: what it was trained at"
    assert [row["label"] for row in figures["stages"]] == ["P3 5x5", "P3 7x7 d3"]
    assert figures["objects"] == sum(len(scene.objects) for scene in scenes)
    assert figures["offsets"][OFF]["AP_minus_own"] == 0, "offsets start at zero"
    assert figures["verdict"] == UNUSED


@pytest.mark.slow
def test_refusals(toys, tmp_path, capsys):
    def refused(*argv):
        assert main(["uses", *map(str, argv), "--size", str(SIZE)]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "control has no deform stages, so it has no offsets that it could use." in refused("control", "--data", toys)
    blank = np.zeros((40, 40, 3), np.uint8)
    alone = data_set(tmp_path / "alone", ["person"], {"a": (blank, [])})
    assert "expected two validation pictures or more, got 1" in refused("residual", "--data", alone)
    empty = data_set(tmp_path / "empty", ["person"], {"a": (blank, []), "b": (blank, [])})
    assert "expected labelled objects in its validation part, got none" in refused("residual", "--data", empty)
