"""On what a model is trained: one word for Ultralytics, which may name several GPUs, and one for everything else."""

from __future__ import annotations

import re

import torch

from dlka.inference.predictor import best_device
from dlka.jobs.recipe import TrainingRefused


def training_device(asked: str | None, batch: int) -> str:
    """cpu, mps, cuda, or numbers of CUDA GPUs with commas; without a word the best one there is.

    Raises TrainingRefused for what is not there, and for several GPUs that cannot share the batch.
    """
    device = (asked or str(best_device())).removeprefix("cuda:")
    available = torch.cuda.device_count()
    if device == "cpu" or (device == "mps" and torch.backends.mps.is_available()) or (device == "cuda" and available):
        return device
    if not re.fullmatch(r"\d+(,\d+)*", device) or any(int(n) >= available for n in device.split(",")):
        raise TrainingRefused(
            f"--device: expected cpu, mps, or numbers of GPUs as in 0 or 0,1, got {device}; torch finds "
            f"{available} CUDA GPUs here{' and MPS' if torch.backends.mps.is_available() else ''}."
        )
    gpus = len(device.split(","))
    if gpus > 1 and batch % gpus:
        raise TrainingRefused(f"batch: expected a multiple of the {gpus} GPUs, got {batch}.")
    return device


def first_device(device: str) -> str:
    """The same for torch, which takes one: "0,1" is "cuda:0"."""
    first = device.split(",")[0]
    return f"cuda:{first}" if first.isdigit() else first
