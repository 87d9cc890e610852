"""Probes see what the layers used, change nothing and leave nothing behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from deforming import deforming, hooks, picture, run

from dlka.inference.interventions import Intervention, intervene
from dlka.inference.probe import probe, stages
from dlka.layers import DeformableLKA, DeformConv
from dlka.models.build import build_model
from dlka.ops import deform_dwconv2d

PLACEMENTS = ["neck", "residual", "head", "neck-head"]
MODELS = [*PLACEMENTS, "neck separable", "head separable"]


@pytest.fixture(scope="module")
def models():
    separable = {f"{placement} separable": deforming(placement, offsets="separable") for placement in ("neck", "head")}
    return {placement: deforming(placement) for placement in PLACEMENTS} | separable


@pytest.mark.parametrize("placement", MODELS)
def test_captures_are_what_the_layers_used(models, placement):
    model, seen, gated = models[placement], {}, {}
    handles = [
        module.register_forward_hook(lambda m, i, o, n=name, to=to: to.update({n: (m, i[0], o)}))
        for name, module in model.named_modules()
        for kind, to in ((DeformConv, seen), (DeformableLKA, gated))
        if isinstance(module, kind)
    ]
    with probe(model) as captures:
        run(model, picture())
    for handle in handles:
        handle.remove()

    assert [c.stage.name for c in captures.offsets] == list(seen)
    for capture in captures.offsets:
        layer, x, out = seen[capture.stage.name]
        offset, stage = torch.from_numpy(capture.offset)[None], capture.stage
        options = {"stride": stage.step, "padding": stage.padding, "dilation": stage.dilation}
        assert torch.equal(deform_dwconv2d(x, offset, layer.deform_conv.weight, **options), out)
        assert stage.channels == x.shape[1]
        assert stage.kernel == tuple(layer.deform_conv.weight.shape[2:])
        assert stage.stride == 64 // x.shape[2]
        assert stage.name.startswith(stage.block)
        assert np.abs(capture.offset).max() > 0.1
    assert len(captures.gates) == len(gated)
    for gate, (_, x, out) in zip(captures.gates, gated.values()):
        assert torch.equal(x * torch.from_numpy(gate.values)[None], out)


@pytest.mark.parametrize("placement", MODELS)
def test_output_does_not_change_by_a_bit(models, placement):
    model = models[placement]
    before = run(model, picture())
    with probe(model):
        during = run(model, picture())
    assert torch.equal(before, during)
    assert torch.equal(before, run(model, picture()))


@pytest.mark.parametrize(("height", "width"), [(64, 96), (160, 32), (32, 32)])
def test_rectangles(models, height, width):
    with probe(models["neck"]) as captures:
        run(models["neck"], picture(height, width))
    for capture in captures.offsets:
        assert capture.offset.shape[1:] == (height // capture.stage.stride, width // capture.stage.stride)
    assert [g.level for g in captures.gates] == ["P3", "P4", "P5"]
    assert [g.stride for g in captures.gates] == [8, 16, 32]
    assert [c.stage.label for c in captures.offsets][:2] == ["P3 5x5", "P3 7x7 d3"]


def test_no_hook_is_left(models):
    model = models["residual"]
    with probe(model), intervene(model, Intervention(strength=2)):
        assert hooks(model) > 0
        run(model, picture())
    assert hooks(model) == 0


def test_no_hook_is_left_after_exceptions(models):
    model = models["neck"]
    with pytest.raises(KeyError), probe(model), intervene(model, Intervention(strength=0)):
        raise KeyError
    assert hooks(model) == 0
    with pytest.raises(RuntimeError), probe(model), intervene(model, Intervention(strength=0)):
        run(model, torch.rand(1, 5, 64, 64))  # wrong number of channels, deep inside the forward pass
    assert hooks(model) == 0


def test_a_second_pass_replaces_the_first(models):
    with probe(models["neck"]) as captures:
        run(models["neck"], picture(96, 96))
        run(models["neck"], picture(64, 32, seed=1))
    assert len(captures.offsets) == 6
    assert len(captures.gates) == 3
    assert captures.offsets[0].offset.shape[1:] == (8, 4)


def test_captures_are_copies(models):
    with probe(models["neck"]) as captures:
        run(models["neck"], picture())
        first = captures.offsets[0].offset.copy()
        kept = captures.offsets[0]
        run(models["neck"], picture(seed=1))
    np.testing.assert_array_equal(kept.offset, first)


def test_two_models_in_two_threads():
    pair = [deforming("neck", seed) for seed in (1, 2)]

    def look(model):
        with probe(model) as captures:
            run(model, picture())
        return [c.offset for c in captures.offsets]

    alone = [look(m) for m in pair]
    with ThreadPoolExecutor(2) as pool:  # a thread for each model: two probes on one model at once would mix
        together = list(pool.map(lambda model: [look(model) for _ in range(4)], pair))
    for looks, expected in zip(together, alone):
        for offsets in looks:
            assert all(np.array_equal(a, b) for a, b in zip(offsets, expected))


def test_a_separable_model_has_the_stages_of_its_dense_twin(models):
    assert stages(models["neck separable"]) == stages(models["neck"])


def test_stages_in_the_order_they_run(models):
    found = stages(models["neck-head"])
    assert [s.level for s in found] == ["P3", "P3", "P4", "P4", "P5", "P5"] * 2
    assert [s.taps for s in found] == [25, 49] * 6
    assert stages(build_model("control", "n", 3)) == ()
    assert hooks(models["neck-head"]) == 0
