"""torchvision's deform_conv2d, guarded: on the CPU one NaN offset makes it read wild memory and end the process."""

from __future__ import annotations

import torch
from torchvision.ops import deform_conv2d

from dlka.ops.geometry import Geometry
from dlka.ops.guard import empty_output, finite, poison


def run(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> torch.Tensor:
    """Shapes as in dlka.ops.deform_dwconv2d; one dtype, float32 or float64."""
    if x.shape[0] == 0:  # torchvision divides by the batch size
        return empty_output(x, offset, weight, bias, geometry)
    out = deform_conv2d(
        x,
        finite(offset),
        weight,
        bias,
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
    )
    return poison(out, offset)
