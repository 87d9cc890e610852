"""The fused operator as torch sees it: ``torch.ops.dlka.deform_dwconv2d``, one implementation per device.

Registered with a fake kernel and a backward, so that ``torch.compile(fullgraph=True)``, ``torch.export`` and
``opcheck`` take it as one node. The CPU runs numba; a CUDA implementation is another ``register_kernel`` here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlka.ops import numba_cpu
from dlka.ops.geometry import Geometry


def _geometry(weight: Tensor, stride: list[int], padding: list[int], dilation: list[int]) -> Geometry:
    pairs = [(weight.shape[2], weight.shape[3]), *((v[0], v[1]) for v in (stride, padding, dilation))]
    return Geometry(*pairs)


@torch.library.custom_op("dlka::deform_dwconv2d", mutates_args=(), device_types="cpu")
def fused(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> Tensor:
    """Shapes as in dlka.ops.deform_dwconv2d; one dtype, float32 or float64; the result is channels-last in memory."""
    return numba_cpu.forward(x, offset, weight, bias, _geometry(weight, stride, padding, dilation))


@torch.library.custom_op("dlka::deform_dwconv2d_backward", mutates_args=(), device_types="cpu")
def fused_backward(
    grad: Tensor,
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x (channels-last in memory), offset and weight."""
    return numba_cpu.backward(grad, x, offset, weight, _geometry(weight, stride, padding, dilation))


@fused.register_fake
def _(
    x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any
) -> Tensor:
    n, channels, height, width = x.shape[0], x.shape[1], offset.shape[2], offset.shape[3]
    return x.new_empty(n, height, width, channels).permute(0, 3, 1, 2)


@fused_backward.register_fake
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


fused.register_autograd(_backward, setup_context=_setup)
