"""A model whose convolutions run in bfloat16 while it is trained, and whose results are float32 all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dlka.offset_nets import OffsetConv2d


def use_bfloat16(model: nn.Module, device: str) -> None:
    """From now on the model's pass runs under autocast; losses are sums over thousands of cells, so what comes out of
    it is float32. Offsets stay float32 too; only the products inside the convolutions that give them out are not."""
    for module in model.modules():
        if isinstance(module, OffsetConv2d):
            module.bfloat16_products = True
    model.predict = _in_bfloat16(model.predict, device)  # type: ignore[assignment,arg-type]


def _in_bfloat16(predict: Callable[..., Any], device: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            return _as_float32(predict(*args, **kwargs))

    return run


def _as_float32(value: Any) -> Any:
    """Every bfloat16 tensor in lists, tuples and dicts as float32."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if isinstance(value, dict):
        return {key: _as_float32(item) for key, item in value.items()}
    return type(value)(map(_as_float32, value)) if isinstance(value, list | tuple) else value
