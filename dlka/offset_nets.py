"""The nets that predict offsets from a map, in cells: [N, C, H, W] -> [N, 2K, Ho, Wo] float32.

How offsets are predicted is one word, the same in yamls, weights files and here:
- "dense": a full convolution with the stage's own kernel, as in the paper; most of a block's parameters and time;
- "separable": the same convolution factorised into a depthwise one and a 1x1 (Howard et al., "MobileNets",
  arXiv:1704.04861);
- "none": no offsets, the rigid twin;
- "features": the separable net, whose outputs are added as features and move nothing (`dlka.layers.FeatureConv`).

Both nets start at zero output, as in Dai et al. (arXiv:1703.06211).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from dlka.depthwise import depthwise_conv2d


def offset_net(offsets: str, channels: int, kernel_size: tuple[int, int], geometry: dict[str, Any]) -> nn.Module:
    """A net that says, for every output cell of a convolution of this geometry, where its K = kh * kw taps read.

    offsets: "dense" or "separable"; ValueError otherwise. geometry: stride, padding and dilation of the convolution.
    """
    if offsets == "separable":
        return SeparableOffsetNet(channels, kernel_size, **geometry)
    if offsets == "dense":
        return OffsetConv2d(channels, 2 * math.prod(kernel_size), kernel_size, **geometry)
    raise ValueError(
        f"offsets: expected dense or separable (or none or features, for a block that moves nothing), got {offsets!r}"
    )


class _Float32(nn.modules.conv._ConvNd):
    """A convolution of an offset net: float32 at least, under autocast and in a model cast to half precision too.

    forward: [N, C, ...] -> [N, C_out, ...] float32, or float64 for float64. With bfloat16 a position near 79 could only
    move in steps of half a cell.

    bfloat16_products: set while a model is trained in mixed precision. The sum over the inputs, a displacement of few
    cells from the tap grid, then comes in bfloat16, exact to 1/256 of itself; bias, offsets and positions stay float32.
    """

    bfloat16_products = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = torch.float64 if x.dtype == torch.float64 else torch.float32
        with torch.autocast(x.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.to(wide)
            if not self.bfloat16_products:
                return self._conv_forward(x.to(wide), self.weight.to(wide), bias)
            out = self._conv_forward(x.bfloat16(), self.weight.bfloat16(), None).to(wide)
            return out if bias is None else out + bias.view(-1, *[1] * (out.dim() - 2))


class Float32Conv2d(_Float32, nn.Conv2d):
    """Of maps: [N, C, H, W] -> [N, C_out, Ho, Wo]."""


class Float32Conv3d(_Float32, nn.Conv3d):
    """Of volumes: [N, C, D, H, W] -> [N, C_out, Do, Ho, Wo]."""


class _ZeroStart(nn.modules.conv._ConvNd):
    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class OffsetConv2d(_ZeroStart, Float32Conv2d):
    """The convolution that gives out offsets: [N, C, H, W] -> [N, 2K, Ho, Wo], starting at zero weights and bias."""


class OffsetConv3d(_ZeroStart, Float32Conv3d):
    """The same for volumes: [N, C, D, H, W] -> [N, 3K, Do, Ho, Wo]."""


class DepthwiseOffsetConv2d(Float32Conv2d):
    """The depthwise part of an offset net, without bias: [N, C, H, W] -> [N, C, Ho, Wo]."""

    def __init__(self, channels: int, kernel_size: tuple[int, int], **geometry: Any) -> None:
        super().__init__(channels, channels, kernel_size, groups=channels, bias=False, **geometry)

    def _conv_forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return depthwise_conv2d(x, weight, self.stride[0], int(self.padding[0]), self.dilation[0])


class SeparableOffsetNet(nn.Module):
    """A dense offset convolution factorised: one kernel a channel, then a 1x1 that mixes them into offsets.

    forward: [N, C, H, W] -> [N, 2K, Ho, Wo] float32. The depthwise part keeps the variance of what goes through it, so
    that the 1x1, which starts at zero, has a gradient to learn from; it needs no bias, the 1x1's does the same.
    """

    def __init__(self, channels: int, kernel_size: tuple[int, int], **geometry: Any) -> None:
        super().__init__()
        self.depthwise = DepthwiseOffsetConv2d(channels, kernel_size, **geometry)
        self.pointwise = OffsetConv2d(channels, 2 * math.prod(kernel_size), 1)
        nn.init.normal_(self.depthwise.weight, std=math.prod(kernel_size) ** -0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pointwise(self.depthwise(x))


class SeparableOffsetNet3d(nn.Module):
    """The same for volumes, of a 3^3 kernel that keeps the size: [N, C, D, H, W] -> [N, 81, D, H, W] float32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = Float32Conv3d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = OffsetConv3d(channels, 81, 1)
        nn.init.normal_(self.depthwise.weight, std=27**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pointwise(self.depthwise(x))
