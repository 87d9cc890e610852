"""The layers against the paper's block built from torchvision, and what offsets at zero and in float32 promise."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.ops import DeformConv2d

from dlka.layers import DeformableLKA, DeformableLKAAttention, DeformConv, FeatureConv, RigidConv, dealt_out
from dlka.offset_nets import Float32Conv2d, OffsetConv2d, SeparableOffsetNet

DEFORMING = ["dense", "separable"]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class PaperStage(nn.Module):
    """One deformable depthwise stage as the paper describes it, of torchvision's and torch's own layers."""

    def __init__(self, channels, kernel, **geometry):
        super().__init__()
        self.offset_net = nn.Conv2d(channels, 2 * kernel * kernel, kernel, **geometry)
        self.deform_conv = DeformConv2d(channels, channels, kernel, groups=channels, bias=False, **geometry)

    def forward(self, x):
        return self.deform_conv(x, self.offset_net(x))


class PaperBlock(nn.Module):
    """proj_1, GELU, gate by 5x5 then 7x7 with dilation 3 then 1x1, proj_2, and the residual."""

    def __init__(self, channels):
        super().__init__()
        self.proj_1 = nn.Conv2d(channels, channels, 1)
        self.spatial_gating_unit = nn.ModuleDict(
            {
                "conv0": PaperStage(channels, 5, padding=2),
                "conv_spatial": PaperStage(channels, 7, padding=9, dilation=3),
                "conv1": nn.Conv2d(channels, channels, 1),
            }
        )
        self.proj_2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        inner = nn.functional.gelu(self.proj_1(x))
        gate = inner
        for name in ("conv0", "conv_spatial", "conv1"):
            gate = self.spatial_gating_unit[name](gate)
        return self.proj_2(inner * gate) + x


def paper_and_ours(channels: int, seed: int) -> tuple[PaperBlock, DeformableLKAAttention]:
    """The paper's block with random offsets of a cell or more, and ours with its state dict loaded by name."""
    torch.manual_seed(seed)
    paper = PaperBlock(channels)
    for name, parameter in paper.named_parameters():
        spread = 1.5 if name.endswith("offset_net.bias") else 0.15 if "offset_net" in name else 0.4
        nn.init.normal_(parameter, 0, spread)
    ours = DeformableLKAAttention(channels)
    ours.load_state_dict(paper.state_dict(), strict=True)
    return paper, ours


