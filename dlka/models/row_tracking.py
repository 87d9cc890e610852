"""Follows channels and strides through the rows of a model yaml, without building a layer.

The arithmetic is Ultralytics' ``parse_model``: repeats are multiplied by the depth gain, channels are capped and
multiplied by the width gain and rounded up to a multiple of 8. A stride is in pixels of the input per cell of the map.
What cannot be known, for example after a module that is not followed, is None and stays None in the rows that use it.
"""

from __future__ import annotations

import ast
import contextlib
import math
from dataclasses import dataclass
from typing import Any

from dlka.models.module_names import ATTENTION, WIDENED
from dlka.models.yaml_file import ModelYamlError, is_int, is_number

Row = list[Any]  # [from, repeats, module, args] as in the yaml


@dataclass(frozen=True)
class Gains:
    """Compound scaling: depth multiplies repeats above 1, width multiplies channels after the cap at max_channels."""

    depth: float = 1.0
    width: float = 1.0
    max_channels: float = math.inf

    def repeats(self, written: int) -> int:
        return max(round(written * self.depth), 1) if written > 1 else written

    def channels(self, written: int) -> int:
        return math.ceil(min(written, self.max_channels) * self.width / 8) * 8


@dataclass(frozen=True)
class State:
    """One row's input channels (summed over its inputs), output channels and stride after it; None where unknown."""

    channels_in: int | None
    channels_out: int | None
    stride: float | None


def gains_of(model: dict[str, Any], scale: str | None) -> tuple[str | None, Gains]:
    """The scale that applies, with its gains: the one asked for, else the model's ``scale``, else the first listed.

    The one rule for both the doctor and the builder; it is Ultralytics', for whom "" is no scale.
    """
    scales = model.get("scales")
    if not scales:
        return None, Gains(model.get("depth_multiple", 1.0), model.get("width_multiple", 1.0))
    scale = scale or model.get("scale") or next(iter(scales))
    if scale not in scales:  # the one asked for: check_model has seen to the model's own
        raise ModelYamlError(f"scale {scale!r:.20} is not one of this yaml's scales: {', '.join(scales)}.")
    return scale, Gains(*scales[scale])


def sources(index: int, source: int | list[int]) -> list[int | None]:
    """The rows that a ``from`` means, -1 for the picture; None for what does not come before the row ``index``."""
    if index == 0:
        return [-1 if s == -1 else None for s in (source if isinstance(source, list) else [source])]
    found = [index + s if s < 0 else s for s in (source if isinstance(source, list) else [source])]
    return [s if 0 <= s < index else None for s in found]


def argument(row: Row, place: int, default: Any = None) -> Any:
    """One argument with 'None', 'True' and numbers in quotes read as values, as parse_model does."""
    if len(row[3]) <= place:
        return default
    value = row[3][place]
    if isinstance(value, str):
        with contextlib.suppress(ValueError, SyntaxError):
            return ast.literal_eval(value)
    return value


def track(rows: list[Row], gains: Gains, channels: int = 3) -> list[State]:
    """The state after every row; ``channels`` are the picture's."""
    states: list[State] = []
    for row in rows:
        states.append(step(row, states, gains, channels))
    return states


def step(row: Row, before: list[State], gains: Gains, channels: int = 3) -> State:
    """The state after a row that follows the rows whose states are given."""
    source, written, module, _ = row
    inputs = [_input(s, before, channels) for s in sources(len(before), source)]
    total = _sum([state.channels_out for state in inputs])
    stride = inputs[0].stride
    repeats = gains.repeats(written)
    if module in WIDENED:
        wanted = argument(row, 0)
        out = gains.channels(wanted) if is_int(wanted) and wanted > 0 else None
        pace = argument(row, 2, 1) if module == "Conv" else 1
        return State(total, out, _times(stride, _power(pace, repeats) if is_int(pace) else None))
    if module == "nn.Upsample":
        factor = argument(row, 1)
        good = argument(row, 0) is None and is_number(factor)
        return State(total, total, _times(stride, _power(1 / factor, repeats) if good and factor > 0 else None))
    if module in (ATTENTION, "Concat"):
        return State(total, total, stride)
    return State(total, None, None)


def detector_strides(row: Row, index: int, states: list[State]) -> list[float | None]:
    """The strides of the maps that a Detect row reads."""
    return [None if s is None or s < 0 else states[s].stride for s in sources(index, row[0])]


def _input(source: int | None, before: list[State], channels: int) -> State:
    if source is None:
        return State(None, None, None)
    return State(None, channels, 1.0) if source < 0 else before[source]


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _power(factor: float, repeats: int) -> float | None:
    """What so many layers in a row do to the stride; None for what no model does, so that nothing overflows."""
    return float(factor) ** repeats if 1 / 16 <= factor <= 16 and repeats <= 16 else None


def _times(stride: float | None, factor: float | None) -> float | None:
    return None if stride is None or factor is None else stride * factor
