"""Every backend against the oracle, and the oracle against torchvision: outputs, gradients, odd inputs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import deform_conv2d

from dlka.ops import deform_dwconv2d, torch_cpu
from dlka.ops.backends import BACKENDS, resolve
from dlka.ops.sampling import output_size

FAST = ("numba", "torch", "torchvision")
ON_CPU = [name for name, backend in BACKENDS.items() if backend.supports(torch.device("cpu")) is None]
NAN, INF = float("nan"), float("inf")


def make(
    shape=(2, 5, 5, 4), kernel=(3, 2), stride=(2, 1), padding=(1, 0), dilation=(2, 1), dtype=torch.float64, seed=0
):
    """Awkward geometry by default: nothing is square, and the map is smaller than the kernel's reach."""
    generator = torch.Generator().manual_seed(seed)
    n, channels = shape[:2]
    out = output_size(shape[2:], kernel, stride, padding, dilation)
    x = torch.randn(shape, generator=generator, dtype=dtype)
    offset = torch.randn(n, 2 * kernel[0] * kernel[1], *out, generator=generator, dtype=dtype) * 2
    weight = torch.randn(channels, 1, *kernel, generator=generator, dtype=dtype)
    bias = torch.randn(channels, generator=generator, dtype=dtype)
    return (x, offset, weight, bias), {"stride": stride, "padding": padding, "dilation": dilation}


def gradients(tensors, geometry, backend, grad=None):
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    out = deform_dwconv2d(*leaves, **geometry, backend=backend)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype) if grad is None else grad
    return out.detach(), torch.autograd.grad(out, leaves, grad, materialize_grads=True)


def assert_close(got, wanted, dtype):
    tolerance = 1e-10 if dtype == torch.float64 else 2e-5
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kernel": (1, 1), "padding": (0, 0), "dilation": (1, 1), "shape": (1, 1, 1, 1), "stride": (1, 1)},
        {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "shape": (1, 3, 4, 6)},
        {"kernel": (2, 3), "stride": (1, 3), "padding": (2, 3), "dilation": (1, 2), "shape": (2, 17, 3, 5)},
    ],
)
def test_equal_to_torchvision(backend, dtype, changes):
    tensors, geometry = make(dtype=dtype, **changes)
    leaves = [t.clone().requires_grad_() for t in tensors]
    wanted = deform_conv2d(*leaves, **geometry)
    grad = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    out, grads = gradients(tensors, geometry, backend, grad)
    assert_close(out, wanted.detach(), dtype)
    for got, want in zip(grads, torch.autograd.grad(wanted, leaves, grad)):
        assert_close(got, want, dtype)


@pytest.mark.parametrize("backend", ON_CPU)
def test_without_bias(backend):
    (x, offset, weight, bias), geometry = make()
    wanted, wanted_grads = gradients((x, offset, weight, torch.zeros_like(bias)), geometry, backend)
    leaves = [t.requires_grad_() for t in (x, offset, weight)]
    out = deform_dwconv2d(*leaves, **geometry, backend=backend)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    assert_close(out, wanted, torch.float64)
    for got, want in zip(torch.autograd.grad(out, leaves, grad), wanted_grads):
        assert_close(got, want, torch.float64)


@pytest.mark.parametrize("backend", FAST)
def test_large_stage_of_dlka(backend):
    tensors, geometry = make((1, 8, 12, 9), (7, 7), (1, 1), (9, 9), (3, 3), dtype=torch.float32)
    wanted, wanted_grads = gradients(tensors, geometry, "reference")
    out, grads = gradients(tensors, geometry, backend)
    assert_close(out, wanted, torch.float32)
    for got, want in zip(grads, wanted_grads):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels-last"])
