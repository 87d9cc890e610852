"""D-LKA of volumes as torch modules, as published: the large kernel is rigid, one dense 3x3x3 convolution deforms.

Architecture: Azad et al., arXiv:2309.00121, and its code (github.com/xmindflow/deformableLKA, "3D single deform LKA"):
a depthwise 5x5x5, a depthwise 7x7x7 of dilation 3, then 27 taps of all channels with one offset field. In the plane
(dlka/layers.py) both large kernels deform instead; with both in three dimensions each voxel would have 1,404 offsets in
place of 81. Sub-module names are those of the paper's code, so that weights trained elsewhere load by name.

Maps are [N, C, D, H, W] with axes (z, y, x) throughout; offsets are in cells of the map they sample.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from dlka.errors import DlkaError
from dlka.ops import deform_conv3d

KERNEL = (3, 3, 3)
TAPS = math.prod(KERNEL)
OFFSETS = ("dense", "separable", "none")
SLOPE = 0.01  # of the leaky ReLUs
GAMMA = 1e-6  # as published


class VolumeDeformConv(nn.Module):
    """A dense 3x3x3 convolution that predicts its own offsets from its input.

    forward: x [N, C, D, H, W] -> same shape

    offsets: "dense" is the paper's, one 3x3x3 convolution; "separable" a depthwise one and one across channels; "none"
    a plain convolution with the same weight and bias. `conv_offset` gives the field [N, 81, D, H, W], (dz, dy, dx) of
    every tap; it starts at zero. Hooks on it may change what the sampling uses. backend: as in deform_conv3d.
    """

    backend = "auto"
    kernel_size, dilation = KERNEL, (1, 1, 1)

    def __init__(self, channels: int, offsets: str = "dense") -> None:
        super().__init__()
        if offsets not in OFFSETS:
            raise DlkaError(f"offsets: expected one of {', '.join(OFFSETS)}, got {offsets!r:.40}.")
        self.weight = nn.Parameter(torch.empty(channels, channels, *KERNEL))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as torch starts its convolutions
        self.conv_offset = None if offsets == "none" else _offset_net(channels, offsets)

    @property
    def offset_net(self) -> nn.Module | None:
        """What gives the offsets, by the name that it has in dlka/layers.py."""
        return self.conv_offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.conv_offset is None:
            return nn.functional.conv3d(x, self.weight, self.bias, padding=1)
        return deform_conv3d(x, self.conv_offset(x), self.weight, self.bias, padding=1, backend=self.backend)


def _offset_net(channels: int, offsets: str) -> nn.Module:
    """C -> 81 channels, zero at first."""
    last = nn.Conv3d(channels, 3 * TAPS, 3, padding=1) if offsets == "dense" else nn.Conv3d(channels, 3 * TAPS, 1)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    if offsets == "dense":
        return last
    return nn.Sequential(nn.Conv3d(channels, channels, 3, padding=1, groups=channels), last)


class VolumeGate(nn.Module):
    """Gate the input by what a large kernel and 27 deformable taps see around each cell.

    forward: x [N, C, D, H, W] -> x * gate, same shape. The gate, signed and unbounded, is the output of `conv1`.
    """

    def __init__(self, dim: int, offsets: str = "dense") -> None:
        super().__init__()
        self.conv0 = nn.Conv3d(dim, dim, 5, padding=2, groups=dim)
        self.conv_spatial = nn.Conv3d(dim, dim, 7, padding=9, dilation=3, groups=dim)
        self.deform_conv = VolumeDeformConv(dim, offsets)
        self.conv1 = nn.Conv3d(dim, dim, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.conv1(self.deform_conv(self.conv_spatial(self.conv0(x))))


class VolumeAttention(nn.Module):
    """x + proj_2(gate(GELU(proj_1(x)))).

    forward: x [N, C, D, H, W] -> same shape
    """

    def __init__(self, d_model: int, offsets: str = "dense") -> None:
        super().__init__()
        self.proj_1 = nn.Conv3d(d_model, d_model, 1)
        self.activation = nn.GELU()
        self.spatial_gating_unit = VolumeGate(d_model, offsets)
        self.proj_2 = nn.Conv3d(d_model, d_model, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.proj_2(self.spatial_gating_unit(self.activation(self.proj_1(x))))


class Conv(nn.Module):
    """A convolution of volumes without bias, or what turns it round, under the name `conv`."""

    def __init__(self, inputs: int, outputs: int, kernel: Any, step: Any = 1, turned: bool = False) -> None:
        super().__init__()
        if turned:
            self.conv: nn.Module = nn.ConvTranspose3d(inputs, outputs, kernel, step, bias=False)
        else:
            padding = 1 if kernel == 3 else 0
            self.conv = nn.Conv3d(inputs, outputs, kernel, step, padding, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class ResBlock(nn.Module):
    """Two 3x3x3 convolutions with norms around a shortcut, which is a 1x1x1 convolution where channels change.

    forward: x [N, inputs, D, H, W] -> [N, outputs, D, H, W]; norm: nn.BatchNorm3d or nn.InstanceNorm3d
    """

    def __init__(self, inputs: int, outputs: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv1, self.norm1 = Conv(inputs, outputs, 3), norm(outputs)
        self.conv2, self.norm2 = Conv(outputs, outputs, 3), norm(outputs)
        self.lrelu = nn.LeakyReLU(SLOPE)
        self.changes = inputs != outputs
        if self.changes:
            self.conv3, self.norm3 = Conv(inputs, outputs, 1), norm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.norm2(self.conv2(self.lrelu(self.norm1(self.conv1(x)))))
        return self.lrelu(out + (self.norm3(self.conv3(x)) if self.changes else x))


class VolumeBlock(nn.Module):
    """The block of the 3D D-LKA Net: scaled attention of the normed input, then a residual pair of 3x3x3 convolutions.

    forward: x [N, C, D, H, W] -> same shape

    cells: how many a map has, where the block adds a learned position to each (the paper's does, which ties it to one
    size of input); None: no positions. gamma: what the attention's weight starts at, 1e-6 as published; with 0.1 the
    offsets learn within a short training.
    """

    def __init__(self, channels: int, offsets: str = "dense", cells: int | None = None, gamma: float = GAMMA) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.gamma = nn.Parameter(torch.full((channels,), gamma))
        self.epa_block = VolumeAttention(channels, offsets)
        self.conv51 = ResBlock(channels, channels, nn.BatchNorm3d)
        self.conv8 = nn.Sequential(nn.Dropout3d(0.1), nn.Conv3d(channels, channels, 1))
        self.pos_embed = None if cells is None else nn.Parameter(torch.zeros(1, cells, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pos_embed is not None:
            if x[0, 0].numel() != self.pos_embed.shape[1]:
                raise DlkaError(
                    f"expected a map of {self.pos_embed.shape[1]} cells, for which this block has learned positions; "
                    f"got {' x '.join(map(str, x.shape[2:]))}."
                )
            x = x + self.pos_embed.transpose(1, 2).view(1, -1, *x.shape[2:])
        normed = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        x = x + self.gamma.view(-1, 1, 1, 1) * self.epa_block(normed)
        out: torch.Tensor = x + self.conv8(self.conv51(x))
        return out
