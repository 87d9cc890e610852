"""D-LKA models through Ultralytics' own interface: ``dlka.YOLO("yolov8n-dlka-neck.yaml").train(...)``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ultralytics import YOLO as UltralyticsYOLO
from ultralytics.models.yolo.detect import DetectionPredictor, DetectionTrainer, DetectionValidator
from ultralytics.utils import RANK

from dlka.models.build import DLKAModel, read_config
from dlka.models.transfer import Ledger, transfer


class DLKATrainer(DetectionTrainer):
    """Ultralytics' trainer with a model that keeps its D-LKA blocks when the trainer builds the net again.

    start: state dict and class names of a stock YOLOv8 to begin from; the ledger says what became of it.
    """

    def __init__(
        self,
        *args: Any,
        start: tuple[Mapping[str, torch.Tensor], Mapping[int, str]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.start = start
        self.ledger: Ledger | None = None
        super().__init__(*args, **kwargs)

    def get_model(self, cfg: Any = None, weights: torch.nn.Module | None = None, verbose: bool = True) -> DLKAModel:
        """A D-LKA model for the data's classes; starts from `weights` (a model), from `start`, or at random."""
        model = DLKAModel(cfg, ch=self.data["channels"], nc=self.data["nc"], verbose=verbose and RANK == -1)
        model.names = dict(self.data["names"])
        if weights is not None:
            model.load(weights)
        elif self.start is not None:
            self.ledger = transfer(model, self.start[0], model.names, self.start[1])
        return model


class YOLO(UltralyticsYOLO):
    """Ultralytics' YOLO for detection models that may have D-LKA rows.

    model: a yaml file or the name of one of the project's ("yolov8n-dlka-neck.yaml", scales n s m l x), or a
    checkpoint that Ultralytics' trainer wrote here. Nothing is downloaded: a file that is not there is an error.
    """

    def __init__(self, model: str | Path, verbose: bool = False) -> None:
        if Path(model).suffix not in (".yaml", ".yml") and not Path(model).is_file():
            raise FileNotFoundError(f"{model}: expected a model yaml or a checkpoint file that exists; nothing is downloaded")
        super().__init__(model, task="detect", verbose=verbose)

    def _new(self, cfg: str, task: str | None = None, verbose: bool = False) -> None:
        config = read_config(cfg)
        self.cfg = cfg
        self.task = "detect"
        self.model = DLKAModel({**config, "yaml_file": str(cfg)}, verbose=verbose and RANK == -1)
        self.overrides.update(model=str(cfg), task=self.task)
        self.model.args = {**_defaults(), **self.overrides}
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


def _defaults() -> dict[str, Any]:
    from ultralytics.cfg import DEFAULT_CFG_DICT

    return dict(DEFAULT_CFG_DICT)
