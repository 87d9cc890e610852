"""The picture of what a deformable kernel does with size: one drawn object at five sizes, read by one stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlka.analysis.pairing import box_iou
from dlka.drawn.scenes import SIDE, arranged
from dlka.drawn.shapes import SHAPES, Placed
from dlka.errors import DlkaError
from dlka.inference.box_origin import SAME
from dlka.inference.predictor import load_predictor
from dlka.render import Paper, cell_at, legend
from dlka.render.box_samples import box_samples
from dlka.render.close_ups import AtSize, draw_size_row
from dlka.render.geometry import to_picture

SIZES = (10.0, 18.0, 32.0, 56.0, 92.0)  # px, from the least to the most that scenes have, evenly in their ratio
PEN = 0.12  # of the size; scenes have 0.08 to 0.16
SEED = 0  # of grey and noise


@dataclass(frozen=True)
class SizeRow:
    """stage: its label; sizes: smallest first; drawing: all of them beside each other."""

    stage: str
    sizes: tuple[AtSize, ...]
    drawing: Paper


def five_sizes(model: str, shape: str = "E", stage: str | None = None) -> SizeRow:
    """Draw a shape upright on even grey at five sizes, and where a stage of a model reads for each.

    model: id or .safetensors file; shape: a key of SHAPES; stage: its label, the first that runs by default. The cell
    that is shown is the one that found the object, by a box of its class with an IoU of SAME or more; where there is
    none, or where the model has no such class, the one at its middle. Raises DlkaError.
    """
    if shape not in SHAPES:
        raise DlkaError(f"shape: expected one of {', '.join(SHAPES)}, got {shape!r:.40}.")
    predictor, _ = load_predictor(model)
    blank = predictor.predict(np.zeros((SIDE, SIDE, 3), np.uint8), size=SIDE)
    labels = legend.numbered([capture.stage.label for capture in blank.captures])
    if not labels:
        raise DlkaError(f"{model} has no deform stages, so that it has no samples to draw: give a D-LKA model.")
    label = stage or labels[0]
    if label not in labels:
        raise DlkaError(f"stage: expected one of {', '.join(labels)}, got {label!r:.40}.")
    which = labels.index(label)
    shown = blank.captures[which]
    step = shown.stage.stride
    middle = (SIDE // 2 // step + 0.5) * step - 0.5  # of a cell, so that every size lies alike under the kernel
    number = next((number for number, name in predictor.names.items() if name == shape), None)
    sizes = []
    for size in SIZES:
        one = Placed(shape, size, 0.0, 1.0, (middle, middle), max(1.0, PEN * size))
        image = np.repeat(arranged([one], seed=SEED, clutter=False).picture[..., None], 3, axis=2)
        seen, box, centre, score = predictor.predict(image, size=SIDE), np.array(one.box()), one.middle[::-1], None
        found, point = seen.detections, centre
        fits = (found.classes == number) & (box_iou(found.boxes, box[None])[:, 0] >= SAME)
        if fits.any():
            best = int(fits.argmax())  # detections come best first
            score, stride = float(found.scores[best]), 2 ** int(found.levels[best])
            x, y = to_picture(found.cells[best], stride, seen.letterbox)
            point = float(x), float(y)
        cell = cell_at(point, seen.captures[which], seen.letterbox)
        sizes.append(AtSize(size, image, centre, box_samples([seen.captures[which]], cell, box, seen.letterbox), score))
    unknown = "" if number is not None else f" · it knows no class called {shape}"
    line = legend.stage_line(shown, blank.letterbox) + unknown
    drawing = draw_size_row(f"{shape} at five sizes, read by {Path(model).stem}", line, sizes)
    return SizeRow(label, tuple(sizes), drawing)


def rows(found: SizeRow) -> list[dict[str, Any]]:
    """For a table: a row a size. outside: samples off the map, which read zero and may drive the zoom alone; affine
    zoom: that of the kernel as a whole (dlka.inference.kernel_shape), which single wild samples hardly move."""
    return [
        {
            "size (px)": round(one.size),
            "zoom": f"{one.zoom:.2f}",
            "affine zoom": f"{float(one.samples.shape.zoom):.2f}",
            "outside": one.samples.reads.zeros,
            "in the box (%)": round(100 * one.samples.share),
            "of the grid (%)": round(100 * one.samples.regular_share),
            "score": "not found" if one.score is None else f"{one.score:.2f}",
        }
        for one in found.sizes
    ]
