"""The 3D D-LKA Net: parameters and shapes as published, its small sister, and weights under the paper's names."""

from __future__ import annotations

import pytest
import torch

from dlka.errors import DlkaError
from dlka.nets import build_net, load_published


def on_meta(*args, **options):
    with torch.device("meta"):
        return build_net(*args, **options)


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("preset", "offsets", "number"),
    [("paper", "dense", 42_353_327), ("paper", "absent", 28_938_506), ("small", "dense", 3_425_864)],
)
def test_parameters(preset, offsets, number):
    assert count(on_meta("volume", preset, 14 if preset == "paper" else 3, offsets)) == number


def test_parameters_without_position_embeddings():
    net = on_meta("volume", "paper", 14)
    embedded = sum(p.numel() for name, p in net.named_parameters() if name.endswith("pos_embed"))
    assert (count(net) - embedded) / 1e6 == pytest.approx(34.047, abs=1e-3)
    assert sum("pos_embed" in name for name in net.state_dict()) == 21


# Every row of the published net's shapes, for an input of 64 x 128 x 128.
SHAPES = {
    "d_lka_former_encoder.downsample_layers.0": (32, 32, 32, 32),
    "d_lka_former_encoder.stages.0": (32, 32, 32, 32),
    "d_lka_former_encoder.downsample_layers.1": (64, 16, 16, 16),
    "d_lka_former_encoder.stages.1": (64, 16, 16, 16),
    "d_lka_former_encoder.downsample_layers.2": (128, 8, 8, 8),
    "d_lka_former_encoder.stages.2": (128, 8, 8, 8),
    "d_lka_former_encoder.downsample_layers.3": (256, 4, 4, 4),
    "d_lka_former_encoder.stages.3": (256, 4, 4, 4),
    "decoder5": (128, 8, 8, 8),
    "decoder4": (64, 16, 16, 16),
    "decoder3": (32, 32, 32, 32),
    "encoder1": (16, 64, 128, 128),
    "decoder2.transp_conv": (16, 64, 128, 128),
    "decoder2": (16, 64, 128, 128),
    "out1": (14, 64, 128, 128),
    "out2": (14, 32, 32, 32),
    "out3": (14, 16, 16, 16),
}


def test_every_shape_of_the_published_net():
    net, seen = on_meta("volume", "paper", 14), {}
    for name in SHAPES:
        net.get_submodule(name).register_forward_hook(
            lambda m, i, o, name=name: seen.update({name: tuple(o.shape[1:])})
        )
    for name, module in net.named_modules():  # an operator of shapes alone: the kernels know no device "meta"
        if name.endswith("spatial_gating_unit.deform_conv"):
            module.forward = lambda x: x
    outputs = net(torch.empty(1, 1, 64, 128, 128, device="meta"))
    assert seen == SHAPES
    assert [tuple(o.shape) for o in outputs] == [(1, *SHAPES[f"out{i}"]) for i in (1, 2, 3)]


def test_the_small_net_learns_and_judges_with_one_head():
    torch.manual_seed(0)
    net = build_net("volume", "small", 3, "separable")
    x = torch.randn(2, 1, 16, 16, 32)
    outputs = net(x)
    assert [tuple(o.shape) for o in outputs] == [(2, 3, 16, 16, 32), (2, 3, 8, 8, 16), (2, 3, 4, 4, 8)]
    sum(o.square().mean() for o in outputs).backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None]
    assert idle == []
    assert net.eval()(x).shape == (2, 3, 16, 16, 32)


@pytest.mark.parametrize("shape", [(1, 1, 16, 16, 24), (1, 2, 16, 16, 16), (1, 16, 16, 16)])
def test_other_shapes_are_refused(shape):
    net = build_net("volume", "small")
    with pytest.raises(DlkaError, match=r"multiples of \(16, 16, 16\) voxels, got"):
        net(torch.zeros(shape))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("cube",), "kind: expected one of volume, picture, got 'cube'"),
        (("volume", "huge"), "preset: expected one of paper, small, got 'huge'"),
        (("volume", "small", 1), "classes: expected a whole number of at least 2, got 1"),
        (("volume", "small", 2, "large-kernels"), "never built"),
    ],
)
def test_other_words_are_refused(args, says):
    with pytest.raises(DlkaError, match=says):
        build_net(*args)


