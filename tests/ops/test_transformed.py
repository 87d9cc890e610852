"""The operator under torch.func and in forward mode: right on every backend, or refused; never silently zero."""

from __future__ import annotations

import itertools

import pytest
import torch
from test_operator import FAST, ON_CPU, make
from torch.autograd import forward_ad
from torch.func import functional_call, functionalize, grad, hessian, jacfwd, jacrev, jvp, linearize, vmap

from dlka.layers import DeformConv
from dlka.ops import deform_dwconv2d

SMALL = (1, 2, 4, 3)


def operator(backend, shape=SMALL):
    tensors, geometry = make(shape)
    return tensors, lambda *t: deform_dwconv2d(*t, **geometry, backend=backend)


def stacked(tensors):
    return tuple(torch.stack([t, t + 0.3, t * 2]) for t in tensors)


def one_by_one(function, dims, tensors):
    """What vmap(function, in_dims=dims) is, by a Python loop."""
    return torch.stack(
        [function(*(t if d is None else t.select(d, i) for t, d in zip(tensors, dims))) for i in range(3)]
    )


def directional(function, tensors, tangents, step=1e-6):
    ahead, behind = (function(*(t + s * d for t, d in zip(tensors, tangents))) for s in (step, -step))
    return (ahead - behind) / (2 * step)


