"""Train a placement from stock weights, with labels and a teacher, and write one safetensors file with its whole recipe."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from ultralytics.utils.torch_utils import unwrap_model

import dlka
from dlka.inference.predictor import Predictor, best_device
from dlka.jobs.distill import PICTURES, DistillationLoss, pseudo_label
from dlka.layers import OffsetConv2d
from dlka.models.blocks import C2f_DLKA
from dlka.models.build import PLACEMENTS, build_model
from dlka.models.transfer import transfer
from dlka.models.weights import Card, save_weights
from dlka.models.yolo import YOLO, DLKATrainer

LICENCE = "AGPL-3.0"


class TrainingRefused(ValueError):
    """A training run that cannot start; one sentence with what to do."""


@dataclass(frozen=True)
class Recipe:
    """One training run. data: folder in Ultralytics' layout; unlabelled: folder of pictures the teacher labels, or None.

    lr: learning rate (AdamW) of what is new and of the blocks around it; copied_lr of the rest, which came from the
    stock weights; offset_lr of the offset convolutions: a sum
    over hundreds of inputs, so that a step of 1e-3 in every weight would move taps by cells at once. frozen: how many layers from the input stay as they are, batch norms included. pseudo_size and
    pseudo_confidence: how the teacher labels pictures that have no labels.
    """

    placement: str
    data: str
    start: str
    unlabelled: str | None = None
    scale: str = "n"
    offsets: str = "dense"
    epochs: int = 2
    size: int = 416
    batch: int = 8
    lr: float = 1e-3
    copied_lr: float = 1e-4
    offset_lr: float = 1e-4
    frozen: int = 10
    pseudo_size: int = 640
    pseudo_confidence: float = 0.3
    seed: int = 0


class RecipeTrainer(DLKATrainer):
    """Learning rates by where a parameter comes from, and a teacher's soft targets beside the labels."""

    def __init__(self, *args: Any, recipe: Recipe, teacher: nn.Module, **kwargs: Any) -> None:
        self.recipe, self.teacher = recipe, teacher
        super().__init__(*args, **kwargs)
        self.add_callback("on_train_start", RecipeTrainer._distil)
        self.add_callback("on_train_batch_start", RecipeTrainer._fade)
        self.add_callback("on_train_epoch_end", RecipeTrainer._log_offsets)

    def build_optimizer(self, model: nn.Module, *args: Any, decay: float = 1e-5, **kwargs: Any) -> torch.optim.Optimizer:
        """AdamW; weight decay on weights of convolutions only."""
        copied = set(self.ledger.copied if self.ledger else ()) - _parameters_inside(model, C2f_DLKA)
        offset_names = _parameters_inside(model, OffsetConv2d)
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            recipe = self.recipe
            lr = recipe.offset_lr if name in offset_names else recipe.copied_lr if name in copied else recipe.lr
            groups.setdefault((lr, decay if parameter.dim() > 1 else 0.0), []).append(parameter)
        return torch.optim.AdamW(
            [
                {"params": params, "lr": lr, "weight_decay": wd, "param_group": "weight" if wd else "bn"}
                for (lr, wd), params in groups.items()
            ],
            betas=(0.9, 0.999),
        )

    def validate(self) -> tuple[dict[str, float], float]:
        """Nothing is chosen on the validation pictures, so nothing looks at them while training."""
        return {}, 0.0

    def final_eval(self) -> None:
        """`dlka val` measures the file that is written, which is what people will run."""

    def _distil(self) -> None:
        model = unwrap_model(self.model)
        model.criterion = DistillationLoss(model, self.teacher.to(self.device))

    def _fade(self) -> None:
        """Feature matching fades from 1 to 0 over the run."""
        self.batches_done = getattr(self, "batches_done", -1) + 1
        whole = max(1, len(self.train_loader) * self.epochs)
        unwrap_model(self.model).criterion.feature_weight = max(0.0, 1 - self.batches_done / whole)

    def _log_offsets(self) -> None:
        """The mean losses of the epoch, then one line a stage: how large the offset biases have become, in cells."""
        losses = "  ".join(f"{name} {float(value):.3f}" for name, value in self.tloss.items())
        print(f"epoch {self.epoch + 1}/{self.epochs}  {losses}", flush=True)
        for name, module in unwrap_model(self.model).named_modules():
            if isinstance(module, OffsetConv2d) and module.bias is not None:
                bias, weight = module.bias.detach().abs(), module.weight.detach().abs()
                print(f"  {name}: bias mean {bias.mean():.3f} max {bias.max():.3f} cells, weight mean {weight.mean():.5f}")


def _parameters_inside(model: nn.Module, kind: type[nn.Module]) -> set[str]:
    """Names of all parameters inside modules of a kind. A copied convolution inside C2f_DLKA has new neighbours."""
    modules = [(name, m) for name, m in model.named_modules() if isinstance(m, kind)]
    return {f"{outer}.{name}" for outer, module in modules for name, _ in module.named_parameters()}


