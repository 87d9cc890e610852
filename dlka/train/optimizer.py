"""Learning rates by where a parameter comes from."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from dlka.models.blocks import C2f_DLKA
from dlka.offset_nets import Float32Conv2d
from dlka.train.recipe import Recipe

OFFSETS = "offsets"  # key of a parameter group: whether it is that of offset convolutions


def build_optimizer(model: nn.Module, recipe: Recipe, copied: Collection[str], decay: float) -> torch.optim.Optimizer:
    """AdamW; weight decay on weights of convolutions only. copied: names of parameters from the stock weights."""
    # A copied convolution inside C2f_DLKA has new neighbours: it learns as fast as they do.
    settled = set(copied) - _parameters_inside(model, C2f_DLKA)
    offset_names = _parameters_inside(model, Float32Conv2d)
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        moves = name in offset_names
        lr = recipe.offset_lr if moves else recipe.copied_lr if name in settled else recipe.lr
        groups.setdefault((lr, decay if parameter.dim() > 1 else 0.0, moves), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": params, "lr": lr, "weight_decay": wd, "param_group": "weight" if wd else "bn", OFFSETS: moves}
            for (lr, wd, moves), params in groups.items()
        ],
        betas=(0.9, 0.999),
    )


def _parameters_inside(model: nn.Module, kind: type[nn.Module]) -> set[str]:
    """Names of all parameters inside modules of a kind."""
    modules = [(name, m) for name, m in model.named_modules() if isinstance(m, kind)]
    return {f"{outer}.{name}" for outer, module in modules for name, _ in module.named_parameters()}
