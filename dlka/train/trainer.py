"""What Ultralytics needs to train and measure D-LKA models: its trainer and validator with an own model; what a run
begins from, and on which device it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch import nn
from ultralytics.models.yolo.detect import DetectionTrainer, DetectionValidator
from ultralytics.utils import RANK

from dlka import layers, offset_nets
from dlka.errors import DlkaError
from dlka.inference.predictor import best_device
from dlka.layers import DeformableLKAAttention
from dlka.models import blocks, build
from dlka.models.build import DLKAModel, build_model, model_config, plain_of
from dlka.models.catalog import find
from dlka.models.checkpoint import read_checkpoint
from dlka.models.model_yaml import ATTENTION
from dlka.models.placements import PLAIN, SCRATCH
from dlka.models.transfer import Ledger, transfer
from dlka.models.weights import load_card, load_model
from dlka.offset_nets import OffsetConv2d
from dlka.train.recipe import Recipe

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
        self._ask_tune_once()

    def _ask_tune_once(self) -> None:
        """Where no trial of Ray's Tune runs, take out what Ultralytics asks it after every epoch: Ray warns of that."""
        name = "on_fit_epoch_end"
        others = [each for each in self.callbacks[name] if not each.__module__.endswith(".raytune")]
        if len(others) < len(self.callbacks[name]):
            from ultralytics.utils.callbacks import raytune  # which imports Ray where it is installed

            with catch_warnings():
                simplefilter("ignore")
                trial = raytune.tune.get_context().get_trial_id()
            if trial is None:
                self.callbacks[name] = others

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


# What a run begins from: the weights of a stock model, and the teacher.


def read_start(weights: str | Path) -> Start:
    """State dict (float32) and class names of stock weights: a model id, a safetensors file, or a .pt of which nothing
    is run."""
    if Path(weights).suffix != ".pt":
        model, card = load_model(find(str(weights)))
        return model.state_dict(), card.names
    checkpoint = read_checkpoint(weights)
    if checkpoint.names is None:
        raise DlkaError(f"{Path(weights).name}: expected a checkpoint with class names, got none.")
    return checkpoint.as_float32(), checkpoint.names


def check_stock(weights: str, scale: str, what: str, placement: str = "control") -> None:
    """Raises DlkaError for a weights file of the project that is no stock YOLOv8 of this scale.

    placement: the one that will do, without D-LKA. A .pt is not opened: its shapes are compared when they
    are copied.
    """
    if Path(weights).suffix == ".pt":
        return
    card = load_card(find(weights))
    if card.placement != placement:
        if placement == PLAIN[0]:
            raise DlkaError(
                f"--{what} {weights}: expected a stock YOLOv8, which a {placement} is, got placement {card.placement}."
            )
        raise DlkaError(
            f"--{what} {weights}: a model of one level has no pyramid: weights of placement {card.placement} do "
            f"not fit; {'train from scratch with --start none, or ' if what == 'start' else ''}"
            f"give the weights of a {placement}."
        )
    if card.scale != scale:
        raise DlkaError(
            f"--{what} {weights} is of scale {card.scale}: give stock weights of scale {scale}, "
            f"for example --{what} yolov8{scale}.pt."
        )


def read_teacher(recipe: Recipe, names: dict[int, str]) -> DLKAModel | None:
    """The recipe's teacher, frozen and in evaluation mode, or None. Raises DlkaError for other classes."""
    if not recipe.teacher:
        return None
    state, known = read_start(recipe.teacher)
    if known != names:
        raise DlkaError(
            f"{recipe.teacher}: expected a teacher with the data's {len(names)} classes, got one with {len(known)}."
        )
    model = build_model(plain_of(recipe.placement), recipe.scale, len(names))
    model.names = names
    transfer(model, state, names, names)
    return model.eval().requires_grad_(False)


def frozen_layers(recipe: Recipe) -> int:
    """How many layers from the input stay as they are: none from scratch, else `frozen` of the stock layers that the
    placement has before its head, 22, or 4 without the pyramid."""
    if recipe.start == SCRATCH:
        return 0
    config = model_config(recipe.placement)
    return min(recipe.frozen, sum(row[2] != ATTENTION for row in config["backbone"] + config["head"]) - 1)


# On what and how precisely a model is trained: the device by Ultralytics' word for it, convolutions in bfloat16.


def use_bfloat16(model: nn.Module, device: str) -> None:
    """From now on the model's pass runs under autocast; losses are sums over thousands of cells, so what comes out of
    it is float32. Offsets stay float32 too; only the products inside the convolutions that give them out are not."""
    for module in model.modules():
        if isinstance(module, OffsetConv2d):
            module.bfloat16_products = True
    predict: Callable[..., Any] = model.predict  # type: ignore[assignment]  # a tensor, mypy thinks

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            return _as_float32(predict(*args, **kwargs))

    model.predict = run  # type: ignore[assignment]  # as above


def _as_float32(value: Any) -> Any:
    """Every bfloat16 tensor in lists, tuples and dicts as float32."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if isinstance(value, dict):
        return {key: _as_float32(item) for key, item in value.items()}
    return type(value)(map(_as_float32, value)) if isinstance(value, list | tuple) else value


def training_device(asked: str | None, batch: int) -> str:
    """cpu, mps, cuda, or numbers of CUDA GPUs with commas; without a word the best one there is.

    Raises DlkaError for what is not there, and for several GPUs that cannot share the batch.
    """
    device = (asked or str(best_device())).removeprefix("cuda:")
    available = torch.cuda.device_count()
    if device == "cpu" or (device == "mps" and torch.backends.mps.is_available()) or (device == "cuda" and available):
        return device
    if not re.fullmatch(r"\d+(,\d+)*", device) or any(int(n) >= available for n in device.split(",")):
        raise DlkaError(
            f"--device: expected cpu, mps, or numbers of GPUs as in 0 or 0,1, got {device}; torch finds "
            f"{available} CUDA GPUs here{' and MPS' if torch.backends.mps.is_available() else ''}."
        )
    gpus = len(device.split(","))
    if gpus > 1 and batch % gpus:
        raise DlkaError(f"batch: expected a multiple of the {gpus} GPUs, got {batch}.")
    return device


def first_device(device: str) -> str:
    """The same for torch, which takes one: "0,1" is "cuda:0"."""
    first = device.split(",")[0]
    return f"cuda:{first}" if first.isdigit() else first
