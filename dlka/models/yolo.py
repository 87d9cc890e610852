"""D-LKA models through Ultralytics' own interface: ``dlka.YOLO("yolov8n-dlka-neck.yaml").train(...)``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ultralytics.cfg import DEFAULT_CFG_DICT
from ultralytics.engine.model import Model
from ultralytics.models.yolo.detect import DetectionPredictor, DetectionTrainer, DetectionValidator
from ultralytics.utils import RANK

from dlka.layers import DeformableLKAAttention
from dlka.models.build import DLKAModel, placement_of, read_config
from dlka.models.convert import read_checkpoint
from dlka.models.transfer import Ledger, transfer

Start = tuple[Mapping[str, torch.Tensor], Mapping[int, str]]  # state dict and class names of stock weights


class DLKATrainer(DetectionTrainer):
    """Ultralytics' trainer with a model that keeps its D-LKA blocks when the trainer builds the net again.

    start: state dict and class names of a stock YOLOv8 to begin from; the ledger says what became of it.
    """

    def __init__(self, *args: Any, start: Start | None = None, **kwargs: Any) -> None:
        self.start = start
        self.ledger: Ledger | None = None
        super().__init__(*args, **kwargs)

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> DLKAModel:
        """A D-LKA model for the data's classes; starts from `weights` (a model), from `start`, or at random."""
        model = DLKAModel(cfg, ch=self.data["channels"], nc=self.data["nc"], verbose=verbose and RANK == -1)
        model.names = dict(self.data["names"])
        if weights is not None and any(isinstance(m, DeformableLKAAttention) for m in weights.modules()):
            model.load(weights)
        elif weights is not None:  # stock layers, which names alone would put into other places
            self.ledger = transfer(model, weights.float().state_dict(), model.names, weights.names)
        elif self.start is not None:
            self.ledger = transfer(model, self.start[0], model.names, self.start[1])
        return model


class YOLO(Model):
    """Ultralytics' YOLO for detection models that may have D-LKA rows.

    model: a yaml file or the name of one of the project's ("yolov8n-dlka-neck.yaml", scales n s m l x), or a
    checkpoint that Ultralytics' trainer wrote here; checkpoints are pickles, so open only those that you trust.
    No model is ever downloaded: a file that is not there is a FileNotFoundError.
    """

    start: Start | None = None
    ledger: Ledger | None = None
    model: Any  # a DLKAModel
    cfg: Any

    def __init__(self, model: str | Path, verbose: bool = False) -> None:
        if not placement_of(model):
            _expect_file(model, "a model yaml, one of the project's names like yolov8n-dlka-neck.yaml, or a checkpoint")
        super().__init__(str(model), task="detect", verbose=verbose)

    def load(self, weights: str | Path) -> YOLO:  # type: ignore[override]
        """Start from the stock YOLOv8 checkpoint of this scale: a ``.pt`` file, of which nothing is run.

        Weights go to their layers by structure; ``ledger`` then says what was copied, and ``train`` starts from them.
        Raises FileNotFoundError, CheckpointRefused, or ValueError where the weights do not fit.
        """
        _expect_file(weights, "a stock YOLOv8 checkpoint")
        checkpoint = read_checkpoint(weights)
        state = {k: v.float() if v.is_floating_point() else v for k, v in checkpoint.tensors.items()}
        names = checkpoint.names or dict(self.model.names)
        if len(names) == len(self.model.names):
            self.model.names = dict(names)
        self.ledger = transfer(self.model, state, self.model.names, names)
        self.start = state, names
        self.predictor = None
        return self

    def train(self, trainer: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Ultralytics' ``train``; mixed precision (amp) is off unless asked for, as its check downloads a model."""
        if isinstance(kwargs.get("pretrained"), str | Path):
            _expect_file(kwargs["pretrained"], "pretrained weights")
        trainer = trainer or partial(self.task_map["detect"]["trainer"], start=self.start)
        return super().train(trainer, **{"amp": False, **kwargs})

    def _new(self, cfg: str, task: str | None = None, verbose: bool = False) -> None:
        config = read_config(cfg)
        self.cfg = cfg
        self.task = "detect"
        self.model = DLKAModel({**config, "yaml_file": str(cfg)}, verbose=verbose and RANK == -1)
        self.overrides.update(model=str(cfg), task=self.task)
        self.model.args = {**DEFAULT_CFG_DICT, **self.overrides}
        self.model.task = self.task
        self.model_name = str(cfg)

    @property
    def task_map(self) -> dict[str, dict[str, Any]]:
        """What Ultralytics builds for each task; the supported way to bring an own model and trainer."""
        return {
            "detect": {
                "model": DLKAModel,
                "trainer": DLKATrainer,
                "validator": DetectionValidator,
                "predictor": DetectionPredictor,
            }
        }


def _expect_file(path: str | Path, what: str) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: expected {what}; there is no such file, and nothing is downloaded")
