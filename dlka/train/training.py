"""Train a placement from stock weights, with labels and a teacher, and write one safetensors file with its recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import dlka
from dlka.errors import DlkaError, make_folder
from dlka.images import read_image
from dlka.inference.predictor import Predictor
from dlka.models.build import plain_of
from dlka.models.placements import PLACEMENTS, SCRATCH
from dlka.models.weights import Card, load_model, metadata_of, save_weights
from dlka.train.dataset import find_pictures, read_dataset
from dlka.train.dataset_check import check_dataset
from dlka.train.folder import History, RunFolder
from dlka.train.offsets import warnings
from dlka.train.recipe import Recipe, check_recipe
from dlka.train.recipe_trainer import RecipeTrainer
from dlka.train.trainer import check_stock, first_device, frozen_layers, read_start, read_teacher, training_device
from dlka.train.val import run_val

# What Ultralytics' trainer is told for every recipe: a short fine-tuning, with mild augmentation.
FIXED = {
    "lrf": 0.05,
    "warmup_epochs": 0.3,
    "warmup_bias_lr": 0.0,
    "close_mosaic": 0,
    "scale": 0.3,
    "translate": 0.1,
    "hsv_s": 0.4,
    "hsv_v": 0.3,
    "amp": False,
    "plots": False,
    "pretrained": False,
    "verbose": False,
    "exist_ok": True,
}


def train(recipe: Recipe, out: Path, run: Path, device: str | None = None) -> Path:
    """Train, write `out` (safetensors), measure it on the validation part and write the figures into its card.

    run: working folder for logs; gets the recipe, curves (CSV, PNG), offsets by epoch (CSV), and report.json where
    there is a validation part; pseudo-labels lie beside it. device: cpu, mps, cuda, or GPUs as in "0" or "0,1". Raises
    DlkaError before the first epoch where something is not usable.
    """
    fit(recipe, out, run, device)
    _report(run, device)
    return out


def resume(run: Path, device: str | None = None, measure: bool = True) -> Path:
    """Go on with a run that was killed, from its last whole epoch, to where `train` would have ended, or `fit` without
    `measure`; returns the weights file.

    On one CPU it ends in the same weights, bit by bit (see recipe_trainer.py for GPUs). Raises DlkaError for a folder
    that holds no run, or one that is finished.
    """
    folder = RunFolder(run)
    recipe, out, measured = folder.told()
    state = folder.load_state() or {}
    if state.get("finished") and out.is_file() and (folder.file("report.json").is_file() or not measured):
        raise DlkaError(f"{run} is finished: {out}; there is nothing to resume.")
    if not state.get("finished"):
        if not state.get("stop"):
            _run_trainer(folder, recipe, training_device(device, recipe.batch))
        _write_weights(folder)
    if measure:
        _report(run, device)
    return out


def unfinished(run: Path) -> bool:
    """Whether a folder holds a run that was killed after an epoch or more."""
    return not (RunFolder(run).load_state() or {"finished": True}).get("finished")


def fit(recipe: Recipe, out: Path, run: Path, device: str | None = None) -> None:
    """`train` without its last step: nothing is measured. A run that the folder held before is forgotten.

    Raises DlkaError before the first epoch where something is not usable.
    """
    if out.suffix != ".safetensors":
        raise DlkaError(f"{out}: expected a name that ends in .safetensors.")
    check_recipe(recipe)
    where = training_device(device, recipe.batch)
    if recipe.fit_epochs and "," in where:
        raise DlkaError(f"fit_epochs: blocks are fitted on one device, got --device {device}; give one GPU, or 0.")
    data = read_dataset(Path(recipe.data))
    checked = check_dataset(data)
    pool = find_pictures([Path(recipe.unlabelled)] if recipe.unlabelled else [])
    plain = plain_of(recipe.placement)
    if recipe.start != SCRATCH:
        check_stock(recipe.start, recipe.scale, "start", plain)
        read_start(recipe.start)
    if recipe.teacher:
        check_stock(recipe.teacher, recipe.scale, "teacher", plain)
    teacher = read_teacher(recipe, data.names)
    metadata_of(_card(recipe, data.names, recipe.epochs))  # what cannot be written is told now
    make_folder(out.parent)
    print("\n".join([*checked.lines(), *pool.told()]), flush=True)

    pictures = checked.train.pictures
    if teacher is not None and pool.pictures:
        predictor = Predictor(teacher, torch.device(first_device(where)))
        name = f"pseudo-labels-{Path(recipe.unlabelled or '').name}"
        labelled = (
            run.parent / f"{name}-{Path(recipe.teacher or '').stem}-{recipe.pseudo_size}-{recipe.pseudo_confidence:g}"
        )
        boxes = pseudo_label(predictor, list(pool.pictures), labelled, recipe.pseudo_confidence, recipe.pseudo_size)
        print(f"The teacher labelled {len(pool.pictures)} pictures, {boxes} boxes of it new: {labelled}.", flush=True)
        pictures = [*pictures, *find_pictures([labelled / "images"]).pictures]
    folder = RunFolder(run)
    folder.begin(recipe, out, data.names, pictures, checked.val.pictures if checked.val else [])
    _run_trainer(folder, recipe, where)
    _write_weights(folder)


def _run_trainer(folder: RunFolder, recipe: Recipe, device: str) -> None:
    """Train until the folder's state is that of the last epoch. Ultralytics starts further processes for more GPUs."""
    settings = {
        "task": "detect",
        "mode": "train",
        "model": PLACEMENTS[recipe.placement].file.format(recipe.scale),
        "data": str(folder.file("data.yaml").resolve()),
        "epochs": recipe.epochs,
        "imgsz": recipe.size,
        "batch": recipe.batch,
        "nbs": recipe.batch,
        "lr0": recipe.lr,
        "freeze": frozen_layers(recipe),
        "mosaic": recipe.mosaic,
        "seed": recipe.seed,
        "val": recipe.patience > 0,
        "device": device,
        "project": str(folder.path.resolve()),
        "name": "ultralytics",
    }
    patience = {"patience": recipe.patience} if recipe.patience else {}
    RecipeTrainer(overrides={**settings, **patience, **FIXED}).train()


