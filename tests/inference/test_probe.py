"""Probes see what the layers used, change nothing and leave nothing behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from dlka.inference.probe import deformation, probe, stages
from dlka.layers import DeformableLKA, DeformConv
from dlka.models.build import build_model
from dlka.ops import deform_dwconv2d

PLACEMENTS = ["neck", "residual", "head", "neck-head"]
MODELS = [*PLACEMENTS, "neck separable", "head separable"]


def deforming(placement: str, seed: int = 0, offsets: str = "dense"):
    """A random model in which every layer matters: offsets of about a cell, signals of about one."""
    torch.manual_seed(seed)
    model = build_model(placement, "n", 3, offsets).requires_grad_(False)
    for name, parameter in model.named_parameters():
        if ".offset_net." in name and ".depthwise." not in name:
            parameter.normal_(0, 0.02 if parameter.dim() > 1 else 1.0)
        elif ".proj_2." in name:
            parameter.normal_(0, 0.3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # one pass in training mode then sets the statistics to what these weights give
    model.train()(torch.rand(2, 3, 128, 128))
    return model.eval()


@pytest.fixture(scope="module")
def models():
    separable = {f"{placement} separable": deforming(placement, offsets="separable") for placement in ("neck", "head")}
    return {placement: deforming(placement) for placement in PLACEMENTS} | separable


def picture(height: int = 64, width: int = 96, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def hooks(model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def run(model, x):
    with torch.no_grad():
        return model(x)[0]


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
    with probe(model), deformation(model, 2):
        assert hooks(model) > 0
        run(model, picture())
    assert hooks(model) == 0


def test_no_hook_is_left_after_exceptions(models):
    model = models["neck"]
    with pytest.raises(KeyError), probe(model), deformation(model, 0):
        raise KeyError
    assert hooks(model) == 0
    with pytest.raises(RuntimeError), probe(model), deformation(model, 0):
        run(model, torch.rand(1, 5, 64, 64))  # wrong number of channels, deep inside the forward pass
    assert hooks(model) == 0
    with pytest.raises(ValueError, match="expected one picture at a time, got a batch of 2"), probe(model):
        run(model, torch.rand(2, 3, 64, 64))
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


@pytest.mark.parametrize("placement", MODELS)
def test_without_deformation_it_is_the_rigid_twin(models, placement):
    model = models[placement]
    twin = build_model(placement.split()[0], "n", 3, "none").eval()
    twin.load_state_dict({k: v for k, v in model.state_dict().items() if ".offset_net." not in k})
    with deformation(model, 0):
        rigid = run(model, picture())
    torch.testing.assert_close(rigid, run(twin, picture()), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(rigid, run(model, picture()), rtol=1e-4, atol=1e-4)


def test_full_deformation_changes_nothing(models):
    model = models["neck"]
    with deformation(model, 1):
        assert hooks(model) == 0
        assert torch.equal(run(model, picture()), run(model, picture()))


def test_a_probe_sees_scaled_offsets_in_either_order(models):
    model = models["neck"]
    with probe(model) as learned:
        run(model, picture())
    with deformation(model, 0.5), probe(model) as inner:
        run(model, picture())
    with probe(model) as outer, deformation(model, 0.5):
        run(model, picture())
    first = learned.offsets[0].offset * np.float32(0.5)
    np.testing.assert_array_equal(inner.offsets[0].offset, first)
    np.testing.assert_array_equal(outer.offsets[0].offset, first)


def test_a_separable_model_has_the_stages_of_its_dense_twin(models):
    assert stages(models["neck separable"]) == stages(models["neck"])


def test_a_separable_model_deforms_less_on_request(models):
    seen = []
    for strength in (1, 0.5):
        with deformation(models["neck separable"], strength), probe(models["neck separable"]) as captures:
            run(models["neck separable"], picture())
        seen.append(captures.offsets[0].offset)
    np.testing.assert_array_equal(seen[1], seen[0] * np.float32(0.5))


def test_stages_in_the_order_they_run(models):
    found = stages(models["neck-head"])
    assert [s.level for s in found] == ["P3", "P3", "P4", "P4", "P5", "P5"] * 2
    assert [s.taps for s in found] == [25, 49] * 6
    assert stages(build_model("control", "n", 3)) == ()
    assert hooks(models["neck-head"]) == 0
