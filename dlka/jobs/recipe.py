"""One training run as data."""

from __future__ import annotations

from dataclasses import dataclass


class TrainingRefused(ValueError):
    """A training run that cannot start; one sentence with what to do."""


@dataclass(frozen=True)
class Recipe:
    """What a run does. data: folder in Ultralytics' layout; start: weights to begin from, of stock YOLOv8 layers.

    teacher: weights of a stock model with the data's classes, whose soft targets are learned beside the labels, or
    None; unlabelled: folder of pictures that the teacher labels, or None.

    lr: learning rate (AdamW) of what is new and of the blocks around it; copied_lr of the rest, which came from the
    stock weights; offset_lr of the offset convolutions: each sums over hundreds of inputs, so that a step of 1e-3 in
    every weight moves taps by whole cells at once.
    offset_mean: weight of the penalty on offsets that are alike everywhere (see RecipeLoss).
    frozen: how many layers from the input stay as they are, batch norms included. pseudo_size and pseudo_confidence:
    how the teacher labels pictures that have no labels. size: the longer side of a picture in pixels when it is read;
    crop: of which a square of so many pixels goes into the model, somewhere else each time, or None for all of it.
    bfloat16: convolutions in mixed precision; offsets, coordinates and losses stay float32.
    """

    placement: str
    data: str
    start: str
    teacher: str | None = None
    unlabelled: str | None = None
    scale: str = "n"
    offsets: str = "dense"
    epochs: int = 2
    size: int = 416
    crop: int | None = None
    batch: int = 8
    lr: float = 1e-3
    copied_lr: float = 1e-4
    offset_lr: float = 3e-4
    offset_mean: float = 1.0
    frozen: int = 10
    bfloat16: bool = False
    pseudo_size: int = 640
    pseudo_confidence: float = 0.3
    seed: int = 0
