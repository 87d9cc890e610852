"""deform_conv3d: every backend against a plain loop, torch, torchvision and grid_sample; gradients; odd inputs."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad
from torch.func import grad, jvp, vmap
from torchvision.ops import deform_conv2d

import dlka.ops.library
from dlka.ops import deform_conv3d, deform_dwconv2d
from dlka.ops.backends import VOLUME, resolve
from dlka.ops.sampling import output_size

NAN, INF = float("nan"), float("inf")
FAST = ("numba", "torch")
PLAIN = {"stride": 1, "padding": 1, "dilation": 1}


def make(
    shape=(2, 5, 4, 6, 3),
    kernel=(2, 3, 1),
    steps=((2, 1, 1), (1, 1, 2), (1, 2, 1)),
    outputs=4,
    dtype=torch.float64,
    seed=0,
):
    """Awkward geometry by default; outputs None: depthwise. Offsets keep away from whole cells, for slopes."""
    random = torch.Generator().manual_seed(seed)
    n, channels, *size = shape
    out, taps = output_size(size, kernel, *steps), math.prod(kernel)
    x = torch.randn(shape, generator=random, dtype=dtype)
    offset = torch.randint(-2, 2, (n, 3 * taps, *out), generator=random).to(dtype)
    offset += 0.2 + 0.6 * torch.rand(offset.shape, generator=random, dtype=dtype)
    filters = (outputs, channels) if outputs else (channels, 1)
    weight = torch.randn(*filters, *kernel, generator=random, dtype=dtype)
    bias = torch.randn(filters[0], generator=random, dtype=dtype)
    return (x, offset, weight, bias), dict(zip(("stride", "padding", "dilation"), steps))


def gradients(tensors, geometry, backend, given=None):
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    out = deform_conv3d(*leaves, **geometry, backend=backend)
    random = torch.Generator().manual_seed(1)
    given = torch.randn(out.shape, generator=random, dtype=out.dtype) if given is None else given
    return [out.detach(), *torch.autograd.grad(out, leaves, given, materialize_grads=True)]


def assert_same(got, wanted, tolerance=1e-10):
    for g, w in zip(got, wanted, strict=True):
        torch.testing.assert_close(g, w, rtol=tolerance, atol=tolerance)


def by_loops(x, offset, weight, bias, stride, padding, dilation):
    """The formula, one number at a time."""
    n, channels, *size = x.shape
    out = torch.zeros(n, len(weight), *offset.shape[2:], dtype=x.dtype)
    for i, o, cell in product(range(n), range(len(weight)), product(*map(range, offset.shape[2:]))):
        total = bias[o].item()
        for k, tap in enumerate(product(*map(range, weight.shape[2:]))):
            at = [
                cell[a] * stride[a] - padding[a] + tap[a] * dilation[a] + offset[(i, 3 * k + a, *cell)].item()
                for a in range(3)
            ]
            for near in product(*((math.floor(p), math.floor(p) + 1) for p in at)):
                if all(0 <= q < side for q, side in zip(near, size)):
                    share = math.prod(1 - abs(p - q) for p, q in zip(at, near))
                    for c in [o] if weight.shape[1] == 1 else range(channels):
                        filtered = weight[(o, c if weight.shape[1] > 1 else 0, *tap)].item()
                        total += share * filtered * x[(i, c, *near)].item()
        out[(i, o, *cell)] = total
    return out


@pytest.mark.parametrize("outputs", [4, None], ids=["dense", "depthwise"])
@pytest.mark.parametrize("backend", VOLUME)
def test_equal_to_loops_over_voxels_and_taps(backend, outputs):
    tensors, geometry = make(outputs=outputs)
    assert_same([deform_conv3d(*tensors, **geometry, backend=backend)], [by_loops(*tensors, **geometry)], 1e-12)


@pytest.mark.parametrize("outputs", [3, None], ids=["dense", "depthwise"])
@pytest.mark.parametrize("backend", VOLUME)
def test_zero_offsets_are_torchs_convolution(backend, outputs):
    tensors, geometry = make(outputs=outputs)
    tensors[1].zero_()
    wanted = F.conv3d(tensors[0], *tensors[2:], *geometry.values(), groups=1 if outputs else 5)
    assert_same([deform_conv3d(*tensors, **geometry, backend=backend)], [wanted])


@pytest.mark.parametrize("backend", VOLUME)
def test_whole_offsets_shift_the_volume(backend):
    (x, offset, weight, bias), geometry = make(steps=((1, 1, 1), (0, 0, 0), (1, 1, 1)))
    offset.unflatten(1, (-1, 3))[:] = torch.tensor([1.0, -2, 1]).view(1, 1, 3, 1, 1, 1)
    shifted = F.pad(x, (0, 1, 2, 0, 0, 1))[:, :, 1:, : x.shape[3], 1:]
    wanted = F.conv3d(shifted, weight, bias)
    assert_same([deform_conv3d(x, offset, weight, bias, **geometry, backend=backend)], [wanted])


@pytest.mark.parametrize("backend", VOLUME)
def test_one_tap_is_grid_sample(backend):
    (x, offset, *_), _ = make(kernel=(1, 1, 1), steps=((1, 1, 1), (0, 0, 0), (1, 1, 1)), outputs=None)
    cells = torch.stack(torch.meshgrid(*map(torch.arange, x.shape[2:]), indexing="ij"))
    place = (cells + offset).movedim(1, -1).flip(-1)  # grid_sample counts x first, from -1 to 1
    sides = torch.tensor(x.shape[2:]).flip(0) - 1
    wanted = F.grid_sample(x, 2 * place / sides - 1, align_corners=True, padding_mode="zeros")
    assert_same([deform_conv3d(x, offset, x.new_ones(5, 1, 1, 1, 1), backend=backend)], [wanted])


@pytest.mark.parametrize("backend", VOLUME)
def test_one_cell_deep_it_is_torchvisions(backend):
    (x, offset, weight, bias), _ = make((2, 3, 1, 5, 6), (1, 3, 3), ((1, 1, 1), (0, 1, 1), (1, 1, 1)))
    offset[:, ::3] = 0
    leaves = [t.requires_grad_() for t in (x, offset, weight, bias)]
    flat = offset.unflatten(1, (-1, 3))[:, :, 1:].flatten(1, 2)[:, :, 0]
    wanted = deform_conv2d(x[:, :, 0], flat, weight[:, :, 0], bias, padding=1)
    got = deform_conv3d(*leaves, padding=(0, 1, 1), backend=backend)
    assert_same([got[:, :, 0]], [wanted])
    along = torch.randn_like(wanted)
    given = zip(torch.autograd.grad(got, leaves, along.unsqueeze(2)), torch.autograd.grad(wanted, leaves, along))
    for name, (g, w) in zip(("x", "offset", "weight", "bias"), given):
        if name == "offset":
            g = g.unflatten(1, (-1, 3))[:, :, 1:]
            w = w.unflatten(1, (-1, 3))[:, :, 1:]
        assert_same([g], [w])


@pytest.mark.parametrize("outputs", [2, None], ids=["dense", "depthwise"])
@pytest.mark.parametrize("backend", VOLUME)
def test_gradcheck(backend, outputs):
    tensors, geometry = make((1, 2, 3, 3, 3), (2, 2, 1), outputs=outputs)
    leaves = [t.requires_grad_() for t in tensors]
    # Its fast mode: by random projections, as going through it number by number takes minutes.
    assert torch.autograd.gradcheck(lambda *t: deform_conv3d(*t, **geometry, backend=backend), leaves, fast_mode=True)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels-last"])
@pytest.mark.parametrize(("channels", "outputs"), [(16, 3), (33, 2), (64, None), (1, 2)])
def test_more_channels_than_a_vector_and_more_cells_than_a_chunk(channels, outputs, last, threads):
    tensors, geometry = make((2, channels, 3, 4, 21), (2, 1, 2), ((1, 1, 1), (1, 0, 1), (1, 1, 1)), outputs)
    wanted = gradients(tensors, geometry, "reference")
    if last:
        tensors = (*(t.contiguous(memory_format=torch.channels_last_3d) for t in tensors[:2]), *tensors[2:])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for backend in FAST:
            assert_same(gradients(tensors, geometry, backend), wanted)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("backend", VOLUME)
@pytest.mark.parametrize("bad", [INF, -INF, 1e30, 3e9])
def test_far_offsets_read_zero(backend, bad):
    (x, offset, weight, bias), geometry = make()
    offset.zero_()
    offset[0, 3, 1, 1, 1] = bad  # dz of the second tap
    removed = weight.clone()
    removed[:, :, 0, 1, 0] = 0
    wanted = deform_conv3d(x, torch.zeros_like(offset), removed, bias, **geometry, backend="reference")
    got = gradients((x, offset, weight, bias), geometry, backend)
    assert_same([got[0][0, :, 1, 1, 1]], [wanted[0, :, 1, 1, 1]])
    assert all(g.isfinite().all() for g in got)


@pytest.mark.parametrize("outputs", [4, None], ids=["dense", "depthwise"])
@pytest.mark.parametrize("backend", VOLUME)
@pytest.mark.parametrize("channel", [0, 7, 17])
def test_nan_offsets_give_nan_there_and_nothing_flows_back(backend, channel, outputs):
    tensors, geometry = make(outputs=outputs)
    cell = (1, slice(None), 1, 0, 2)
    clean = (tensors[0], tensors[1].clone(), *tensors[2:])
    tensors[1][1, channel, 1, 0, 2] = NAN
    given = torch.randn(2, outputs or 5, *tensors[1].shape[2:], dtype=torch.float64)
    out, *grads = gradients(tensors, geometry, backend, given)
    assert out[cell].isnan().all()
    given[cell] = 0
    wanted, *wanted_grads = gradients(clean, geometry, "reference", given)
    out[cell] = wanted[cell]
    assert_same([out, *grads], [wanted, *wanted_grads])


@pytest.mark.parametrize("outputs", [4, None], ids=["dense", "depthwise"])
@pytest.mark.parametrize("backend", VOLUME)
def test_empty_batch(backend, outputs):
    tensors, geometry = make((0, 5, 4, 6, 3), outputs=outputs)
    out, *grads = gradients(tensors, geometry, backend)
    assert out.shape == (0, outputs or 5, *tensors[1].shape[2:])
    assert [g.shape for g in grads] == [t.shape for t in tensors]
    assert not any(g.any() for g in grads)


@pytest.mark.parametrize("backend", VOLUME)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_and_autocast_keep_float32_offsets(backend, dtype):
    (x, offset, weight, bias), geometry = make(dtype=torch.float32)
    half = [t.to(dtype) for t in (x, weight, bias)]
    out = deform_conv3d(half[0], offset, *half[1:], **geometry, backend=backend)
    wide = [t.float() for t in half]
    wanted = deform_conv3d(wide[0], offset, *wide[1:], **geometry, backend="reference")
    torch.testing.assert_close(out, wanted.to(dtype), rtol=1e-2, atol=1e-2)
    with torch.autocast("cpu", dtype):
        assert torch.equal(deform_conv3d(x, offset, weight, bias, **geometry, backend=backend), out)


@pytest.mark.parametrize("backend", VOLUME)
def test_memory_format_is_kept(backend):
    tensors, geometry = make()
    last = tensors[0].contiguous(memory_format=torch.channels_last_3d)
    out = deform_conv3d(last, *tensors[1:], **geometry, backend=backend)
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
    assert not out.is_contiguous()
    first = deform_conv3d(*tensors, **geometry, backend=backend)
    assert first.is_contiguous()
    torch.testing.assert_close(out, first)


@pytest.mark.parametrize("backend", FAST)
def test_scratch_memory_is_written_before_it_is_read(backend, monkeypatch):
    tensors, geometry = make()
    wanted, empty = gradients(tensors, geometry, backend), torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *a, **k: empty(*a, **k).fill_(NAN))
    assert_same(gradients(tensors, geometry, backend), wanted)


@pytest.mark.parametrize("backend", VOLUME)
def test_transforms(backend):
    tensors, geometry = make((1, 2, 3, 3, 3), (2, 2, 1), outputs=2)

    def function(*t):
        return deform_conv3d(*t, **geometry, backend=backend).sin()

    step = 1e-6
    ahead, behind = (function(*(t * (1 + s) for t in tensors)) for s in (step, -step))
    tangent = jvp(function, tensors, tensors)[1]
    torch.testing.assert_close(tangent, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-7)
    with forward_ad.dual_level():
        assert torch.equal(
            forward_ad.unpack_dual(function(*map(forward_ad.make_dual, tensors, tensors))).tangent, tangent
        )
    x = torch.stack([tensors[0], tensors[0] * 2])
    got = vmap(grad(lambda x: function(x, *tensors[1:]).sum()))(x)
    for i in range(2):
        leaf = x[i].clone().requires_grad_()
        assert_same([got[i]], torch.autograd.grad(function(leaf, *tensors[1:]).sum(), leaf))


@pytest.mark.parametrize("backend", FAST)
def test_second_derivatives_are_refused(backend):
    tensors, geometry = make((1, 2, 3, 3, 3), (2, 2, 1))
    leaves = [t.requires_grad_() for t in tensors]
    out = deform_conv3d(*leaves, **geometry, backend=backend)
    grads = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiable once"):
        sum(g.square().sum() for g in grads).backward()


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda t: (t[0][0], *t[1:]), ValueError, r"x: expected \[N, C, D, H, W\], got \[5, 4, 6, 3\]"),
        (lambda t: (t[0][:, :0], *t[1:]), ValueError, r"at least one channel and one cell, got \[2, 0, 4, 6, 3\]"),
        (
            lambda t: (t[0], t[1][:, :-1], *t[2:]),
            ValueError,
            r"offset: expected \[2, 18, 3, 4, 7\] \(N, 3\*kd\*kh\*kw, Do",
        ),
        (
            lambda t: (*t[:2], t[2][:, :2], t[3]),
            ValueError,
            r"weight: .*\[C_out, 5, kd, kh, kw\] for x with 5 channels",
        ),
        (lambda t: (*t[:3], t[3][:-1]), ValueError, r"bias: expected \[4\], got \[3\]"),
        (lambda t: (t[0], t[1].float(), *t[2:]), TypeError, r"offset: expected torch.float64.*got torch.float32"),
        (lambda t: (t[0][:, :, :, :1], *t[1:]), ValueError, r"padded map of at least \[2, 5, 1\]"),
    ],
)
def test_refusals_say_expected_and_got(change, error, says):
    tensors, geometry = make()
    with pytest.raises(error, match=says):
        deform_conv3d(*change(tensors), **geometry)


@pytest.mark.parametrize("operator", [deform_conv3d, deform_dwconv2d])
@pytest.mark.parametrize("place", range(4))
def test_what_is_no_tensor_is_named(operator, place):
    given = [torch.zeros(1)] * 4
    given[place] = "x"
    with pytest.raises(TypeError, match=f"{('x', 'offset', 'weight', 'bias')[place]}: expected a tensor, got str"):
        operator(*given)


def test_steps_and_backends_are_named():
    tensors, geometry = make()
    with pytest.raises(ValueError, match=r"stride: expected an int or three ints of at least 1, got \(1, 2\)"):
        deform_conv3d(*tensors, **{**geometry, "stride": (1, 2)})
    with pytest.raises(
        ValueError, match=r"backend: expected one of \['auto', 'numba', 'torch', 'reference'\], got 'triton'"
    ):
        deform_conv3d(*tensors, **geometry, backend="triton")
    assert resolve("auto", torch.device("cpu"), 3) == "numba"
    assert resolve("auto", torch.device("cuda"), 3) == "torch"


@pytest.mark.slow
def test_opcheck():
    tensors, geometry = make(dtype=torch.float32)
    lists = [list(geometry[k]) for k in ("stride", "padding", "dilation")]
    leaves = [t.requires_grad_() for t in tensors]
    torch.library.opcheck(dlka.ops.library.volume, (*leaves, *lists))
    torch.library.opcheck(dlka.ops.library.volume, (*leaves[:3], None, *lists))
    out = dlka.ops.library.volume(*leaves, *lists).detach()
    torch.library.opcheck(dlka.ops.library.volume_backward, (out, *(t.detach() for t in leaves[:3]), *lists))


@pytest.mark.slow
@pytest.mark.parametrize("backend", FAST)
def test_compiles_whole_forward_and_backward(backend):
    tensors, geometry = make(dtype=torch.float32)
    torch.compiler.reset()
    compiled = torch.compile(
        lambda *t: deform_conv3d(*t, **geometry, backend=backend), fullgraph=True, backend="aot_eager"
    )
    wanted = gradients(tensors, geometry, backend)
    leaves = [t.clone().requires_grad_() for t in tensors]
    out = compiled(*leaves)
    given = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    assert_same([out.detach(), *torch.autograd.grad(out, leaves, given)], wanted, 1e-5)