@pytest.mark.parametrize("channels", [16, 32, 33, 80])
def test_more_channels_than_a_vector_and_more_cells_than_a_chunk(channels, last):
    """numba takes 16 cells and 32 or 16 channels at a time, and reads offsets in the order of their memory."""
    tensors, geometry = make((2, channels, 2, 37), (2, 1), (1, 2), (1, 0), (1, 1))
    if last:
        tensors = (*(t.contiguous(memory_format=torch.channels_last) for t in tensors[:2]), *tensors[2:])
    wanted, wanted_grads = gradients(tensors, geometry, "reference")
    leaves = [t.requires_grad_() for t in tensors]
    out = deform_dwconv2d(*leaves, **geometry, backend="numba")
    assert_close(out, wanted, torch.float64)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    for got, want in zip(torch.autograd.grad(out, leaves, grad), wanted_grads):
        assert_close(got, want, torch.float64)


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 9),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 1000),
)
def test_any_geometry(channels, size, kernel, stride, padding, dilation, seed):
    if min(output_size(size, kernel, stride, padding, dilation)) < 1:
        return
    tensors, geometry = make((1, channels, *size), kernel, stride, padding, dilation, seed=seed)
    wanted, wanted_grads = gradients(tensors, geometry, "reference")
    for backend in FAST:
        out, grads = gradients(tensors, geometry, backend)
        assert_close(out, wanted, torch.float64)
        for got, want in zip(grads, wanted_grads):
            assert_close(got, want, torch.float64)


@pytest.mark.parametrize("taps_at_once", [1, 4])
def test_torch_prepares_taps_in_parts(monkeypatch, taps_at_once):
    tensors, geometry = make()  # 6 taps; 2 maps of 9 x 8 cells with their frames
    wanted, wanted_grads = gradients(tensors, geometry, "reference")
    monkeypatch.setattr(torch_cpu, "AT_ONCE", 2 * 9 * 8 * taps_at_once)
    out, grads = gradients(tensors, geometry, "torch")
    assert_close(out, wanted, torch.float64)
    for got, want in zip(grads, wanted_grads):
        assert_close(got, want, torch.float64)


@pytest.mark.slow
def test_torch_compiles_whole():
    """Machines without numba compile this one, and exporters trace it."""
    tensors, geometry = make(dtype=torch.float32)
    torch.compiler.reset()
    compiled = torch.compile(
        lambda *t: deform_dwconv2d(*t, **geometry, backend="torch"), fullgraph=True, backend="aot_eager"
    )
    wanted, wanted_grads = gradients(tensors, geometry, "torch")
    assert_close(compiled(*tensors), wanted, torch.float32)
    leaves = [t.clone().requires_grad_() for t in tensors]
    grad = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    for got, want in zip(torch.autograd.grad(compiled(*leaves), leaves, grad), wanted_grads):
        assert_close(got, want, torch.float32)


@pytest.mark.parametrize("backend", FAST)
def test_gradcheck(backend):
    tensors, geometry = make((1, 2, 4, 3))
    leaves = [t.requires_grad_() for t in tensors]
    assert torch.autograd.gradcheck(lambda *a: deform_dwconv2d(*a, **geometry, backend=backend), leaves, eps=1e-6)


@pytest.mark.parametrize("backend", ON_CPU)
def test_integer_offsets_at_the_border_have_torchvisions_gradient(backend):
    """Offsets start at zero, so taps at exactly -1 are the rule in training, not the exception."""
    tensors, geometry = make((1, 3, 4, 4), (3, 3), (1, 1), (1, 1), (1, 1))
    tensors = (tensors[0], torch.zeros_like(tensors[1]), *tensors[2:])
    leaves = [t.clone().requires_grad_() for t in tensors]
    out = deform_conv2d(*leaves, **geometry)
    grad = torch.ones_like(out)
    _, grads = gradients(tensors, geometry, backend, grad)
    assert_close(grads[1], torch.autograd.grad(out, leaves, grad)[1], torch.float64)


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("bad", [INF, -INF, 1e30, -1e30, 3e9])
def test_far_offsets_read_zero(backend, bad):
    (x, offset, weight, bias), geometry = make()
    offset[:] = 0
    offset[0, 2, 1, 1] = bad  # dy of the second tap
    removed = weight.clone()
    removed[:, 0, 0, 1] = 0
    wanted = deform_dwconv2d(x, torch.zeros_like(offset), removed, bias, **geometry, backend="reference")
    got = deform_dwconv2d(x, offset, weight, bias, **geometry, backend=backend)
    assert_close(got[0, :, 1, 1], wanted[0, :, 1, 1], torch.float64)
    _, grads = gradients((x, offset, weight, bias), geometry, backend)
    assert all(g.isfinite().all() for g in grads)


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("channel", [0, 5, 11])
def test_nan_offsets_give_nan_there_and_nothing_flows_back(backend, channel):
    tensors, geometry = make()
    tensors[1][1, channel, 0, 2] = NAN
    clean = (tensors[0], tensors[1].nan_to_num(0), *tensors[2:])
    out, grads = gradients(tensors, geometry, backend)
    wanted, _ = gradients(clean, geometry, "reference")
    assert out[1, :, 0, 2].isnan().all()
    out[1, :, 0, 2] = wanted[1, :, 0, 2]
    assert_close(out, wanted, torch.float64)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    grad[1, :, 0, 2] = 0
    for got, want in zip(grads, gradients(clean, geometry, "reference", grad)[1]):
        assert_close(got, want, torch.float64)


