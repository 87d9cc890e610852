"""D-LKA as torch modules, and its two twins for ablation: without offsets, and with offset nets that move nothing.

Architecture: Azad et al., "Beyond Self-Attention: Deformable Large Kernel Attention for Medical Image Segmentation",
arXiv:2309.00121, figure 3; the rigid block is LKA, Guo et al., "Visual Attention Network", arXiv:2202.09741. Sub-module
names are those of the paper's code, so that weights trained elsewhere load by name.

Offset nets start at zero output: every block begins as its rigid twin, and whatever deformation a trained model shows
was learned, not left over from a random start.

Maps are [N, C, H, W] throughout, in any memory layout; offsets are in cells of the map they sample.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from dlka.depthwise import depthwise_conv2d
from dlka.offset_nets import SeparableOffsetNet, offset_net
from dlka.ops import deform_dwconv2d

SMALL: dict[str, Any] = {"kernel_size": (5, 5), "padding": 2, "dilation": 1}
LARGE: dict[str, Any] = {"kernel_size": (7, 7), "padding": 9, "dilation": 3}


class DepthwiseWeight(nn.Module):
    """Holds weight [C, 1, kh, kw] under the name that the paper's code gives it."""

    def __init__(self, channels: int, kernel_size: tuple[int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, *kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as torch and torchvision start their convolutions


class RigidConv(nn.Module):
    """A plain depthwise convolution; DeformConv with every offset fixed at zero: same weight, same name.

    forward: x [N, C, H, W] -> [N, C, Ho, Wo]
    """

    def __init__(
        self, channels: int, kernel_size: tuple[int, int] = (3, 3), padding: int = 1, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.deform_conv = DepthwiseWeight(channels, kernel_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return depthwise_conv2d(x, self.deform_conv.weight, self.stride, self.padding, self.dilation)


class FeatureConv(RigidConv):
    """RigidConv with an offset net whose outputs are added to its own as features: nothing moves.

    forward: x [N, C, H, W] -> [N, C, Ho, Wo]
    Parameters and their names are those of DeformConv with separable offsets: where that one gains over this, the
    reason is not that it has more of them. What the net gives out, [N, 2K, Ho, Wo], is dealt out to the C channels
    without a parameter, see `dealt_out`.
    """

    def __init__(
        self, channels: int, kernel_size: tuple[int, int] = (3, 3), padding: int = 1, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__(channels, kernel_size, padding, stride, dilation)
        self.channels = channels
        self.offset_net = SeparableOffsetNet(channels, kernel_size, stride=stride, padding=padding, dilation=dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + dealt_out(self.offset_net(x), self.channels).to(x.dtype)


def dealt_out(features: torch.Tensor, channels: int) -> torch.Tensor:
    """Features dealt out to channels in turn: [N, F, H, W] -> [N, channels, H, W].

    Channel c is the sum of the features c, c + channels, ... over the square root of their count; 0 without any.
    """
    count = int(features.shape[1])  # a tensor while TorchScript traces
    rounds, rest = divmod(count, channels)  # every channel gets so many, the first `rest` one more
    padded = nn.functional.pad(features, (0, 0, 0, 0, 0, -count % channels))
    total = padded.unflatten(1, (-1, channels)).sum(1)
    return torch.cat([total[:, :rest] / math.sqrt(rounds + 1), total[:, rest:] / math.sqrt(max(rounds, 1))], 1)


class DeformConv(nn.Module):
    """Depthwise deformable convolution that predicts its own offsets from its input.

    forward: x [N, C, H, W] -> [N, C, Ho, Wo]
    offsets: "dense" or "separable". Hooks on ``offset_net``, whichever it is, see the offset field [N, 2K, Ho, Wo] and
    may change exactly what the sampling uses. backend: the operator's implementation, as in deform_dwconv2d.
    """

    backend = "auto"

    def __init__(
        self,
        channels: int,
        kernel_size: tuple[int, int] = (3, 3),
        padding: int = 1,
        stride: int = 1,
        dilation: int = 1,
        offsets: str = "dense",
    ) -> None:
        super().__init__()
        self.channels, self.kernel_size = channels, kernel_size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.offset_net = offset_net(
            offsets, channels, kernel_size, {"stride": stride, "padding": padding, "dilation": dilation}
        )
        self.deform_conv = DepthwiseWeight(channels, kernel_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return deform_dwconv2d(
            x,
            self.offset_net(x),
            self.deform_conv.weight,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            backend=self.backend,
        )


class DeformableLKA(nn.Module):
    """Gate the input by what a deformable large kernel (5x5, then 7x7 with dilation 3) sees around each cell.

    forward: x [N, C, H, W] -> x * gate, same shape. The gate is signed and unbounded: it is the output of ``conv1``,
    a module of its own so that it can be observed. offsets: "dense", "separable", "none" or "features".
    """

    def __init__(self, dim: int, offsets: str = "dense") -> None:
        super().__init__()
        self.conv0 = _stage(dim, offsets, SMALL)
        self.conv_spatial = _stage(dim, offsets, LARGE)
        self.conv1 = nn.Conv2d(dim, dim, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.conv1(self.conv_spatial(self.conv0(x)))


def _stage(channels: int, offsets: str, geometry: dict[str, Any]) -> DeformConv | RigidConv:
    if offsets == "none":
        return RigidConv(channels, **geometry)
    if offsets == "features":
        return FeatureConv(channels, **geometry)
    return DeformConv(channels, offsets=offsets, **geometry)


class DeformableLKAAttention(nn.Module):
    """The residual D-LKA block: x + proj_2(gate(GELU(proj_1(x)))).

    forward: x [N, C, H, W] -> same shape.
    identity=True sets proj_2 to zero, so that the block starts as the identity and a model it is added to starts
    exactly as it was: the honest start for fine-tuning. offsets: "dense", "separable", "none" for the rigid twin, or
    "features" for the twin of the same cost.
    """

    def __init__(self, d_model: int, identity: bool = False, offsets: str = "dense") -> None:
        super().__init__()
        self.proj_1 = nn.Conv2d(d_model, d_model, 1)
        self.activation = nn.GELU()
        self.spatial_gating_unit = DeformableLKA(d_model, offsets)
        self.proj_2 = nn.Conv2d(d_model, d_model, 1)
        if identity:
            self._start_as_identity()

    def _start_as_identity(self) -> None:
        """proj_2 at zero, gates around one; everything before proj_2 keeps the variance of what goes through.

        torch's own start shrinks the signal at every step, so that gates begin near zero and offsets, three layers
        further down, have next to no gradient to learn from. With gates around one, proj_2 sees the input itself at
        first, whose gradient does not change its sign from batch to batch: it leaves zero, and what makes the gates
        begins to matter.
        """
        unit = self.spatial_gating_unit
        # GELU passes about half of the variance.
        for conv, gain, bias in ((self.proj_1, 2.0, 0.0), (unit.conv1, 1.0, 1.0), (self.proj_2, 0.0, 0.0)):
            nn.init.orthogonal_(conv.weight, gain)
            if conv.bias is not None:
                nn.init.constant_(conv.bias, bias)
        for stage in (unit.conv0, unit.conv_spatial):
            weight = stage.deform_conv.weight
            nn.init.normal_(weight, std=weight[0].numel() ** -0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.proj_2(self.spatial_gating_unit(self.activation(self.proj_1(x))))
