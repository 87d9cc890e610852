"""Builds the rows of a model yaml without memory: on torch's meta device, where tensors have a shape and no values.

What Ultralytics' parser and its layers say there is what they would say of the real thing, for any yaml and at no
cost, however large the model would be: so the lint can judge every layer, and nothing too large is ever built. Each row
is parsed by itself, so that those after a wrong one are judged as well.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from ultralytics.nn.tasks import parse_model

from dlka.models.blocks import SIDE, class_settings_kept, exchange_stand_ins, skeleton
from dlka.models.model_yaml import ATTENTION, BLOCKS, DETECTORS, ONE_INPUT, Row, refusal, sources

# Of building a model and of running it on one picture of SIDE pixels; no stock model takes half of it.
MAX_VALUES = 500_000_000  # of weights and maps, which are all kept at once in training: 2 GB
MAX_PRODUCTS = 200_000_000_000  # multiplications: seconds
MAX_CALLS = 20_000  # tensor operations
# What the parser, the layers' constructors and their forward passes raise for rows that do not fit: assertions,
# unpackings, missing attributes, shapes. None of the project's code runs inside.
ROWS_DO_NOT_FIT = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
ANY_INPUT = (*ONE_INPUT, "Concat")  # built for any number of input channels, and so judged even where that is unknown
KEEP_STRIDE = (*BLOCKS, ATTENTION, "Concat", "SPPF")


@dataclass(frozen=True)
class RowMaps:
    """Channels of the map(s) that a row reads, added up, and of its output, with its stride in pixels of the picture;
    None for what is not known or not one map."""

    channels_in: int | None
    channels_out: int | None
    stride: float | None


@dataclass(frozen=True)
class _Output:
    """What a row gives out, None where that is not known, and its channels as the parser counts them."""

    value: Any
    counted: int

    @property
    def map(self) -> torch.Tensor | None:
        """[1, C, H, W] on the meta device."""
        return self.value if isinstance(self.value, torch.Tensor) and self.value.ndim == 4 else None

    @property
    def channels(self) -> int | None:
        return None if self.map is None else self.map.shape[1]


_UNKNOWN = _Output(None, 64)


class TooLarge(RuntimeError):
    """The model takes more than any of the field does."""


class _Limits(TorchDispatchMode):
    """Counts the operations under it, the values that they give out and the multiplications that these would take, and
    raises TooLarge."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.values = self.products = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        aten, operation = torch.ops.aten, func.overloadpacket
        if operation in (aten.uniform_, aten.normal_):
            return args[0]  # there are no values to fill in, and finding that out would take most of the time
        out = func(*args, **(kwargs or {}))
        first = out[0] if isinstance(out, tuple) and out else out  # pooling and batch norm give more than their map
        if isinstance(first, torch.Tensor):
            self.values += first.numel()
            if operation in flop_registry:
                self.products += flop_registry[operation](*args, **(kwargs or {}), out_val=first) // 2
            elif operation in (aten.max_pool2d_with_indices, aten.avg_pool2d):
                kernel = args[1] if len(args[1]) == 2 else args[1] * 2
                read = prod(min(k, side) for k, side in zip(kernel, args[0].shape[-2:]))
                self.products += 10 * read * first.numel()  # one by one: ten times as slow
            else:
                self.products += first.numel()
        if self.calls > MAX_CALLS or self.values > MAX_VALUES or self.products > MAX_PRODUCTS:
            most = f"{MAX_VALUES:,} values, {MAX_PRODUCTS:,} multiplications or {MAX_CALLS:,} operations"
            raise TooLarge(f"with it the model takes more than {most} for a picture of {SIDE} pixels")
        return out