def deformed(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with offset convolutions that deform: random instead of zero."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, Float32Conv2d):
            for parameter in layer.parameters():
                parameter.data.normal_(0, 0.3, generator=generator)
    return module


def test_state_dict_has_the_papers_names():
    gating = "spatial_gating_unit"
    stages = [f"{gating}.{s}.{p}" for s in ("conv0", "conv_spatial") for p in ("offset_net", "deform_conv")]
    biased = ["proj_1", "proj_2", f"{gating}.conv1", *(s for s in stages if s.endswith("offset_net"))]
    expected = {f"{name}.{part}" for name in biased for part in ("weight", "bias")}
    expected |= {f"{name}.weight" for name in stages if name.endswith("deform_conv")}
    assert set(DeformableLKAAttention(8).state_dict()) == expected
    rigid = {name for name in expected if "offset_net" not in name}
    assert set(DeformableLKAAttention(8, offsets="none").state_dict()) == rigid
    nets = ("depthwise.weight", "pointwise.weight", "pointwise.bias")
    separable = {f"{gating}.{s}.offset_net.{part}" for s in ("conv0", "conv_spatial") for part in nets}
    assert set(DeformableLKAAttention(8, offsets="separable").state_dict()) == rigid | separable
    assert set(DeformableLKAAttention(8, offsets="features").state_dict()) == rigid | separable


def assert_gradient(got: torch.Tensor, wanted: torch.Tensor, name: str) -> None:
    """Equal in float32, measured against the largest entry: sums over a map leave small entries with large errors."""
    scale = wanted.abs().max().clamp_min(1e-3)
    torch.testing.assert_close(got / scale, wanted / scale, rtol=0, atol=1e-4, msg=name)


@settings(deadline=None, max_examples=15)
@given(
    channels=st.integers(1, 9),
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    batch=st.integers(1, 2),
    seed=st.integers(0, 999),
)
def test_weights_trained_with_the_papers_code_give_the_same_output_and_gradients(channels, height, width, batch, seed):
    paper, ours = paper_and_ours(channels, seed)
    x = torch.randn(batch, channels, height, width)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [model(one) for model, one in zip((paper, ours), inputs)]
    scale = outputs[0].detach().abs().max().clamp_min(1)
    torch.testing.assert_close(outputs[1] / scale, outputs[0] / scale, rtol=1e-5, atol=1e-5)
    for output in outputs:
        (output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum().backward()
    wanted, got = dict(paper.named_parameters()), dict(ours.named_parameters())
    for name in wanted:
        assert_gradient(got[name].grad, wanted[name].grad, name)
    assert_gradient(inputs[1].grad, inputs[0].grad, "x")


def test_the_comparison_deforms():
    """The output really depends on the offsets, so that the test above proves something."""
    paper, ours = paper_and_ours(6, 3)
    x = torch.randn(1, 6, 12, 11)
    with torch.no_grad():
        for stage in (ours.spatial_gating_unit.conv0, ours.spatial_gating_unit.conv_spatial):
            assert stage.offset_net(x).abs().mean() > 0.5
        moved = paper(x)
        ours.spatial_gating_unit.conv_spatial.offset_net.bias.zero_()
        assert (ours(x) - moved).abs().max() > 0.5


AWKWARD = [((3, 3), 1, 1), ((5, 3), 2, 1), ((7, 7), 9, 3)]


@pytest.mark.parametrize("offsets", DEFORMING)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "padding", "dilation"), AWKWARD)
def test_fresh_deform_conv_is_its_rigid_twin(kernel, padding, dilation, stride, offsets):
    torch.manual_seed(0)
    geometry = {"kernel_size": kernel, "padding": padding, "dilation": dilation, "stride": stride}
    layer, rigid = DeformConv(6, **geometry, offsets=offsets), RigidConv(6, **geometry)
    assert not layer.offset_net(torch.randn(1, 6, 13, 10)).any()
    rigid.load_state_dict({k: v for k, v in layer.state_dict().items() if "offset_net" not in k})
    x = torch.randn(2, 6, 13, 10)
    torch.testing.assert_close(layer(x), rigid(x), rtol=1e-6, atol=1e-6)
    plain = nn.Conv2d(6, 6, kernel, stride, padding, dilation, groups=6, bias=False)
    plain.weight.data.copy_(layer.deform_conv.weight)
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "padding", "dilation"), AWKWARD)
def test_separable_is_dense_with_the_product_of_its_weights(kernel, padding, dilation, stride):
    geometry = {"kernel_size": kernel, "padding": padding, "dilation": dilation, "stride": stride}
    separable, dense = DeformConv(6, **geometry, offsets="separable"), DeformConv(6, **geometry, offsets="dense")
    deformed(separable)
    net = separable.offset_net
    dense.deform_conv.load_state_dict(separable.deform_conv.state_dict())
    dense.offset_net.weight.data.copy_(net.pointwise.weight * net.depthwise.weight[:, 0])
    dense.offset_net.bias.data.copy_(net.pointwise.bias)
    x = torch.randn(2, 6, 13, 10)
    assert separable.offset_net(x).abs().mean() > 0.3
    torch.testing.assert_close(separable.offset_net(x), dense.offset_net(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(separable(x), dense(x), rtol=1e-4, atol=1e-4)


def test_a_separable_net_keeps_the_variance_that_its_second_part_learns_from():
    net = SeparableOffsetNet(64, (7, 7), padding=9, dilation=3)
    x = torch.randn(1, 64, 40, 40)
    assert net.depthwise(x)[..., 9:-9, 9:-9].var().item() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(("features", "channels"), [(50, 64), (98, 64), (98, 12), (50, 25), (1, 3)])
def test_features_are_dealt_out_to_channels_in_turn(features, channels):
    x = torch.rand(2, features, 3, 5)
    got = dealt_out(x, channels)
    assert got.shape == (2, channels, 3, 5)
    for c in range(channels):
        its = list(range(c, features, channels))
        wanted = x[:, its].sum(1) / len(its) ** 0.5 if its else torch.zeros(2, 3, 5)
        torch.testing.assert_close(got[:, c], wanted)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "padding", "dilation"), AWKWARD)
