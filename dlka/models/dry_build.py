"""Builds the rows of a model yaml without memory: on torch's meta device, where tensors have a shape and no values.

What Ultralytics' parser and its layers say there is what they would say of the real thing, for any yaml and at no
cost, however large the model would be: so the lint can judge every layer, and nothing too large is ever built.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from ultralytics.nn.tasks import parse_model

from dlka.models.blocks import SIDE, class_settings_kept, exchange_stand_ins, outputs, skeleton
from dlka.models.model_yaml import ATTENTION, BLOCKS, DETECTORS, ONE_INPUT, Row, refusal, sources

MAX_PARAMETERS = 300_000_000  # 1.2 GB; the largest stock model, YOLOv8x-P6, has 97 million
MAX_VALUES = 250_000_000  # of all maps for one picture of SIDE pixels, which Ultralytics keeps at once: 1 GB
MAX_PRODUCTS = 200_000_000_000  # multiplications for that picture: seconds
MAX_CALLS = 15_000  # tensor operations of building, and of that picture; YOLOv9e takes 5,000
# What the parser, the layers' constructors and their forward passes raise for rows that do not fit: assertions,
# unpackings, missing attributes, shapes. None of the project's code runs inside.
ROWS_DO_NOT_FIT = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Map:
    """A row's output: its channels, and its stride in pixels of the picture; None for what is not one map."""

    channels: int | None
    stride: float | None


@dataclass(frozen=True)
class Failure:
    """The row that does not build (None: the model as a whole), and why, a clause without a full stop.

    limit: whether it is one of the limits above, so that what comes after the row is not worth building.
    """

    row: int | None
    reason: str
    limit: bool = False


class _FirstInput(nn.Module):
    """Gives out what it reads, the first of several: runs in the place of a layer whose map is not known."""

    def __init__(self, source: int | list[int]) -> None:
        super().__init__()
        self.f = source

    def forward(self, x: Any) -> Any:
        return x[0] if isinstance(x, list) else x


class _TooLarge(RuntimeError):
    """More tensor operations than any model of the field takes."""


class _Costs(TorchDispatchMode):
    """Counts the operations under it, the values that they give out and the multiplications that these would take."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.values = self.products = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        if self.calls > MAX_CALLS:  # at once, as even an operation without values takes time
            raise _TooLarge(f"it takes more than {MAX_CALLS:,} operations")
        if func.overloadpacket in (torch.ops.aten.uniform_, torch.ops.aten.normal_):
            return args[0]  # there are no values to fill in, and finding that out would take most of the time
        out = func(*args, **(kwargs or {}))
        first = out[0] if isinstance(out, tuple) and out else out  # pooling and batch norm give more than their map
        if isinstance(first, torch.Tensor):
            self.values += first.numel()
            self.products += first.numel() * _products_per_value(func.overloadpacket, args)
        return out


def _products_per_value(operation: Any, args: Any) -> int:
    """Multiplications, or what takes as long, for one value of the operation's result."""
    aten = torch.ops.aten
    if operation == aten.convolution:
        return args[1][0].numel()
    if operation in (aten.mm, aten.bmm):
        return args[0].shape[-1]
    if operation in (aten.addmm, aten.baddbmm):
        return args[1].shape[-1]
    if operation in (aten.max_pool2d_with_indices, aten.avg_pool2d):
        kernel = args[1] if len(args[1]) == 2 else args[1] * 2
        read = min(kernel[0], args[0].shape[-2]) * min(kernel[1], args[0].shape[-1])
        return 10 * read  # one by one: ten times as slow
    return 1


