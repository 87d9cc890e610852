"""Stride, padding and dilation of one call, and the one place that checks what a caller passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dlka.ops.sampling import Pair2, axis_positions, output_size

IntOrPair = int | Sequence[int]


@dataclass(frozen=True)
class Geometry:
    """Kernel, stride, padding and dilation as (vertical, horizontal) pairs."""

    kernel: Pair2
    stride: Pair2
    padding: Pair2
    dilation: Pair2

    def output_size(self, size: Pair2) -> Pair2:
        """(Ho, Wo) for an input map of (H, W)."""
        return output_size(size, self.kernel, self.stride, self.padding, self.dilation)

    def axes(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Undeformed coordinates for an output map: [kh, height] and [kw, width] float32, in input cells."""
        return (
            axis_positions(height, self.kernel[0], self.stride[0], self.padding[0], self.dilation[0]),
            axis_positions(width, self.kernel[1], self.stride[1], self.padding[1], self.dilation[1]),
        )


def pair(name: str, value: IntOrPair, least: int) -> Pair2:
    """An int or a pair of ints, each at least `least`, as a pair; ValueError names the argument otherwise."""
    values = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(values) != 2 or any(not isinstance(v, int) or isinstance(v, bool) or v < least for v in values):
        raise ValueError(f"{name}: expected an int or a pair of ints of at least {least}, got {value!r}")
    return values


def check(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> None:
    """Raise one sentence with expected and got where the tensors do not fit together.

    ValueError for shapes and devices, TypeError for dtypes.
    """
    if x.dim() != 4:
        raise ValueError(f"x: expected [N, C, H, W], got {list(x.shape)}")
    n, channels, height, width = x.shape
    if 0 in (channels, height, width):
        raise ValueError(
            f"x: expected at least one channel and one cell, got {list(x.shape)}; only the batch may be empty"
        )
    kh, kw = geometry.kernel
    if weight.dim() != 4 or weight.shape[0] != channels or weight.shape[1] != 1 or kh < 1 or kw < 1:
        raise ValueError(
            f"weight: expected [{channels}, 1, kh, kw] for x with {channels} channels, got {list(weight.shape)}"
        )
    out = geometry.output_size((height, width))
    if min(out) < 1:
        reach = [d * (k - 1) + 1 for d, k in zip(geometry.dilation, geometry.kernel)]
        raise ValueError(
            f"x: expected a padded map of at least {reach} cells for this kernel, "
            f"got {[height, width]} with padding {list(geometry.padding)}"
        )
    expected = [n, 2 * kh * kw, *out]
    if list(offset.shape) != expected:
        raise ValueError(f"offset: expected {expected} (N, 2*kh*kw, Ho, Wo), got {list(offset.shape)}")
    if bias is not None and list(bias.shape) != [channels]:
        raise ValueError(f"bias: expected [{channels}], got {list(bias.shape)}")
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
    """Whether [N, C, H, W] lies in memory as [N, H, W, C] and in no other order: the result then does so too."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