def test_the_twin_of_the_same_cost_adds_features_and_moves_nothing(kernel, padding, dilation, stride):
    geometry = {"kernel_size": kernel, "padding": padding, "dilation": dilation, "stride": stride}
    separable, twin = deformed(DeformConv(6, **geometry, offsets="separable")), FeatureConv(6, **geometry)
    twin.load_state_dict(separable.state_dict())
    rigid = RigidConv(6, **geometry)
    rigid.load_state_dict(separable.state_dict(), strict=False)
    x = torch.rand(2, 6, 23, 22)
    assert (separable(x) - rigid(x)).abs().max() > 0.01
    torch.testing.assert_close(twin(x), rigid(x) + dealt_out(separable.offset_net(x), 6))
    fresh = FeatureConv(6, **geometry)
    fresh.deform_conv.load_state_dict(rigid.deform_conv.state_dict())
    assert torch.equal(fresh(x), rigid(x))


def test_the_offset_net_of_the_twin_of_the_same_cost_learns():
    block = deformed(DeformableLKAAttention(8, offsets="features"))
    block(torch.rand(2, 8, 9, 9)).square().sum().backward()
    gradients = {name: p.grad for name, p in block.named_parameters() if ".offset_net." in name}
    assert len(gradients) == 6
    assert all(gradient.abs().max() > 0 for gradient in gradients.values())


def test_unknown_words_for_offsets():
    with pytest.raises(ValueError, match=r"offsets: expected dense or separable .*, got 'factorised'"):
        DeformableLKAAttention(4, offsets="factorised")
    with pytest.raises(ValueError, match=r"or none or features, for a block that.*, got 'none'"):
        DeformConv(4, offsets="none")


@pytest.mark.parametrize("offsets", DEFORMING)
@pytest.mark.parametrize("block", [DeformableLKA, DeformableLKAAttention])
def test_fresh_block_is_its_rigid_twin(block, offsets):
    torch.manual_seed(1)
    layer, rigid = block(8, offsets=offsets), block(8, offsets="none")
    rigid.load_state_dict({k: v for k, v in layer.state_dict().items() if "offset_net" not in k})
    x = torch.randn(2, 8, 12, 9)
    torch.testing.assert_close(layer(x), rigid(x), rtol=1e-6, atol=1e-6)
    assert not any(isinstance(m, OffsetConv2d) for m in rigid.modules())
    with torch.no_grad():
        assert (deformed(layer)(x) - rigid(x)).abs().max() > 1e-3


@pytest.mark.parametrize("offsets", [*DEFORMING, "none", "features"])
def test_identity_start_is_exact_and_can_leave_it(offsets):
    torch.manual_seed(2)
    layer = deformed(DeformableLKAAttention(8, identity=True, offsets=offsets))
    x = torch.randn(2, 8, 10, 7, requires_grad=True)
    assert torch.equal(layer(x), x)
    layer(x).square().sum().backward()
    assert layer.proj_2.weight.grad.abs().max() > 0
    assert not torch.equal(DeformableLKAAttention(8, offsets=offsets)(x), x)


