"""D-LKA in a stock YOLOv8: which stock layer stands in for a D-LKA row, and the exchange of the two.

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

from dlka.models.blocks import C2f_DLKA, Detect1x1, DetectDLKA, attention
from dlka.models.module_names import ATTENTION, DETECTORS

SIDE = 256  # pixels of the picture on which Ultralytics measures the strides of a new model
# Name in a yaml -> the stock module that stands in for it while Ultralytics parses the rows.
STAND_INS = {"C2f_DLKA": "C2f", ATTENTION: "nn.Identity", "DetectDLKA": "Detect", "Detect1x1": "Detect"}


def skeleton(config: dict[str, Any]) -> dict[str, Any]:
    """A copy of the model in which only stock modules are named, for Ultralytics' parser."""
    stock = {key: value for key, value in deepcopy(config).items() if key != "offsets"}
    for row in stock["backbone"] + stock["head"]:
        if row[2] in DETECTORS:
            row[3] = ["nc"]
        elif row[2] == ATTENTION:
            row[3] = []
        row[2] = {**STAND_INS, "Silence": "nn.Identity"}.get(
            row[2], row[2]
        )  # Silence: its name in YOLOv9's first yamls
    return stock


@contextmanager
def class_settings_kept() -> Iterator[None]:
    """Undo what the parser sets on classes for whatever is built next: the activation, and the kind of Detect."""
    activation, legacy = Conv.default_act, Detect.legacy
    try:
        yield
    finally:
        Conv.default_act, Detect.legacy = activation, legacy


def outputs(layers: Any, picture: torch.Tensor) -> Iterator[Any]:
    """What each layer gives out, in order, wired as in Ultralytics' forward pass."""
    given: list[Any] = []
    for layer in layers:
        if layer.f == -1:
            inputs = given[-1] if given else picture
        elif isinstance(layer.f, int):
            inputs = given[layer.f]
        else:
            inputs = [(given[-1] if given else picture) if f == -1 else given[f] for f in layer.f]
        given.append(layer(inputs))
        yield given[-1]


def graft(layers: Any, names: list[str], channels: list[int | None], offsets: str) -> None:
    """Exchange every stand-in for its D-LKA module, in place.

    names, channels: of each row, the module in the yaml and the channels of its map; offsets as in dlka.layers.
    """
    for index, (name, given) in enumerate(zip(names, channels, strict=True)):
        if name in STAND_INS:
            stock = layers[index]
            with class_settings_kept():
                layers[index] = _same_place(_grafted(name, stock, given, offsets), stock)


def _grafted(name: str, stock: Any, channels: int | None, offsets: str) -> nn.Module:
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
    head: Any
    if name == "Detect1x1":
        head = Detect1x1(stock.nc, stock.reg_max, False, inputs)
    else:
        head = DetectDLKA(stock.nc, stock.reg_max, False, inputs, offsets)
    head.stride = stock.stride
    return head


def _same_place(layer: Any, stock: Any) -> nn.Module:
    """What Ultralytics notes on each layer: its index, where its input comes from, type and parameter count."""
    layer.i, layer.f = stock.i, stock.f
    layer.type = f"{type(layer).__module__}.{type(layer).__name__}"
    layer.np = sum(p.numel() for p in layer.parameters())
    return layer
