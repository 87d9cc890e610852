"""What Ultralytics needs to train and measure D-LKA models: its trainer and validator with an own model."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from ultralytics.models.yolo.detect import DetectionTrainer, DetectionValidator
from ultralytics.utils import RANK

from dlka import layers, offset_nets
from dlka.errors import DlkaError
from dlka.layers import DeformableLKAAttention
from dlka.models import blocks, build
from dlka.models.build import DLKAModel
from dlka.models.transfer import Ledger, transfer

Start = tuple[Mapping[str, torch.Tensor], Mapping[int, str]]  # state dict and class names of stock weights

# Ultralytics opens the checkpoints that its trainer wrote (the best one after the last epoch, the last one to go on
# with) by torch's restricted unpickler, which takes only classes that it was told of.
torch.serialization.add_safe_globals(
    [
        kind
        for module in (layers, offset_nets, blocks, build)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, nn.Module) and kind.__module__ == module.__name__
    ]
)


class DLKATrainer(DetectionTrainer):
    """Ultralytics' trainer with a model that keeps its D-LKA blocks when the trainer builds the net again.

    start: state dict and class names of a stock YOLOv8 to begin from; the ledger says what became of it.
    weights: a model to begin from in the place of the one that Ultralytics hands over.
    """

    def __init__(self, *args: Any, start: Start | None = None, weights: DLKAModel | None = None, **kwargs: Any) -> None:
        self.start = start
        self.weights = weights
        self.ledger: Ledger | None = None
        super().__init__(*args, **kwargs)

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> DLKAModel:
        """A D-LKA model for the data's classes; starts from `weights` (a model), from `start`, or at random."""
        model = DLKAModel(cfg, ch=self.data["channels"], nc=self.data["nc"], verbose=verbose and RANK == -1)
        model.names = dict(self.data["names"])
        weights = weights if self.weights is None else self.weights
        if weights is not None:
            state = weights.float().state_dict()
            alike = set(state) == set(model.state_dict())
            if not alike and any(isinstance(m, DeformableLKAAttention) for m in weights.modules()):
                raise DlkaError(
                    "pretrained: weights with D-LKA blocks go into a model of the same rows only; got others."
                )
            self.ledger = transfer(model, state, model.names, weights.names, alike)
        elif self.start is not None:
            self.ledger = transfer(model, self.start[0], model.names, self.start[1])
        return model


class DLKAValidator(DetectionValidator):
    """Ultralytics' validator, which fuses the model that it measures, on a copy: what is saved later is not fused."""

    def __call__(self, trainer: Any = None, model: Any = None) -> Any:
        """Measure a model, or the one of a trainer."""
        return super().__call__(trainer, deepcopy(model))
