"""Watch a model's deform stages and gates. Hooks are borrowed, and arrays are detached copies.

Hooks must sit on the module that really runs: Ultralytics' own predict copies a model at its first call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from dlka.layers import DeformableLKA, DeformConv
from dlka.types import Capture, Gate, Stage


@dataclass
class Captures:
    """What one forward pass used, whether on one picture or on a batch of them.

    fields: stage and offsets [N, 2K, H, W], in the order the stages ran; maps: block, stride and gate [N, C, H, W], in
    the order the blocks ran.
    """

    fields: list[tuple[Stage, np.ndarray]] = field(default_factory=list)
    maps: list[tuple[str, int, np.ndarray]] = field(default_factory=list)

    def of(self, number: int) -> tuple[tuple[Capture, ...], tuple[Gate, ...]]:
        """Offsets and gates of one picture of the batch."""
        offsets = tuple(Capture(stage, values[number]) for stage, values in self.fields)
        return offsets, tuple(Gate(block, _level(s), s, values[number]) for block, s, values in self.maps)

    @property
    def offsets(self) -> tuple[Capture, ...]:
        """Those of the first picture, which mostly is the only one."""
        return self.of(0)[0]

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Those of the first picture."""
        return self.of(0)[1]


@contextmanager
def probe(model: nn.Module) -> Iterator[Captures]:
    """Capture offsets and gates of every deform stage of a forward pass on pictures [N, 3, H, W].

    One probe on a model at a time: threads that share a model would see each other's passes (Predictor takes turns).

    The output does not change by a bit, and no hook is left behind, after exceptions either. A second forward pass in
    the same context replaces the captures of the first.
    """
    captures = Captures()
    height = 0

    def start(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal height
        height = inputs[0].shape[-2]
        captures.fields.clear()
        captures.maps.clear()

    def keep_offsets(name: str, layer: DeformConv, _: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        stage = _stage(name, layer, height // inputs[0].shape[-2])
        captures.fields.append((stage, output.detach().float().cpu().numpy()))

    def keep_gate(block: str, _: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        captures.maps.append((block, height // output.shape[-2], output.detach().float().cpu().numpy()))

    with ExitStack() as hooks:
        hooks.enter_context(model.register_forward_pre_hook(start))
        for name, module in model.named_modules():
            if isinstance(module, DeformConv):
                hooks.enter_context(module.offset_net.register_forward_hook(partial(keep_offsets, name, module)))
            if isinstance(module, DeformableLKA):
                hooks.enter_context(module.conv1.register_forward_hook(partial(keep_gate, _block(name))))
        yield captures


def stages(model: nn.Module) -> tuple[Stage, ...]:
    """The deform stages of a model in the order they run, found by one pass over zeros."""
    device = next(model.parameters()).device
    with torch.no_grad(), probe(model) as captures:
        model(torch.zeros(1, 3, 64, 64, device=device))
    return tuple(stage for stage, _ in captures.fields)


def tap_weights(model: nn.Module) -> dict[str, np.ndarray]:
    """How much each tap of a deform stage counts: stage name -> [K] float32, the mean of |weight| over channels."""
    return {
        name: layer.deform_conv.weight.detach().float().abs().mean((0, 1)).flatten().cpu().numpy()
        for name, layer in model.named_modules()
        if isinstance(layer, DeformConv)
    }


def _stage(name: str, layer: DeformConv, stride: int) -> Stage:
    return Stage(
        name=name,
        block=_block(name.rpartition(".")[0]),
        level=_level(stride),
        stride=stride,
        kernel=layer.kernel_size,
        dilation=(layer.dilation, layer.dilation),
        padding=(layer.padding, layer.padding),
        channels=layer.channels,
        step=(layer.stride, layer.stride),
    )


def _block(gating_name: str) -> str:
    """The D-LKA block of its gating unit: "model.16.spatial_gating_unit" -> "model.16"."""
    return gating_name.removesuffix(".spatial_gating_unit")


def _level(stride: int) -> str:
    """Stride 8, 16, 32 is pyramid level P3, P4, P5."""
    return f"P{stride.bit_length() - 1}"
