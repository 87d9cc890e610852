"""The 3D blocks: sizes, parameters counted, twins, offsets seen and changed by hooks."""

from __future__ import annotations

import pytest
import torch

from dlka.errors import DlkaError
from dlka.layers3d import BOTH_LARGE, OFFSETS, DeformConv3d, VolumeAttention, VolumeBlock, VolumeGate


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("channels", "millions"), [(32, 0.1725), (64, 0.519), (128, 1.734), (256, 6.254)])
def test_parameters_of_a_block(channels, millions):
    with torch.device("meta"):
        assert count(VolumeBlock(channels)) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize("offsets", OFFSETS)
@pytest.mark.parametrize("layer", [VolumeGate, VolumeAttention, VolumeBlock])
def test_the_size_is_kept_and_everything_learns(layer, offsets):
    torch.manual_seed(0)
    built = layer(4, offsets=offsets)
    x = torch.randn(2, 4, 3, 5, 4)
    for _ in range(2):  # after a step offset nets are not at zero any more
        out = built(x)
        assert out.shape == x.shape
        built.zero_grad()
        out.square().sum().backward()
        with torch.no_grad():
            for p in built.parameters():
                p -= 0.01 * p.grad.sign()
    without = [name for name, p in built.named_parameters() if p.grad is None or not p.grad.any()]
    # A batch norm behind a convolution takes away what its bias adds, nothing else is without a gradient.
    assert without == []


@pytest.mark.parametrize("offsets", ["dense", "separable"])
def test_it_starts_as_its_rigid_twin_and_then_moves(offsets):
    torch.manual_seed(0)
    gate, twin = VolumeGate(3, offsets).double(), VolumeGate(3, "none").double()
    left = twin.load_state_dict(gate.state_dict(), strict=False)
    assert not left.missing_keys
    assert all("conv_offset" in key for key in left.unexpected_keys)
    x = torch.randn(1, 3, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(gate(x), twin(x), rtol=1e-12, atol=1e-12)
    for p in gate.deform_conv.offset_net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    assert (gate(x) - twin(x)).abs().max() > 1e-3


@pytest.mark.parametrize("offsets", ["dense", "separable"])
def test_hooks_see_the_offsets_and_change_what_is_sampled(offsets):
    torch.manual_seed(0)
    layer = DeformConv3d(3, offsets)
    x = torch.randn(1, 3, 4, 5, 6)
    seen = []

    def by_one_row(module, inputs, field):
        seen.append(field)
        field = field.clone()
        field[:, 1::3] += 1  # dy of every tap
        return field

    before = layer(x)
    layer.offset_net.register_forward_hook(by_one_row)
    moved = layer(x)
    assert seen[0].shape == (1, 81, 4, 5, 6)
    assert seen[0].dtype == torch.float32
    torch.testing.assert_close(moved[:, :, :, 1:-2], before[:, :, :, 2:-1], rtol=1e-5, atol=1e-5)


def test_the_rigid_reach_is_twelve_cells():
    gate = VolumeGate(1)
    for p in gate.parameters():
        torch.nn.init.constant_(p, 0.1)
    for p in gate.deform_conv.offset_net.parameters():
        torch.nn.init.zeros_(p)
    x = torch.zeros(1, 1, 29, 1, 1, requires_grad=True)
    inner = gate.conv1(gate.deform_conv(gate.conv_spatial(gate.conv0(x))))
    inner[0, 0, 14, 0, 0].backward()
    found = x.grad.flatten().nonzero().flatten()
    assert (found.min().item(), found.max().item()) == (2, 26)


def test_a_position_embedding_ties_a_block_to_a_size():
    torch.manual_seed(0)
    block = VolumeBlock(4, size=(2, 3, 4)).eval()
    assert block.pos_embed.shape == (1, 24, 4)
    x = torch.randn(1, 4, 2, 3, 4)
    plain = VolumeBlock(4).eval()
    plain.load_state_dict(block.state_dict(), strict=False)
    torch.testing.assert_close(block(x), plain(x))
    with torch.no_grad():
        block.pos_embed[0, 1 * 12 + 2 * 4 + 3] = torch.tensor([1.0, 2, 3, 4])
    x_there = x.clone()
    x_there[0, :, 1, 2, 3] += torch.tensor([1.0, 2, 3, 4])
    torch.testing.assert_close(block(x), plain(x_there))
    with pytest.raises(DlkaError, match=r"expected a map of \(2, 3, 4\) cells.*got \(2, 3, 5\)"):
        block(torch.randn(1, 4, 2, 3, 5))


@pytest.mark.parametrize(
    ("offsets", "says"), [(BOTH_LARGE, "1404 offsets a voxel instead of 81"), ("features", "got 'features'")]
)
def test_other_offsets_are_refused_with_the_reason(offsets, says):
    with pytest.raises(DlkaError, match=says):
        VolumeBlock(4, offsets)
