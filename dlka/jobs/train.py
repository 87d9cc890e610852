"""Train a placement from stock weights, with labels and a teacher, and write one safetensors file with its recipe."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

import dlka
from dlka.inference.predictor import Predictor, best_device
from dlka.jobs.dataset import PICTURES, DataRefused, class_names
from dlka.jobs.pseudo_labels import pseudo_label
from dlka.jobs.recipe import Recipe, TrainingRefused
from dlka.jobs.recipe_trainer import RecipeTrainer
from dlka.jobs.val import run_val
from dlka.models.build import OFFSETS, PLACEMENTS, SCALES, DLKAModel, build_model
from dlka.models.convert import read_checkpoint
from dlka.models.transfer import transfer
from dlka.models.weights import Card, load_model, save_weights
from dlka.models.yolo import YOLO

LICENCE = "AGPL-3.0"
# What Ultralytics' trainer is told for every recipe: a short fine-tuning, with mild augmentation and no mosaic.
FIXED = {
    "lrf": 0.05,
    "warmup_epochs": 0.3,
    "warmup_bias_lr": 0.0,
    "mosaic": 0.0,
    "close_mosaic": 0,
    "scale": 0.3,
    "translate": 0.1,
    "hsv_s": 0.4,
    "hsv_v": 0.3,
    "amp": False,
    "val": False,
    "plots": False,
    "pretrained": False,
    "verbose": False,
    "exist_ok": True,
}


def train(recipe: Recipe, out: Path, run: Path, device: str | None = None) -> Path:
    """Train, write `out` (safetensors), measure it on the validation part and write the figures into its card.

    `run`: working folder for logs; pseudo-labels lie beside it. Raises TrainingRefused, DataRefused or WeightsRefused
    before the first epoch where something is not usable.
    """
    fit(recipe, out, run, device)
    record_metrics(out, Path(recipe.data))
    return out


def fit(recipe: Recipe, out: Path, run: Path, device: str | None = None) -> None:
    """`train` without its last step: nothing is measured.

    Raises TrainingRefused, DataRefused or WeightsRefused before the first epoch where something is not usable.
    """
    if out.suffix != ".safetensors":
        raise TrainingRefused(f"{out}: expected a name that ends in .safetensors.")
    words = {"placement": tuple(PLACEMENTS), "scale": SCALES, "offsets": OFFSETS}
    for word, known in words.items():
        if (given := getattr(recipe, word)) not in known:
            raise TrainingRefused(f"{word}: expected one of {', '.join(known)}, got {given!r}.")
    names = class_names(Path(recipe.data) / "data.yaml")
    state, stock_names = read_start(Path(recipe.start))
    teacher = _teacher(recipe, names) if recipe.teacher else None
    where = device or str(best_device())
    folders = [_pictures(Path(recipe.data) / "images" / "train")]
    if recipe.unlabelled:
        if teacher is None:
            raise TrainingRefused("unlabelled pictures need a teacher that labels them: give --teacher, too.")
        labelled = run.parent / f"pseudo-labels-{Path(recipe.unlabelled).name}"
        predictor = Predictor(teacher, torch.device(where))
        pseudo_label(predictor, Path(recipe.unlabelled), labelled, recipe.pseudo_confidence, recipe.pseudo_size)
        folders.append(_pictures(labelled / "images"))
    val = _pictures(Path(recipe.data) / "images" / "val")
    run.mkdir(parents=True, exist_ok=True)
    data = run / "data.yaml"
    data.write_text(yaml.safe_dump({"path": str(run.resolve()), "train": folders, "val": val, "names": names}))

    model = YOLO(PLACEMENTS[recipe.placement].format(recipe.scale))
    model.train(
        trainer=partial(RecipeTrainer, recipe=recipe, teacher=teacher, start=(state, stock_names)),
        data=str(data),
        epochs=recipe.epochs,
        imgsz=recipe.size,
        batch=recipe.batch,
        nbs=recipe.batch,
        lr0=recipe.lr,
        freeze=recipe.frozen,
        seed=recipe.seed,
        device=where,
        project=str(run.parent.resolve()),
        name=run.name,
        **FIXED,
    )
    trainer: Any = model.trainer
    (run / "ledger.txt").write_text(f"{trainer.ledger.text()}\n" if trainer.ledger else "")
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(out, trainer.ema.ema.float().state_dict(), _card(recipe, names))


def record_metrics(path: Path, data: Path) -> None:
    """Measure a weights file on data's validation part, as `dlka val` does, and write the figures into its card."""
    report = run_val(str(path), data)
    metrics = {
        "data": f"{data.name} val",
        "pictures": report["pictures"],
        "size": report["settings"]["size"],
        **report["metrics"],
    }
    model, card = load_model(path)
    save_weights(path, model.state_dict(), replace(card, metrics=metrics))


def read_start(path: Path) -> tuple[dict[str, torch.Tensor], dict[int, str]]:
    """State dict (float32) and class names of stock weights: a safetensors file, or a .pt of which nothing is run."""
    if path.suffix == ".safetensors":
        model, card = load_model(path)
        return model.state_dict(), card.names
    checkpoint = read_checkpoint(path)
    if checkpoint.names is None:
        raise TrainingRefused(f"{path.name}: expected a checkpoint with class names, got none.")
    state = {k: v.float() if v.is_floating_point() else v for k, v in checkpoint.tensors.items()}
    return state, checkpoint.names


def _teacher(recipe: Recipe, names: dict[int, str]) -> DLKAModel:
    state, known = read_start(Path(recipe.teacher or ""))
    if known != names:
        raise TrainingRefused(
            f"{recipe.teacher}: expected a teacher with the data's {len(names)} classes, got one with {len(known)}."
        )
    model = build_model("control", recipe.scale, len(names))
    model.names = names
    transfer(model, state, names, names)
    return model.eval().requires_grad_(False)


def _pictures(folder: Path) -> str:
    """Absolute path of a folder that has pictures; raises DataRefused."""
    if not folder.is_dir() or not any(p.suffix.lower() in PICTURES for p in folder.iterdir()):
        raise DataRefused(f"{folder}: expected a folder with pictures, got none.")
    return str(folder.resolve())


def _card(recipe: Recipe, names: dict[int, str]) -> Card:
    data = f"labels of {Path(recipe.data).name}"
    if recipe.unlabelled:
        data += f", and {Path(recipe.unlabelled).name} labelled by {Path(recipe.teacher or '').name}"
    paths = {k: Path(v).name for k in ("data", "start", "teacher", "unlabelled") if (v := getattr(recipe, k))}
    return Card(
        placement=recipe.placement,
        scale=recipe.scale,
        offsets=recipe.offsets,
        names=names,
        input_size=recipe.size,
        data=data,
        recipe=json.dumps({**asdict(recipe), **paths}),
        licence=LICENCE,
        seed=recipe.seed,
        versions={"dlka": dlka.__version__, **{p: version(p) for p in ("torch", "torchvision", "ultralytics")}},
    )
