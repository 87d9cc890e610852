"""The 2D D-LKA Net: parameters and shapes as published, the small one, and weights under the paper's names."""

from __future__ import annotations

import pytest
import torch

from dlka.errors import DlkaError
from dlka.nets import build_net, load_published
from dlka.nets.picture import PatchExpand


def on_meta(*args, **options):
    with torch.device("meta"):
        return build_net(*args, **options)


@pytest.mark.parametrize(
    ("preset", "classes", "offsets", "number"),
    [
        ("paper", 9, "dense", 78_583_005),
        ("small", 3, "dense", 4_499_959),
        ("small", 3, "separable", 3_380_599),
        ("small", 3, "none", 3_337_383),
    ],
)
def test_parameters(preset, classes, offsets, number):
    assert sum(p.numel() for p in on_meta("picture", preset, classes, offsets).parameters()) == number


SHAPES = {
    "backbone": [(96, 56, 56), (192, 28, 28), (384, 14, 14), (768, 7, 7)],
    "decoder_3.layer_up": [(384, 14, 14)],
    "decoder_2": [(192, 28, 28)],
    "decoder_1": [(96, 56, 56)],
    "decoder_0.layer_up": [(96, 224, 224)],
    "decoder_0": [(9, 224, 224)],
}


def test_every_shape_of_the_published_net():
    net, seen = on_meta("picture", "paper", 9, "none"), {}
    for name in SHAPES:
        net.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: seen.update({name: o}))
    net(torch.empty(1, 1, 224, 224, device="meta"))
    found = {k: [tuple(t.shape[1:]) for t in (v if isinstance(v, list) else [v])] for k, v in seen.items()}
    assert found == SHAPES


@pytest.mark.slow
def test_the_small_net_learns_on_grey_and_coloured_pictures():
    torch.manual_seed(0)
    net = build_net("picture", "small", 3, "separable")
    out = net(torch.randn(2, 3, 128, 128))
    assert out.shape == (2, 3, 128, 128)
    out.square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []
    net.eval()
    grey = torch.randn(1, 1, 128, 192)
    with torch.no_grad():
        torch.testing.assert_close(net(grey), net(grey.repeat(1, 3, 1, 1)))


def test_patches_are_laid_out_row_by_row():
    """Of a cell (p1 p2 c) channels become p1 rows and p2 columns."""
    up = PatchExpand(2, 3, 2)
    up.norm = torch.nn.Identity()
    x = torch.randn(1, 2, 4, 5)
    out = up(x)
    flat = torch.nn.functional.linear(x[0, :, 1, 2], up.expand.weight)
    for p in range(2):
        for q in range(2):
            torch.testing.assert_close(out[0, :, 2 + p, 4 + q], flat[(2 * p + q) * 3 : (2 * p + q) * 3 + 3])


@pytest.mark.parametrize("shape", [(1, 3, 128, 160), (1, 2, 128, 128), (3, 128, 128)])
def test_other_shapes_are_refused(shape):
    net = on_meta("picture", "small", 3)
    with pytest.raises(DlkaError, match="multiples of 64 pixels, got"):
        net(torch.empty(shape, device="meta"))


def test_offset_nets_start_at_zero_in_the_small_net_and_as_published_in_the_large_one():
    small = build_net("picture", "small", 2)
    offsets = {n: p for n, p in small.named_parameters() if "offset_net" in n}
    assert len(offsets) == 16
    assert not any(p.any() for p in offsets.values())
    assert all(p.any() for n, p in small.named_parameters() if n.endswith("x1_linear.weight"))


def test_names_are_the_papers_and_what_it_never_uses_is_left():
    net = build_net("picture", "small", 3)
    state = net.state_dict()
    for name in (
        "backbone.backbone.stem.conv1.weight",
        "backbone.backbone.norm.weight",
        "decoder_2.layer_up.expand.weight",
        "decoder_1.x1_linear.bias",
        "decoder_1.layer_lka_2.attn.spatial_gating_unit.conv0.offset_net.weight",
        "decoder_1.layer_lka_1.mlp.dwconv.dwconv.bias",
        "decoder_0.layer_lka_1.layer_scale_2",
        "decoder_0.last_layer.weight",
    ):
        assert name in state
    dead = {
        "decoder_3.layer_lka_2.norm1.weight": torch.zeros(3),
        "decoder_3.x1_linear.bias": torch.zeros(3),
        "backbone.conv.0.weight": torch.zeros(3),
        "backbone.out_head1.weight": torch.zeros(3),
    }
    wanted = {name: torch.rand_like(v) if v.is_floating_point() else v for name, v in state.items()}
    assert load_published(net, wanted | dead) == list(dead)
    assert all(torch.equal(value, wanted[name]) for name, value in net.state_dict().items())