@pytest.mark.parametrize("offsets", DEFORMING)
def test_offsets_learn_once_the_block_contributes(offsets):
    torch.manual_seed(3)
    layer = DeformableLKAAttention(4, identity=True, offsets=offsets)
    x = torch.randn(2, 4, 9, 9)
    stages = (layer.spatial_gating_unit.conv0, layer.spatial_gating_unit.conv_spatial)
    last = [next(m for m in stage.modules() if isinstance(m, OffsetConv2d)) for stage in stages]
    layer(x).square().sum().backward()
    assert not any(conv.weight.grad.any() for conv in last)  # behind a proj_2 of zero nothing flows
    layer.proj_2.weight.data.normal_(0, 0.1)
    layer.zero_grad()
    layer(x).square().sum().backward()
    assert all(conv.weight.grad.abs().max() > 0 and conv.bias.grad.abs().max() > 0 for conv in last)


def test_both_parts_of_a_separable_net_learn():
    torch.manual_seed(3)
    layer = DeformConv(4, (5, 5), padding=2, offsets="separable")
    x = torch.randn(2, 4, 9, 9)
    optimiser = torch.optim.SGD(layer.offset_net.parameters(), 1e-3)
    depthwise = layer.offset_net.depthwise.weight
    seen = []
    for _ in range(2):
        optimiser.zero_grad()
        layer(x).square().sum().backward()
        seen.append(bool(depthwise.grad.any()))
        optimiser.step()
    assert seen == [False, True]  # the first step moves the 1x1 away from zero, the second both
    assert layer.offset_net(x).abs().max() > 0


def offsets_of(layer: nn.Module, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    seen: list[torch.Tensor] = []
    handles = [
        m.offset_net.register_forward_hook(lambda module, inputs, output: seen.append(output))
        for m in layer.modules()
        if isinstance(m, DeformConv)
    ]
    with torch.no_grad():
        out = layer(x)
    for handle in handles:
        handle.remove()
    return seen, out


@pytest.mark.parametrize("offsets", DEFORMING)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_offsets_stay_float32_in_a_model_cast_to_half(dtype, offsets):
    torch.manual_seed(4)
    layer = deformed(DeformableLKAAttention(8, offsets=offsets))
    x = torch.randn(1, 8, 20, 20)
    fields, out = offsets_of(copy.deepcopy(layer).to(dtype), x.to(dtype))
    assert [o.dtype for o in fields] == [torch.float32] * 2
    assert out.dtype == dtype
    assert fields[0].unique().numel() > 2 * fields[0].to(torch.bfloat16).unique().numel()  # finer than half can be
    torch.testing.assert_close(out.float(), offsets_of(layer, x)[1], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("offsets", DEFORMING)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_offsets_stay_float32_under_autocast(dtype, offsets):
    torch.manual_seed(5)
    layer = deformed(DeformableLKAAttention(8, offsets=offsets))
    x = torch.randn(1, 8, 20, 20)
    with torch.autocast("cpu", dtype=dtype):
        fields, out = offsets_of(layer, x)
    assert [o.dtype for o in fields] == [torch.float32] * 2
    torch.testing.assert_close(out.float(), offsets_of(layer, x)[1], rtol=0.1, atol=0.1)
    with torch.autocast("cpu", dtype=dtype):
        layer(x).float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("offsets", DEFORMING)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_offset_nets_compute_in_float32_throughout(dtype, offsets):
    net = deformed(DeformConv(8, offsets=offsets)).offset_net
    x = torch.randn(1, 8, 20, 20)
    with torch.autocast("cpu", dtype=dtype):
        mixed = net(x)
    assert torch.equal(mixed, net(x))
    rounded = net.to(dtype)
    mixed = rounded(x.to(dtype))
    assert torch.equal(mixed, rounded.float()(x.to(dtype).float()))


def test_products_of_an_offset_convolution_may_be_bfloat16():
    torch.manual_seed(7)
    conv = OffsetConv2d(8, 6, 3, padding=1)
    nn.init.normal_(conv.weight, std=0.1)
    nn.init.normal_(conv.bias)
    x = torch.randn(2, 8, 9, 9)
    exact = conv(x)
    conv.bfloat16_products = True
    rounded = conv(x)
    assert rounded.dtype == torch.float32
    bias = conv.bias[:, None, None]
    assert torch.equal(rounded, (rounded - bias).bfloat16().float() + bias)
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02)
    nn.init.zeros_(conv.weight)
    assert torch.equal(conv(x), bias.expand(2, 6, 9, 9)), "a bias alone is exact"


@pytest.mark.parametrize("offsets", DEFORMING)
def test_double_is_double(offsets):
    layer = deformed(DeformableLKAAttention(4, offsets=offsets)).double()
    fields, out = offsets_of(layer, torch.randn(1, 4, 8, 8, dtype=torch.float64))
    assert {o.dtype for o in fields} | {out.dtype} == {torch.float64}


@pytest.mark.slow
@pytest.mark.parametrize("offsets", [*DEFORMING, "features"])
def test_compiles_as_one_graph_forward_and_backward(offsets):
    torch.compiler.reset()
    torch.manual_seed(6)
    layer = deformed(DeformableLKAAttention(6, offsets=offsets))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 6, 11, 9)
    gradients = []
    for run in (layer, compiled):
        layer.zero_grad()
        out = run(x)
        out.square().sum().backward()
        gradients.append([out.detach(), *(p.grad.clone() for p in layer.parameters())])
    for got, wanted in zip(*gradients):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("offsets", [*DEFORMING, "features"])
