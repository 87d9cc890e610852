"""What every figure shows and its key numbers, in a sentence or two: a caption, and a text for those who cannot see it.

A caption takes the same arguments as the figure of its kind in ui/figures.py, and draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dlka import render
from dlka.analysis.analysis import Look
from dlka.analysis.figures.pictures import crops_of
from dlka.render.legend import cells_and_pixels, number
from dlka.types import KINDS, SIZES, size_of

FEW = 6  # objects that are named one by one


def subject(look: Look) -> str:
    """Which model and picture a figure is of, with what was done to the offsets."""
    strength = look.settings.strength
    return f"{look.settings.dlka} on {picture_name(look)}" + ("" if strength == 1 else f", offsets x {strength:g}")


def picture_name(look: Look) -> str:
    """The example, or a visitor's picture by its size."""
    if look.source is not None and look.source.example:
        return look.source.example
    height, width = look.image.shape[:2]
    return f"a picture of {width} x {height} px"


def boxes(look: Look, side: str) -> str:
    detections = (look.dlka if side == "dlka" else look.baseline).detections
    who = f"D-LKA model {subject(look)}"
    if side != "dlka":
        who = f"baseline {look.settings.baseline} on {picture_name(look)}"
    sizes = [size_of(float(area)) for area in detections.areas]
    counts = ", ".join(f"{size} {sizes.count(size)}" for size in SIZES)
    return f"Boxes of the {who}: {len(sizes)} of confidence {look.settings.confidence:g} or more ({counts})."


def difference(look: Look) -> str:
    counts = look.comparison
    kinds = "; ".join(f"{kind} {counts.count(kind)} ({counts.count(kind, 'S')} small)" for kind in KINDS)
    return f"Objects found by {subject(look)}, against the baseline {look.settings.baseline}: {kinds}."


def crops(look: Look) -> str:
    found = crops_of(look)
    named = ", ".join(crop.caption for crop in found[:FEW]) + (", ..." if len(found) > FEW else "")
    return f"Close-ups of {len(found)} small objects that only one model found, {subject(look)}: {named or 'none'}."


def offsets(
    look: Look, stage: str, overlay: str, tap: int, opacity: float, scale: str | float, x: float | None, y: float | None
) -> str:
    stats = look.stats[look.stage_labels.index(stage)]
    of = f"mean over {look.capture(stage).stage.taps} taps" if not tap else f"tap {tap}"
    if overlay == "Sample density":
        of = "all samples against the regular grid"
    said = (
        f"{overlay} of the offsets of {stage}, {of}, {subject(look)}: all taps of all cells are moved by "
        f"{_length(stats.mean, stats.mean_px)} on average, by {_length(stats.maximum, stats.maximum_px)} at most."
    )
    return said if x is None or y is None else f"{said} {_moved(look, stage, (x, y))}."


def samples(look: Look, x: float, y: float) -> str:
    told = "; ".join(_moved(look, stage, (x, y)) for stage in look.stage_labels)
    return f"Where every deform stage reads for the point ({x:.0f}, {y:.0f}), {subject(look)}. {told}."


def reads(look: Look, view: str, row: int, column: int) -> str:
    capture, letterbox = look.views[view][-1], look.dlka.letterbox
    x, y = render.cell_centres(capture, letterbox)[row, column]
    return f"Reads of {subject(look)}. {_moved(look, view, (float(x), float(y)))}."


def attention(look: Look, block: str, reduction: str, channel: int, opacity: float) -> str:
    values = look.gate(block).values
    reduced = render.reduce_gate(values, reduction, channel if reduction == "channel" else None)
    of = f"channel {channel}" if reduction == "channel" else f"{reduction} over {len(values)} channels"
    low, mean, high = (number(float(v)) for v in (reduced.min(), reduced.mean(), reduced.max()))
    return f"Attention gate of block {block}, {of}, {subject(look)}: from {low} to {high}, mean {mean}."


CAPTIONS: dict[str, Callable[..., str]] = {
    "boxes": boxes,
    "difference": difference,
    "crops": crops,
    "offsets": offsets,
    "samples": samples,
    "reads": reads,
    "attention": attention,
}


def _length(cells: float, pixels: float) -> str:
    return f"{number(cells)} cells = {number(pixels)} px"


def _moved(look: Look, view: str, point: tuple[float, float]) -> str:
    """Which cell of a stage or of a composed view is at a point, and how far its taps are moved."""
    found = render.reads_at(look.views[view], point, look.dlka.letterbox)
    where = f"{view}, cell (row {found.cell[0]}, column {found.cell[1]}):"
    outside = f", {found.zeros} outside the map" if found.zeros else ""
    if found.composed:
        return f"{where} {len(found.samples) + found.lost} paths{outside}"
    moved = np.hypot(*(found.samples - found.regular).T) / found.per_cell
    mean, most = (cells_and_pixels(float(v), found.per_cell) for v in (moved.mean(), moved.max()))
    return f"{where} {len(moved)} taps moved by {mean} on average, by {most} at most{outside}"
