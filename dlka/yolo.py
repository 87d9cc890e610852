"""D-LKA models through Ultralytics' own interface: ``dlka.YOLO("yolov8n-dlka-neck.yaml").train(...)``."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ultralytics.cfg import DEFAULT_CFG_DICT
from ultralytics.engine.model import Model
from ultralytics.models.yolo.detect import DetectionPredictor
from ultralytics.utils import RANK

from dlka.errors import DlkaError
from dlka.models.build import DLKAModel, placement_of, read_config
from dlka.models.catalog import WEIGHTS as WEIGHTS_FOLDER
from dlka.models.catalog import find
from dlka.models.checkpoint import card_of_model, difference, read_checkpoint, restore, whole
from dlka.models.model_yaml import yaml_path
from dlka.models.placements import PLACEMENTS
from dlka.models.transfer import Ledger, transfer
from dlka.models.weights import Card, load_model, save_weights
from dlka.train.trainer import DLKATrainer, DLKAValidator, Start

CHECKPOINTS = (".pt", ".pth")
WEIGHTS = ".safetensors"
YAMLS = (".yaml", ".yml")
EXPORTED = (".onnx", ".torchscript", ".engine", ".tflite", ".pb", ".mnn")  # files that Ultralytics runs
# Settings of a training run that stand in the card of what came out of it.
_SETTINGS = ("epochs", "imgsz", "batch", "optimizer", "lr0", "lrf", "freeze", "mosaic")
# Ultralytics' export settings that the project's exporter fulfils whatever they are: files take every batch and size.
_FULFILLED = ("imgsz", "batch", "dynamic", "simplify", "device", "verbose")


class YOLO(Model):
    """Ultralytics' YOLO for detection models that may have D-LKA rows.

    model: a yaml file or the name of one of the project's ("yolov8n-dlka-neck.yaml", scales n s m l x), a weights file
    (.safetensors) or the name of a shipped one ("neck"), or a checkpoint of Ultralytics' trainer (.pt), of which
    nothing is run. No model is ever downloaded: a file that is not there is a FileNotFoundError.
    """

    start: Start | None = None
    ledger: Ledger | None = None
    model: Any  # a DLKAModel, or the path of an exported file
    cfg: Any
    overrides: dict[str, Any]
    ckpt: Any  # "train_args" and "epoch", as Ultralytics keeps them
    ckpt_path: Any
    model_name: Any
    card: Card | None = None  # of the weights file that was opened, until other weights take their place
    origin = "a new model, not trained"  # where the weights come from, for the card
    licence = "AGPL-3.0"

    def __init__(self, model: str | Path, verbose: bool = False) -> None:
        if not placement_of(model) and not (str(model).lower().endswith(YAMLS) and yaml_path(model).is_file()):
            model = _file(
                model, "a model yaml, one of the project's names like yolov8n-dlka-neck.yaml, weights, or a checkpoint"
            )
            # Ultralytics would take any file for an exported model, and look for one without an ending on the network.
            if not model.name.lower().endswith((*YAMLS, WEIGHTS, *CHECKPOINTS, *EXPORTED)):
                raise DlkaError(
                    f"{model}: expected a name that ends in {YAMLS[0]}, {WEIGHTS}, {CHECKPOINTS[0]} or that of an "
                    f"exported model ({', '.join(EXPORTED)}); rename the file if it is one of these."
                )
        super().__init__(str(model), task="detect", verbose=verbose)

    def load(self, weights: str | Path) -> YOLO:  # type: ignore[override]  # a file is asked for
        """Start from stock YOLOv8 of this scale: a ``.pt`` file, of which nothing is run, or a weights file.

        Weights go to their layers by structure; ``ledger`` then says what was copied, and ``train`` starts from them.
        Raises FileNotFoundError, or DlkaError where the file is refused or the weights do not fit.
        """
        path = _file(weights, "a stock YOLOv8 checkpoint")
        if path.suffix.lower() in CHECKPOINTS:
            checkpoint = read_checkpoint(path)
            state, names = checkpoint.as_float32(), checkpoint.names or dict(self.model.names)
        else:
            source, card = load_model(path)
            if card.placement != "control":
                raise DlkaError(
                    f"{path.name}: expected the weights of a stock YOLOv8, got placement {card.placement}; "
                    f"to go on with it, open it: dlka.YOLO({str(weights)!r})."
                )
            state, names = source.state_dict(), source.names
        if len(names) == len(self.model.names):
            self.model.names = dict(names)
        self.ledger = transfer(self.model, state, self.model.names, names)
        self.start = state, names
        self.predictor, self.card = None, None
        self.origin = f"weights of {path.name}, copied by structure: {self.ledger.text()}"
        return self

    def save(self, filename: str | Path = "saved_model.pt") -> None:
        """Write the model: a name that ends in .safetensors gets a weights file with its card, others a checkpoint.

        Raises DlkaError for a weights file of a fused model and of rows that are none of the project's placements.
        """
        if Path(filename).suffix.lower() != WEIGHTS:
            super().save(filename)
            return
        self._check_is_pytorch_model()
        if self.model.is_fused():
            raise DlkaError(f"{filename}: this model is fused, which cannot be undone; save it before fuse().")
        card = self._card()
        if difference(self.model, card):
            raise DlkaError(
                f"{filename}: a weights file holds a model of {', '.join(PLACEMENTS)} as they are built here; this one "
                "has other rows or widths; save it as a .pt file."
            )
        if not Path(filename).parent.is_dir():
            raise DlkaError(f"{Path(filename).parent}: there is no such folder to write to.")
        save_weights(filename, self.model.state_dict(), card, exact=True)

    def train(self, trainer: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]  # returns no None
        """Ultralytics' ``train``; mixed precision (amp) is off unless asked for, as its check downloads a model.

        pretrained may name a checkpoint or a weights file. Raises DlkaError where there is nothing to resume.
        """
        weights = None
        if isinstance(kwargs.get("pretrained"), str | Path):
            weights = _opened(_file(kwargs["pretrained"], "pretrained weights"))[0]
            kwargs["pretrained"] = True
        if kwargs.get("resume") is True:
            if not self.ckpt or self.ckpt.get("epoch", -1) < 0 or not self.ckpt_path:
                raise DlkaError(f"{self.model_name} is no checkpoint of an unfinished run: there is nothing to resume.")
            kwargs["resume"] = str(self.ckpt_path)
        before = Path(str(self.model_name)).name
        trainer = trainer or partial(DLKATrainer, start=self.start, weights=weights)
        result = super().train(trainer, **{"amp": False, **kwargs})
        self.card, self.start = None, None
        self.origin = f"trained by dlka.YOLO from {before} ({self.origin})"[:1000]
        return result

    def export(self, **kwargs: Any) -> str:
        """Write the model for other programs by the project's exporter, and return the file's path.

        format: onnx, torchscript (as in Ultralytics where none is given) or pt2. The file lies beside the one that was
        opened, for shipped and new models in the working folder. Raises DlkaError for other formats, and for
        settings that would change what is written.
        """
        from dlka.export.exporter import export_loaded

        self._check_is_pytorch_model()
        name = str(kwargs.pop("format", DEFAULT_CFG_DICT["format"])).lower()
        other = [f"{key}={value!r:.40}" for key, value in kwargs.items() if value and key not in _FULFILLED]
        if other:
            raise DlkaError(
                f"export: {', '.join(other)} is not done here: files are float32 with boxes before suppression, as "
                "python -m dlka export writes them; leave it away."
            )
        opened = Path(getattr(self.model, "pt_path", None) or Path(str(self.model_name)).name)
        folder = Path() if opened.parent == WEIGHTS_FOLDER else opened.parent
        with TemporaryDirectory(dir=folder, prefix=".dlka-export-") as temporary:
            out = Path(temporary) / f"{opened.stem}.{name}"
            exported = export_loaded(deepcopy(self.model).float(), self._card(), opened.stem, name, out)
            return str(exported.file.replace(folder / out.name))

    def track(self, *arguments: Any, **settings: Any) -> Any:
        """Ultralytics' ``track``; DlkaError where the package that its trackers need is not installed."""
        if find_spec("lap") is None:
            raise DlkaError(
                "track: Ultralytics' trackers need a package that is not here; get it with: pip install lap"
            )
        return super().track(*arguments, **settings)

    def tune(self, use_ray: bool = False, iterations: int = 10, *arguments: Any, **settings: Any) -> Any:
        """Ultralytics' search for settings by Ray Tune, with use_ray=True; the search is random unless search_alg says
        otherwise. Without it refused with DlkaError, as Ultralytics' own search knows no D-LKA."""
        if not use_ray:
            raise DlkaError(
                "tune: Ultralytics' own search starts a program for every trial, which knows no D-LKA; that by Ray "
                'Tune works: tune(use_ray=True), after pip install "dlka[ray]".'
            )
        return super().tune(True, iterations, *arguments, **{"search_alg": "random", **settings})

    def benchmark(self, *_: Any, **__: Any) -> Any:
        """Refused with DlkaError: Ultralytics' table is made by its own exporters."""
        raise DlkaError(
            "benchmark: Ultralytics measures its own exporters, which write no deformable convolution; export a format "
            "with export(format=...), and measure speed with: python -m dlka bench."
        )

    def _new(self, cfg: str, task: str | None = None, verbose: bool = False) -> None:
        config = read_config(cfg)
        self.cfg = cfg
        self.task = "detect"
        self.model = DLKAModel({**config, "yaml_file": str(cfg)}, verbose=verbose and RANK == -1)
        self.overrides.update(model=str(cfg), task=self.task)
        self.model.args = {**DEFAULT_CFG_DICT, **self.overrides}
        self.model.task = self.task
        self.model_name = str(cfg)

    def _load(self, weights: str, task: str | None = None) -> None:
        path = Path(weights)
        if path.suffix.lower() not in (*CHECKPOINTS, WEIGHTS):
            super()._load(weights, task)  # an exported file, which Ultralytics runs
            return
        self.model, self.card, settings, epoch = _opened(path)
        if self.card is None:
            self.origin = f"opened from {path.name}"
            self.licence = "that of the checkpoint it was opened from"
        else:
            self.origin, self.licence = self.card.recipe, self.card.licence
        self.task = self.model.task = "detect"
        self.ckpt = {"train_args": settings, "epoch": epoch}
        self.ckpt_path = self.model.pt_path = self.model_name = weights
        size = whole(settings.get("imgsz"), 32, 8192, 640)
        self.overrides = {"model": weights, "task": "detect", "imgsz": size}
        if Path(str(settings.get("data") or "")).is_file():  # what is not there would be looked for on the network
            self.overrides["data"] = settings["data"]
        self.model.args = {**DEFAULT_CFG_DICT, **self.overrides}

    def _card(self) -> Card:
        """What a file says of this model. Figures are not carried over: they were measured on another file."""
        if self.card is not None:
            return replace(self.card, metrics={}, uses=None)
        settings = (self.ckpt or {}).get("train_args") or {}
        told = {key: settings[key] for key in _SETTINGS if key in settings}
        recipe = f"{self.origin}; settings {json.dumps(told, default=str)}" if told else self.origin
        return replace(card_of_model(self.model, settings), recipe=recipe, licence=self.licence)

    @property
    def task_map(self) -> dict[str, dict[str, Any]]:
        """What Ultralytics builds for each task; the supported way to bring an own model and trainer."""
        own = {"model": DLKAModel, "trainer": DLKATrainer, "validator": DLKAValidator}
        return {"detect": {**own, "predictor": DetectionPredictor}}


def _opened(path: Path) -> tuple[DLKAModel, Card | None, dict[str, Any], int]:
    """Model, card of a weights file, settings it was trained with, and last epoch of an unfinished run or -1."""
    if path.suffix.lower() == WEIGHTS:
        model, card = load_model(path)
        return model, card, {"imgsz": card.input_size}, -1
    checkpoint = read_checkpoint(path)
    return restore(checkpoint, path.name), None, checkpoint.train_args, checkpoint.epoch


def _file(path: str | Path, what: str) -> Path:
    """The file of that path, or of a shipped model of that name."""
    if Path(path).is_file():
        return Path(path)
    with suppress(DlkaError):
        if (shipped := find(str(path))).is_file():
            return shipped  # one that is no model, too: whoever opens it is told what it is
    raise FileNotFoundError(f"{path}: expected {what}; there is no such file, and nothing is downloaded")
