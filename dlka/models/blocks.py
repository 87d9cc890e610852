"""D-LKA as parts of YOLOv8: in the neck's C2f, after it, and inside the detection head.

Every block takes `offsets`, as in dlka.layers: "dense", "separable", or "none" and "features" for its ablation twins.
Maps are [N, C, H, W]. Names of sub-modules follow the article that the placements come from.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules import Conv, Detect

from dlka.layers import DeformableLKAAttention


def attention(channels: int, offsets: str = "dense") -> DeformableLKAAttention:
    """A residual (D-)LKA block that starts as the identity; [N, channels, H, W] -> same shape."""
    return DeformableLKAAttention(channels, identity=True, offsets=offsets)


class BottleneckDLKA(nn.Module):
    """3x3 convolution, then D-LKA attention in the place of the stock bottleneck's second convolution.

    forward: [N, c1, H, W] -> [N, c2, H, W]; the shortcut applies where c1 equals c2, as in the stock block.
    """

    def __init__(self, c1: int, c2: int, shortcut: bool = True, offsets: str = "dense") -> None:
        super().__init__()
        self.cv1 = Conv(c1, c2, 3, 1)
        self.cv2 = attention(c2, offsets)
        self.add = shortcut and c1 == c2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


class C2f_DLKA(nn.Module):
    """YOLOv8's C2f with D-LKA bottlenecks; cv1 and cv2 have the stock block's names and shapes.

    forward: [N, c1, H, W] -> [N, c2, H, W]; n bottlenecks on `hidden` channels, by default half of c2.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        n: int = 1,
        shortcut: bool = False,
        offsets: str = "dense",
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.c = hidden or c2 // 2
        self.cv1 = Conv(c1, 2 * self.c, 1, 1)
        self.cv2 = Conv((2 + n) * self.c, c2, 1)
        self.m = nn.ModuleList(BottleneckDLKA(self.c, self.c, shortcut, offsets) for _ in range(n))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = list(self.cv1(x).chunk(2, 1))
        for bottleneck in self.m:
            parts.append(bottleneck(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class Detect1x1(Detect):
    """YOLOv8's Detect with 1x1 convolutions only: what is said of a cell depends on that cell's features alone.

    Whatever is looked at around a cell is then looked at by the layers before, so that a D-LKA block in front of it
    has to do what the 3x3 convolutions of the stock head do, and the pyramid. Arguments and outputs are Detect's.
    """

    legacy = True

    def __init__(self, nc: int, reg_max: int = 16, end2end: bool = False, ch: tuple[int, ...] = ()) -> None:
        super().__init__(nc, reg_max, end2end, ch)
        self.cv2 = nn.ModuleList(_pointwise(c, 4 * self.reg_max) for c in ch)
        self.cv3 = nn.ModuleList(_pointwise(c, nc) for c in ch)


def _pointwise(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(Conv(channels, channels, 1), nn.Conv2d(channels, out, 1))


class DetectDLKA(Detect):
    """YOLOv8's Detect with D-LKA before the last 1x1 convolution of every class branch.

    The class branch decides whether an object is found at all; the box branch stays as it is. Arguments and outputs
    are those of Detect.
    """

    legacy = True  # the plain 3x3 class branch of YOLOv8

    def __init__(
        self, nc: int, reg_max: int = 16, end2end: bool = False, ch: tuple[int, ...] = (), offsets: str = "dense"
    ) -> None:
        super().__init__(nc, reg_max, end2end, ch)
        branches: Any = self.cv3
        self.cv3 = nn.ModuleList(
            nn.Sequential(*branch[:-1], attention(branch[-1].in_channels, offsets), branch[-1]) for branch in branches
        )