def train(recipe: Recipe, out: Path, run: Path, device: str | None = None) -> Path:
    """Train, then write `out` (safetensors). `run`: working folder for logs, curves and pseudo-labels.

    Raises TrainingRefused before the first epoch where data or start are not usable.
    """
    if recipe.placement not in PLACEMENTS:
        raise TrainingRefused(f"placement: expected one of {', '.join(PLACEMENTS)}, got {recipe.placement!r}.")
    names = _class_names(Path(recipe.data))
    state, stock_names = read_start(Path(recipe.start))
    teacher = _stock_model(state, stock_names, recipe.scale)
    folders = [str((Path(recipe.data) / "images/train").resolve())]
    if recipe.unlabelled:
        if list(stock_names.values()) != list(names.values()):
            raise TrainingRefused("unlabelled pictures need data with the teacher's own classes; leave --unlabelled out.")
        labelled = run.parent / f"pseudo-labels-{Path(recipe.unlabelled).name}"
        predictor = Predictor(teacher, torch.device(device) if device else best_device())
        pseudo_label(predictor, Path(recipe.unlabelled), labelled, recipe.pseudo_confidence, recipe.pseudo_size)
        folders.append(str((labelled / "images").resolve()))
    run.mkdir(parents=True, exist_ok=True)
    data_yaml = run / "data.yaml"
    val = str((Path(recipe.data) / "images/val").resolve())
    data_yaml.write_text(yaml.safe_dump({"path": str(run.resolve()), "train": folders, "val": val, "names": names}))

    model = YOLO(PLACEMENTS[recipe.placement].format(recipe.scale))
    model.model.yaml["offsets"] = recipe.offsets
    teacher.requires_grad_(False).eval()
    model.train(
        trainer=partial(RecipeTrainer, recipe=recipe, teacher=teacher, start=(state, stock_names)),
        data=str(data_yaml),
        epochs=recipe.epochs,
        imgsz=recipe.size,
        batch=recipe.batch,
        nbs=recipe.batch,
        seed=recipe.seed,
        device=device or str(best_device()),
        freeze=recipe.frozen,
        lr0=recipe.lr,
        lrf=0.05,
        warmup_epochs=0.3,
        warmup_bias_lr=0.0,
        mosaic=0.0,
        scale=0.5,
        translate=0.1,
        hsv_h=0.015,
        hsv_s=0.4,
        hsv_v=0.3,
        amp=False,
        val=False,
        plots=False,
        pretrained=False,
        workers=2,
        project=str(run.parent.resolve()),
        name=run.name,
        exist_ok=True,
        verbose=False,
    )
    trainer = model.trainer
    (run / "ledger.txt").write_text(f"{trainer.ledger.text()}\n")
    trained = trainer.ema.ema.float()
    card = Card(
        placement=recipe.placement,
        scale=recipe.scale,
        offsets=recipe.offsets,
        names=names,
        input_size=recipe.size,
        data=f"labels of {Path(recipe.data).name}"
        + (f", and {Path(recipe.unlabelled).name} with the stock model as teacher" if recipe.unlabelled else ""),
        recipe=json.dumps({**asdict(recipe), **{k: Path(v).name for k, v in _paths(recipe).items()}}),
        licence=LICENCE,
        seed=recipe.seed,
        versions={"dlka": dlka.__version__, **{p: version(p) for p in ("torch", "torchvision", "ultralytics")}},
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(out, trained.state_dict(), card)
    return out


def _paths(recipe: Recipe) -> dict[str, str]:
    return {k: v for k, v in (("data", recipe.data), ("start", recipe.start), ("unlabelled", recipe.unlabelled)) if v}


def read_start(path: Path) -> tuple[dict[str, torch.Tensor], dict[int, str]]:
    """State dict (float32) and class names of stock weights, from a .pt (read without running anything) or safetensors."""
    if path.suffix == ".safetensors":
        from dlka.models.weights import load_model

        model, card = load_model(path)
        return model.state_dict(), card.names
    from dlka.models.convert import read_checkpoint

    checkpoint = read_checkpoint(path)
    state = {k: v.float() if v.is_floating_point() else v for k, v in checkpoint.tensors.items()}
    if checkpoint.names is None:
        raise TrainingRefused(f"{path.name}: expected a checkpoint with class names, got none.")
    return state, checkpoint.names


def _stock_model(state: dict[str, torch.Tensor], names: dict[int, str], scale: str) -> nn.Module:
    model = build_model("control", scale, len(names))
    model.names = names
    transfer(model, state, names, names)
    return model


def _class_names(data: Path) -> dict[int, str]:
    file = data / "data.yaml"
    if not file.is_file():
        raise TrainingRefused(f"{file}: expected a data set folder with data.yaml, images/train, images/val and labels.")
    names = yaml.safe_load(file.read_text()).get("names")
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not names:
        raise TrainingRefused(f"{file}: expected class names under 'names', got {names!r:.60}.")
    for part in ("train", "val"):
        folder = data / "images" / part
        if not folder.is_dir() or not any(p.suffix.lower() in PICTURES for p in folder.iterdir()):
            raise TrainingRefused(f"{folder}: expected a folder with pictures, got none.")
    return {int(k): str(v) for k, v in names.items()}
