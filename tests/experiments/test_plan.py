"""The plan of the experiment: what it lists, in which order, and how runs are chosen from it."""

from __future__ import annotations

import pytest

from dlka.experiments.plan import PLAN, SCRATCH, STOCK, Experiment, choose, family, rigid_twin, split, steps
from dlka.models.placements import OFFSETS, PLACEMENTS

SMALL = (
    Experiment("a", ("control", "neck-head-separable"), (0, 1), {"epochs": 3, "lr": 0.5}, start={"epochs": 7}),
    Experiment("b", ("residual-rigid",), (4,), {"teacher": STOCK}, stock=True),
)


def test_starts_come_first_and_models_start_from_them():
    found = steps(SMALL)
    assert [step.id for step in found] == [
        *("a/start-s0", "a/control-s0", "a/neck-head-separable-s0", "a/control-s1", "a/neck-head-separable-s1"),
        *("b/stock-s0", "b/residual-rigid-s4"),
    ]
    start, _, model, *_, stock, rigid = found
    assert (start.recipe.placement, start.recipe.start, start.recipe.epochs) == ("control", STOCK, 7)
    recipe = model.recipe
    assert (recipe.placement, recipe.offsets, recipe.start) == ("neck-head", "separable", "a/start-s0")
    assert (recipe.epochs, recipe.lr, recipe.seed, recipe.data) == (3, 0.5, 0, "a")
    assert stock.recipe is None
    assert (rigid.recipe.offsets, rigid.recipe.start, rigid.recipe.seed) == ("none", STOCK, 4)
    assert model.stem == "a-neck-head-separable-s0"


def test_a_second_experiment_on_the_same_data_goes_on_from_a_run_of_the_first():
    more = Experiment(
        "a", ("control", "neck"), (5, 6), {}, start="a/control-s0", one_seed=("neck",), causes=("neck",), title="a-long"
    )
    found = steps([*SMALL, more])[-3:]
    assert [step.id for step in found] == ["a-long/control-s5", "a-long/neck-s5", "a-long/control-s6"]
    assert {(step.data, step.recipe.data, step.recipe.start) for step in found} == {("a", "a", "a/control-s0")}
    assert [step.causes for step in found] == [False, True, False]
    assert found[0].stem == "a-long-control-s5"


def test_the_plan_is_what_it_should_be():
    found = steps(PLAN)
    assert len({step.id for step in found}) == len(found)
    for part in PLAN:
        assert "control" in part.models, part.name
        twins = {"residual-rigid", "one-level-rigid", "neck-rigid"} & set(part.models)
        assert part.data == "coco-mini" or part.name == "hit-uav-long" or twins, part.name
        assert set(part.one_seed) <= set(part.models), part.name
        assert set(part.causes) <= set(part.models), part.name
    for step in found:
        placement, offsets = split(step.model)
        assert placement in PLACEMENTS
        assert offsets in OFFSETS
        assert bool(getattr(step.recipe, "fit_epochs", 0)) == ("fitted" in step.model), step.id
        start = step.recipe.start if step.recipe else STOCK
        assert start in (STOCK, SCRATCH) or start in {before.id for before in found[: found.index(step)]}, step.id
    assert {len(part.seeds) for part in PLAN if part.name in ("hit-uav", "hit-uav-wide")} == {3}


def test_model_words():
    assert split("neck-head-rigid") == ("neck-head", "none")
    assert split("head") == ("head", "dense")
    assert split("stock") == split("start") == split("control") == ("control", "dense")
    assert rigid_twin("neck-separable") == rigid_twin("neck") == "neck-rigid"
    assert family("neck-fitted-rigid") == family("neck-fitted") == "neck-fitted"
    assert split("neck-fitted") == ("neck", "dense")
    assert split("control-longer") == ("control", "dense")
    assert split("neck-fitted-rigid") == ("neck", "none")
    assert rigid_twin("neck-fitted") == "neck-fitted-rigid"
    assert rigid_twin("neck-rigid") is rigid_twin("neck-fitted-rigid") is None
    assert rigid_twin("control") is None


def test_runs_are_chosen_by_pattern():
    found = steps(SMALL)
    assert choose(found, None) == found
    assert [step.id for step in choose(found, "a/control*")] == ["a/control-s0", "a/control-s1"]
    with pytest.raises(ValueError, match=r"--only c/\*: expected a pattern that fits some of a/start-s0, .*\.\.\."):
        choose(found, "c/*")
