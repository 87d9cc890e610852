"""Blocks that replace stock ones learn to do what those did, before the first epoch."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from deforming import hooks

from dlka.errors import DlkaError
from dlka.models.build import build_model
from dlka.models.transfer import transfer
from dlka.models.weights import load_model
from dlka.train import recipe_trainer
from dlka.train.block_fit import fit_blocks
from dlka.train.recipe import Recipe
from dlka.train.recipe_trainer import RecipeTrainer
from dlka.train.trainer import read_start
from dlka.train.training import fit

ROWS = (15, 18, 21)  # of the neck's replaced blocks; of the same blocks in stock YOLOv8


@pytest.fixture(scope="module")
def pictures(squares):
    """[4, 3, 128, 128] in 0..1."""
    files = sorted((squares / "images/train").iterdir())[:4]
    read = [cv2.resize(cv2.imread(str(file)), (128, 128))[..., ::-1] for file in files]
    return torch.from_numpy(np.stack(read).transpose(0, 3, 1, 2).copy()).float() / 255


def from_stock(placement, offsets="dense"):
    state, names = read_start("control")
    torch.manual_seed(0)
    model = build_model(placement, offsets=offsets)
    model.names = names
    transfer(model, state, names, names)
    return model


def relative_errors(model, pictures):
    """Of every replaced block in evaluation mode, against a stock network that is made and read here."""
    stock, maps = from_stock("control").eval(), {}
    for row in ROWS:
        stock.model[row].register_forward_hook(lambda m, i, o, row=row: maps.update({row: (i[0], o)}))
    model.eval()
    with torch.no_grad():
        stock(pictures)
        given = {row: model.model[row](maps[row][0]) for row in ROWS}
    return {row: float((given[row] - maps[row][1]).square().mean() / maps[row][1].var()) for row in ROWS}


@pytest.fixture(scope="module")
def fitted(pictures):
    """A neck before and after it was fitted, and the rows that the fit gave."""
    recipe = Recipe("neck", "data", fit_epochs=4, offset_lr=1e-3, offset_mean=0.1)
    before, after, told = from_stock("neck"), from_stock("neck"), []
    rows = fit_blocks(after, read_start("control"), lambda: iter([pictures] * 12), 12, recipe, told.append)
    return before, after, rows, told


@pytest.mark.slow
def test_every_block_gives_nearly_what_the_stock_block_gave(fitted, pictures):
    before, after, rows, told = fitted
    begun, ended = relative_errors(before, pictures), relative_errors(after, pictures)
    assert all(ended[row] < 0.6 * begun[row] for row in ROWS), (begun, ended)
    assert [set(row) for row in rows] == [{"model.15", "model.18", "model.21"}] * 4
    assert all(rows[-1][name] < 0.7 * rows[0][name] for name in rows[0])
    assert told[-1].startswith("fit 4/4  relative error  model.15 0.")


@pytest.mark.slow
def test_offsets_learn_and_nothing_outside_of_the_blocks_changes(fitted):
    before, after, _, _ = fitted
    inside = tuple(f"model.{row}." for row in ROWS)
    states = before.state_dict(), after.state_dict()
    changed = {name for name, value in states[0].items() if not torch.equal(value, states[1][name])}
    assert changed
    assert all(name.startswith(inside) for name in changed)
    for row in ROWS:
        assert f"model.{row}.m.0.cv2.spatial_gating_unit.conv0.offset_net.weight" in changed
        assert f"model.{row}.cv1.bn.running_mean" in changed
    assert hooks(after) == 0, "nothing listens afterwards"
    assert all(p.grad is None for p in after.parameters())


@pytest.mark.slow
def test_the_rigid_twin_is_fitted_too_and_frozen_blocks_are(pictures):
    recipe = Recipe("neck", "data", offsets="none", fit_epochs=2)
    model = from_stock("neck", "none").requires_grad_(False)
    begun = relative_errors(model, pictures)
    fit_blocks(model, read_start("control"), lambda: iter([pictures] * 20), 20, recipe, lambda line: None)
    ended = relative_errors(model, pictures)
    assert all(ended[row] < 0.8 * begun[row] for row in ROWS), (begun, ended)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.slow
def test_a_run_fits_before_its_first_epoch_and_averages_from_there(squares, tmp_path, monkeypatch, capsys):
    """A learning rate of zero afterwards leaves the fitted weights, which only rounding moves."""
    kept = {}

    def begun(trainer, event):
        run_callbacks(trainer, event)
        if event != "on_train_epoch_start":
            return
        ours, averaged = trainer.net.state_dict(), trainer.ema.ema.state_dict()
        kept.update({name: value.clone() for name, value in ours.items()})
        assert all(torch.equal(value, averaged[name]) for name, value in ours.items())

    run_callbacks = RecipeTrainer.run_callbacks
    monkeypatch.setattr(RecipeTrainer, "run_callbacks", begun)
    rates = {"lr": 0.0, "copied_lr": 0.0, "offset_lr": 0.0}
    recipe = Recipe("neck", str(squares), epochs=1, size=64, batch=4, fit_epochs=3, bfloat16=True, **rates)
    fit(recipe, tmp_path / "o.safetensors", tmp_path / "run", "cpu")
    told = capsys.readouterr().out
    assert told.index("fit 1/3") < told.index("fit 3/3") < told.index("epoch 1/1")
    name = "model.15.m.0.cv2.proj_2.weight"  # zero at the start
    assert kept[name].abs().max() > 1e-3
    shipped = load_model(tmp_path / "o.safetensors")[0].state_dict()
    torch.testing.assert_close(shipped[name], kept[name], rtol=1e-2, atol=1e-4)


@pytest.mark.slow
def test_without_it_no_block_is_fitted(squares, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe_trainer, "fit_blocks", lambda *args: pytest.fail("asked for by nobody"))
    recipe = Recipe("neck", str(squares), epochs=1, size=64, batch=4)
    assert recipe.fit_epochs == 0
    fit(recipe, tmp_path / "o.safetensors", tmp_path / "run", "cpu")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"placement": "residual"}, "fit_epochs: residual replaces no block .* or take one of neck, neck-head"),
        ({"placement": "head"}, "fit_epochs: head replaces no block"),
        ({"placement": "control"}, "fit_epochs: control replaces no block"),
        ({"fit_epochs": -1}, "fit_epochs: expected 0 or more, got -1"),
        ({"fit_lr": float("nan")}, "fit_lr: expected 0 or more, got nan"),
    ],
)
def test_refused_before_anything_is_written(squares, tmp_path, change, says):
    recipe = replace(Recipe("neck", str(squares), fit_epochs=2), **change)
    with pytest.raises(DlkaError, match=says):
        fit(recipe, tmp_path / "o.safetensors", tmp_path / "run", "cpu")
    assert not list(tmp_path.iterdir())


def test_several_gpus_would_fit_to_different_pictures(squares, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DlkaError, match=r"fit_epochs: blocks are fitted on one device, got --device 0,1"):
        fit(Recipe("neck", str(squares), fit_epochs=1), tmp_path / "o.safetensors", tmp_path / "run", "0,1")
    assert not list(tmp_path.iterdir())
