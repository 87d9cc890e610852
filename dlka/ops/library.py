"""The fused operator as torch sees it: ``torch.ops.dlka.deform_dwconv2d``, one node whatever the device.

Registered with a fake kernel and a backward, so that ``torch.compile(fullgraph=True)``, ``torch.export`` and
``opcheck`` take it as one node. KERNELS says which module computes on which device; it is imported at the first call
there, so that a machine needs only what its own device needs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from dlka.ops.geometry import Geometry, channels_last

# Device type -> module of dlka.ops with `forward` and `backward`. numba takes float32 and float64, triton half too.
KERNELS = {"cpu": "numba_cpu", "cuda": "triton_cuda"}


def _kernels(x: Tensor) -> Any:
    return importlib.import_module(f"dlka.ops.{KERNELS[x.device.type]}")


def _geometry(weight: Tensor, stride: list[int], padding: list[int], dilation: list[int]) -> Geometry:
    pairs = [(weight.shape[2], weight.shape[3]), *((v[0], v[1]) for v in (stride, padding, dilation))]
    return Geometry(*pairs)


def _format(x: Tensor) -> torch.memory_format:
    return torch.channels_last if channels_last(x) else torch.contiguous_format


def _operator(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Register a function as torch.ops.dlka.NAME on every device of KERNELS.

    Not torch.library.custom_op: its first call imports the whole of torch.compile, time and memory that running alone
    does not need.
    """

    def register(function: Callable[..., Any]) -> Any:
        full = f"dlka::{name}"
        torch.library.define(
            full, torch.library.infer_schema(function, mutates_args=()), tags=torch.Tag.pt2_compliant_tag
        )
        torch.library.impl(full, tuple(KERNELS), function)
        return getattr(torch.ops.dlka, name)

    return register


@_operator("deform_dwconv2d")
def fused(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> Tensor:
    """Shapes and dtypes as in dlka.ops.deform_dwconv2d; the result is channels-last in memory if x is."""
    if forward_ad._current_level >= 0:  # torch.library has no rule for forward mode: derivatives would be zero
        raise RuntimeError("torch.ops.dlka.deform_dwconv2d: no forward mode; dlka.ops.deform_dwconv2d has it")
    out = _kernels(x).forward(x, offset, weight, bias, _geometry(weight, stride, padding, dilation))
    return out.contiguous(memory_format=_format(x))


@_operator("deform_dwconv2d_backward")
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
    return _kernels(x).backward(grad, x, offset, weight, _geometry(weight, stride, padding, dilation))


@torch.library.register_fake("dlka::deform_dwconv2d")
def _(
    x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any
) -> Tensor:
    shape = (x.shape[0], x.shape[1], offset.shape[2], offset.shape[3])
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_format(x))


@torch.library.register_fake("dlka::deform_dwconv2d_backward")
def _(
    grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any
) -> tuple[Tensor, Tensor, Tensor]:
    n, channels, height, width = x.shape
    grad_x = x.new_empty(n, height, width, channels).permute(0, 3, 1, 2)
    return grad_x, offset.new_empty(offset.shape), weight.new_empty(weight.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, offset, weight, bias, *geometry = inputs
    ctx.save_for_backward(x, offset, weight)
    ctx.has_bias = bias is not None
    ctx.geometry = geometry


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, offset, weight = ctx.saved_tensors
    grad_x, grad_offset, grad_weight = fused_backward(grad, x, offset, weight, *ctx.geometry)
    grad_bias = None
    if ctx.has_bias:  # as for x, offset and weight: nothing flows back from a cell with a NaN offset
        grad_bias = grad.masked_fill(offset.isnan().any(1, keepdim=True), 0).sum((0, 2, 3))
    return grad_x, grad_offset, grad_weight, grad_bias, None, None, None


def _no_second_backward(ctx: Any, *grads: Tensor) -> Any:
    raise RuntimeError("the fused deformable convolution is differentiable once; use backend='reference' for more")


torch.library.register_autograd("dlka::deform_dwconv2d", _backward, setup_context=_setup)
# Without it torch only warns, and second derivatives are zero.
torch.library.register_autograd("dlka::deform_dwconv2d_backward", _no_second_backward)
