"""The attention gate of a D-LKA block over its picture: signed and without bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from dlka import palette
from dlka.errors import DlkaError
from dlka.inference.letterbox import Letterbox
from dlka.render import legend
from dlka.render.canvas import Canvas
from dlka.render.geometry import map_size, pixels_per_cell
from dlka.render.maps import check_scale, diverging, map_canvas, sequential
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
) -> tuple[float, float]:
    """(low, high): one colour scale for several gates together, which covers the reduced values that are there.

    All but the least and the largest hundredth of them, with the percentile as it is; (0, 1) where there are none, and
    a range around it where all are the same.
    """
    values = [reduce_gate(g.values, reduction, channel).ravel() for g in gates]
    pool = np.concatenate(values) if values else np.zeros(0)
    pool = pool[np.isfinite(pool)]
    if not pool.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(pool, (100 - percentile, percentile)))
    return (low, high) if high - low > 1e-6 else (low - 0.5, high + 0.5)


def gate_colours(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Reduced gate values [...] -> [..., 3] uint8. scale: (low, high); values beyond take the colours of its ends.

    With both signs on the scale colours are centred on zero; with one sign they go from end to end, so that what varies
    is seen.
    """
    low, high = scale
    if low < 0 < high:
        return diverging(values, max(-low, high), palette.GATE_MAP)
    return sequential(np.nan_to_num(values, nan=low) - low, high - low, palette.ONE_SIGN_MAP)


def gate_overlay(
    image: np.ndarray,
    gate: Gate,
    letterbox: Letterbox,
    reduction: str,
    scale: tuple[float, float],
    channel: int | None = None,
    opacity: float = 0.65,
) -> Canvas:
    """The reduced gate in the colours of gate_colours. scale: (low, high), in the gate's own units."""
    low, high = scale
    check_scale(high - low, "the gate's own units")
    expected = map_size(gate.stride, letterbox)
    if gate.values.shape[1:] != expected:
        raise ValueError(
            f"{gate.block}: expected a gate [C, {expected[0]}, {expected[1]}], got {list(gate.values.shape)}"
        )
    reduced = reduce_gate(gate.values, reduction, channel)
    canvas = map_canvas(image, gate_colours(reduced, scale), gate.stride, letterbox, opacity)
    channels, height, across = gate.values.shape
    what = f"channel {channel}" if reduction == "channel" else f"{NAMES[reduction]} over {channels} channels"
    cell = legend.number(pixels_per_cell(gate.stride, letterbox))
    legend.title(canvas, f"Attention gate, {what}", f"{gate.level} · map {across}x{height} · 1 cell = {cell} px")
    ticks = [f"{value:.2f}" for value in (low, (low + high) / 2, high)]
    legend.colour_bar(canvas, gate_colours(np.linspace(low, high, 255), scale), [ticks])
    least, most = legend.number(reduced.min()), legend.number(reduced.max())
    centred = f" White: {'nothing passes' if reduction == 'channel' else 'zero on average'}." if low < 0 < high else ""
    legend.note(canvas, f"The gate multiplies its input. This map runs from {least} to {most}.{centred}")
    return legend.finish(canvas)
