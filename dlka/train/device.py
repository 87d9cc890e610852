"""On what and how precisely a model is trained: the device by Ultralytics' word for it, convolutions in bfloat16."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dlka.errors import DlkaError
from dlka.inference.predictor import best_device
from dlka.offset_nets import OffsetConv2d


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
