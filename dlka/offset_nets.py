"""The nets that predict offsets from a map, in cells: [N, C, H, W] -> [N, 2K, Ho, Wo] float32.

How offsets are predicted is one word, the same in yamls, weights files and here:
- "dense": a full convolution with the stage's own kernel, as in the paper; most of a block's parameters and time;
- "separable": the same convolution factorised into a depthwise one and a 1x1 (Howard et al., "MobileNets",
  arXiv:1704.04861);
- "none": no offsets, the rigid twin;
- "features": the separable net, whose outputs are added as features and move nothing (`dlka.layers.FeatureConv`).

Both nets start at zero output, as in Dai et al. (arXiv:1703.06211).

And depthwise convolution, with a faster way to the same numbers where the CPU has none for dilated kernels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


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


def depthwise_conv2d(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int, dilation: int) -> torch.Tensor:
    """x [N, C, H, W], weight [C, 1, kh, kw] -> [N, C, Ho, Wo]: F.conv2d with a group for each channel, without bias.

    In mixed-precision training on the CPU it runs in float32: oneDNN's bfloat16 gradients of such a convolution are the
    slower ones, also on processors with bfloat16 instructions.
    """
    if torch.is_autocast_enabled("cpu") and torch.is_grad_enabled() and x.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return depthwise_conv2d(x.float(), weight.float(), stride, padding, dilation)
    if _pays(x, weight, stride, padding, dilation):
        return by_phases(x, weight, dilation)
    return F.conv2d(x, weight, None, stride, padding, dilation, groups=x.shape[1])


def _pays(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int, dilation: int) -> bool:
    """Measured on the CPU in channels-last memory only; whoever records the graph should see one convolution."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    kernel = weight.shape[2]
    return (
        dilation > 1
        and stride == 1
        and kernel == weight.shape[3]
        and kernel % 2 == 1
        and 2 * padding == dilation * (kernel - 1)
        and x.device.type == "cpu"
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def by_phases(x: torch.Tensor, weight: torch.Tensor, dilation: int) -> torch.Tensor:
    """A dilated convolution that keeps the size of the map, as undilated ones.

    Cells whose rows and columns leave the same remainders by the dilation never meet the others: each of the
    dilation^2 phases is a small map of its own. They become a batch, for which oneDNN has a vectorised kernel; for
    dilated ones in this memory layout it has none.
    """
    n, channels, height, width = x.shape
    rows, columns = -(-height // dilation), -(-width // dilation)
    cells = x.permute(0, 2, 3, 1)  # [N, H, W, C], contiguous
    cells = F.pad(cells, (0, 0, 0, columns * dilation - width, 0, rows * dilation - height))
    phases = cells.view(n, rows, dilation, columns, dilation, channels).permute(0, 2, 4, 1, 3, 5)
    phases = phases.reshape(n * dilation**2, rows, columns, channels).permute(0, 3, 1, 2)
    out = F.conv2d(phases, weight, None, 1, weight.shape[2] // 2, groups=channels).permute(0, 2, 3, 1)
    out = out.reshape(n, dilation, dilation, rows, columns, channels).permute(0, 3, 1, 4, 2, 5)
    out = out.reshape(n, rows * dilation, columns * dilation, channels)[:, :height, :width]
    return out.contiguous().permute(0, 3, 1, 2)
