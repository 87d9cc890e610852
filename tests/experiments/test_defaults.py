"""Trainings by Ultralytics' trainer in the plan: what they make, and that a killed one goes on."""

from __future__ import annotations

import json

import pytest
from drawn_squares import draw
from ultralytics.utils.callbacks.base import default_callbacks

from dlka.experiments.defaults import DefaultTraining, fit_by_default
from dlka.experiments.plan import Experiment, steps
from dlka.models.weights import load_card, load_model

SMALL = {"size": 64, "epochs": 2, "batch": 4}


@pytest.fixture
def squares(tmp_path):
    for part in ("train", "val"):
        draw(tmp_path / "squares", part, 8)
    (tmp_path / "squares" / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [square]\n")
    return tmp_path / "squares"


@pytest.fixture
def ended(monkeypatch):
    """The number of every epoch that was trained, and a way to be killed after one."""
    epochs, kill_after = [], []

    def killed(trainer):
        if trainer.epoch in kill_after:
            raise KeyboardInterrupt

    monkeypatch.setitem(default_callbacks, "on_train_epoch_end", [lambda trainer: epochs.append(trainer.epoch)])
    monkeypatch.setitem(default_callbacks, "on_model_save", [killed])
    return epochs, kill_after


def test_words_of_the_plan_become_trainings_from_nothing():
    part = Experiment("a", ("control", "neck-rigid", "control-longer"), (3,), SMALL, by_default=True)
    longer = Experiment(**{**vars(part), "own": {"control-longer": {"epochs": 5}}, "title": "b"})
    assert [step.recipe for step in steps((part,))[:2]] == [
        DefaultTraining("control", "a", "dense", seed=3, **SMALL),
        DefaultTraining("neck", "a", "none", seed=3, **SMALL),
    ]
    last = steps((longer,))[-1]
    assert (last.recipe.placement, last.recipe.epochs, last.size) == ("control", 5, 64)


@pytest.mark.slow
@pytest.mark.parametrize("offsets", ["separable", "none"])
def test_the_weights_file_says_how_it_was_made(squares, tmp_path, offsets):
    recipe = DefaultTraining("neck", str(squares), offsets, seed=7, **SMALL)
    fit_by_default(recipe, tmp_path / "out.safetensors", tmp_path / "run", "cpu")
    model, card = load_model(tmp_path / "out.safetensors")
    assert (card.placement, card.offsets, card.names, card.seed, card.input_size) == (
        *("neck", offsets, {0: "square"}, 7, 64),
    )
    assert json.loads(card.recipe) == {
        **{"trainer": "Ultralytics", "start": "none", "placement": "neck", "data": "squares", "offsets": offsets},
        **{"scale": "n", "seed": 7, **SMALL},
    }
    assert card.data.startswith("labels of squares; weights of epoch 2, the last one")
    moved = [name for name, value in model.state_dict().items() if "offset" in name and value.any()]
    assert bool(moved) == (offsets == "separable"), "offset nets start at zero, and have learned"


@pytest.mark.slow
def test_a_killed_training_goes_on_where_it_was(squares, tmp_path, ended):
    epochs, kill_after = ended
    recipe, out = DefaultTraining("control", str(squares), **SMALL), tmp_path / "out.safetensors"
    kill_after.append(0)
    with pytest.raises(KeyboardInterrupt):
        fit_by_default(recipe, out, tmp_path / "run", "cpu")
    assert not out.exists()
    kill_after.clear()
    epochs.clear()
    fit_by_default(recipe, out, tmp_path / "run", "cpu")
    assert epochs == [1], "the second of two epochs alone"
    assert load_card(out).placement == "control"
