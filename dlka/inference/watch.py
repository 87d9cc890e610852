"""Watch the deformable convolutions of anybody's model: torchvision's DeformConv2d, and this project's own.

Hooks are borrowed as in inference/probe.py, which knows this project's models better: their blocks, levels and gates.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.ops import DeformConv2d

from dlka.layers import DeformConv

Pair2 = tuple[int, int]


@dataclass(frozen=True)
class DeformCall:
    """What one deformable convolution used on one picture, for one of its offset groups.

    name       module path inside the model; group: number of the offset group, from 0
    kernel, step, padding, dilation   (vertical, horizontal), in cells; step is the convolution's own stride
    channels   of the sampled map that share these offsets; sampled: its (H, W)
    offset     [2K, Ho, Wo] float32, in cells, interleaved dy, dx per tap, taps row-major
    mask       [K, Ho, Wo] float32, the factor on every read (DCNv2), or None
    """

    name: str
    group: int
    kernel: Pair2
    step: Pair2
    padding: Pair2
    dilation: Pair2
    channels: int
    sampled: Pair2
    offset: np.ndarray
    mask: np.ndarray | None


@dataclass
class Calls:
    """All calls of the last pass in their order; size: (H, W) of the model's input, None where it is no tensor."""

    size: Pair2 | None = None
    calls: list[DeformCall] = field(default_factory=list)


@contextmanager
def watch_calls(model: nn.Module, picture: int = 0) -> Iterator[Calls]:
    """Keep what every deformable convolution uses in a forward pass on one picture of the batch.

    The output does not change by a bit, and no hook is left behind, after exceptions either. A second pass replaces the
    first. Raises ValueError for a model without such a module, and in the pass for a picture that is not in the batch.
    """
    seen = Calls()

    def start(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        tensors = [v for v in (*inputs, *named.values()) if isinstance(v, torch.Tensor) and v.dim() == 4]
        seen.size = (tensors[0].shape[-2], tensors[0].shape[-1]) if tensors else None
        seen.calls.clear()

    def add(name: str, layer: Any, x: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor | None) -> None:
        if not 0 <= picture < len(offset):
            raise ValueError(f"picture: expected 0 to {len(offset) - 1} for this batch, got {picture}")
        kernel, step, padding, dilation = (_pair(getattr(layer, n)) for n in GEOMETRY)
        taps = kernel[0] * kernel[1]
        fields, masks = _array(offset[picture]), None if mask is None else _array(mask[picture])
        groups = len(fields) // (2 * taps)
        for group in range(groups):
            seen.calls.append(
                DeformCall(
                    name,
                    group,
                    kernel,
                    step,
                    padding,
                    dilation,
                    x.shape[1] // groups,
                    (x.shape[-2], x.shape[-1]),
                    fields[2 * taps * group : 2 * taps * (group + 1)],
                    None if masks is None else masks[taps * group : taps * (group + 1)],
                )
            )

    def theirs(name: str, layer: DeformConv2d) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            given = dict(zip(("input", "offset", "mask"), inputs)) | named
            add(name, layer, given["input"], given["offset"], given.get("mask"))

        return hook

    def ours(name: str, layer: DeformConv) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], offset: torch.Tensor) -> None:
            add(name, layer, inputs[0], offset, None)

        return hook

    handles: list[Any] = []
    try:
        for name, module in model.named_modules():
            if isinstance(module, DeformConv2d):
                handles.append(module.register_forward_pre_hook(theirs(name, module), with_kwargs=True))
            elif isinstance(module, DeformConv):
                handles.append(module.offset_net.register_forward_hook(ours(name, module)))
        if not handles:
            raise ValueError("model: expected a torchvision.ops.DeformConv2d or a dlka DeformConv in it, found none")
        # Before the layer's own hook, where the model is nothing but that layer.
        handles.append(model.register_forward_pre_hook(start, with_kwargs=True, prepend=True))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


GEOMETRY = ("kernel_size", "stride", "padding", "dilation")


def _pair(value: Any) -> Pair2:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy().copy()
