"""What one box's class depends on: a map of values over the picture, on a scale that two models share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlka.inference.letterbox import Letterbox
from dlka.render import legend
from dlka.render.box_cells import outline
from dlka.render.box_samples import inside
from dlka.render.canvas import Canvas
from dlka.render.geometry import to_picture
from dlka.render.maps import check_scale, map_canvas, sequential
from dlka.render.marks import CELL, draw_marks
from dlka.render.picture import View

LIVELY = 0.8  # share of a map's sum that a close-up shows at least


@dataclass(frozen=True)
class Evidence:
    """A map about one box. values [H, W] >= 0 on cells of `stride` letterboxed pixels; box [4] x1 y1 x2 y2 in original
    pixels, with its outline's colour and style; centre: (x, y) of the cell that is asked about, in original pixels."""

    values: np.ndarray
    stride: int
    box: np.ndarray
    colour: str
    line: str
    centre: tuple[float, float]
    title: str
    subtitle: str


def evidence_overlay(
    image: np.ndarray, of: Evidence, letterbox: Letterbox, largest: float, unit: str, view: View, width: int = 960
) -> Canvas:
    """The map in colours by the square root of its part of `largest`, the end of the scale in `unit`, which has to be
    the same for all maps that are compared."""
    largest = check_scale(largest, unit)
    colours = sequential(np.sqrt(of.values / largest), 1.0)
    canvas = map_canvas(image, colours, of.stride, letterbox, 0.75, width, view=view)
    outline(canvas.axes, of.box, of.colour, canvas.line, of.line)
    draw_marks(canvas.axes, np.array([of.centre]), CELL, 1.2 * canvas.font, canvas.line)
    legend.title(canvas, of.title, of.subtitle)
    ends = ["0", legend.number(largest / 4), f"{legend.number(largest)} {unit}"]
    legend.colour_bar(canvas, sequential(np.linspace(0, 1, 255), 1.0), [ends])
    part = share_inside(of.values, of.stride, letterbox, of.box)
    nothing = "All zero: nothing here speaks for this class."
    legend.note(canvas, nothing if part is None else f"{part:.0%} of it is inside the box.")
    legend.finish(canvas)
    return canvas


def share_inside(values: np.ndarray, stride: float, letterbox: Letterbox, box: np.ndarray) -> float | None:
    """Part 0..1 of the sum of values [H, W] >= 0 in cells whose centres are inside a box [4]; None where all are 0."""
    centres = to_picture(np.moveaxis(np.indices(values.shape), 0, -1), stride, letterbox)
    total = float(values.sum(dtype=np.float64))
    return float(values[inside(centres, box[None])].sum(dtype=np.float64)) / total if total > 0 else None


def lively_edges(values: np.ndarray, stride: float, letterbox: Letterbox, share: float = LIVELY) -> np.ndarray | None:
    """[4] the box around the cells with the largest values that make up this share of the sum; None where all are 0."""
    flat = np.sort(values.ravel())[::-1].cumsum(dtype=np.float64)
    if flat[-1] <= 0:
        return None
    least = np.sort(values.ravel())[::-1][np.searchsorted(flat, share * flat[-1])]
    rows, columns = np.nonzero(values >= least)
    low = np.array([columns.min(), rows.min()]) * stride
    high = (np.array([columns.max(), rows.max()]) + 1) * stride
    return letterbox.boxes_back(np.concatenate([low, high]).astype(np.float64)[None])[0]
