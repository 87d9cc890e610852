"""torchvision's deform_conv2d, guarded: on the CPU one NaN offset makes it read wild memory and end the process."""

from __future__ import annotations

import torch
from torchvision.ops import deform_conv2d

from dlka.ops.geometry import Geometry


def run(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> torch.Tensor:
    """Shapes as in dlka.ops.deform_dwconv2d; one dtype, float32 or float64."""
    if x.shape[0] == 0:  # torchvision divides by the batch size
        return x.new_zeros(0, x.shape[1], *offset.shape[2:]) + 0 * (x.sum() + offset.sum() + weight.sum())
    poisoned = offset.isnan()
    out = deform_conv2d(
        x,
        offset.masked_fill(poisoned, 0),
        weight,
        bias,
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
    )
    return out.masked_fill(poisoned.any(1, keepdim=True), float("nan"))
