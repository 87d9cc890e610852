"""The 3D D-LKA Net: a volume -> scores of every class at every voxel.

Built from the description of Azad et al., arXiv:2309.00121, and the shapes of its published code: four stages down,
three up with plain additions, a branch at full resolution. Two further heads judge coarser maps while it is trained.
Names of sub-modules are the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from dlka.errors import DlkaError
from dlka.layers3d import ResidualPair, VolumeBlock, under

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class VolumePreset:
    """dims: channels of the four stages; blocks of a stage; features: channels at full resolution, half of the first
    stage's; patch: voxels of a cell of the first stage; crop: voxels of the input that position embeddings tie it to,
    or None; gamma: as in VolumeBlock."""

    dims: tuple[int, int, int, int]
    blocks: int
    features: int
    patch: Triple
    crop: Triple | None
    gamma: float


PRESETS = {
    "paper": VolumePreset((32, 64, 128, 256), 3, 16, (2, 4, 4), (64, 128, 128), 1e-6),
    "small": VolumePreset((16, 32, 64, 128), 1, 8, (2, 2, 2), None, 0.1),
}


def _blocks(preset: VolumePreset, stage: int, offsets: str) -> nn.Sequential:
    # Cells of the stage's map, if the crop is fixed.
    size: Any = preset.crop and tuple(side // patch >> stage for side, patch in zip(preset.crop, preset.patch))
    made = (VolumeBlock(preset.dims[stage], offsets, preset.gamma, size) for _ in range(preset.blocks))
    return nn.Sequential(*made)


class VolumeEncoder(nn.Module):
    """[N, 1, D, H, W] -> the maps of the four stages, the finest first."""

    def __init__(self, preset: VolumePreset, offsets: str) -> None:
        super().__init__()
        dims, steps = (1, *preset.dims), (preset.patch, *[(2, 2, 2)] * 3)
        self.downsample_layers = nn.ModuleList(
            # As many groups as there are input channels.
            nn.Sequential(under("conv", nn.Conv3d(i, o, step, step, bias=False)), nn.GroupNorm(i, o))
            for i, o, step in zip(dims, preset.dims, steps)
        )
        self.stages = nn.ModuleList(_blocks(preset, stage, offsets) for stage in range(4))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for down, stage in zip(self.downsample_layers, self.stages):
            x = stage(down(x))
            maps.append(x)
        return maps


class UpStage(nn.Module):
    """Enlarge a map, add the one from the way down, and work on the sum: (coarse, skip) -> the skip's shape."""

    def __init__(self, inputs: int, outputs: int, step: Triple, block: nn.Module) -> None:
        super().__init__()
        self.transp_conv = under("conv", nn.ConvTranspose3d(inputs, outputs, step, step, bias=False))
        self.decoder_block = nn.ModuleList([block])

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.decoder_block[0](self.transp_conv(x) + skip)


class VolumeNet(nn.Module):
    """The 3D D-LKA Net.

    preset: of PRESETS, or one of your own; classes: at least 2, the background among them; offsets: as in VolumeGate.
    forward: x [N, 1, D, H, W], sides that are whole multiples of `multiple` voxels -> scores [N, classes, D, H, W];
    in training mode a list of three, the finest first, the others of the maps of the first and of the second stage.
    Raises DlkaError for another shape.
    """

    def __init__(self, preset: VolumePreset, classes: int, offsets: str = "dense") -> None:
        super().__init__()
        dims, features = preset.dims, preset.features
        self.multiple = tuple(8 * side for side in preset.patch)
        self.crop = preset.crop
        self.d_lka_former_encoder = VolumeEncoder(preset, offsets)
        self.encoder1 = ResidualPair(1, features, nn.InstanceNorm3d)
        two = (2, 2, 2)
        self.decoder5 = UpStage(dims[3], dims[2], two, _blocks(preset, 2, offsets))
        self.decoder4 = UpStage(dims[2], dims[1], two, _blocks(preset, 1, offsets))
        self.decoder3 = UpStage(dims[1], dims[0], two, _blocks(preset, 0, offsets))
        last = ResidualPair(features, features, nn.InstanceNorm3d)
        self.decoder2 = UpStage(dims[0], features, preset.patch, last)
        self.out1, self.out2, self.out3 = (
            under("conv", under("conv", nn.Conv3d(channels, classes, 1))) for channels in (features, *dims[:2])
        )

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        if x.dim() != 5 or x.shape[1] != 1 or any(s < m or s % m for s, m in zip(x.shape[2:], self.multiple)):
            raise DlkaError(
                f"expected volumes [N, 1, D, H, W] whose sides are multiples of {self.multiple} voxels, got "
                f"{list(x.shape)}; pad them, or use dlka.nets.sliding.slide"
            )
        first, second, third, fourth = self.d_lka_former_encoder(x)
        coarse = self.decoder4(self.decoder5(fourth, third), second)
        middle = self.decoder3(coarse, first)
        out = self.out1(self.decoder2(middle, self.encoder1(x)))
        return [out, self.out2(middle), self.out3(coarse)] if self.training else out
