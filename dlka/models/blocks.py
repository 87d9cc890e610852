"""D-LKA as parts of YOLOv8: in the neck's C2f, after it, and inside the detection head; and how they get there.

Every block takes `offsets`, as in dlka.layers: "dense", "separable", or "none" and "features" for its ablation twins.
Maps are [N, C, H, W]. Names of sub-modules follow the article that the placements come from.

Ultralytics' parser decides on channels and repeats in sets that are local to a function, so a new block cannot be
registered from outside. A D-LKA row is therefore parsed as the stock module with the same channels and repeats, and
that layer is exchanged afterwards. No file, name or set of Ultralytics changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules import Conv, Detect
from ultralytics.utils.nms import non_max_suppression

from dlka.layers import DeformableLKAAttention
from dlka.models.model_yaml import ATTENTION, DETECTORS

SIDE = 256  # pixels of the picture on which Ultralytics measures the strides of a new model
# Name in a yaml -> the stock module that stands in for it while Ultralytics parses the rows.
STAND_INS = {"C2f_DLKA": "C2f", ATTENTION: "nn.Identity", "DetectDLKA": "Detect", "Detect1x1": "Detect"}


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
        self, c1: int, c2: int, n: int = 1, shortcut: bool = False, offsets: str = "dense", hidden: int | None = None
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


def skeleton(config: dict[str, Any]) -> dict[str, Any]:
    """A copy of the model in which only stock modules are named, for Ultralytics' parser."""
    stock = {key: value for key, value in deepcopy(config).items() if key != "offsets"}
    for row in stock["backbone"] + stock["head"]:
        if row[2] in DETECTORS:
            row[3] = ["nc"]
        elif row[2] == ATTENTION:
            row[3] = []
        row[2] = {**STAND_INS, "Silence": "nn.Identity"}.get(row[2], row[2])  # Silence: its name in early YOLOv9
    return stock


@contextmanager
def class_settings_kept() -> Iterator[None]:
    """Undo what the parser sets on classes for whatever is built next: the activation, and the kind of Detect."""
    activation, legacy = Conv.default_act, Detect.legacy
    try:
        yield
    finally:
        Conv.default_act, Detect.legacy = activation, legacy


def exchange_stand_ins(layers: Any, names: list[str], channels: list[int | None], offsets: str) -> None:
    """Exchange every stand-in for its D-LKA module, in place.

    names, channels: of each row, the module in the yaml and the channels of its map; offsets as in dlka.layers.
    """
    for index, (name, given) in enumerate(zip(names, channels, strict=True)):
        if name in STAND_INS:
            stock = layers[index]
            with class_settings_kept():
                layer: Any = _dlka_module(name, stock, given, offsets)
            # What Ultralytics notes on each layer: its index, where its input comes from, type and parameter count.
            layer.i, layer.f, layer.type = stock.i, stock.f, f"{type(layer).__module__}.{type(layer).__name__}"
            layer.np = sum(p.numel() for p in layer.parameters())
            layers[index] = layer


def _dlka_module(name: str, stock: Any, channels: int | None, offsets: str) -> nn.Module:
    """The D-LKA module with the shapes, and the activation, that the parser gave to its stand-in."""
    if name == "C2f_DLKA":
        Conv.default_act = stock.cv1.act
        out = stock.cv2.conv.out_channels
        return C2f_DLKA(stock.cv1.conv.in_channels, out, len(stock.m), stock.m[0].add, offsets, stock.c)
    if name == ATTENTION:
        assert channels is not None  # the dry build has seen a map
        repeats = len(stock) if isinstance(stock, nn.Sequential) else 1
        blocks = [attention(channels, offsets) for _ in range(repeats)]
        return nn.Sequential(*blocks) if repeats > 1 else blocks[0]
    Conv.default_act = stock.cv2[0][0].act
    inputs = tuple(branch[0].conv.in_channels for branch in stock.cv2)
    shape: dict[str, Any] = {"nc": stock.nc, "reg_max": stock.reg_max, "ch": inputs}
    head = Detect1x1(**shape) if name == "Detect1x1" else DetectDLKA(**shape, offsets=offsets)
    head.stride = stock.stride
    return head


def suppress(
    output: torch.Tensor, confidence: float, iou: float, classes: list[int] | None = None, multi_label: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Non-maximum suppression of one picture.

    output [1, 4 + nc, cells], boxes as centre and size in letterboxed pixels, scores in 0..1
    confidence, iou in 0..1; classes: ids to keep, None for all; multi_label: a cell may give several classes
    Returns rows [N, 6] (x1, y1, x2, y2, score, class), best first, and the index [N] of each row's cell.
    """
    rows, index = non_max_suppression(
        output, confidence, iou, classes=classes, multi_label=multi_label, max_det=300, return_idxs=True
    )
    return rows[0], index[0].view(-1).long()
