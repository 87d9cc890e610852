"""The models that a benchmark of whole models compares: random, but with signals and offsets as in trained ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from dlka.inference.predictor import as_input, ready
from dlka.layers import DeformConv
from dlka.models.build import PLAIN, DLKAModel, build_model
from dlka.models.cost import parameters
from dlka.models.model_yaml import RIGID
from dlka.offset_nets import OffsetConv2d

STOCK = "control"


@dataclass(frozen=True)
class Subject:
    """What is timed: words as in dlka.models.build; backend of the deformable step, "-" where there is none."""

    placement: str
    scale: str
    offsets: str
    backend: str
    bfloat16: bool = False


def subjects(
    placements: Sequence[str], scale: str, offsets: Sequence[str], backends: Sequence[str], bfloat16: bool = False
) -> list[Subject]:
    """Stock YOLOv8 first, then every combination that makes a difference, each in bfloat16 too where that is asked."""
    found = [Subject(STOCK, scale, "none", "-")]
    for placement in placements:
        for kind in offsets if placement not in PLAIN else ("none",):
            found += [Subject(placement, scale, kind, b) for b in (backends if kind not in RIGID else ("-",))]
    if bfloat16:
        found += [Subject(s.placement, s.scale, s.offsets, s.backend, True) for s in found]
    return list(dict.fromkeys(found))


def words(row: dict[str, Any]) -> dict[str, str]:
    """The subject of a row for people, as the first columns of a table."""
    number = "bfloat16" if row["bfloat16"] else "float32"
    return {"model": row["placement"], **{k: row[k] for k in ("scale", "offsets", "backend")}, "in": number}


def pictures(batch: int, size: int) -> np.ndarray:
    """RGB [batch, size, size, 3] uint8: seeded squares of 16 pixels in random colours; size is a multiple of 16."""
    colours = np.random.default_rng(0).integers(0, 256, (batch, size // 16, size // 16, 3), dtype=np.uint8)
    return colours.repeat(16, axis=1).repeat(16, axis=2)


def lively(placement: str, scale: str, offsets: str) -> DLKAModel:
    """A seeded random model in evaluation mode whose batch norms know one batch.

    In a new model signals fade from layer to layer, and numbers below 1e-38 take a processor many times as long.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(placement, scale, offsets=offsets)
        for module in model.modules():
            if isinstance(module, OffsetConv2d):
                nn.init.normal_(module.weight, std=1e-3)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            model.train()(as_input(pictures(2, 256), torch.device("cpu")))
    return model.eval()


def deform(model: DLKAModel, x: torch.Tensor) -> None:
    """Scale the offset nets so that their offsets on this input spread by one cell, as those of trained models do.

    They change from cell to cell, so that no read is regular. Runs the model once.
    """

    def one_cell(module: nn.Conv2d, inputs: Any, offset: torch.Tensor) -> torch.Tensor:
        spread = offset.std()
        module.weight.div_(spread)
        return offset / spread

    handles = [m.register_forward_hook(one_cell) for m in model.modules() if isinstance(m, OffsetConv2d)]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()


def prepared(subject: Subject, device: torch.device) -> tuple[DLKAModel, int]:
    """The model of a subject as the predictor would run it, and its number of parameters."""
    model = lively(subject.placement, subject.scale, subject.offsets)
    count = parameters(model)
    model = ready(model, device)
    for module in model.modules():
        if isinstance(module, DeformConv):
            module.backend = subject.backend
    return model, count