def dry_build(
    config: dict[str, Any], channels: int = 3, wrong: Collection[int] = ()
) -> tuple[list[RowMaps], dict[int, Exception]]:
    """The maps of every row, and what was raised by those that do not build.

    config: a model as `check_model` lets pass, with its scale.
    channels: those of the picture.
    wrong: rows that are known not to build. In the place of one that would keep the stride, its first input goes on;
    of the others, and of what reads them, nothing is known, and what is wrong with that is only told where it is wrong
    whatever it reads. Nothing is built after the row that makes the model too large.
    """
    rows = config["backbone"] + config["head"]
    picture = _Output(torch.zeros(1, channels, SIDE, SIDE, device="meta"), channels)
    given: list[_Output] = []
    maps: list[RowMaps] = []
    faults: dict[int, Exception] = {}
    limits, full = _Limits(), False
    for index, row in enumerate(rows):
        read = [_UNKNOWN if s is None else picture if s < 0 else given[s] for s in sources(index, row[0])]
        known = all(one.value is not None for one in read)
        out = read[0] if known and row[2] in KEEP_STRIDE else _UNKNOWN
        # A name that is refused is never given to the parser.
        if not full and index not in wrong and not refusal(row[2]) and (known or row[2] in ANY_INPUT):
            try:
                # Gradients stay on, as in Ultralytics: attention takes its way by that.
                with torch.device("meta"), class_settings_kept(), limits:
                    out = _built(config, row, read)
            except ROWS_DO_NOT_FIT as error:
                faults[index], full = error, isinstance(error, TooLarge)
        given.append(out)
        counts = [one.channels for one in read if one.channels is not None]
        stride = None if out.map is None else SIDE / out.map.shape[2]
        maps.append(RowMaps(sum(counts) if len(counts) == len(read) else None, out.channels, stride))
    return maps, faults


def _built(config: dict[str, Any], row: Row, read: list[_Output]) -> _Output:
    """What a row gives out for what it reads; raises what ROWS_DO_NOT_FIT lists."""
    known = _UNKNOWN not in read
    if row[2] == ATTENTION and known and read[0].map is None:
        raise ValueError("what it reads is not one map")
    layer, counted = _parsed(config, row, [one.counted for one in read])
    _check_convolutions(layer)
    # The D-LKA module is built for its weights alone, of which it has more than its stand-in.
    exchange_stand_ins([layer], [row[2]], [read[0].channels or read[0].counted], config.get("offsets", "dense"))
    if not known:
        return _UNKNOWN
    layer.train(row[2] in DETECTORS)  # as Ultralytics does: a head in training gives what it predicts as it is
    value = layer([one.value for one in read] if isinstance(row[0], list) else read[0].value)
    if isinstance(value, torch.Tensor) and value.ndim == 4 and 0 in value.shape:
        raise ValueError(f"nothing is left of a picture of {SIDE} pixels")
    return _Output(value, counted)


def _check_convolutions(layer: nn.Module) -> None:
    """Raises ValueError for what no convolution computes with: on the meta device torch checks none of it."""
    least = {"kernel_size": 1, "stride": 1, "dilation": 1, "padding": 0, "output_padding": 0}
    for one in (each for each in layer.modules() if isinstance(each, nn.Conv2d | nn.ConvTranspose2d)):
        for name, value in least.items():
            if min(got := getattr(one, name)) < value:
                raise ValueError(f"the {name.replace('_', ' ')} of a convolution is at least {value}, got {got}")
        if any(add >= max(pair) for add, *pair in zip(one.output_padding, one.stride, one.dilation)):
            raise ValueError(f"output padding is less than stride or dilation, got {one.output_padding}")


def _parsed(config: dict[str, Any], row: Row, counted: list[int]) -> tuple[Any, int]:
    """The row's layer, with a stock module for D-LKA, and the channels that the parser counts for its output.

    counted: those of what it reads. The parser tells nobody what it counts, which is not always what a layer gives out:
    rows `Index`, whose first argument is just that, stand here for what is read, and a batch norm after the row takes
    the row's own. CBLinear gives several maps, so that its own are asked for by nobody.
    """
    inputs = [[-1, 1, "Index", [count, 0]] for count in counted]
    source = list(range(len(counted))) if isinstance(row[0], list) else -1
    after = [] if row[2] == "CBLinear" else [[-1, 1, "nn.BatchNorm2d", []]]
    rows = [*inputs, [source, *row[1:]], *after]
    layers: Any = parse_model(skeleton({**config, "backbone": rows, "head": []}), 3, verbose=False)[0]
    return layers[len(inputs)], layers[-1].num_features if after else _UNKNOWN.counted
