"""The 2D D-LKA Net: a picture -> scores of every class at every pixel.

Built from the description of Azad et al., arXiv:2309.00121, and the shapes of its published code: a MaxViT from timm as
encoder, a decoder of three stages of D-LKA. The published code also makes two blocks and a linear layer at the deepest
stage that its forward never calls, 23.06 M of its 101.64 M parameters: they are left out here. Names of sub-modules are
the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlka.errors import DlkaError
from dlka.layers import DeformableLKAAttention
from dlka.layers3d import under
from dlka.offset_nets import Float32Conv2d


@dataclass(frozen=True)
class PicturePreset:
    """encoder: a MaxViT of timm's; dims: channels of its stages, of which only so many are used; size: side in pixels
    that its windows are made for; zero_start: whether offset nets start at zero, as in the rest of this project, or
    like all else, as published."""

    encoder: str
    dims: tuple[int, ...]
    size: int
    zero_start: bool


PRESETS = {
    "paper": PicturePreset("maxvit_rmlp_small_rw_224", (96, 192, 384, 768), 224, False),
    "small": PicturePreset("maxvit_rmlp_pico_rw_256", (32, 64, 128), 128, True),
}


class PictureEncoder(nn.Module):
    """timm's model without its head: [N, 3, H, W] -> maps of stride 4, 8, 16 and so on; the last one behind a norm."""

    def __init__(self, preset: PicturePreset, pretrained: bool) -> None:
        super().__init__()
        import timm  # which takes seconds

        self.backbone: Any = timm.create_model(
            preset.encoder, pretrained=pretrained, num_classes=0, global_pool="", img_size=preset.size
        )
        backbone: Any = self.backbone
        if len(preset.dims) < len(backbone.stages):
            del backbone.stages[len(preset.dims) :]
            backbone.norm = type(backbone.norm)(preset.dims[-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        x, maps = self.backbone.stem(x), []
        for stage in self.backbone.stages:
            x = stage(x)
            maps.append(x)
        return [*maps[:-1], self.backbone.norm(x)]


class Mlp(nn.Module):
    """1x1 to four times the channels, depthwise 3x3, GELU, 1x1 back: [N, C, H, W] -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 4 * channels
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.dwconv = under("dwconv", nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden))
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.dwconv(self.fc1(x))))


def over_channels(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer of the last axis, over the channels of [N, C, H, W]."""
    return layer(x.movedim(1, -1)).movedim(-1, 1)


class PictureBlock(nn.Module):
    """D-LKA and an MLP, each behind a norm, scaled and added: [N, C, H, W] -> the same. offsets: as in
    DeformableLKA."""

    def __init__(self, channels: int, offsets: str) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn = DeformableLKAAttention(channels, offsets=offsets)
        self.mlp = Mlp(channels)
        self.layer_scale_1 = nn.Parameter(torch.full((channels,), 1e-2))
        self.layer_scale_2 = nn.Parameter(torch.full((channels,), 1e-2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale_1[:, None, None] * self.attn(over_channels(self.norm1, x))
        return x + self.layer_scale_2[:, None, None] * self.mlp(over_channels(self.norm2, x))


class PatchExpand(nn.Module):
    """Every cell becomes times^2 cells: [N, C, H, W] -> [N, outputs, times*H, times*W]."""

    def __init__(self, channels: int, outputs: int, times: int) -> None:
        super().__init__()
        self.times = times
        self.expand = nn.Linear(channels, outputs * times**2, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        cells = self.expand(x.movedim(1, -1)).unflatten(-1, (self.times, self.times, -1))  # [N, H, W, p, p, C]
        n, height, width, times, _, channels = cells.shape
        cells = cells.transpose(2, 3).reshape(n, height * times, width * times, channels)
        return self.norm(cells).movedim(-1, 1)


class PictureStage(nn.Module):
    """One stage up: two blocks on the sum of what comes from below and from the encoder, then twice as many cells.

    classes: for the last stage, whose cells become 4x4 pixels with scores; None for others.
    """

    def __init__(self, channels: int, offsets: str, classes: int | None = None) -> None:
        super().__init__()
        self.x1_linear = nn.Linear(channels, channels)
        self.layer_lka_1 = PictureBlock(channels, offsets)
        self.layer_lka_2 = PictureBlock(channels, offsets)
        up = (channels // 2, 2) if classes is None else (channels, 4)
        self.layer_up = PatchExpand(channels, *up)
        self.last_layer = None if classes is None else nn.Conv2d(channels, classes, 1)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        x = self.layer_lka_2(self.layer_lka_1(over_channels(self.x1_linear, below) + skip))
        x = self.layer_up(x)
        return x if self.last_layer is None else self.last_layer(x)


class PictureNet(nn.Module):
    """The 2D D-LKA Net.

    preset: of PRESETS, or one of your own; classes: at least 2, the background among them; offsets: as in
    DeformableLKA; pretrained: the encoder's weights of ImageNet, which timm fetches from its hub.
    forward: x [N, 3 or 1, H, W], sides that are whole multiples of `multiple` -> scores [N, classes, H, W]. Grey
    pictures are repeated. Raises DlkaError for another shape.
    """

    def __init__(
        self, preset: PicturePreset, classes: int, offsets: str = "dense", *, pretrained: bool = False
    ) -> None:
        super().__init__()
        self.crop = None  # no size is the only one
        self.multiple = preset.size >> 4 - len(preset.dims)  # its windows divide the map of the deepest stage
        self.backbone = PictureEncoder(preset, pretrained)
        *others, deepest = preset.dims
        # The deepest stage only enlarges.
        setattr(self, f"decoder_{len(others)}", under("layer_up", PatchExpand(deepest, deepest // 2, 2)))
        for level, channels in enumerate(others):
            setattr(self, f"decoder_{level}", PictureStage(channels, offsets, None if level else classes))
        for name, module in self.named_modules():
            if name.startswith("decoder") and isinstance(module, nn.Linear | nn.Conv2d):
                if not (preset.zero_start and isinstance(module, Float32Conv2d)):
                    nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4 or x.shape[1] not in (1, 3) or any(s < 1 or s % self.multiple for s in x.shape[2:]):
            raise DlkaError(
                f"expected pictures [N, 3, H, W] or [N, 1, H, W] whose sides are multiples of {self.multiple} pixels, "
                f"got {list(x.shape)}; resize or pad them"
            )
        *others, deepest = self.backbone(x.expand(-1, 3, -1, -1))
        out = self.get_submodule(f"decoder_{len(others)}")(deepest)
        for level in reversed(range(len(others))):
            out = self.get_submodule(f"decoder_{level}")(out, others[level])
        return out
