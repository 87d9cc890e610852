"""The fused operators as torch sees them: ``torch.ops.dlka.deform_dwconv2d`` and ``deform_conv3d``, one node whatever
the device.

Registered with a fake kernel and a backward, so that ``torch.compile(fullgraph=True)``, ``torch.export`` and
``opcheck`` take each as one node. A table says which module computes on which device; it is imported at the first call
there, so that a machine needs only what its own device needs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from dlka.ops.geometry import LAST, Geometry, channels_last

# Device type -> module of dlka.ops with `forward` and `backward`. numba takes float32 and float64, triton half too.
KERNELS = {"cpu": "numba_cpu", "cuda": "triton_cuda"}
VOLUME_KERNELS = {"cpu": "numba_volume"}


def _geometry(weight: Tensor, *steps: list[int]) -> Geometry:
    return Geometry(tuple(weight.shape[2:]), *map(tuple, steps))


def _format(x: Tensor) -> torch.memory_format:
    return LAST[x.dim()] if channels_last(x) else torch.contiguous_format


def _register(name: str, kernels: Mapping[str, str]) -> tuple[Any, Any]:
    """torch.ops.dlka.NAME and its backward, on every device of `kernels`.

    Not torch.library.custom_op: its first call imports the whole of torch.compile, time and memory that running alone
    does not need.
    """

    def module(x: Tensor) -> Any:
        return importlib.import_module(f"dlka.ops.{kernels[x.device.type]}")

    def fused(
        x: Tensor,
        offset: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
    ) -> Tensor:
        """Shapes and dtypes as in dlka.ops.NAME; the result is channels-last in memory if x is."""
        if forward_ad._current_level >= 0:  # torch.library has no rule for forward mode: derivatives would be zero
            raise RuntimeError(f"torch.ops.dlka.{name}: no forward mode; dlka.ops.{name} has it")
        out = module(x).forward(x, offset, weight, bias, _geometry(weight, stride, padding, dilation))
        return out.contiguous(memory_format=_format(x))

    def fused_backward(
        grad: Tensor,
        x: Tensor,
        offset: Tensor,
        weight: Tensor,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of x (channels-last in memory), offset and weight, each in its dtype."""
        return module(x).backward(grad, x, offset, weight, _geometry(weight, stride, padding, dilation))

    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, offset, weight = ctx.saved_tensors
        grads = getattr(torch.ops.dlka, f"{name}_backward")(grad, x, offset, weight, *ctx.geometry)
        grad_bias = None
        if ctx.has_bias:  # as for x, offset and weight: nothing flows back from a cell with a NaN offset
            clean = grad.masked_fill(offset.isnan().any(1, keepdim=True), 0)
            grad_bias = clean.sum([axis for axis in range(x.dim()) if axis != 1])
        return *grads, grad_bias, None, None, None

    _operator(name, fused, kernels, _fake)
    _operator(f"{name}_backward", fused_backward, kernels, _fake_backward)
    torch.library.register_autograd(f"dlka::{name}", backward, setup_context=_setup)
    # Without it torch only warns, and second derivatives are zero.
    torch.library.register_autograd(f"dlka::{name}_backward", _no_second_backward)
    return getattr(torch.ops.dlka, name), getattr(torch.ops.dlka, f"{name}_backward")


def _operator(name: str, function: Callable[..., Any], kernels: Mapping[str, str], fake: Callable[..., Any]) -> None:
    schema = torch.library.infer_schema(function, mutates_args=())
    torch.library.define(f"dlka::{name}", schema, tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(f"dlka::{name}", tuple(kernels), function)
    torch.library.register_fake(f"dlka::{name}", fake)


def _fake(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, *steps: Any) -> Tensor:
    shape = (x.shape[0], weight.shape[0], *offset.shape[2:])
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_format(x))


def _fake_backward(grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, *steps: Any) -> tuple[Tensor, ...]:
    n, channels, *size = x.shape
    grad_x = x.new_empty(n, *size, channels).movedim(-1, 1)
    return grad_x, offset.new_empty(offset.shape), weight.new_empty(weight.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, offset, weight, bias, *geometry = inputs
    ctx.save_for_backward(x, offset, weight)
    ctx.has_bias = bias is not None
    ctx.geometry = geometry


def _no_second_backward(ctx: Any, *grads: Tensor) -> Any:
    raise RuntimeError("the fused deformable convolution is differentiable once; use backend='reference' for more")


fused, fused_backward = _register("deform_dwconv2d", KERNELS)
volume, volume_backward = _register("deform_conv3d", VOLUME_KERNELS)
