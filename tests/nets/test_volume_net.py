"""The 3D D-LKA Net: the paper's parameters to the unit, its table of shapes, its twin, and what deforms in it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dlka.errors import DlkaError
from dlka.layers3d import VolumeBlock, VolumeDeformConv, VolumeGate
from dlka.nets import build_net
from dlka.nets.loss import segmentation_loss, soft_dice
from dlka.nets.windows import sliding_window

# Millions of parameters of a block without positions, by its channels, counted on the published code.
BLOCKS = {32: 0.1725, 64: 0.519, 128: 1.734, 256: 6.254}


def count(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_parameters_are_the_papers():
    with torch.device("meta"):
        net = build_net("volume", "paper", classes=14)
        blocks = {channels: count(VolumeBlock(channels)) for channels in BLOCKS}
    assert count(net) == 42_353_327
    positions = sum(p.numel() for name, p in net.named_parameters() if "pos_embed" in name)
    assert count(net) - positions == 34_046_639
    deforming = [m for m in net.modules() if isinstance(m, VolumeDeformConv)]
    assert len(deforming) == 21
    # Without the deformable convolutions: the table's "LKA baseline", 28.94 M.
    assert count(net) - sum(map(count, deforming)) == 28_938_506
    assert {channels: number / 1e6 for channels, number in blocks.items()} == pytest.approx(BLOCKS, rel=1e-3)


def test_maps_are_those_of_the_papers_table():
    """On the meta device, where shapes alone are computed; what deforms is left to a plain convolution there."""
    with torch.device("meta"):
        net = build_net("volume", "paper", classes=14, offsets="none").train()
    seen: dict[str, list[int]] = {}
    for name, module in net.named_modules():
        if name.count(".") <= 2:
            module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, _shape(out)))
    outputs = net(torch.empty(1, 1, 64, 128, 128, device="meta"))
    assert [list(out.shape[1:]) for out in outputs] == [[14, 64, 128, 128], [14, 32, 32, 32], [14, 16, 16, 16]]
    expected = {
        "d_lka_former_encoder.stages.0": [32, 32, 32, 32],
        "d_lka_former_encoder.stages.1": [64, 16, 16, 16],
        "d_lka_former_encoder.stages.2": [128, 8, 8, 8],
        "d_lka_former_encoder.stages.3": [256, 4, 4, 4],
        "decoder5": [128, 8, 8, 8],
        "decoder4": [64, 16, 16, 16],
        "decoder3": [32, 32, 32, 32],
        "encoder1": [16, 64, 128, 128],
        "decoder2": [16, 64, 128, 128],
    }
    assert {name: seen[name] for name in expected} == expected


def _shape(out: object) -> list[int]:
    return list(out.shape[1:]) if isinstance(out, torch.Tensor) else []


@pytest.mark.parametrize("offsets", ["dense", "separable"])
def test_a_net_begins_as_its_rigid_twin(offsets):
    torch.manual_seed(0)
    net = build_net("volume", "small", 3, offsets).eval()
    twin = build_net("volume", "small", 3, "none").eval()
    state = {name: value for name, value in net.state_dict().items() if "conv_offset" not in name}
    twin.load_state_dict(state)
    x = torch.randn(1, 1, 32, 16, 48)
    with torch.inference_mode():
        assert torch.allclose(net(x), twin(x), atol=1e-5)


def test_offsets_move_what_is_read_and_get_a_gradient():
    torch.manual_seed(0)
    gate = VolumeGate(4)
    x = torch.randn(1, 4, 6, 6, 6)
    before = gate(x)
    with torch.no_grad():
        gate.deform_conv.conv_offset.bias += 0.4
    after = gate(x)
    assert (after - before).abs().max() > 1e-3
    after.square().sum().backward()
    assert gate.deform_conv.conv_offset.weight.grad.abs().max() > 0


def test_taps_find_what_a_rigid_kernel_cannot():
    """A ball lies three cells to the right of where it should be seen: only the offsets may learn."""
    torch.manual_seed(0)
    conv = VolumeDeformConv(1)
    with torch.no_grad():
        conv.weight.fill_(1 / 27)
    axes = torch.stack(torch.meshgrid(*[torch.arange(12.0)] * 3, indexing="ij"), -1)
    ball = torch.exp(-((axes - torch.tensor([6.0, 6.0, 6.0])) ** 2).sum(-1) / 6)[None, None]
    wanted = F.conv3d(ball.roll(-3, -1), conv.weight.detach(), padding=1)
    optimizer = torch.optim.Adam(conv.conv_offset.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        loss = (conv(ball) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
    dx = conv.conv_offset(ball)[0, 2::3, 6, 6, 3].mean()
    assert float(dx) == pytest.approx(3, abs=1)


def test_other_words_and_sizes_are_refused_in_a_sentence():
    with pytest.raises(DlkaError, match="kind: expected one of volume, picture, got 'cube'"):
        build_net("cube")
    with pytest.raises(DlkaError, match="offsets: expected one of dense, separable, none, got 'both'"):
        build_net("volume", offsets="both")
    with pytest.raises(DlkaError, match="multiples of 16 x 16 x 16, got"):
        build_net("volume", "small", 3, "none")(torch.zeros(1, 1, 16, 20, 16))


def test_the_loss_is_dice_and_cross_entropy_at_every_size():
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 8, 8, 8))
    right = 40 * F.one_hot(labels, 3).movedim(-1, 1).float()
    assert float(segmentation_loss(right, labels)) == pytest.approx(0, abs=1e-4)
    wrong = right.roll(1, 1)
    assert float(soft_dice(wrong, labels)) == pytest.approx(1, abs=1e-3)
    halved = labels[:, ::2, ::2, ::2]
    coarse = 40 * F.one_hot(halved, 3).movedim(-1, 1).float()
    parts = [float(segmentation_loss(out, there)) for out, there in ((right, labels), (coarse.roll(1, 1), halved))]
    both = float(segmentation_loss([right, coarse.roll(1, 1)], labels))
    assert both == pytest.approx(2 / 3 * parts[0] + 1 / 3 * parts[1], rel=1e-4)


class _Means(torch.nn.Module):
    """A net without a border: what it says of a cell does not depend on the window."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, 2 * x], 1)


@pytest.mark.parametrize("space", [(20, 33), (16, 40, 25)])
def test_windows_together_are_the_whole(space):
    x = torch.randn(1, 1, *space)
    assert torch.allclose(sliding_window(_Means(), x, 16), torch.cat([x, 2 * x], 1), atol=1e-5)
    seen = []
    net = _Means()
    net.register_forward_pre_hook(lambda _m, inputs: seen.append(tuple(inputs[0].shape[2:])))
    sliding_window(net, x, 64)
    assert seen == [space]
