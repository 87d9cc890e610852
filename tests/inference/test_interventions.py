"""What is done to a model is exactly that, where it is meant, and it leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deforming import deforming, hooks, picture, run

from dlka.inference.interventions import Intervention, intervene
from dlka.inference.probe import probe, stages
from dlka.layers import DeformableLKAAttention
from dlka.models.build import build_model

MODELS = ["neck", "residual", "head", "neck separable"]
LEARNED = Intervention()
SHUFFLED = Intervention("shuffled", seed=3)
GATE_OFF = Intervention("gate off")


@pytest.fixture(scope="module")
def models():
    return {m: deforming(m.split()[0], offsets=[*m.split(), "dense"][1]) for m in MODELS}


def look(model, intervention, x=None):
    """Output and captures of one pass; nothing may be left behind."""
    with probe(model) as captures, intervene(model, intervention):
        output = run(model, picture() if x is None else x)
    assert hooks(model) == 0
    return output, captures


def offsets(captures):
    return {capture.stage.name: capture.offset for capture in captures.offsets}


@pytest.mark.parametrize("placement", MODELS)
def test_without_deformation_it_is_the_rigid_twin(models, placement):
    model = models[placement]
    twin = build_model(placement.split()[0], "n", 3, "none").eval()
    twin.load_state_dict({k: v for k, v in model.state_dict().items() if ".offset_net." not in k})
    rigid, _ = look(model, Intervention(strength=0))
    torch.testing.assert_close(rigid, run(twin, picture()), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(rigid, run(model, picture()), rtol=1e-4, atol=1e-4)


def test_as_learned_costs_nothing(models):
    model = models["neck"]
    with intervene(model, LEARNED):
        assert hooks(model) == 0
        assert torch.equal(run(model, picture()), run(model, picture()))


@pytest.mark.parametrize("placement", ["neck", "neck separable"])
@pytest.mark.parametrize("strength", [0.5, -1.0])
def test_strength_is_a_factor(models, placement, strength):
    model = models[placement]
    first = next(iter(offsets(look(model, LEARNED)[1]).values()))
    scaled = next(iter(offsets(look(model, Intervention(strength=strength))[1]).values()))
    np.testing.assert_array_equal(scaled, first * np.float32(strength))


@pytest.mark.parametrize("intervention", [Intervention(strength=0.5), SHUFFLED, GATE_OFF])
def test_a_probe_sees_the_change_in_either_order(models, intervention):
    model = models["neck"]
    with intervene(model, intervention), probe(model) as inner:
        run(model, picture())
    _, outer = look(model, intervention)
    for a, b in zip(inner.offsets, outer.offsets, strict=True):
        np.testing.assert_array_equal(a.offset, b.offset)
    for a, b in zip(inner.gates, outer.gates, strict=True):
        np.testing.assert_array_equal(a.values, b.values)


def test_no_hook_is_left_after_exceptions(models):
    model = models["neck"]
    for intervention in (Intervention(strength=2), SHUFFLED, GATE_OFF):
        with pytest.raises(KeyError, match=r"[1-9]"), intervene(model, intervention):
            raise KeyError(hooks(model))
        assert hooks(model) == 0


def test_shuffled_offsets_are_those_of_other_cells(models):
    model, places = models["neck"], []
    fields = offsets(look(model, LEARNED)[1])
    with probe(model) as captures, intervene(model, SHUFFLED), intervene(model, Intervention("given", fields=fields)):
        run(model, picture())
    for capture in captures.offsets[:2]:
        learned, shuffled = (
            field.reshape(field.shape[0], -1).T for field in (fields[capture.stage.name], capture.offset)
        )  # [cells, 2K]: all taps of a cell move together
        places.append([int(np.flatnonzero((learned == cell).all(axis=1))[0]) for cell in shuffled])
        assert sorted(places[-1]) == list(range(len(learned)))
        assert np.mean(np.array(places[-1]) == np.arange(len(learned))) < 0.2
    assert places[0] != places[1]  # two stages on one map


def test_shuffling_follows_the_seed_and_the_stage_alone(models):
    model = models["residual"]
    output, again, other = (look(model, Intervention("shuffled", seed=seed))[0] for seed in (3, 3, 4))
    assert torch.equal(output, again)
    assert not torch.equal(output, other)
    second = stages(model)[1].name
    fields = offsets(look(model, LEARNED)[1])
    moved = []
    for where in (None, (second,)):  # the same field is put in, so that only the shuffling can differ
        shuffled, given = Intervention("shuffled", seed=3, where=where), Intervention("given", fields=fields)
        with probe(model) as captures, intervene(model, shuffled), intervene(model, given):
            run(model, picture())
        moved.append(offsets(captures))
    np.testing.assert_array_equal(moved[0][second], moved[1][second])
    assert (moved[0][second] != fields[second]).any()


def test_shuffling_may_be_scaled(models):
    name = stages(models["neck"])[0].name
    full, half = (offsets(look(models["neck"], Intervention("shuffled", s))[1])[name] for s in (1.0, 0.5))
    np.testing.assert_array_equal(half, full * np.float32(0.5))


@pytest.mark.parametrize("placement", MODELS)
def test_given_offsets_are_used(models, placement):
    model = models[placement]
    other = picture(seed=1)
    fields = offsets(look(model, LEARNED, other)[1])
    output, captures = look(model, Intervention("given", fields=fields))
    for name, field in offsets(captures).items():
        np.testing.assert_array_equal(field, fields[name])
    assert not torch.equal(output, look(model, LEARNED)[0])
    own = offsets(look(model, LEARNED)[1])
    torch.testing.assert_close(look(model, Intervention("given", fields=own))[0], look(model, LEARNED)[0])


def test_given_offsets_are_stretched_over_another_map(models):
    model = models["neck"]
    stage = stages(model)[0]
    ramp = np.linspace(-2, 2, 6, dtype=np.float32)  # along x, 6 columns
    field = np.broadcast_to(ramp, (2 * stage.taps, 3, 6))
    given = Intervention("given", fields={stage.name: field}, where=(stage.name,))
    used = offsets(look(model, given, picture(64, 96))[1])[stage.name]
    assert used.shape == (2 * stage.taps, 8, 12)
    expected = np.interp((np.arange(12) + 0.5) / 2 - 0.5, np.arange(6), ramp)  # cell centres lie on cell centres
    np.testing.assert_allclose(used, np.broadcast_to(expected, used.shape), atol=1e-6)


@pytest.mark.parametrize("placement", ["neck", "residual", "head"])
def test_with_the_gate_off_a_block_returns_its_input(models, placement):
    model, seen = models[placement], []
    handles = [
        m.register_forward_hook(lambda m, i, o: seen.append((i[0], o)))
        for m in model.modules()
        if isinstance(m, DeformableLKAAttention)
    ]
    with probe(model) as captures, intervene(model, GATE_OFF):
        run(model, picture())
    for handle in handles:
        handle.remove()
    assert len(seen) == len(captures.gates) == 3
    for given, returned in seen:
        assert torch.equal(given, returned)
    assert all((gate.values == 0).all() for gate in captures.gates)


def test_without_its_blocks_the_residual_placement_is_the_stock_model(models):
    model = models["residual"]
    control = build_model("control", "n", 3).eval()
    rest = [m for m in model.model if not isinstance(m, DeformableLKAAttention)]
    assert len(rest) == len(control.model)
    for own, theirs in zip(rest, control.model):
        theirs.load_state_dict(own.state_dict())
    assert torch.equal(look(model, GATE_OFF)[0], run(control, picture()))


def test_a_rigid_model_has_a_gate_but_no_offsets():
    model = build_model("neck", "n", 3, "none").eval()
    for intervention in (Intervention(strength=2), SHUFFLED, Intervention("given", fields={})):
        with intervene(model, intervention):
            assert hooks(model) == 0
    with intervene(model, GATE_OFF):
        assert hooks(model) == 6


def test_where(models):
    model = models["neck"]
    first, second, third, *_ = stages(model)
    assert first.block == second.block != third.block
    learned = offsets(look(model, LEARNED)[1])
    for where, changed in (
        ((first.name,), {first.name}),
        ((first.block,), {first.name, second.name}),
        ((first.block, third.name), {first.name, second.name, third.name}),
    ):
        got = offsets(look(model, Intervention(strength=0, where=where))[1])
        assert {name for name, field in got.items() if not field.any()} == changed
    np.testing.assert_array_equal(
        offsets(look(model, Intervention(strength=0, where=(second.name,)))[1])[first.name], learned[first.name]
    )
    for where in ((first.block,), (second.name,)):
        gates = look(model, Intervention("gate off", where=where))[1].gates
        assert [g.block for g in gates if not g.values.any()] == [first.block]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "off"}, "kind: expected one of learned, shuffled, given, gate off, got 'off'"),
        ({"kind": "given"}, "fields: expected with kind 'given'"),
        ({"kind": "shuffled", "fields": {}}, "fields: expected with kind 'given'"),
        ({"kind": "gate off", "strength": 0.5}, "strength: expected 1 where the gate is off"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Intervention(**arguments)


def test_what_does_not_fit_the_model_is_refused(models):
    model, stage = models["neck"], stages(models["neck"])[0]
    wrong = {s.name: np.zeros((2, 4, 4)) for s in stages(model)}
    for intervention, message in (
        (Intervention(where=("model.15",)), r"where: expected one of model\..*, got 'model.15'"),
        (Intervention("given", fields={"a": np.zeros(3)}), f"fields: expected offsets of {stage.name}, got those of a"),
        (Intervention("given", fields=wrong), rf"fields: expected \[50, H, W\] for {stage.name}, got \[2, 4, 4\]"),
    ):
        with pytest.raises(ValueError, match=message), intervene(model, intervention):
            pass
        assert hooks(model) == 0
