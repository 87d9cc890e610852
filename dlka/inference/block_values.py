"""Every number inside one D-LKA block on one picture, for those who want to add them up. Hooks are borrowed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from dlka.errors import DlkaError
from dlka.layers import DeformableLKAAttention, DeformConv
from dlka.types import Stage


@dataclass(frozen=True)
class Weights:
    """A 1x1 convolution: weight [C_out, C_in], bias [C_out]."""

    weight: np.ndarray
    bias: np.ndarray

    def one(self, channel: int, given: np.ndarray) -> float:
        """The output in one channel for an input [C_in], in double precision."""
        return float((self.weight[channel].astype(np.float64) * given).sum()) + float(self.bias[channel])


@dataclass
class BlockValues:
    """What one D-LKA block read, multiplied and gave out: maps [C, H, W] float32.

    input     what the block got; output: what it gave, the input included
    gated     what the gate multiplied: GELU(proj_1(input)), which the first stage samples, too
    gate      the attention map, before any reduction
    samples   stage name -> the map that the stage sampled; offsets [2K, H, W] in cells; results: what it gave
    kernels   stage name -> [C, K], depthwise; gate_weights and output_weights: conv1 and proj_2
    """

    gate_weights: Weights
    output_weights: Weights
    kernels: dict[str, np.ndarray]
    samples: dict[str, np.ndarray] = field(default_factory=dict)
    offsets: dict[str, np.ndarray] = field(default_factory=dict)
    results: dict[str, np.ndarray] = field(default_factory=dict)
    input: np.ndarray = field(default_factory=lambda: np.zeros(0))
    gated: np.ndarray = field(default_factory=lambda: np.zeros(0))
    gate: np.ndarray = field(default_factory=lambda: np.zeros(0))
    output: np.ndarray = field(default_factory=lambda: np.zeros(0))


def block_of(model: nn.Module, name: str) -> DeformableLKAAttention:
    """The D-LKA block at a module path. Raises DlkaError where there is none."""
    blocks = {n: m for n, m in model.named_modules() if isinstance(m, DeformableLKAAttention)}
    if name not in blocks:
        raise DlkaError(f"block: expected one of {', '.join(blocks) or 'none in this model'}, got {name!r:.60}")
    return blocks[name]


@contextmanager
def watch_block(model: nn.Module, name: str) -> Iterator[BlockValues]:
    """Keep what the block at this module path computes in a forward pass on one picture.

    The values are those of the last pass in the context, with whatever an intervention did to the offsets. No hook is
    left behind. Raises ValueError where there is no D-LKA block of this name.
    """
    block = block_of(model, name)
    unit = block.spatial_gating_unit
    stages = {f"{name}.{n}": m for n, m in block.named_modules() if isinstance(m, DeformConv)}
    values = BlockValues(
        gate_weights=_weights(unit.conv1),
        output_weights=_weights(block.proj_2),
        kernels={n: as_array(m.deform_conv.weight.flatten(1)) for n, m in stages.items()},
    )

    def keep(what: str, store: dict[str, Any], key: str, _: nn.Module, inputs: tuple[Any, ...], out: Any) -> None:
        store[key] = as_array((inputs[0] if what == "read" else out)[0])

    own = vars(values)
    watched: list[tuple[nn.Module, str, dict[str, Any], str]] = [
        *((block, "read", own, "input"), (block, "gave", own, "output")),
        *((unit, "read", own, "gated"), (unit.conv1, "gave", own, "gate")),
    ]
    for key, stage in stages.items():
        watched += [(stage, "read", values.samples, key), (stage, "gave", values.results, key)]
        watched.append((stage.offset_net, "gave", values.offsets, key))
    with ExitStack() as hooks:
        for module, what, store, key in watched:
            hooks.enter_context(module.register_forward_hook(partial(keep, what, store, key)))
        yield values


@dataclass(frozen=True)
class TapSum:
    """How one tap of one cell and channel reads, and what becomes of it up to the block's output at that cell.

    tap         its number, from 0
    place       [2] (y, x) where the tap reads, in cells; corners: its four neighbours as (row, column, share, value),
                value 0 outside the map; read: the sum of share times value; weight of the tap in this channel
    products    [K] weight times read of every tap; stage: their sum; stage_network: what the network has there
    channels    C, of the block; gate: the gate's 1x1 over the second stage's channels, and its bias; gate_network
    gated       what the gate multiplies; product: gate times that
    added       the last 1x1 over channels, and its bias; input; output: input + added; output_network
    """

    tap: int
    place: np.ndarray
    corners: list[tuple[int, int, float, float]]
    read: float
    weight: float
    products: np.ndarray
    stage: float
    stage_network: float
    channels: int
    gate: float
    gate_network: float
    gated: float
    product: float
    added: float
    input: float
    output: float
    output_network: float


def tap_sum(values: BlockValues, stage: Stage, cell: tuple[int, int], channel: int, tap: int) -> TapSum:
    """The arithmetic of one tap. cell: (row, column); channel and tap from 0. Sums are made in double precision.

    Raises ValueError for a cell, a channel or a tap that is not there.
    """
    row, column = cell
    channels, height, width = values.results[stage.name].shape
    for what, got, count in (
        ("row", row, height),
        ("column", column, width),
        ("channel", channel, channels),
        ("tap", tap, stage.taps),
    ):
        if not 0 <= got < count:
            raise DlkaError(f"{what}: expected 0 to {count - 1}, got {got}")
    sampled = values.samples[stage.name].astype(np.float64)
    offset = values.offsets[stage.name][:, row, column].astype(np.float64).reshape(-1, 2)  # [K, 2], dy and dx
    taps = np.stack(np.unravel_index(np.arange(stage.taps), stage.kernel), axis=1)
    grid = np.array(cell) * stage.step - np.array(stage.padding) + taps * stage.dilation
    places = grid + offset
    kernel = values.kernels[stage.name][channel].astype(np.float64)
    corners = [_corners(sampled[channel], place) for place in places]
    reads = np.array([sum(share * value for *_, share, value in four) for four in corners])
    products = kernel * reads
    last = list(values.results)[-1]
    gated = values.gated[:, row, column].astype(np.float64)
    multiplied = gated * values.gate[:, row, column]
    gate = values.gate_weights.one(channel, values.results[last][:, row, column])
    added = values.output_weights.one(channel, multiplied)
    put_in = float(values.input[channel, row, column])
    return TapSum(
        tap=tap,
        place=places[tap],
        corners=corners[tap],
        read=float(reads[tap]),
        weight=float(kernel[tap]),
        products=products,
        stage=float(products.sum()),
        stage_network=float(values.results[stage.name][channel, row, column]),
        channels=channels,
        gate=gate,
        gate_network=float(values.gate[channel, row, column]),
        gated=float(gated[channel]),
        product=float(multiplied[channel]),
        added=added,
        input=put_in,
        output=put_in + added,
        output_network=float(values.output[channel, row, column]),
    )


def _corners(sampled: np.ndarray, place: np.ndarray) -> list[tuple[int, int, float, float]]:
    """The four cells around a place on a map [H, W], with their bilinear shares; nothing to read beyond the map."""
    top, left = np.floor(place)
    fy, fx = place - (top, left)
    found = []
    for dy, dx, share in ((0, 0, (1 - fy) * (1 - fx)), (0, 1, (1 - fy) * fx), (1, 0, fy * (1 - fx)), (1, 1, fy * fx)):
        row, column = int(top) + dy, int(left) + dx
        inside = 0 <= row < sampled.shape[0] and 0 <= column < sampled.shape[1]
        found.append((row, column, float(share), float(sampled[row, column]) if inside else 0.0))
    return found


def _weights(convolution: Any) -> Weights:
    return Weights(as_array(convolution.weight.flatten(1)), as_array(convolution.bias))


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy of its values as float32."""
    return tensor.detach().float().cpu().numpy().copy()