@pytest.mark.parametrize("backend", ON_CPU)
def test_forward_mode(backend):
    tensors, function = operator(backend)
    tangents = tuple(torch.randn_like(t) for t in tensors)
    wanted = directional(function, tensors, tangents)
    with forward_ad.dual_level():
        plain = function(*map(forward_ad.make_dual, tensors, tangents))
        leaves = [forward_ad.make_dual(t.clone().requires_grad_(), d) for t, d in zip(tensors, tangents)]
        duals = [forward_ad.unpack_dual(out).tangent for out in (plain, function(*leaves))]
    jacobians = jacfwd(function, argnums=(0, 1, 2, 3))(*tensors)
    for got in (
        jvp(function, tensors, tangents)[1],
        *duals,
        sum(torch.tensordot(j, d, dims=d.dim()) for j, d in zip(jacobians, tangents)),
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.slow  # torch traces the whole function first
@pytest.mark.parametrize("backend", ON_CPU)
def test_linearized(backend):
    tensors, function = operator(backend)
    tangents = tuple(torch.randn_like(t) for t in tensors)
    got = linearize(function, *tensors)[1](*tangents)
    torch.testing.assert_close(got, directional(function, tensors, tangents), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("dims", [(0, None, None, None), (None, 0, None, None), (None, None, -1, 0), (-1, 1, 0, None)])
def test_forward_mode_and_vmap_in_either_order(backend, dims):
    tensors, function = operator(backend)
    tensors = tuple(s.movedim(0, d) if d is not None else t for s, t, d in zip(stacked(tensors), tensors, dims))
    wanted = one_by_one(lambda *t: directional(function, t, t), dims, tensors)
    inside = vmap(lambda *t: jvp(function, t, t)[1], in_dims=dims)(*tensors)
    outside = jvp(vmap(function, in_dims=dims), tensors, tensors)[1]
    for got in (inside, outside):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ON_CPU)
def test_hessian(backend):
    """Of every pair of offsets and weights: forward over reverse, reverse over forward and forward over forward."""
    (x, offset, weight, bias), function = operator(backend)
    reference = operator("reference")[1]

    def loss(run):
        return lambda offset, weight: run(x, offset, weight, bias).pow(3).sum()

    wanted = torch.autograd.functional.hessian(loss(reference), (offset, weight))
    for got in (
        hessian(loss(function), argnums=(0, 1))(offset, weight),
        jacrev(jacfwd(loss(function), argnums=(0, 1)), argnums=(0, 1))(offset, weight),
        jacfwd(jacfwd(loss(function), argnums=(0, 1)), argnums=(0, 1))(offset, weight),
    ):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("backend", FAST)
def test_two_reverse_modes_are_refused(backend):
    (x, *rest), function = operator(backend)
    with pytest.raises(RuntimeError, match="differentiable once; use backend='reference'"):
        grad(lambda x: grad(lambda x: function(x, *rest).pow(3).sum())(x).sum())(x)


def test_the_reference_takes_two_reverse_modes():
    (x, *rest), function = operator("reference")
    got = grad(lambda x: grad(lambda x: function(x, *rest).pow(3).sum())(x).sum())(x)
    wanted = hessian(lambda x: function(x, *rest).pow(3).sum())(x).sum((4, 5, 6, 7))
    torch.testing.assert_close(got, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ON_CPU)
def test_vmap_over_whatever_is_mapped(backend):
    """The result and every gradient, for all that may be mapped or not."""
    tensors, function = operator(backend)
    every = grad(lambda *t: function(*t).sin().sum(), argnums=(0, 1, 2, 3))
    for dims in itertools.product((None, -1), repeat=4):
        if dims == (None,) * 4:
            continue
        given = tuple(s.movedim(0, d) if d is not None else t for s, t, d in zip(stacked(tensors), tensors, dims))
        torch.testing.assert_close(vmap(function, in_dims=dims)(*given), one_by_one(function, dims, given))
        wanted = one_by_one(lambda *t: torch.cat([g.flatten() for g in every(*t)]), dims, given)
        got = vmap(every, in_dims=dims)(*given)
        torch.testing.assert_close(torch.cat([g.flatten(1) for g in got], 1), wanted)


@pytest.mark.parametrize("backend", ON_CPU)
def test_nested_vmap_and_its_backward(backend):
    tensors, function = operator(backend)
    inner, outer = (0, None, None, 0), (1, None, 0, None)
    x, offset, weight, bias = tensors
    given = (stacked([stacked([x])[0]])[0].movedim(0, 1), offset, stacked([weight])[0], stacked([bias])[0])
    wanted = torch.stack(
        [torch.stack([function(given[0][i, o], offset, given[2][o], given[3][i]) for i in range(3)]) for o in range(3)]
    )
    leaves = [t.clone().requires_grad_() for t in given]
    got = vmap(vmap(function, in_dims=inner), in_dims=outer)(*leaves)
    torch.testing.assert_close(got, wanted)
    got.sin().sum().backward()
    plain = [t.clone().requires_grad_() for t in given]
    for o, i in itertools.product(range(3), repeat=2):
        function(plain[0][i, o], plain[1], plain[2][o], plain[3][i]).sin().sum().backward()
    for leaf, want in zip(leaves, plain):
        torch.testing.assert_close(leaf.grad, want.grad)


@pytest.mark.parametrize("backend", ON_CPU)
def test_reverse_mode_of_torch_func(backend):
    tensors, function = operator(backend)
    leaves = [t.clone().requires_grad_() for t in tensors]
    wanted = torch.autograd.grad(function(*leaves).sin().sum(), leaves)
    got = grad(lambda *t: function(*t).sin().sum(), argnums=(0, 1, 2, 3))(*tensors)
    for g, w in zip(got, wanted):
        torch.testing.assert_close(g, w)


@pytest.mark.parametrize("offsets", ["dense", "separable"])
def test_gradients_of_every_sample_through_a_layer(offsets):
    """The usual use: vmap of grad over a batch, the weights shared."""
    layer = DeformConv(3, offsets=offsets).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(parameters, picture):
        return functional_call(layer, parameters, (picture[None],)).square().sum()

    pictures = torch.randn(3, 3, 5, 6, dtype=torch.float64)
    got = vmap(grad(loss), in_dims=(None, 0))(parameters, pictures)
    for i, picture in enumerate(pictures):
        layer.zero_grad()
        layer(picture[None]).square().sum().backward()
        for name, parameter in layer.named_parameters():
            torch.testing.assert_close(got[name][i], parameter.grad)


@pytest.mark.parametrize("backend", ON_CPU)
def test_empty_batches_half_and_functionalization(backend):
    (x, offset, weight, bias), geometry = make((0, 2, 4, 3))
    assert vmap(lambda x: deform_dwconv2d(x, offset, weight, bias, **geometry, backend=backend))(
        x.expand(3, *x.shape)
    ).shape == (3, 0, 2, 1, 2)
    (x, offset, weight, bias), geometry = make(SMALL, dtype=torch.float32)

    def half(x):
        return deform_dwconv2d(x, offset, weight.bfloat16(), None, **geometry, backend=backend)

    given = stacked([x.bfloat16()])[0]
    assert torch.equal(vmap(half)(given), one_by_one(half, (0,), (given,)))
    assert torch.equal(functionalize(half)(given[0]), half(given[0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = vmap(grad(lambda x: deform_dwconv2d(x, offset, weight, bias, **geometry).float().sum()))(given.float())
    assert got.dtype == torch.float32
    assert got.isfinite().all()


@pytest.mark.parametrize("backend", FAST)
def test_vmap_over_nothing_is_refused(backend):
    tensors, function = operator(backend)
    with pytest.raises(ValueError, match="at least one element to map the deformable convolution over, got 0"):
        vmap(function)(*(s[:0] for s in stacked(tensors)))


@pytest.mark.slow
def test_transforms_inside_and_outside_of_compile():
    tensors, function = operator("auto")
    torch.compiler.reset()
    samples = stacked(tensors)

    def compiled(function):
        return torch.compile(function, fullgraph=True, backend="aot_eager")

    def samples_gradients(*t):
        return vmap(grad(lambda *t: function(*t).sin().sum()))(*t)

    def tangent(*t):
        return jvp(function, t, t)[1]

    torch.testing.assert_close(compiled(samples_gradients)(*samples), samples_gradients(*samples))
    torch.testing.assert_close(compiled(tangent)(*tensors), tangent(*tensors))
    ran = torch.compile(function, backend="aot_eager")
    ran(*tensors)  # compiled before forward mode is on
    torch.testing.assert_close(jvp(ran, tensors, tensors)[1], tangent(*tensors))


def test_the_bare_node_refuses_forward_mode():
    tensors, geometry = make(SMALL)
    lists = [list(geometry[k]) for k in ("stride", "padding", "dilation")]
    with pytest.raises(RuntimeError, match=r"no forward mode; dlka\.ops\.deform_dwconv2d has it"):
        jvp(lambda x: torch.ops.dlka.deform_dwconv2d(x, *tensors[1:], *lists), tensors[:1], tensors[:1])
