"""Weights that ship: the tensors of a rerun bit by bit, and what its stored run says in their cards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from stored_builders import stored

from dlka.analysis.model_words import measured
from dlka.cli import main
from dlka.experiments.deltas import collect
from dlka.experiments.plan import PLAN, SHIPPED, steps
from dlka.experiments.ship import metrics_of, ship
from dlka.models.build import build_model
from dlka.models.checkpoint import sha256
from dlka.models.weights import Card, load_card, load_model, save_weights, with_card

WEIGHTS = {"hit-uav-residual": "hit-uav/residual-s0", "hit-uav-control": "hit-uav/control-s0"}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A rerun's folder with weights of a trained-looking residual model of two classes, and a control's."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "weights").mkdir()
    for placement in ("residual", "control"):
        torch.manual_seed(7)
        model = build_model(placement, "n", 2)
        state = {k: v + 0.01 * torch.randn_like(v) if v.dim() == 4 else v for k, v in model.state_dict().items()}
        card = Card(placement, "n", "dense", {0: "a", 1: "b"}, 640, "labels", "{}", "AGPL-3.0", 0, {"torch": "2"})
        save_weights(folder / "weights" / f"hit-uav-{placement}-s0.safetensors", state, card)
    return folder


def runs_of(work, seeds=3):
    found = []
    for seed in range(seeds):
        for model, above in (("residual", 0.01), ("control", 0.0)):
            run = stored("hit-uav", model, seed, above, 0.002 if above else 0.0, (seed - 1) * 0.002)
            file = work / "weights" / f"{run.run.replace('/', '-')}.safetensors"
            found.append(replace(run, card={"sha256": sha256(file)}) if file.is_file() else run)
    return found


def shipped(work, out, runs=None):
    lines = []
    return ship(work, collect(runs or runs_of(work), ()), out, WEIGHTS, lines.append), lines


@pytest.mark.slow
def test_tensors_are_the_same_bit_by_bit(work, tmp_path):
    (written, _), lines = shipped(work, tmp_path / "out")
    assert written == tmp_path / "out" / "hit-uav-residual.safetensors"
    source = work / "weights" / "hit-uav-residual-s0.safetensors"
    with safe_open(source, "np") as a, safe_open(written, "np") as b:
        assert set(a.keys()) == set(b.keys())
        for name in sorted(a.keys()):
            one, other = a.get_tensor(name), b.get_tensor(name)
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes(), name
        assert {str(a.get_tensor(name).dtype) for name in sorted(a.keys())} == {"int8", "float16", "float32"}
    states = [load_model(path)[0].state_dict() for path in (source, written)]
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert "hit-uav/residual-s0, AP 50.8, " in lines[0]
    assert written.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_the_card_has_what_was_measured_and_is_else_the_same(work, tmp_path):
    (written, control), _ = shipped(work, tmp_path)
    card, before = load_card(written), load_card(work / "weights" / "hit-uav-residual-s0.safetensors")
    assert replace(card, metrics={}) == before
    metrics = card.metrics
    assert (metrics["data"], metrics["pictures"], metrics["size"]) == ("hit-uav val", 40, 640)
    assert len(metrics["AP_of_seeds"]) == 3
    assert metrics["AP_of_seeds"][0] == pytest.approx(metrics["AP"], abs=1e-4)
    assert metrics["AP"] == pytest.approx(0.508)
    assert (metrics["AP75"], metrics["AP_L"]) == (0.4, None)
    run = next(run for run in runs_of(work) if run.run == "hit-uav/residual-s0")
    assert metrics["AP_S_95"] == pytest.approx(np.percentile(run.replicates[:, 2], [2.5, 97.5]), abs=1e-5)
    # Seed 0 against seed 0 of control, not the mean over seeds: the file is of one seed.
    assert metrics["AP_minus_control"] == pytest.approx(0.01)
    low, high = metrics["AP_minus_control_95"]
    assert 0.003 < low < 0.01 < high < 0.017
    assert high - low < np.subtract(*metrics["AP_95"][::-1]) / 2, "the difference is paired"
    assert not any("minus" in key for key in load_card(control).metrics)


@pytest.mark.slow
def test_what_was_measured_of_offsets_stays_with_the_same_tensors(work, tmp_path):
    (written, control), _ = shipped(work, tmp_path)
    uses = {"verdict": "unused", "why": "AP changes by 0.", "data": "hit-uav val", "pictures": 40, "size": 640}
    measured = replace(load_card(written), uses=uses)
    with_card(written, written, measured)
    shipped(work, tmp_path)
    assert load_card(written) == measured
    model, card = load_model(written)
    state = model.state_dict()
    state["model.0.conv.weight"][0] *= 2
    save_weights(written, state, card)
    shipped(work, tmp_path)
    assert load_card(written) == replace(measured, uses=None)
    assert load_card(control).uses is None


def test_the_page_reads_these_cards(work, tmp_path, monkeypatch):
    shipped(work, tmp_path)
    monkeypatch.setattr("dlka.models.catalog.WEIGHTS", tmp_path)
    assert measured("hit-uav-residual") == (
        "AP 50.8 (small 30.8), hit-uav-control (stock YOLOv8n) 49.8 (29.8), on 40 pictures of hit-uav val, "
        "3 seeds: 50.8 to 51.2"
    )


def test_without_a_control_of_the_same_seed_there_is_no_difference(work):
    runs = [run for run in runs_of(work) if run.run != "hit-uav/control-s0"]
    models = collect(runs, ()).models["hit-uav"]
    metrics = metrics_of(models["residual"].runs[0], models["residual"], models["control"])
    assert not any("minus" in key for key in metrics)
    nothing = replace(models["residual"].runs[0], replicates=np.full((200, 5), np.nan, np.float32))
    assert metrics_of(nothing, models["residual"], None)["AP_95"] is None


def test_what_is_missing_is_said(work, tmp_path):
    runs = [run for run in runs_of(work) if run.run != "hit-uav/control-s0"]
    written, lines = shipped(work, tmp_path / "a", runs)
    assert [path.stem for path in written] == ["hit-uav-residual"]
    assert lines[1] == "hit-uav-control: left out: there is no stored run hit-uav/control-s0."
    written, lines = shipped(tmp_path, tmp_path / "b", runs)
    assert written == []
    assert lines[0] == "hit-uav-residual: left out: hit-uav-residual-s0.safetensors: there is no such file."
    assert not (tmp_path / "b").exists()
    other = [replace(run, card={"sha256": "0"}) for run in runs_of(work)]
    assert (
        "is not the file that the stored run hit-uav/residual-s0 was measured on"
        in shipped(work, tmp_path, other)[1][0]
    )


def test_the_command(work, tmp_path, capsys):
    for run in runs_of(work, seeds=1):
        run.save(tmp_path / "runs")
    flags = ["evidence", "--ship", str(tmp_path / "out"), "--runs", str(tmp_path / "runs"), "--work"]
    assert main([*flags, str(work)]) == 0
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(WEIGHTS) & set(SHIPPED)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == len(SHIPPED)
    assert "neck: left out: there is no stored run coco-mini/neck-fitted-s0." in told
    assert main([*flags, str(tmp_path)]) == 1
    assert main([*flags, str(work), "--rerun"]) == 2
    assert "--rerun: expected without --ship" in capsys.readouterr().err


def test_what_ships_is_of_seed_0_and_in_the_plan():
    planned = {step.id for step in steps(PLAN)}
    assert set(SHIPPED.values()) <= planned
    assert all(run.endswith("-s0") for run in SHIPPED.values())
