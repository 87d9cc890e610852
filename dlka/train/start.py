"""What a run begins from: the weights of a stock model, and the teacher."""

from __future__ import annotations

from pathlib import Path

import torch

from dlka.errors import DlkaError
from dlka.models.build import DLKAModel, build_model, model_config, plain_of
from dlka.models.catalog import find
from dlka.models.checkpoint import read_checkpoint
from dlka.models.model_yaml import ATTENTION
from dlka.models.placements import PLAIN, SCRATCH
from dlka.models.transfer import transfer
from dlka.models.weights import load_card, load_model
from dlka.train.recipe import Recipe


def read_start(weights: str | Path) -> tuple[dict[str, torch.Tensor], dict[int, str]]:
    """State dict (float32) and class names of stock weights: a model id, a safetensors file, or a .pt of which nothing
    is run."""
    if Path(weights).suffix != ".pt":
        model, card = load_model(find(str(weights)))
        return model.state_dict(), card.names
    checkpoint = read_checkpoint(weights)
    if checkpoint.names is None:
        raise DlkaError(f"{Path(weights).name}: expected a checkpoint with class names, got none.")
    state = {k: v.float() if v.is_floating_point() else v for k, v in checkpoint.tensors.items()}
    return state, checkpoint.names


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
