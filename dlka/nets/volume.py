"""The 3D D-LKA Net: an encoder and a decoder of D-LKA blocks with sums between them, and a branch at full size.

Architecture: Azad et al., arXiv:2309.00121, and its code (github.com/xmindflow/deformableLKA), which follows UNETR++
(Shaker et al., arXiv:2212.04497). Names are those of that code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from dlka.errors import DlkaError
from dlka.layers3d import GAMMA, Conv, ResBlock, VolumeBlock

Side = tuple[int, int, int]


@dataclass(frozen=True)
class Shape:
    """How large a net is.

    dims    channels of the four stages
    depth   blocks a stage, in encoder and decoder alike
    feature channels of the branch at full size
    patch   cells of the input for one of the first stage, (z, y, x)
    size    of the input for which it has learned positions; None: it has none, and takes any size
    gamma   what the weights of the blocks' attention start at
    """

    dims: tuple[int, int, int, int]
    depth: int
    feature: int
    patch: Side
    size: Side | None
    gamma: float


SHAPES = {
    "paper": Shape((32, 64, 128, 256), 3, 16, (2, 4, 4), (64, 128, 128), GAMMA),
    "small": Shape((16, 32, 64, 128), 1, 8, (2, 2, 2), None, 0.1),
}


def volume_net(preset: str, classes: int, offsets: str) -> VolumeNet:
    """See dlka.nets.build_net."""
    return VolumeNet(SHAPES[preset], classes, offsets)


class VolumeNet(nn.Module):
    """forward: x [N, 1, D, H, W] -> logits [N, classes, D, H, W]; in training a list of them, at full size, and after
    the last two decoder stages at the size of the first and second encoder stage. Sides are multiples of `multiple`."""

    def __init__(self, shape: Shape, classes: int, offsets: str = "dense") -> None:
        super().__init__()
        self.multiple = tuple(8 * side for side in shape.patch)
        dims = shape.dims
        self.d_lka_former_encoder = _Encoder(shape, offsets)
        self.encoder1 = ResBlock(1, shape.feature, nn.InstanceNorm3d)
        self.decoder5 = _Up(dims[3], dims[2], (2, 2, 2), _blocks(shape, 2, offsets))
        self.decoder4 = _Up(dims[2], dims[1], (2, 2, 2), _blocks(shape, 1, offsets))
        self.decoder3 = _Up(dims[1], dims[0], (2, 2, 2), _blocks(shape, 0, offsets))
        last = ResBlock(shape.feature, shape.feature, nn.InstanceNorm3d)
        self.decoder2 = _Up(dims[0], shape.feature, shape.patch, last)
        self.out1 = _Out(shape.feature, classes)
        self.out2 = _Out(dims[0], classes)
        self.out3 = _Out(dims[1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        if x.dim() != 5 or any(side % m or not side for side, m in zip(x.shape[2:], self.multiple)):
            sides = " x ".join(map(str, self.multiple))
            raise DlkaError(f"expected volumes [N, 1, D, H, W] with sides of multiples of {sides}, got {[*x.shape]}.")
        first, second, third, deepest = self.d_lka_former_encoder(x)
        coarse = self.decoder4(self.decoder5(deepest, third), second)
        fine = self.decoder3(coarse, first)
        whole: torch.Tensor = self.out1(self.decoder2(fine, self.encoder1(x)))
        return [whole, self.out2(fine), self.out3(coarse)] if self.training else whole


class _Encoder(nn.Module):
    """Maps after each of the four stages."""

    def __init__(self, shape: Shape, offsets: str) -> None:
        super().__init__()
        self.downsample_layers, self.stages = nn.ModuleList(), nn.ModuleList()
        before = 1
        for number, channels in enumerate(shape.dims):
            step = (2, 2, 2) if number else shape.patch
            self.downsample_layers.append(
                nn.Sequential(Conv(before, channels, step, step), nn.GroupNorm(before, channels))
            )
            self.stages.append(_blocks(shape, number, offsets))
            before = channels

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for down, stage in zip(self.downsample_layers, self.stages):
            x = stage(down(x))
            maps.append(x)
        return maps


class _Up(nn.Module):
    """Twice the size, or `patch` times, plus what the encoder had at this size, then blocks."""

    def __init__(self, inputs: int, outputs: int, step: Side, block: nn.Module) -> None:
        super().__init__()
        self.transp_conv = Conv(inputs, outputs, step, step, turned=True)
        self.decoder_block = nn.ModuleList([block])

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.decoder_block[0](self.transp_conv(x) + skip)
        return out


class _Out(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.ModuleDict({"conv": nn.Conv3d(channels, classes, 1)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv["conv"](x)
        return out


def _blocks(shape: Shape, number: int, offsets: str) -> nn.Sequential:
    """The blocks of a stage, in the encoder or at the same size in the decoder."""
    cells = None
    if shape.size is not None:
        cells = math.prod(side // patch // 2**number for side, patch in zip(shape.size, shape.patch))
    return nn.Sequential(*(VolumeBlock(shape.dims[number], offsets, cells, shape.gamma) for _ in range(shape.depth)))
