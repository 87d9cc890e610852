"""Stock YOLOv8 weights into a D-LKA model, by structure: extra rows shift layer numbers, so names do not match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from dlka.errors import DlkaError
from dlka.layers import DeformableLKAAttention
from dlka.models.blocks import Detect1x1, DetectDLKA
from dlka.models.build import DLKAModel
from dlka.models.model_yaml import ATTENTION

_ROW = re.compile(r"model\.(\d+)\.")


@dataclass
class Ledger:
    """Which tensors of a model came from the stock weights. Counts are in parameters; running statistics are left out.

    copied: as they were; part: some rows re-used (other classes, other width); new: not in the stock model.
    """

    copied: dict[str, int] = field(default_factory=dict)
    part: dict[str, int] = field(default_factory=dict)
    new: dict[str, int] = field(default_factory=dict)

    def totals(self) -> dict[str, int]:
        """Parameters that were copied, re-used in part, and new."""
        return {kind: sum(getattr(self, kind).values()) for kind in ("copied", "part", "new")}

    def text(self) -> str:
        """One line for people, for example "copied 2,982,912 (67.8 %), in part 0 (0.0 %), new 1,418,156 (32.2 %)"."""
        totals = self.totals()
        whole = sum(totals.values()) or 1
        words = {"copied": "copied", "part": "in part", "new": "new"}
        return ", ".join(f"{words[k]} {v:,} ({v / whole:.1%})".replace("%", " %") for k, v in totals.items())


def transfer(
    model: DLKAModel,
    stock: Mapping[str, torch.Tensor],
    model_names: Mapping[int, str],
    stock_names: Mapping[int, str],
    alike: bool = False,
) -> Ledger:
    """Copy stock weights into the model, in place, and say what became of every parameter.

    stock: the state dict of a stock YOLOv8 of the same scale, keys "model.0.conv.weight" and so on; with alike, of a
    model with the same rows, whose tensors have the same names.
    Class rows of the head are matched by class name; where the width of the class branch depends on the number of
    classes, the leading channels are re-used. Raises ValueError, before anything is copied, if a tensor outside the
    D-LKA blocks is missing, or has another shape outside the head.
    """
    rows = model.yaml["backbone"] + model.yaml["head"]
    stock_index = _stock_rows([row[2] for row in rows], stock)
    known = {name.lower(): number for number, name in reversed([*stock_names.items()])}  # of several the first
    class_rows = [known.get(name.lower()) for _, name in sorted(model_names.items())]
    ledger = Ledger()
    parameters = {name for name, _ in model.named_parameters()}
    head = f"model.{len(rows) - 1}."
    sources = {
        name: stock.get(
            name if alike else _stock_name(name, stock_index, isinstance(model.model[-1], DetectDLKA), head) or ""
        )
        for name in model.state_dict()
    }
    _check_sources(model, sources, head, len(stock_names))
    for name, tensor in model.state_dict().items():
        source = sources[name]
        if source is None:
            kind = "new"
        elif source.shape == tensor.shape and not _is_class_row(name, model):
            tensor.copy_(source)
            kind = "copied"
        else:
            kind = _copy_part(tensor, source, class_rows if _is_class_row(name, model) else None)
        if name in parameters:
            getattr(ledger, kind)[name] = tensor.numel()
    return ledger


def _check_sources(model: DLKAModel, sources: Mapping[str, torch.Tensor | None], head: str, stock_classes: int) -> None:
    blocks = tuple(f"{name}." for name, m in model.named_modules() if isinstance(m, DeformableLKAAttention))
    for name, tensor in model.state_dict().items():
        source = sources[name]
        if source is None:
            if not name.startswith(blocks) and tensor.is_floating_point():
                if name.startswith(head) and isinstance(model.model[-1], Detect1x1):
                    raise DlkaError(
                        f"{name}: expected the weights of a model with a head of 1x1 convolutions, as one-level-plain "
                        "has, got others; give such weights, or none"
                    )
                raise DlkaError(
                    f"{name}: expected the state dict of a whole stock YOLOv8 (model.0.conv.weight, ...), "
                    "got one without this tensor"
                )
        elif source.dim() != tensor.dim() or (source.shape != tensor.shape and not name.startswith(head)):
            raise DlkaError(
                f"{name}: expected stock weights of shape {list(tensor.shape)}, got {list(source.shape)}; "
                "take stock weights of the model's own scale"
            )
        elif _is_class_row(name, model) and len(source) != stock_classes:
            raise DlkaError(f"{name}: expected {stock_classes} rows for {stock_classes} class names, got {len(source)}")


def _stock_rows(modules: list[str], stock: Mapping[str, torch.Tensor]) -> dict[int, int]:
    """Row of the model -> row of the stock one; attention rows have none, and heads go together: a model without the
    pyramid has fewer rows before its own."""
    kept = [i for i, module in enumerate(modules) if module != ATTENTION]
    found = {row: number for number, row in enumerate(kept)}
    last = max((int(row[1]) for name in stock if (row := _ROW.match(name))), default=0)
    return {**found, kept[-1]: last} if len(kept) <= last else found


def _stock_name(name: str, stock_index: dict[int, int], dlka_head: bool, head: str) -> str | None:
    _, row, rest = name.split(".", 2)
    if int(row) not in stock_index:
        return None
    if dlka_head and name.startswith(head) and rest.startswith("cv3."):
        branch, level, position, *tail = rest.split(".")
        # The D-LKA block in place 2, whose names no stock model has, pushes the last convolution one place on.
        rest = ".".join([branch, level, "2" if position == "3" else position, *tail])
    return f"model.{stock_index[int(row)]}.{rest}"


def _is_class_row(name: str, model: DLKAModel) -> bool:
    last = len(model.model) - 1
    detect = model.model[-1]
    return any(
        name.startswith(f"model.{last}.cv3.{level}.{len(branch) - 1}.") for level, branch in enumerate(detect.cv3)
    )


def _copy_part(tensor: torch.Tensor, source: torch.Tensor, class_rows: list[int | None] | None) -> str:
    """Copy what overlaps; output channels by class where rows are classes. Returns the ledger's word for it."""
    inner: tuple[Any, ...] = tuple(slice(0, min(a, b)) for a, b in zip(tensor.shape[1:], source.shape[1:]))
    if class_rows is None:
        leading = (slice(0, min(len(tensor), len(source))), *inner)
        tensor[leading] = source[leading].to(tensor.dtype)
        return "part"
    found = [(i, row) for i, row in enumerate(class_rows) if row is not None]
    for i, row in found:
        there, here = (i, *inner), (row, *inner)
        tensor[there] = source[here].to(tensor.dtype)
    if not found:
        return "new"
    whole = len(found) == len(tensor) and tensor.shape[1:] == source.shape[1:]
    return "copied" if whole else "part"
