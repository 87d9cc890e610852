"""Where the time of a forward pass goes: hooks around backbone, offset nets and deformable convolutions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dlka.layers import DeformConv
from dlka.models.build import DLKAModel
from dlka.models.cost import DEFORMABLE_STEP, OFFSET_CONVOLUTIONS

BACKBONE, REST = "backbone", "rest"
PARTS = (BACKBONE, OFFSET_CONVOLUTIONS, DEFORMABLE_STEP, REST)


def clock(device: torch.device) -> float:
    """Milliseconds on a clock that starts anywhere, once the device has done everything that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return 1000 * time.perf_counter()


def part_times(model: DLKAModel, run: Callable[[], Any], device: torch.device) -> dict[str, float]:
    """Milliseconds of one call of `run`, which passes something through `model` once, by PARTS.

    The deformable step is a deformable convolution without its offset net; the rest is what the other parts leave of
    the whole: neck, head, and the plain convolutions of rigid twins. Reading the clock makes a GPU wait, so that the
    whole takes longer than without: time it in a call of its own. No hook is left behind.
    """
    times = dict.fromkeys(PARTS, 0.0)
    handles: list[Any] = []

    def watch(first: nn.Module, last: nn.Module, **signs: int) -> None:
        begun = 0.0

        def begin(module: nn.Module, inputs: Any) -> None:
            nonlocal begun
            begun = clock(device)

        def end(module: nn.Module, inputs: Any, output: Any) -> None:
            spent = clock(device) - begun
            for part, sign in signs.items():
                times[part] += sign * spent

        handles.append(first.register_forward_pre_hook(begin))
        handles.append(last.register_forward_hook(end))

    try:
        watch(model.model[0], model.model[len(model.yaml["backbone"]) - 1], **{BACKBONE: 1})
        for module in model.modules():
            if isinstance(module, DeformConv):
                watch(module, module, **{DEFORMABLE_STEP: 1})
                watch(module.offset_net, module.offset_net, **{OFFSET_CONVOLUTIONS: 1, DEFORMABLE_STEP: -1})
        begun = clock(device)
        run()
        times[REST] = clock(device) - begun - sum(times.values())
    finally:
        for handle in handles:
            handle.remove()
    return times
