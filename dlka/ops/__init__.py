"""The deformable operators of D-LKA, of maps and of volumes: one offset field shared by all channels."""

from __future__ import annotations

from contextlib import nullcontext

import torch

from dlka.ops.backends import choose
from dlka.ops.geometry import LAST, Geometry, IntOrAxes, channels_last, check, per_axis
from dlka.ops.transformed import needs_reference, transformable, transformed

__all__ = ["deform_conv3d", "deform_dwconv2d"]


def deform_dwconv2d(
    x: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    stride: IntOrAxes = 1,
    padding: IntOrAxes = 0,
    dilation: IntOrAxes = 1,
    backend: str = "auto",
) -> torch.Tensor:
    """Depthwise deformable convolution with one offset field shared by all channels.

    Equal to ``torchvision.ops.deform_conv2d(x, offset, weight, bias, ...)`` with as many groups as channels
    (Dai et al., 2017, arXiv:1703.06211).

    x      [N, C, H, W], float16, bfloat16, float32 or float64; the batch may be empty
    offset [N, 2*kh*kw, Ho, Wo], in cells of x, interleaved dy, dx per tap, taps row-major; float32, or float64 where
           x is float64. Sums are taken in that dtype too, and rounded to x's at the end.
    weight [C, 1, kh, kw] and bias [C] or None, of x's dtype
    stride, padding, dilation: an int or a (vertical, horizontal) pair
    backend: "auto", "numba", "triton", "torch", "torchvision" or "reference" (see dlka.ops.backends)

    Returns [N, C, Ho, Wo] of x's dtype; channels-last in memory if x is. Reads outside the map are zero, infinite and
    huge offsets included. A cell with a NaN among its offsets is NaN, and no gradient flows back from it to x, offset
    or weight. Under autocast x, weight and bias take autocast's dtype, offsets become float32. Differentiable once, by
    the reference as often as you like. Where forward mode is on (torch.func.jvp, jacfwd, hessian, linearize, a dual
    level) every backend's name stands for the reference; under torch.func.vmap and grad the backend runs once for every
    element. In both the result's memory is in no promised order.

    Raises ValueError (shapes, devices, geometry, unknown backend), TypeError (dtypes) or RuntimeError (the named
    backend cannot run here), each one sentence with expected and got.
    """
    return _run(2, x, offset, weight, bias, (stride, padding, dilation), backend)


def deform_conv3d(
    x: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    stride: IntOrAxes = 1,
    padding: IntOrAxes = 0,
    dilation: IntOrAxes = 1,
    backend: str = "auto",
) -> torch.Tensor:
    """Deformable convolution of volumes with one offset field shared by all channels.

    The same as deform_dwconv2d with a third axis, depth before the others, and reads that are trilinear. With all
    offsets at zero it is torch's conv3d; in a volume one cell deep, with dz at zero, torchvision's deform_conv2d.

    x      [N, C, D, H, W], float16, bfloat16, float32 or float64; the batch may be empty
    offset [N, 3*kd*kh*kw, Do, Ho, Wo], in cells of x, interleaved dz, dy, dx per tap, taps row-major; float32, or
           float64 where x is float64. Sums are taken in that dtype too, and rounded to x's at the end.
    weight [C_out, C, kd, kh, kw], every output from all channels, or [C, 1, kd, kh, kw], depthwise; of x's dtype
    bias   [C_out] or None, of x's dtype
    stride, padding, dilation: an int or (depth, vertical, horizontal)
    backend: "auto", "numba", "torch" or "reference" (see dlka.ops.backends)

    Returns [N, C_out, Do, Ho, Wo] of x's dtype; channels-last in memory if x is. Reads outside, NaN and infinite
    offsets, autocast, derivatives, torch.func and errors: as for deform_dwconv2d.
    """
    return _run(3, x, offset, weight, bias, (stride, padding, dilation), backend)


def _run(
    axes: int,
    x: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    steps: tuple[IntOrAxes, IntOrAxes, IntOrAxes],
    backend: str,
) -> torch.Tensor:
    """The operator of so many axes; steps: stride, padding, dilation."""
    tensors = {"x": x, "offset": offset, "weight": weight} | ({} if bias is None else {"bias": bias})
    if wrong := [name for name, value in tensors.items() if not isinstance(value, torch.Tensor)]:
        raise TypeError(f"{wrong[0]}: expected a tensor, got {type(tensors[wrong[0]]).__name__}")
    if _autocast(x.device.type) and x.dtype != torch.float64:
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        offset = offset.float()
    kernel = tuple(weight.shape[2:]) if weight.dim() == axes + 2 else (1,) * axes
    least = {"stride": 1, "padding": 0, "dilation": 1}
    geometry = Geometry(kernel, *(per_axis(name, step, least[name], axes) for name, step in zip(least, steps)))
    check(x, offset, weight, bias, geometry)
    run, reference = choose(backend, x.device, axes), choose("reference", x.device, axes)
    if needs_reference():
        run = reference
    with torch.autocast(x.device.type, enabled=False) if _autocast(x.device.type) else nullcontext():
        if transformed():
            return (run if run is reference else transformable(run))(x, offset, weight, bias, geometry)
        out = run(x, offset, weight, bias, geometry)
    return out.contiguous(memory_format=LAST[x.dim()] if channels_last(x) else torch.contiguous_format)


def _autocast(device_type: str) -> bool:
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)
