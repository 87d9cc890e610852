"""3D D-LKA as it was published: two rigid large kernels, then ONE deformable 3x3x3 convolution of all channels.

Architecture: the 3D network of Azad et al., arXiv:2309.00121, as its published code builds it. The article's text reads
as if both large kernels were deformable, as in 2D; the counted parameters of its table (42.35 M) hold for this block.
So what moves are 27 taps a voxel, and 81 numbers say where to. Sub-module names are those of the paper's code, so that
weights trained elsewhere load by name.

Volumes are [N, C, D, H, W]; offsets are in cells of the map that they sample.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlka.errors import DlkaError, short
from dlka.offset_nets import OffsetConv3d, SeparableOffsetNet3d
from dlka.ops import deform_conv3d

OFFSETS = ("dense", "separable", "none", "absent")
BOTH_LARGE = "large-kernels"  # the article's simpler reading


class DeformConv3d(nn.Conv3d):
    """Deformable 3x3x3 convolution, all channels to all, that predicts its own offsets from its input.

    forward: [N, C, D, H, W] -> same shape. offsets: "dense", a full 3x3x3 convolution as published, or "separable".
    Hooks on ``offset_net`` see the offset field [N, 81, D, H, W], dz, dy, dx per tap, and may change exactly what the
    sampling uses. Its weights stand under ``conv_offset``, the paper's name. backend: as in deform_conv3d.
    """

    backend = "auto"

    def __init__(self, channels: int, offsets: str = "dense") -> None:
        super().__init__(channels, channels, 3, padding=1)
        separable = offsets == "separable"
        self.conv_offset = SeparableOffsetNet3d(channels) if separable else OffsetConv3d(channels, 81, 3, padding=1)

    @property
    def offset_net(self) -> nn.Module:
        """What predicts the offsets."""
        return self.conv_offset

    def forward(self, x: Tensor) -> Tensor:
        return deform_conv3d(x, self.conv_offset(x), self.weight, self.bias, padding=1, backend=self.backend)


def _deforming(channels: int, offsets: str) -> nn.Module:
    """The convolution after the two large kernels."""
    if offsets == BOTH_LARGE:
        raise DlkaError(
            f"offsets: {BOTH_LARGE} is what the article's text says and its code never built: 1404 offsets a voxel "
            f"instead of 81, 12.8 million parameters to predict them for 32 channels; expected one of {OFFSETS}"
        )
    if offsets not in OFFSETS:
        raise DlkaError(f"offsets: expected one of {OFFSETS}, got {short(offsets)}")
    if offsets == "absent":
        return nn.Identity()
    return nn.Conv3d(channels, channels, 3, padding=1) if offsets == "none" else DeformConv3d(channels, offsets)


class VolumeGate(nn.Module):
    """Gate the input by what two rigid kernels (5^3, then 7^3 with dilation 3) and a deformable 3^3 see around a cell.

    forward: x [N, C, D, H, W] -> x * gate, same shape. The gate is the output of ``conv1``, signed and unbounded.
    offsets: "dense", "separable", "none" (a rigid 3^3 with the same weights: the twin), or "absent" (no 3^3 at all:
    the LKA baseline of the paper's table). Without offsets it reaches 12 cells to each side.
    """

    def __init__(self, dim: int, offsets: str = "dense") -> None:
        super().__init__()
        self.conv0 = nn.Conv3d(dim, dim, 5, padding=2, groups=dim)
        self.conv_spatial = nn.Conv3d(dim, dim, 7, padding=9, dilation=3, groups=dim)
        self.deform_conv = _deforming(dim, offsets)
        self.conv1 = nn.Conv3d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv1(self.deform_conv(self.conv_spatial(self.conv0(x))))


class VolumeAttention(nn.Module):
    """x + proj_2(gate(GELU(proj_1(x)))): [N, C, D, H, W] -> same shape. offsets: as in VolumeGate."""

    def __init__(self, d_model: int, offsets: str = "dense") -> None:
        super().__init__()
        self.proj_1 = nn.Conv3d(d_model, d_model, 1)
        self.activation = nn.GELU()
        self.spatial_gating_unit = VolumeGate(d_model, offsets)
        self.proj_2 = nn.Conv3d(d_model, d_model, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.proj_2(self.spatial_gating_unit(self.activation(self.proj_1(x))))


def under(name: str, layer: nn.Module) -> nn.Sequential:
    """A layer under a name of the paper's code."""
    return nn.Sequential(OrderedDict({name: layer}))


class ResidualPair(nn.Module):
    """Two 3x3x3 convolutions, each with a norm, beside a shortcut: [N, C_in, D, H, W] -> [N, C_out, D, H, W].

    norm: makes a norm from a number of channels. Where the channels differ the shortcut has a 1x1x1 of its own.
    """

    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], nn.Module] = nn.BatchNorm3d) -> None:
        super().__init__()
        self.conv1 = under("conv", nn.Conv3d(inputs, outputs, 3, padding=1, bias=False))
        self.conv2 = under("conv", nn.Conv3d(outputs, outputs, 3, padding=1, bias=False))
        self.norm1, self.norm2 = norm(outputs), norm(outputs)
        self.lrelu = nn.LeakyReLU(0.01)
        self.shortcut = inputs != outputs
        if self.shortcut:
            self.conv3 = under("conv", nn.Conv3d(inputs, outputs, 1, bias=False))
            self.norm3 = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(self.lrelu(self.norm1(self.conv1(x)))))
        return self.lrelu(out + (self.norm3(self.conv3(x)) if self.shortcut else x))


class VolumeBlock(nn.Module):
    """Attention behind a norm and a learned scale, then a residual pair; both are added: [N, C, D, H, W] -> the same.

    offsets: as in VolumeGate. gamma: where the scale of the attention starts; 1e-6 as published, with which its offsets
    learn next to nothing in a short training. size: (D, H, W) of the map if it has a position embedding, which ties it
    to that size, as published; None for any size.
    """

    def __init__(
        self, channels: int, offsets: str = "dense", gamma: float = 1e-6, size: tuple[int, int, int] | None = None
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.gamma = nn.Parameter(torch.full((channels,), gamma))
        self.epa_block = VolumeAttention(channels, offsets)
        self.conv51 = ResidualPair(channels, channels)
        self.conv8 = nn.Sequential(nn.Dropout3d(0.1), nn.Conv3d(channels, channels, 1))
        self.size = size
        cells = 0 if size is None else size[0] * size[1] * size[2]
        self.pos_embed = nn.Parameter(torch.zeros(1, cells, channels)) if size else None

    def forward(self, x: Tensor) -> Tensor:
        if self.pos_embed is not None:
            if tuple(x.shape[2:]) != self.size:
                raise DlkaError(
                    f"expected a map of {self.size} cells, for which this block has a position embedding, got "
                    f"{tuple(x.shape[2:])}; give crops of the size that the network was built for"
                )
            x = x + self.pos_embed.unflatten(1, self.size).movedim(-1, 1)
        # The norm leaves channels-last memory behind it, in which torch's depthwise convolutions are 3 times faster.
        attention = self.epa_block(self.norm(x.movedim(1, -1)).movedim(-1, 1))
        x = x + self.gamma.view(-1, 1, 1, 1) * attention
        return x + self.conv8(self.conv51(x))