def test_copies_pickles_and_state_dicts_give_the_same_output(offsets):
    layer = deformed(DeformableLKAAttention(5, offsets=offsets))
    x = torch.randn(1, 5, 9, 8)
    stored = io.BytesIO()
    torch.save(layer.state_dict(), stored)
    stored.seek(0)
    loaded = DeformableLKAAttention(5, offsets=offsets)
    loaded.load_state_dict(torch.load(stored, weights_only=True))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded):
        assert torch.equal(twin(x), layer(x))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_input_that_is_no_number_does_not_crash(bad):
    layer = deformed(DeformableLKAAttention(4))
    x = torch.randn(1, 4, 16, 16)
    x[0, 1, 3, 4] = bad
    with torch.no_grad():
        out = layer(x)
    assert out.shape == x.shape
    if bad != bad:
        assert out[0, :, 3, 4].isnan().all()  # what was read from it is not shown as an ordinary number


@pytest.mark.parametrize("size", [(1, 1), (3, 20), (20, 3)])
def test_maps_smaller_than_the_kernel(size):
    paper, ours = paper_and_ours(4, 7)
    x = torch.randn(1, 4, *size)
    torch.testing.assert_close(ours(x), paper(x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("offsets", [*DEFORMING, "none", "features"])
def test_channels_last_gives_the_same_and_stays_channels_last(offsets):
    layer = deformed(DeformableLKAAttention(8, offsets=offsets))
    x = torch.randn(2, 8, 10, 12)
    wanted = layer(x)
    layer.to(memory_format=torch.channels_last)
    fields, twin = offsets_of(layer, x.contiguous(memory_format=torch.channels_last))
    assert all(field.is_contiguous(memory_format=torch.channels_last) for field in (*fields, twin))
    torch.testing.assert_close(twin, wanted, rtol=1e-5, atol=1e-5)


def test_the_backend_can_be_chosen():
    layer = deformed(DeformConv(4, padding=1))
    x = torch.randn(1, 4, 8, 8)
    wanted = layer(x)
    layer.backend = "reference"
    torch.testing.assert_close(layer(x), wanted, rtol=1e-5, atol=1e-5)
    layer.backend = "abacus"
    with pytest.raises(ValueError, match=r"backend: expected one of .*, got 'abacus'"):
        layer(x)


@pytest.mark.parametrize("offsets", [*DEFORMING, "none", "features"])
def test_gates_start_around_one(offsets):
    """So that proj_2 sees the block's input at first, and not its product with random features."""
    layer = DeformableLKAAttention(64, identity=True, offsets=offsets)
    gates = []
    layer.spatial_gating_unit.conv1.register_forward_hook(lambda module, inputs, output: gates.append(output.detach()))
    layer(torch.randn(2, 64, 24, 24))
    assert abs(gates[0].mean().item() - 1) < 0.3
    assert 0.2 < gates[0].std().item() < 2