def _write_weights(folder: RunFolder) -> None:
    """The averaged weights of the last epoch, or of the best one where one was chosen, and the curves."""
    recipe, out, _ = folder.told()
    state = folder.load_state()
    if state is None:
        raise DlkaError(f"{folder.path}: no epoch of this run was finished.")
    history = History(**state["history"])
    epoch, weights = state["epoch"] + 1, state["ema"]
    if state["best"]:
        epoch, weights = state["best"]["epoch"], state["best"]["weights"]
        print(f"The weights of epoch {epoch} of {state['epoch'] + 1} are kept: the best on the validation part.")
    for sentence in warnings([row for row in history.offsets if row["epoch"] == epoch]):
        print(sentence, flush=True)
    make_folder(out.parent)
    save_weights(out, weights, _card(recipe, folder.names(), epoch))
    history.draw(folder)
    folder.save_state({"finished": True})  # a note in its place: it is several times as large as the weights


def _report(run: Path, device: str | None) -> None:
    """Measure the weights file of a run, as `dlka val` does, where there is something to measure it on: the figures go
    into its card and, with all else, into report.json."""
    folder = RunFolder(run)
    recipe, out, measured = folder.told()
    if not measured:
        print("There is no validation part, so nothing was measured.")
        return
    where = None if device is None else first_device(training_device(device, recipe.batch))
    data = Path(recipe.data)
    report = run_val(str(out), data, device=where)
    about = {"data": f"{read_dataset(data).title} val", "pictures": report["pictures"]}
    metrics = {**about, "size": report["settings"]["size"], **report["metrics"]}
    model, card = load_model(out)
    save_weights(out, model.state_dict(), replace(card, metrics=metrics))
    folder.file("report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


def _card(recipe: Recipe, names: dict[int, str], epoch: int) -> Card:
    data = f"labels of {read_dataset(Path(recipe.data)).title}"
    if recipe.unlabelled:
        data += f", and {Path(recipe.unlabelled).name} labelled by {Path(recipe.teacher or '').name}"
    chosen = "chosen on the validation part" if recipe.patience else "the last one, not chosen on any data"
    paths = {k: Path(v).name for k in ("data", "start", "teacher", "unlabelled") if (v := getattr(recipe, k))}
    return card_of(recipe, names, f"{data}; weights of epoch {epoch}, {chosen}", {**asdict(recipe), **paths})


def card_of(recipe: Any, names: dict[int, str], data: str, settings: dict[str, Any]) -> Card:
    """The card of new weights. recipe: a Recipe, or what has its placement, scale, offsets, size and seed; names: class
    number -> name; data: a sentence; settings: what stands in it as the recipe."""
    return Card(
        placement=recipe.placement,
        scale=recipe.scale,
        offsets=recipe.offsets,
        names=names,
        input_size=recipe.size,
        data=data,
        recipe=json.dumps(settings),
        licence="AGPL-3.0",
        seed=recipe.seed,
        versions={"dlka": dlka.__version__, **{p: version(p) for p in ("torch", "torchvision", "ultralytics")}},
    )


def pseudo_label(teacher: Predictor, pictures: Sequence[Path], out: Path, confidence: float, size: int) -> int:
    """Write out/images (links) and out/labels (YOLO text) for pictures; returns how many boxes are new.

    The teacher looks at `size` pixels, larger than the student trains at: what it finds there and the student would
    miss is what there is to learn. Boxes below `confidence` are left out. Pictures that have labels there are not
    looked at again.
    """
    boxes = 0
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "labels").mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        link, label = out / "images" / picture.name, out / "labels" / f"{picture.stem}.txt"
        if label.exists():
            continue
        image = read_image(picture)
        found = teacher.predict(image, confidence=confidence, size=size).detections
        height, width = image.shape[:2]
        lines = [
            f"{number} {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}"
            for (x1, y1, x2, y2), number in zip(found.boxes / [width, height, width, height], found.classes)
        ]
        if not link.exists():
            link.symlink_to(picture.resolve())
        unfinished = label.with_suffix(".partial")
        unfinished.write_text("\n".join(lines))
        os.replace(unfinished, label)  # whole or not at all: a kill may come at any time
        boxes += len(lines)
    return boxes
