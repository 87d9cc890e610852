"""What a model costs: parameters, and the multiply-adds of one picture with the deformable layers counted.

Counters that know torch's own layers only see nothing of a deformable convolution; here it has its own rule.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import nn

from dlka.errors import DlkaError
from dlka.layers import DeformConv, RigidConv
from dlka.models.build import DLKAModel
from dlka.offset_nets import Float32Conv2d

OFFSET_CONVOLUTIONS = "offset convolutions"
DEFORMABLE_STEP = "deformable step"
PARTS = ("backbone", "neck", "head", OFFSET_CONVOLUTIONS, DEFORMABLE_STEP)
TOTAL = "total"


def parameters(model: nn.Module) -> int:
    """Number of parameters, trained or not; running statistics of batch norms are none."""
    return sum(p.numel() for p in model.parameters())


def multiply_adds(model: DLKAModel, size: int | tuple[int, int] = 640) -> dict[str, int]:
    """Multiply-adds of one forward pass on one picture, by part: those of PARTS and, last, their "total".

    size: input (height, width) in pixels, or one int for both, multiples of the largest stride; ValueError otherwise.

    Counted are
    - convolutions: C_out * C_in / groups * kh * kw * Ho * Wo, under "backbone", "neck" or "head" by their layer;
      the decoding of box distributions in the head is one;
    - offset convolutions: the same, as a part of their own;
    - the deformable step: 5 * C * K * Ho * Wo, for every channel, tap and output cell 4 multiply-adds for the
      bilinear read and 1 for the weight.
    Not counted: biases, batch norms (they fold into convolutions), activations, additions, pooling, the gate's
    multiplication (one a cell and channel). FLOPs are commonly given as twice the multiply-adds.
    """
    height, width = (size, size) if isinstance(size, int) else size
    step = int(model.stride.max())
    if min(height, width) < step or height % step or width % step:
        raise DlkaError(f"size: expected multiples of {step} pixels, got {height} x {width}")
    weight, training = next(model.parameters()), model.training
    counts = dict.fromkeys(PARTS, 0)

    def count(part: str, each: int, _: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        counts[part] += each * output[0].numel()

    with ExitStack() as hooks, torch.no_grad():
        hooks.callback(model.train, training)
        for name, module in model.named_modules():
            part = _part(name, model)
            if isinstance(module, DeformConv | RigidConv):
                taps = module.deform_conv.weight[0].numel()
                deformable = isinstance(module, DeformConv)
                part, each = (DEFORMABLE_STEP, 5 * taps) if deformable else (part, taps)
            elif isinstance(module, nn.Conv2d):
                part = OFFSET_CONVOLUTIONS if isinstance(module, Float32Conv2d) else part
                each = module.weight[0].numel()
            else:
                continue
            hooks.enter_context(module.register_forward_hook(partial(count, part, each)))
        model.eval()(torch.zeros(1, model.yaml["channels"], height, width, device=weight.device, dtype=weight.dtype))
    return {**counts, TOTAL: sum(counts.values())}


def _part(name: str, model: DLKAModel) -> str:
    """Part of a module by its path: "model.15.m.0.cv1.conv" lies in row 15."""
    _, _, rest = name.partition(".")
    row = int(rest.split(".")[0] or 0) if rest else 0
    if row < len(model.yaml["backbone"]):
        return "backbone"
    return "head" if row == len(model.model) - 1 else "neck"
