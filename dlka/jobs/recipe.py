"""One training run as data."""

from __future__ import annotations

from dataclasses import dataclass


class TrainingRefused(ValueError):
    """A training run that cannot start; one sentence with what to do."""


@dataclass(frozen=True)
class Recipe:
    """What a run does. data: folder in Ultralytics' layout; start: stock weights; unlabelled: folder of pictures that
    the stock model labels as teacher, or None.

    lr: learning rate (AdamW) of what is new and of the blocks around it; copied_lr of the rest, which came from the
    stock weights; offset_lr of the offset convolutions: each sums over hundreds of inputs, so that a step of 1e-3 in
    every weight moves taps by whole cells at once.
    offset_mean: weight of the penalty on offsets that are alike everywhere (see RecipeLoss).
    frozen: how many layers from the input stay as they are, batch norms included. pseudo_size and pseudo_confidence:
    how the teacher labels pictures that have no labels. size: training input in pixels.
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
    offset_lr: float = 3e-4
    offset_mean: float = 1.0
    frozen: int = 10
    pseudo_size: int = 640
    pseudo_confidence: float = 0.3
    seed: int = 0
