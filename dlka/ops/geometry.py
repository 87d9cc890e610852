"""Stride, padding and dilation of one call, and the one place that checks what a caller passed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dlka.ops.sampling import Axes, axis_positions, output_size

IntOrAxes = int | Sequence[int]
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass(frozen=True)
class Geometry:
    """Kernel, stride, padding and dilation, one number an axis: (vertical, horizontal), or depth before these."""

    kernel: Axes
    stride: Axes
    padding: Axes
    dilation: Axes

    def output_size(self, size: Axes) -> Axes:
        """(Ho, Wo) for an input map of (H, W), (Do, Ho, Wo) for a volume of (D, H, W)."""
        return output_size(size, self.kernel, self.stride, self.padding, self.dilation)

    def axes(self, *size: int) -> tuple[np.ndarray, ...]:
        """Undeformed coordinates for an output of a size, in input cells: of each axis [taps, cells] float32."""
        rest = zip(size, self.kernel, self.stride, self.padding, self.dilation)
        return tuple(axis_positions(*numbers) for numbers in rest)


def per_axis(name: str, value: IntOrAxes, least: int, axes: int) -> Axes:
    """An int or one for each of so many axes, each at least `least`, as a tuple; ValueError names the argument."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(values) != axes or any(not isinstance(v, int) or isinstance(v, bool) or v < least for v in values):
        several = {2: "a pair of ints", 3: "three ints"}[axes]
        raise ValueError(f"{name}: expected an int or {several} of at least {least}, got {value!r}")
    return values


def check(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> None:
    """Raise one sentence with expected and got where the tensors do not fit together.

    ValueError for shapes and devices, TypeError for dtypes.
    """
    axes = len(geometry.kernel)
    names = ("D", "H", "W")[-axes:]
    if x.dim() != axes + 2:
        raise ValueError(f"x: expected [N, C, {', '.join(names)}], got {list(x.shape)}")
    n, channels, *size = x.shape
    if 0 in x.shape[1:]:
        raise ValueError(
            f"x: expected at least one channel and one cell, got {list(x.shape)}; only the batch may be empty"
        )
    taps = ", ".join(f"k{name.lower()}" for name in names)
    filters = [[channels, 1]]  # out and in, of all that the operator takes
    if axes == 3 and weight.dim() and weight.shape[0]:
        filters.append([weight.shape[0], channels])
    if weight.dim() != axes + 2 or list(weight.shape[:2]) not in filters or min(geometry.kernel) < 1:
        dense = f" or [C_out, {channels}, {taps}]" if axes == 3 else ""
        raise ValueError(
            f"weight: expected [{channels}, 1, {taps}]{dense} for x with {channels} channels, got {list(weight.shape)}"
        )
    out = geometry.output_size(tuple(size))
    if min(out) < 1:
        reach = [d * (k - 1) + 1 for d, k in zip(geometry.dilation, geometry.kernel)]
        raise ValueError(
            f"x: expected a padded map of at least {reach} cells for this kernel, "
            f"got {size} with padding {list(geometry.padding)}"
        )
    expected = [n, axes * math.prod(geometry.kernel), *out]
    if list(offset.shape) != expected:
        layout = f"(N, {axes}*{taps.replace(', ', '*')}, {', '.join(f'{name}o' for name in names)})"
        raise ValueError(f"offset: expected {expected} {layout}, got {list(offset.shape)}")
    if bias is not None and list(bias.shape) != [len(weight)]:
        raise ValueError(f"bias: expected [{len(weight)}], got {list(bias.shape)}")
    tensors = {"x": x, "offset": offset, "weight": weight} | ({} if bias is None else {"bias": bias})
    for name, tensor in tensors.items():
        if tensor.device != x.device:
            raise ValueError(f"{name}: expected device {x.device} like x, got {tensor.device}")
    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise TypeError(f"x: expected float16, bfloat16, float32 or float64, got {x.dtype}")
    for name, tensor in tensors.items():
        wanted = x.dtype if name != "offset" else accumulation_dtype(x.dtype)
        if tensor.dtype != wanted:
            raise TypeError(f"{name}: expected {wanted} for x of {x.dtype}, got {tensor.dtype}")


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Offsets, coordinates and sums are float32 at least: in bfloat16 the step between numbers near 79 is 0.5 cell."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def channels_last(x: torch.Tensor) -> bool:
    """Whether [N, C, H, W] lies in memory as [N, H, W, C], [N, C, D, H, W] as [N, D, H, W, C], and in no other order:
    the result then does so too."""
    return x.is_contiguous(memory_format=LAST[x.dim()]) and not x.is_contiguous()


def is_depthwise(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether every channel has one filter; otherwise every output has one for each channel."""
    return weight.shape[1] == 1 < x.shape[1]
