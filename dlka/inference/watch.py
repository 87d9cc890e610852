"""Watch the deformable convolutions of anybody's model, whoever calls them: layers, subclasses, functions.

They are seen where torch hands them to a kernel, by a dispatch mode that is on while the watched model runs; hooks on
its modules tell which of them is running. inference/probe.py knows this project's models better: their blocks, levels
and gates.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torchvision.ops  # noqa: F401 - it makes torch.ops.torchvision
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dlka.errors import DlkaError
from dlka.inference.block_values import as_array
from dlka.layers import DeformConv
from dlka.ops.geometry import Geometry, per_axis
from dlka.ops.library import fused

Pair2 = tuple[int, int]


@dataclass(frozen=True)
class DeformCall:
    """What one deformable convolution used on one picture, for one of its offset groups.

    name       path of the running module inside the model, the model's class for itself, with the number of its call
               in this pass from the second on: "neck.conv #2"; group: number of the offset group, from 0
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
    """Keep what every deformable convolution uses in a forward pass, model(x), on one picture of the batch.

    The output does not change by a bit, and no hook is left behind, after exceptions either. A pass that ends replaces
    the one before; what is computed again in a backward pass (activation checkpointing) is not part of one. Compiled
    models run uncompiled inside. Raises ValueError for a scripted model, at the end where no deformable convolution
    ran, and in the pass for a picture that is not in the batch.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    if isinstance(model, torch.jit.RecursiveScriptModule):
        raise DlkaError("model: expected one that takes hooks, got a scripted one: put it into a torch.nn.Sequential")
    seen = Calls()
    watcher = _Watcher(model, picture, seen)
    # A compiled model calls no hooks. Whoever compiled one has imported the compiler; it is too slow to import for all.
    eager = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    try:
        with eager:
            watcher.register()
            yield seen
    finally:
        watcher.remove()
    if not seen.calls:
        raise DlkaError(
            "model: expected a torchvision.ops.deform_conv2d or a dlka DeformConv to run in a call of the model, "
            "model(x), inside the context, found none"
        )


class _Running(threading.local):
    """Where one thread is in the model: its modules that have begun and not ended, and what this pass has seen."""

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.size: Pair2 | None = None
        self.calls: list[DeformCall] = []
        self.times: Counter[str] = Counter()  # how often each name has been called
        self.mode: _Operators | None = None


class _Watcher:
    """The hooks of one context. A pass is a call of the model itself; parts that run alone are not looked at."""

    def __init__(self, model: nn.Module, picture: int, seen: Calls) -> None:
        self.model, self.picture, self.seen = model, picture, seen
        self.names = {module: name.replace("._orig_mod", "") for name, module in model.named_modules()}
        self.running = _Running()
        self.handles: list[Any] = []

    def __deepcopy__(self, memo: Any) -> _Watcher:
        """A copy of the model that is made inside takes these hooks along; it is not the model, and they do nothing."""
        return self

    def register(self) -> None:
        self.handles.append(self.model.register_forward_hook(self._ended))
        for module in self.names:
            if isinstance(module, torch.jit.RecursiveScriptModule):
                continue  # it takes no hooks: what runs in it has the name of the module around it
            self.handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True, prepend=True))
            self.handles.append(module.register_forward_hook(self._leave, always_call=True))
            if isinstance(module, DeformConv):  # some of its backends are no operator of torch's
                axes = (per_axis(n, getattr(module, n), 0, 2) for n in ("stride", "padding", "dilation"))
                hook = partial(self._predicted, module, Geometry(module.kernel_size, *axes))
                self.handles.append(module.offset_net.register_forward_hook(hook))

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()
        if self.running.mode:  # hooks are not called after a KeyboardInterrupt
            self.running.mode.__exit__(None, None, None)

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        now = self.running
        if not now.modules:
            if module is not self.model:
                return
            tensors = [v for v in (*inputs, *named.values()) if isinstance(v, Tensor) and v.dim() == 4]
            now.size = (tensors[0].shape[-2], tensors[0].shape[-1]) if tensors else None
            now.calls, now.times = [], Counter()
            now.mode = _Operators(self._called)
            now.mode.__enter__()
        now.modules.append(module)

    def _leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        now = self.running
        if now.modules and now.modules[-1] is module:
            now.modules.pop()
        if now.mode and not now.modules:
            now.mode.__exit__(None, None, None)
            now.mode = None

    def _ended(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Not called after an exception."""
        if len(self.running.modules) == 1:
            self.seen.size, self.seen.calls = self.running.size, self.running.calls

    def _called(self, x: Tensor, offset: Tensor, mask: Tensor | None, geometry: Geometry) -> None:
        module = self.running.modules[-1]
        if not isinstance(module, DeformConv):
            self._add(module, x, offset, mask, geometry)

    def _predicted(
        self, layer: DeformConv, geometry: Geometry, _: Any, inputs: tuple[Any, ...], offset: Tensor
    ) -> None:
        if self.running.modules:
            self._add(layer, inputs[0], offset, None, geometry)

    def _add(self, module: nn.Module, x: Tensor, offset: Tensor, mask: Tensor | None, geometry: Geometry) -> None:
        if not 0 <= self.picture < len(offset):
            raise DlkaError(f"picture: expected 0 to {len(offset) - 1} for this batch, got {self.picture}")
        groups = offset.shape[1] // (2 * geometry.kernel[0] * geometry.kernel[1])
        fields = np.split(as_array(offset[self.picture]), groups)
        masks = [None] * groups if mask is None else np.split(as_array(mask[self.picture]), groups)
        name = self.names[module] or type(module).__name__
        self.running.times[name] += 1
        if self.running.times[name] > 1:
            name = f"{name} #{self.running.times[name]}"
        shared: dict[str, Any] = {"kernel": geometry.kernel, "step": geometry.stride, "padding": geometry.padding}
        shared |= {"dilation": geometry.dilation, "channels": x.shape[1] // groups, "sampled": tuple(x.shape[-2:])}
        for group, (field_of, mask_of) in enumerate(zip(fields, masks)):
            self.running.calls.append(DeformCall(name, group, **shared, offset=field_of, mask=mask_of))


class _Operators(TorchDispatchMode):
    """Hands on what the two operators are called with, below autograd, autocast, TorchScript and everything else."""

    def __init__(self, see: Callable[[Tensor, Tensor, Tensor | None, Geometry], None]) -> None:
        super().__init__()
        self.see = see

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.torchvision.deform_conv2d.default:
            x, weight, offset, mask, _, sy, sx, py, px, ry, rx, _, _, masked = args
            kernel = weight.shape[2], weight.shape[3]
            self.see(x, offset, mask if masked else None, Geometry(kernel, (sy, sx), (py, px), (ry, rx)))
        elif func is fused.default:
            x, offset, weight, _, stride, padding, dilation = args
            kernel = weight.shape[2], weight.shape[3]
            self.see(x, offset, None, Geometry(kernel, tuple(stride), tuple(padding), tuple(dilation)))
        return func(*args, **(kwargs or {}))