def dry_build(
    config: dict[str, Any], channels: int = 3, skipped: Collection[int] = ()
) -> tuple[list[Map], Failure | None]:
    """The map of every row up to the first that does not build, and what is wrong with that one; None if all build.

    config: a model as `check_model` lets pass, with its scale.
    channels: those of the picture.
    skipped: rows that are known not to build, in whose place their first input goes on. Of those that change its
    stride, and of what reads them, nothing is known: they have no map, and what is wrong with them is only told where
    it is wrong whatever they read.
    """
    rows = config["backbone"] + config["head"]
    skipped = {*skipped, *(index for index, row in enumerate(rows) if refusal(row[2]))}  # never given to the parser
    unknown = _unknown(rows, skipped)
    adapting = (*ONE_INPUT, "Concat")  # which are built for any number of input channels
    firsts = {
        index: sources(index, row[0])[0]
        for index, row in enumerate(rows)
        if index in skipped or (index in unknown and row[2] not in adapting)
    }
    rows = [
        [-1 if firsts[index] is None else firsts[index], 1, "nn.Identity", []] if index in firsts else row
        for index, row in enumerate(rows)
    ]
    stock = skeleton({**config, "backbone": rows, "head": []})
    # Gradients stay on, as in Ultralytics: attention takes its way by that.
    with torch.device("meta"), class_settings_kept():
        layers, failure = _parsed(stock, len(rows), channels)
        if failure:
            # The parser does not say which row it was at: the last one of the shortest beginning that it refuses.
            good = bisect_left(range(1, len(rows)), True, key=lambda n: _parsed(stock, n, channels)[1] is not None)
            layers, _ = _parsed(stock, good, channels)
            failure = Failure(good, failure.reason, failure.limit)
        for index in unknown.intersection(range(len(layers))):
            layers[index] = _FirstInput(layers[index].f)
        maps, earlier = _run(layers, rows, channels)
        failure = earlier or failure
        if not failure and not skipped:
            failure = _too_large_with_dlka(config, layers, maps)
    return [Map(None, None) if index in unknown else found for index, found in enumerate(maps)], failure


def _unknown(rows: list[Row], skipped: Collection[int]) -> set[int]:
    """The rows of which nothing is known where some are skipped."""
    unknown: set[int] = set()
    for index, (source, _, module, _) in enumerate(rows):
        read = sources(index, source)
        lost = index in skipped and (None in read or module not in ("Concat", "SPPF", ATTENTION, *BLOCKS))
        if lost or unknown.intersection(read):
            unknown.add(index)
    return unknown


def _parsed(stock: dict[str, Any], count: int, channels: int) -> tuple[Any, Failure | None]:
    """The layers of the first rows, or no layers and why they do not build."""
    try:
        with _Costs():
            layers, _ = parse_model({**stock, "backbone": deepcopy(stock["backbone"][:count])}, channels, verbose=False)
    except ROWS_DO_NOT_FIT as error:
        return [], Failure(None, _clause(error), isinstance(error, _TooLarge))
    if sum(p.numel() for p in layers.parameters()) > MAX_PARAMETERS:
        return [], Failure(None, f"with it the model has more than {MAX_PARAMETERS:,} parameters", limit=True)
    return layers, None


def _run(layers: Any, rows: list[Row], channels: int) -> tuple[list[Map], Failure | None]:
    """The map that each layer gives out for one picture, up to the first that fails."""
    maps: list[Map] = []
    for layer, row in zip(layers, rows):
        layer.train(row[2] in DETECTORS)  # as Ultralytics does: a head in training gives what it predicts as it is
    with _Costs() as costs:
        given = outputs(layers, torch.zeros(1, channels, SIDE, SIDE))
        for index in range(len(layers)):
            try:
                out = next(given)
            except ROWS_DO_NOT_FIT as error:
                return maps, Failure(index, _clause(error), isinstance(error, _TooLarge))
            if costs.values > MAX_VALUES or costs.products > MAX_PRODUCTS:
                what = f"{MAX_VALUES:,} values or {MAX_PRODUCTS:,} multiplications for a picture of {SIDE} pixels"
                return maps, Failure(index, f"up to it the model takes more than {what}", limit=True)
            is_map = isinstance(out, torch.Tensor) and out.ndim == 4
            if is_map and 0 in out.shape:
                return maps, Failure(index, f"nothing is left of a picture of {SIDE} pixels")
            if rows[index][2] == ATTENTION and not is_map:
                return maps, Failure(index, "what it reads is not one map")
            maps.append(Map(out.shape[1], SIDE / out.shape[2]) if is_map else Map(None, None))
    return maps, None


def _too_large_with_dlka(config: dict[str, Any], layers: Any, maps: list[Map]) -> Failure | None:
    """Exchange the stand-ins, whose D-LKA modules have more parameters than they, and count once more."""
    names = [row[2] for row in config["backbone"] + config["head"]]
    try:
        with _Costs():
            exchange_stand_ins(layers, names, [m.channels for m in maps], config.get("offsets", "dense"))
    except _TooLarge as error:
        return Failure(None, _clause(error), limit=True)
    if sum(p.numel() for p in layers.parameters()) > MAX_PARAMETERS:
        return Failure(None, f"with its D-LKA blocks the model has more than {MAX_PARAMETERS:,} parameters")
    return None


def _clause(error: Exception) -> str:
    """An error of the parser or of a layer as words in a sentence."""
    words = " ".join(str(error).split()).rstrip(".")
    return f"{words:.200}" if words else f"its arguments fail a check ({type(error).__name__})"
