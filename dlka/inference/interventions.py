"""Change what a trained model's deform stages and gates do, to see what they are good for. Hooks are borrowed.

A stage predicts its offsets from its input, so that a change in one stage reaches the stages behind it twice: by what
they sample, and by the offsets that they predict from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate

from dlka.errors import DlkaError
from dlka.layers import DeformableLKAAttention, DeformConv, RigidConv

LEARNED, SHUFFLED, GIVEN, GATE_OFF = KINDS = ("learned", "shuffled", "given", "gate off")


@dataclass(frozen=True)
class Intervention:
    """What is done to a model; by default nothing.

    kind      where the offsets come from:
              "learned"   the model's own
              "shuffled"  the model's own, each cell with the offsets of another cell of the same map: the distribution
                          of displacements stays, their tie to what the picture shows there is cut. All taps of a cell
                          move together; which cells change places follows from seed and stage
              "given"     `fields`, for example those of another picture
              or "gate off": the gate is closed and the block adds nothing, proj_2's bias included: it returns its input
    strength  factor on every offset, whatever the kind: 1 as they are, 0 rigid, negative mirrored
    where     module paths of deform stages or of D-LKA blocks that it is done to; None for all. The gate belongs to
              both stages of its block
    seed      of the shuffling, from 0
    fields    stage name -> offsets [2K, H, W] in cells, as a probe captures them, at least for the stages of `where`.
              On a map of another size the field is stretched over it, bilinearly between cells; the offsets stay as
              many cells long, as kernels do
    """

    kind: str = LEARNED
    strength: float = 1.0
    where: tuple[str, ...] | None = None
    seed: int = 0
    fields: Mapping[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DlkaError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r:.60}")
        if (self.fields is not None) != (self.kind == GIVEN):
            raise DlkaError(f"fields: expected with kind {GIVEN!r} and with no other, got kind {self.kind!r}")
        if self.kind == GATE_OFF and self.strength != 1:
            raise DlkaError("strength: expected 1 where the gate is off, as no offset matters then")


@contextmanager
def intervene(model: nn.Module, intervention: Intervention) -> Iterator[None]:
    """Run the model with this done to it inside the context; no hook is left behind, after exceptions either.

    A probe sees the changed offsets and gates, whichever of the two contexts was entered first. A model without such
    stages or blocks is left as it is. Raises ValueError for a place in `where` that the model does not have, and for
    fields that are missing or do not fit.
    """
    with ExitStack() as hooks:
        for module, hook in _hooks(model, intervention):
            hooks.enter_context(module.register_forward_hook(hook, prepend=True))
        yield


def _hooks(model: nn.Module, intervention: Intervention) -> Iterator[tuple[nn.Module, Any]]:
    """The modules whose output changes, with the hook that changes it."""
    chosen = _choice(model, intervention.where)
    gates, moves = intervention.kind == GATE_OFF, (intervention.kind, intervention.strength) != (LEARNED, 1)
    stages = 0  # also those left alone: how a stage is shuffled does not depend on `where`
    for name, module in model.named_modules():
        stages += isinstance(module, DeformConv)
        if isinstance(module, DeformableLKAAttention) and gates and chosen(name):
            yield module.spatial_gating_unit.conv1, _close
            yield module.proj_2, _close
        elif isinstance(module, DeformConv) and moves and not gates and chosen(name):
            yield module.offset_net, _offsets(intervention, name, stages, module)


def _choice(model: nn.Module, where: tuple[str, ...] | None) -> Callable[[str], bool]:
    """Whether the stage or block of a module path is meant: it is in `where`, or its block is, or a stage of it."""
    if where is None:
        return lambda name: True
    known = [n for n, m in model.named_modules() if isinstance(m, DeformConv | RigidConv | DeformableLKAAttention)]
    for place in where:
        if place not in known:
            raise DlkaError(f"where: expected one of {', '.join(known) or 'no place in this model'}, got {place!r:.60}")
    return lambda name: any(f"{a}.".startswith(f"{b}.") for w in where for a, b in ((name, w), (w, name)))


def _close(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(output)


def _offsets(intervention: Intervention, name: str, number: int, stage: DeformConv) -> Any:
    """A hook on an offset net: its offsets [N, 2K, H, W] -> those that the stage is to use."""
    given = _field(intervention.fields, name, stage) if intervention.fields is not None else None

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        if given is not None:
            field, size = given.to(output), output.shape[-2:]
            if field.shape[-2:] != size:
                field = interpolate(field, size, mode="bilinear", align_corners=False)
            output = field.expand_as(output)
        elif intervention.kind == SHUFFLED:
            cells = output.shape[-2] * output.shape[-1]
            moved = np.random.default_rng([intervention.seed, number]).permutation(cells)
            output = output.flatten(2)[..., torch.from_numpy(moved).to(output.device)].reshape(output.shape)
        return output if intervention.strength == 1 else output * intervention.strength

    return hook


def _field(fields: Mapping[str, np.ndarray], name: str, stage: DeformConv) -> torch.Tensor:
    """The given field of a stage, [1, 2K, H, W] float32; raises ValueError."""
    if name not in fields:
        raise DlkaError(f"fields: expected offsets of {name}, got those of {', '.join(fields) or 'no stage'}")
    field, channels = fields[name], 2 * math.prod(stage.kernel_size)
    if field.ndim != 3 or field.shape[0] != channels or not field.size:
        raise DlkaError(f"fields: expected [{channels}, H, W] for {name}, got {list(field.shape)}")
    return torch.from_numpy(field.astype(np.float32))[None]
