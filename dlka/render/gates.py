"""The attention gate of a D-LKA block over its picture: signed, so always in colours centred on zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from dlka import palette
from dlka.errors import DlkaError
from dlka.inference.letterbox import Letterbox
from dlka.render import legend
from dlka.render.canvas import Canvas
from dlka.render.geometry import map_size, pixels_per_cell
from dlka.render.maps import check_scale, diverging, map_canvas
from dlka.types import Gate

# Name -> [C, H, W] to [H, W]. "channel" takes one channel as it is.
REDUCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda values: values.mean(axis=0),
    "mean abs": lambda values: np.abs(values).mean(axis=0),
    "max abs": lambda values: np.abs(values).max(axis=0),
}
NAMES = {"mean": "mean", "mean abs": "mean of absolute values", "max abs": "largest absolute value"}


def reduce_gate(values: np.ndarray, reduction: str = "mean", channel: int | None = None) -> np.ndarray:
    """Gate values [C, H, W] -> [H, W], by a name from REDUCTIONS or by "channel" with the channel's index."""
    if reduction == "channel":
        if channel is None or not 0 <= channel < len(values):
            raise DlkaError(f'reduction "channel": expected a channel in 0..{len(values) - 1}, got {channel}')
        return values[channel]
    if reduction not in REDUCTIONS:
        raise DlkaError(f"expected a reduction out of {', '.join(REDUCTIONS)} or channel, got {reduction!r:.60}")
    return REDUCTIONS[reduction](values)


def gate_scale(
    gates: Iterable[Gate], reduction: str = "mean", channel: int | None = None, percentile: float = 99
) -> float:
    """One colour scale for several gates together: a percentile of the absolute reduced values, 1 if all are zero."""
    values = [np.abs(reduce_gate(g.values, reduction, channel)).ravel() for g in gates]
    pool = np.concatenate(values) if values else np.zeros(0)
    pool = pool[np.isfinite(pool)]
    top = float(np.percentile(pool, percentile)) if pool.size else 0.0
    return top if top > 0 else 1.0


def gate_overlay(
    image: np.ndarray,
    gate: Gate,
    letterbox: Letterbox,
    reduction: str,
    scale: float,
    channel: int | None = None,
    opacity: float = 0.65,
) -> Canvas:
    """The reduced gate in diverging colours from -scale over neutral zero to +scale, in the gate's own units."""
    scale = check_scale(scale, "the gate's own units")
    expected = map_size(gate.stride, letterbox)
    if gate.values.shape[1:] != expected:
        raise ValueError(
            f"{gate.block}: expected a gate [C, {expected[0]}, {expected[1]}], got {list(gate.values.shape)}"
        )
    reduced = reduce_gate(gate.values, reduction, channel)
    colours = diverging(reduced, scale, palette.GATE_MAP)
    canvas = map_canvas(image, colours, gate.stride, letterbox, opacity)
    channels, height, across = gate.values.shape
    what = f"channel {channel}" if reduction == "channel" else f"{NAMES[reduction]} over {channels} channels"
    cell = legend.number(pixels_per_cell(gate.stride, letterbox))
    legend.title(canvas, f"Attention gate, {what}", f"{gate.level} · map {across}x{height} · 1 cell = {cell} px")
    ends = [f"-{legend.number(scale)}", "0", f"+{legend.number(scale)}"]
    legend.colour_bar(canvas, diverging(np.linspace(-1, 1, 255), 1, palette.GATE_MAP), [ends])
    low, high = reduced.min(), reduced.max()
    legend.note(
        canvas, f"The gate multiplies its input. Here it runs from {legend.number(low)} to {legend.number(high)}."
    )
    return legend.finish(canvas)
