"""Random models whose deform stages matter, for tests of what watches and changes them."""

from __future__ import annotations

import torch
from torch import nn

from dlka.models.build import build_model


def deforming(placement: str, seed: int = 0, offsets: str = "dense"):
    """A random model in which every layer matters: offsets of about a cell, signals of about one."""
    torch.manual_seed(seed)
    model = build_model(placement, "n", 3, offsets).requires_grad_(False)
    for name, parameter in model.named_parameters():
        if ".offset_net." in name and ".depthwise." not in name:
            parameter.normal_(0, 0.02 if parameter.dim() > 1 else 1.0)
        elif ".proj_2." in name:
            parameter.normal_(0, 0.3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # one pass in training mode then sets the statistics to what these weights give
    model.train()(torch.rand(2, 3, 128, 128))
    return model.eval()


def picture(height: int = 64, width: int = 96, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def hooks(model) -> int:
    """How many listen to a model."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def run(model, x):
    with torch.no_grad():
        return model(x)[0]
