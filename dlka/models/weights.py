"""Weights as safetensors: numbers and a JSON text, from which the whole model is built. Nothing in a file is executed.

Tensors are stored as float16; weights of convolutions wider than 1x1, most of every file, as int8 with one float32
scale per output channel ("NAME.scale"). Metrics in a file were measured after this rounding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dlka.models.build import OFFSETS, PLACEMENTS, SCALES, DLKAModel, build_model

MAX_BYTES = 400 * 2**20
MAX_CLASSES = 10_000
FORMAT = "dlka-1"


class WeightsRefused(ValueError):
    """A weights file that is not loaded; the message is one sentence: what was expected, what came, what to do."""


@dataclass(frozen=True)
class Card:
    """Everything a weights file says about itself; what builds the model, and where it comes from.

    placement, scale, offsets: as in dlka.models.build; names: class id -> name; input_size: training input in pixels.
    data, recipe, licence: sentences; seed; versions of packages; metrics: name -> value, AP in 0..1.
    """

    placement: str
    scale: str
    offsets: str
    names: dict[int, str]
    input_size: int
    data: str
    recipe: str
    licence: str
    seed: int
    versions: dict[str, str]
    metrics: dict[str, Any] = field(default_factory=dict)


def save_weights(path: str | Path, state: Mapping[str, torch.Tensor], card: Card) -> None:
    """Write a state dict with its card. The file appears whole or not at all."""
    tensors: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if not value.is_floating_point():
            continue  # batch counters, which inference does not use
        value = value.detach().float().cpu()
        if value.dim() == 4 and value.shape[2] * value.shape[3] > 1:
            scale = value.abs().amax((1, 2, 3)).clamp_min(1e-12) / 127
            tensors[name] = (value / scale.view(-1, 1, 1, 1)).round().to(torch.int8).contiguous()
            tensors[f"{name}.scale"] = scale
        else:
            tensors[name] = value.half().contiguous()
    path = Path(path)
    unfinished = path.with_suffix(".partial")
    save_file(tensors, unfinished, metadata={"format": FORMAT, "card": json.dumps(asdict(card))})
    unfinished.replace(path)


def load_card(path: str | Path) -> Card:
    """What a weights file says about itself, without reading its tensors. Raises WeightsRefused."""
    with _opened(path) as file:
        return _card(file.metadata(), Path(path).name)


def load_model(path: str | Path) -> tuple[DLKAModel, Card]:
    """The model of a weights file, in evaluation mode on the CPU as float32, and its card.

    Strict: names, shapes, dtypes, finite values and size are all checked. Raises WeightsRefused with one sentence.
    """
    name = Path(path).name
    with _opened(path) as file:
        card = _card(file.metadata(), name)
        model = build_model(card.placement, card.scale, len(card.names), card.offsets)
        wanted = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
        keys = set(file.keys())
        scales = {f"{k}.scale" for k in wanted} & keys
        missing, extra = sorted(set(wanted) - keys), sorted(keys - set(wanted) - scales)
        if missing or extra:
            raise WeightsRefused(
                f"{name}: expected exactly the tensors of {card.placement} {card.scale}; {len(missing)} are missing "
                f"({', '.join(missing[:2]) or 'none'}) and {len(extra)} do not belong ({', '.join(extra[:2]) or 'none'})."
            )
        for key, target in wanted.items():
            target.copy_(_tensor(file, key, f"{key}.scale" in scales, target.shape, name))
    model.names = card.names
    return model.eval().requires_grad_(False), card


def _opened(path: str | Path) -> Any:
    path = Path(path)
    if path.suffix in (".pt", ".pth"):
        raise WeightsRefused(
            f"{path.name} is a pickled checkpoint, which could run code when opened; "
            f"convert it first: python -m dlka convert {path.name} {path.stem}.safetensors"
        )
    if not path.is_file():
        raise WeightsRefused(f"{path.name}: there is no such file.")
    if path.stat().st_size > MAX_BYTES:
        raise WeightsRefused(f"{path.name}: expected at most {MAX_BYTES >> 20} MB, got {path.stat().st_size >> 20} MB.")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise WeightsRefused(f"{path.name} is not a whole safetensors file ({error}).") from None


def _card(metadata: Mapping[str, str] | None, name: str) -> Card:
    if not metadata or metadata.get("format") != FORMAT:
        raise WeightsRefused(f"{name}: expected a weights file of this project (format {FORMAT}), got one without its card.")
    try:
        card = Card(**json.loads(metadata["card"]))
        names = {int(k): v for k, v in card.names.items()}
        words_fit = card.placement in PLACEMENTS and card.scale in SCALES and card.offsets in OFFSETS
        names_fit = sorted(names) == list(range(len(names))) and 1 <= len(names) <= MAX_CLASSES
        if not (words_fit and names_fit and all(isinstance(v, str) and len(v) <= 100 for v in names.values())):
            raise ValueError("placement, scale, offsets or class names are not known ones")
        if not (isinstance(card.input_size, int) and 32 <= card.input_size <= 8192):
            raise ValueError(f"input_size {card.input_size} is not in 32..8192")
        return Card(**{**asdict(card), "names": names})
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsRefused(f"{name}: its card does not describe a model ({error}).") from None


def _tensor(file: Any, key: str, scaled: bool, shape: torch.Size, name: str) -> torch.Tensor:
    view = file.get_slice(key)
    if list(view.get_shape()) != list(shape):
        raise WeightsRefused(f"{name}: {key} should be {list(shape)}, is {view.get_shape()}.")
    value = file.get_tensor(key)
    allowed = (torch.int8,) if scaled else (torch.float16, torch.float32)
    if value.dtype not in allowed:
        raise WeightsRefused(f"{name}: {key} should be {' or '.join(map(str, allowed))}, is {value.dtype}.")
    value = value.float()
    if scaled:
        scale = file.get_tensor(f"{key}.scale")
        if scale.shape != shape[:1] or scale.dtype != torch.float32:
            raise WeightsRefused(f"{name}: {key}.scale should be float32 [{shape[0]}], is {scale.dtype} {list(scale.shape)}.")
        value = value * scale.view(-1, *[1] * (len(shape) - 1))
    if not bool(value.isfinite().all()):
        raise WeightsRefused(f"{name}: {key} has values that are not finite; the file is damaged.")
    return value
