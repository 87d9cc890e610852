"""The depthwise convolution gives torch's numbers whichever way it takes; and which way it takes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dlka import depthwise
from dlka.depthwise import depthwise_conv2d

LAST = torch.channels_last


def case(n, channels, height, width, kernel=(7, 7), dtype=torch.float32):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(n, channels, height, width, generator=random, dtype=dtype).contiguous(memory_format=LAST)
    return x, torch.randn(channels, 1, *kernel, generator=random, dtype=dtype)


@pytest.fixture
def phases(monkeypatch):
    """How often the way by phases was taken."""
    calls, taken = [], depthwise.by_phases
    monkeypatch.setattr(depthwise, "by_phases", lambda *a: calls.append(a) or taken(*a))
    return calls


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 17), st.integers(1, 17), st.sampled_from([3, 5, 7]), st.data()
)
def test_it_is_torchs(n, channels, height, width, kernel, data):
    dilation = data.draw(st.integers(2, 4))
    x, weight = case(n, channels, height, width, (kernel, kernel))
    padding = dilation * (kernel // 2)
    got = depthwise_conv2d(x, weight, 1, padding, dilation)
    torch.testing.assert_close(got, F.conv2d(x, weight, None, 1, padding, dilation, channels), rtol=1e-5, atol=1e-5)
    assert got.is_contiguous(memory_format=LAST)


def test_gradients():
    x, weight = case(2, 3, 8, 7, (3, 3), torch.float64)
    inputs = (x.requires_grad_(), weight.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, w: depthwise_conv2d(x, w, 1, 2, 2), inputs)


def test_the_large_kernel_of_dlka_goes_by_phases(phases):
    x, weight = case(1, 32, 80, 80)
    wanted = F.conv2d(x, weight, None, 1, 9, 3, 32)
    torch.testing.assert_close(depthwise_conv2d(x, weight, 1, 9, 3), wanted, rtol=1e-5, atol=1e-5)
    assert len(phases) == 1


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [((5, 5), 1, 2, 1), ((7, 7), 2, 9, 3), ((7, 7), 1, 8, 3), ((7, 5), 1, 9, 3), ((4, 4), 1, 3, 2)],
)
def test_other_geometry_is_left_to_torch(phases, kernel, stride, padding, dilation):
    x, weight = case(1, 4, 20, 21, kernel)
    wanted = F.conv2d(x, weight, None, stride, padding, dilation, 4)
    assert torch.equal(depthwise_conv2d(x, weight, stride, padding, dilation), wanted)
    assert not phases


def test_other_memory_is_left_to_torch(phases):
    x, weight = case(1, 4, 20, 21)
    depthwise_conv2d(x.contiguous(), weight, 1, 9, 3)
    assert not phases


@pytest.mark.parametrize("dilation", [1, 3])
def test_mixed_precision_training_runs_it_in_float32(dilation):
    x, weight = case(2, 4, 20, 21)
    x, weight = x.bfloat16(), weight.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = depthwise_conv2d(x, weight, 1, 3 * dilation, dilation)
        with torch.no_grad():
            assert depthwise_conv2d(x, weight, 1, 3 * dilation, dilation).dtype == torch.bfloat16
    assert torch.equal(out, depthwise_conv2d(x.float(), weight, 1, 3 * dilation, dilation))


@pytest.mark.filterwarnings("ignore:.*jit.trace:FutureWarning")
def test_recorded_graphs_hold_one_convolution():
    x, weight = case(1, 4, 9, 9)
    traced = torch.jit.trace(lambda x: depthwise_conv2d(x, weight, 1, 9, 3), x)
    assert str(traced.inlined_graph).count("aten::_convolution") == 1
    assert "aten::pad" not in str(traced.inlined_graph)

    class Layer(torch.nn.Module):
        def forward(self, x):
            return depthwise_conv2d(x, weight, 1, 9, 3)

    nodes = [n for n in torch.export.export(Layer(), (x,)).graph.nodes if n.op == "call_function"]
    assert len(nodes) == 1