# Of every kind of layer one name, as the paper's code has them.
NAMES = {
    "d_lka_former_encoder.downsample_layers.0.0.conv.weight": (32, 1, 2, 4, 4),
    "d_lka_former_encoder.downsample_layers.3.1.bias": (256,),
    "d_lka_former_encoder.stages.0.2.gamma": (32,),
    "d_lka_former_encoder.stages.0.0.pos_embed": (1, 32**3, 32),
    "d_lka_former_encoder.stages.1.0.norm.weight": (64,),
    "d_lka_former_encoder.stages.1.0.epa_block.proj_1.bias": (64,),
    "d_lka_former_encoder.stages.1.0.epa_block.spatial_gating_unit.conv0.weight": (64, 1, 5, 5, 5),
    "d_lka_former_encoder.stages.1.0.epa_block.spatial_gating_unit.conv_spatial.bias": (64,),
    "d_lka_former_encoder.stages.1.0.epa_block.spatial_gating_unit.deform_conv.weight": (64, 64, 3, 3, 3),
    "d_lka_former_encoder.stages.1.0.epa_block.spatial_gating_unit.deform_conv.conv_offset.weight": (81, 64, 3, 3, 3),
    "d_lka_former_encoder.stages.2.1.conv51.conv1.conv.weight": (128, 128, 3, 3, 3),
    "d_lka_former_encoder.stages.2.1.conv51.norm2.running_var": (128,),
    "d_lka_former_encoder.stages.2.1.conv8.1.weight": (128, 128, 1, 1, 1),
    "decoder5.transp_conv.conv.weight": (256, 128, 2, 2, 2),
    "decoder3.decoder_block.0.2.epa_block.proj_2.weight": (32, 32, 1, 1, 1),
    "decoder2.decoder_block.0.conv2.conv.weight": (16, 16, 3, 3, 3),
    "encoder1.conv3.conv.weight": (16, 1, 1, 1, 1),
    "out3.conv.conv.bias": (14,),
}


def test_names_are_the_papers():
    state = on_meta("volume", "paper", 14).state_dict()
    assert {name: tuple(state[name].shape) for name in NAMES} == NAMES


def test_outside_weights_load_by_their_names():
    torch.manual_seed(0)
    net, other = build_net("volume", "small", 3), build_net("volume", "small", 3)
    given = {f"module.{k.replace('d_lka_former', 'unetr_pp')}": v for k, v in other.state_dict().items()}
    assert load_published(net, given) == []
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in net.state_dict().items())
    renamed = dict(other.state_dict(), odd=torch.zeros(1))
    del renamed["out1.conv.conv.bias"]
    with pytest.raises(DlkaError, match=r"1 are missing \(out1.conv.conv.bias\) and 1 do not belong \(odd\)"):
        load_published(net, renamed)
    state, bias = other.state_dict(), "out1.conv.conv.bias"
    with pytest.raises(DlkaError, match=r"^out1.conv.conv.bias: expected one tensor, got two, with and without"):
        load_published(net, state | {f"module.{bias}": state[bias]})
    before = net.state_dict()[bias].clone()
    for value in (float("nan"), float("inf")):
        with pytest.raises(DlkaError, match=r"^out1.conv.conv.bias: expected finite values, got 1 that are none"):
            load_published(net, state | {bias: torch.tensor([1, value, 2.0])})
    assert torch.equal(net.state_dict()[bias], before)
    with pytest.raises(DlkaError, match=r"out1.conv.conv.weight: expected \[4, 8, .*got \[3, 8, .*are the classes"):
        load_published(build_net("volume", "small", 4), other.state_dict())