@pytest.mark.parametrize("backend", ON_CPU)
def test_empty_batch(backend):
    tensors, geometry = make((0, 5, 5, 4))
    out, grads = gradients(tensors, geometry, backend)
    assert out.shape == (0, 5, 2, 3)
    assert [g.shape for g in grads] == [t.shape for t in tensors]
    assert not any(g.any() for g in grads)


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_features_keep_float32_offsets(backend, dtype):
    (x, offset, weight, bias), geometry = make(dtype=torch.float32)
    half = [t.to(dtype) for t in (x, weight, bias)]
    out = deform_dwconv2d(half[0], offset, half[1], half[2], **geometry, backend=backend)
    wide = [t.float() for t in half]
    wanted = deform_dwconv2d(wide[0], offset, wide[1], wide[2], **geometry, backend="reference")
    assert out.dtype == dtype
    torch.testing.assert_close(out, wanted.to(dtype), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("backend", FAST)
def test_autocast(backend):
    tensors, geometry = make(dtype=torch.float32)
    leaves = [t.clone().requires_grad_() for t in tensors]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = deform_dwconv2d(*leaves, **geometry, backend=backend)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert all(leaf.grad.dtype == torch.float32 and leaf.grad.isfinite().all() for leaf in leaves)


@pytest.mark.parametrize("backend", ON_CPU)
def test_memory_format_is_kept(backend):
    tensors, geometry = make()
    last = tensors[0].contiguous(memory_format=torch.channels_last)
    out = deform_dwconv2d(last, *tensors[1:], **geometry, backend=backend)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert not out.is_contiguous()
    first = deform_dwconv2d(*tensors, **geometry, backend=backend)
    assert first.is_contiguous()
    torch.testing.assert_close(out, first)


@pytest.mark.parametrize("backend", FAST)
def test_permuted_memory(backend):
    (x, offset, weight, bias), geometry = make()
    odd = x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    spread = offset.repeat_interleave(2, dim=-1)[..., ::2]
    got = deform_dwconv2d(
        odd, spread, weight.transpose(2, 3).contiguous().transpose(2, 3), bias, **geometry, backend=backend
    )
    torch.testing.assert_close(got, deform_dwconv2d(x, offset, weight, bias, **geometry, backend=backend))


@pytest.mark.parametrize("backend", FAST)
def test_gradients_in_odd_memory(backend):
    """Of a sum (one number for all), and permuted; the offsets of two pictures are the same memory."""
    (x, offset, weight, bias), geometry = make()
    tensors = (x, offset[:1].expand_as(offset), weight, bias)
    for grad in (x.new_ones(()).expand(2, 5, 2, 3), torch.randn(2, 3, 2, 5, dtype=x.dtype).permute(0, 3, 2, 1)):
        leaves = [t.requires_grad_() for t in tensors]
        out = deform_dwconv2d(*leaves, **geometry, backend=backend)
        wanted = gradients(tensors, geometry, "reference", grad.contiguous())[1]
        for got, want in zip(torch.autograd.grad(out, leaves, grad), wanted):
            assert_close(got, want, torch.float64)


@pytest.mark.parametrize("backend", FAST)
def test_second_derivatives_are_refused(backend):
    """They would be zero without a word."""
    tensors, geometry = make((1, 2, 3, 3))
    leaves = [t.requires_grad_() for t in tensors]
    out = deform_dwconv2d(*leaves, **geometry, backend=backend)
    grads = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiable once|double backwards"):
        sum(g.square().sum() for g in grads).backward()
    with pytest.raises(RuntimeError, match=r"differentiable once|double backwards"):  # forward mode by two reverse ones
        torch.autograd.functional.jvp(lambda *t: deform_dwconv2d(*t, **geometry, backend=backend), tensors, tensors)


@pytest.mark.parametrize("backend", FAST)
def test_scratch_memory_is_written_before_it_is_read(backend, monkeypatch):
    """Uninitialised memory is usually zero; poisoned with NaN it would show."""
    tensors, geometry = make()
    wanted = deform_dwconv2d(*tensors, **geometry, backend=backend)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(NAN))
    torch.testing.assert_close(deform_dwconv2d(*tensors, **geometry, backend=backend), wanted)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda t: (t[0][0], *t[1:]), ValueError, r"x: expected \[N, C, H, W\], got \[5, 5, 4\]"),
        (
            lambda t: (t[0][:, :0], *t[1:]),
            ValueError,
            r"x: expected at least one channel and one cell, got \[2, 0, 5, 4\]",
        ),
        (lambda t: (t[0][:, :, :0], *t[1:]), ValueError, r"at least one channel and one cell, got \[2, 5, 0, 4\]"),
        (lambda t: (t[0], t[1][:, :-1], *t[2:]), ValueError, r"offset: expected \[2, 12, 2, 3\].*got \[2, 11, 2, 3\]"),
        (lambda t: (*t[:2], t[2][:-1], t[3]), ValueError, r"weight: expected \[5, 1, kh, kw\].*got \[4, 1, 3, 2\]"),
        (lambda t: (*t[:3], t[3][:-1]), ValueError, r"bias: expected \[5\], got \[4\]"),
        (lambda t: (t[0], t[1].half(), *t[2:]), TypeError, r"offset: expected torch.float64.*got torch.float16"),
        (lambda t: (t[0].int(), *t[1:]), TypeError, r"x: expected float16.*got torch.int32"),
        (lambda t: (t[0], t[1], t[2].float(), t[3]), TypeError, r"weight: expected torch.float64.*got torch.float32"),
        (lambda t: (t[0].to("meta"), *t[1:]), ValueError, r"offset: expected device meta like x, got cpu"),
        (lambda t: (t[0][:, :, :1, :1], *t[1:]), ValueError, r"padded map of at least \[5, 2\].*got \[1, 1\]"),
    ],
)
def test_refusals_say_expected_and_got(change, error, says):
    tensors, geometry = make()
    with pytest.raises(error, match=says):
        deform_dwconv2d(*change(tensors), **geometry)


@pytest.mark.parametrize(("name", "value"), [("stride", 0), ("padding", -1), ("dilation", (1, 2, 3)), ("stride", 1.5)])
def test_bad_geometry(name, value):
    tensors, geometry = make()
    with pytest.raises((ValueError, TypeError), match=name):
        deform_dwconv2d(*tensors, **{**geometry, name: value})


def test_an_explicit_backend_runs_or_says_why():
    with pytest.raises(ValueError, match=r"expected one of.*'numba'.*got 'magic'"):
        resolve("magic", torch.device("cpu"))
    with pytest.raises(RuntimeError, match="'numba' was asked for, but it runs on the CPU"):
        resolve("numba", torch.device("meta"))
    assert resolve("auto", torch.device("cpu")) == "numba"


def test_auto_without_numba(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    assert resolve("auto", torch.device("cpu")) == "torch"
