"""One training run as data: a flag of `dlka train` is a field here and nothing else, so that this imports fast."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from dlka.errors import DlkaError
from dlka.models.placements import OFFSETS, PLACEMENTS, SCALES, SCRATCH

SIDE = {"low": 32, "high": 4096, "step": 32}  # pixels


def flag(text: str, default: Any = MISSING, **limits: Any) -> Any:
    """A field with the help of its flag. limits: words, of which it is one; or low (0 where nothing is said), high and
    step of a number."""
    told = "" if default is MISSING or default is None or default is False else f" (default: {default})"
    return field(default=default, metadata={"help": text + told, **limits})


@dataclass(frozen=True)
class Recipe:
    """What a run does: every field is told by the help of its flag, and this besides.

    start: with "none" everything is new, learns at lr, and no layer is frozen, whatever `frozen` says; teacher: it has
    the data's classes. lr: (AdamW) also that of the blocks around what is new; offset_lr: each offset convolution sums
    over hundreds of inputs, so that a step of 1e-3 in every weight moves taps by whole cells at once; offset_warmup:
    see `warmed_up`; offset_mean: see RecipeLoss; fit_epochs: see fit_blocks, offsets learn at offset_lr there, too.
    frozen: batch norms included; all before the head where a placement has fewer. crop: a square somewhere else each
    time. bfloat16: offsets, coordinates and losses stay float32.
    patience: 0 trains all epochs without a look at the validation part, and the averaged weights of the last step are
    kept. Otherwise every epoch is measured there, the best one's weights are kept, and training stops after so many
    epochs without a better one: the figures on that part are then a little too good, as it chose.
    """

    placement: str = flag(", ".join(PLACEMENTS), words=PLACEMENTS)
    data: str = flag("yaml file in Ultralytics' format, or a folder with data.yaml")
    start: str = flag("stock weights to begin from: an id, .safetensors or .pt; none: from scratch", "control")
    teacher: str | None = flag("weights of a stock model whose soft targets are learned beside the labels", None)
    unlabelled: str | None = flag("folder of pictures that the teacher labels", None)
    scale: str = flag("n, s, m, l or x", "n", words=SCALES)
    offsets: str = flag("dense, separable; its twins: none (rigid) and features", "dense", words=OFFSETS)
    epochs: int = flag("passes over the pictures", 2, low=1)
    patience: int = flag("stop after so many epochs without a better one; 0: keep the last", 0)
    size: int = flag("longer side of a picture in pixels when it is read, a multiple of 32", 416, **SIDE)
    crop: int | None = flag(
        "side of the square of it that goes into the model, a multiple of 32 (default: all)", None, **SIDE
    )
    batch: int = flag("pictures a step", 8, low=1)
    lr: float = flag("learning rate of what is new", 1e-3)
    copied_lr: float = flag("learning rate of what came from the stock weights", 1e-4)
    offset_lr: float = flag("learning rate of the offset convolutions", 3e-4)
    offset_warmup: float = flag("epochs until offsets learn at that rate, the first half not at all", 0.0)
    offset_mean: float = flag("weight of the penalty on offsets that are alike everywhere", 1.0)
    fit_epochs: int = flag("passes before them in which replaced blocks learn to do what stock's did", 0)
    fit_lr: float = flag("learning rate of these passes", 8e-3)
    frozen: int = flag("layers from the input, of stock's, or all there are, that stay as they are", 10)
    mosaic: float = flag("share of pictures that are put together from four, 0 to 1", 0.0, high=1)
    bfloat16: bool = flag("convolutions in mixed precision", False)
    pseudo_size: int = flag("input of the teacher in pixels when it labels pictures", 640, **SIDE)
    pseudo_confidence: float = flag("least confidence of the teacher's labels, 0 to 1", 0.3, high=1)
    seed: int = flag("seed of everything random", 0, high=2**31)


def check_fields(recipe: Any) -> None:
    """Raises DlkaError for a field of `flag` outside its limits. recipe: a dataclass of such fields."""
    for own in fields(recipe):
        given, limits = getattr(recipe, own.name), own.metadata
        low, high = limits.get("low", 0), limits.get("high", math.inf)
        if "words" in limits and given not in limits["words"]:
            raise DlkaError(f"{own.name}: expected one of {', '.join(limits['words'])}, got {given!r:.60}.")
        if not isinstance(given, int | float):
            continue
        step, fits = limits.get("step"), math.isfinite(given) and low <= given <= high
        if not fits or (step and given % step):
            what = f"a multiple of {step} from {low}" if step else str(low)
            until = f" to {high}" if math.isfinite(high) else " or more"
            raise DlkaError(f"{own.name}: expected {what}{until}, got {given}.")


def check_recipe(recipe: Recipe) -> None:
    """Raises DlkaError for values that no run can have; files are not looked at."""
    check_fields(recipe)
    if recipe.crop and recipe.crop > recipe.size:
        raise DlkaError(f"crop: expected at most the size, {recipe.size}, got {recipe.crop}.")
    if recipe.offset_warmup > recipe.epochs:
        raise DlkaError(f"offset_warmup: expected 0 to {recipe.epochs}, got {recipe.offset_warmup}.")
    if recipe.start == SCRATCH and (recipe.teacher or recipe.fit_epochs):
        raise DlkaError("--start none: a model from scratch has no teacher and no fit; leave these flags out.")
    if recipe.fit_epochs and not PLACEMENTS[recipe.placement].replaces:
        fitting = ", ".join(word for word, placement in PLACEMENTS.items() if placement.replaces)
        raise DlkaError(
            f"fit_epochs: {recipe.placement} replaces no block of stock YOLOv8 that could be fitted to it; "
            f"leave it at 0, or take one of {fitting}."
        )
    if recipe.unlabelled and not recipe.teacher:
        raise DlkaError("unlabelled pictures need a teacher that labels them: give --teacher, too.")


def warmed_up(epochs: float, warmup: float) -> float:
    """Share of their learning rate that the offset convolutions have after so many epochs (not whole ones): 0 for the
    first half of the warm-up, then rising linearly to 1 at its end."""
    return 1.0 if epochs >= warmup else max(0.0, 2 * epochs / warmup - 1)


@dataclass(frozen=True)
class SegmentRecipe:
    """What a run does: every field is told by the help of its flag. The network follows from the data: a volume's or a
    picture's."""

    data: str = flag("folder with images/ and labels/ or masks/, each with train/ and val/")
    preset: str = flag("small or paper", "small", words=("small", "paper"))
    offsets: str = flag("dense, separable; its rigid twin: none", "dense", words=("dense", "separable", "none"))
    steps: int = flag("steps in all", 4000, low=1)
    batch: int = flag("crops a step", 2, low=1)
    lr: float = flag("highest learning rate", 2e-3)
    seed: int = flag("seed of everything random", 0, high=2**31)
