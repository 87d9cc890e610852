"""The pictures of one comparison: boxes of both models, difference, crops, offsets, samples and gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from dlka import palette, render
from dlka.compare import interesting_point
from dlka.inference.predictor import Prediction
from dlka.types import Comparison

REDUCTION = "mean"


def gallery(
    image: np.ndarray,
    models: tuple[str, str],
    dlka: Prediction,
    baseline: Prediction,
    comparison: Comparison,
    names: Mapping[int, str],
) -> Iterator[tuple[str, render.Paper]]:
    """(file name without ending, drawing) of everything there is to show; models: names of D-LKA and baseline.

    Offsets of all stages share one scale, and so do the gates of all blocks. Without deform stages (stock YOLOv8 on
    both sides) only boxes, difference and crops are drawn.
    """
    found = dlka.detections, baseline.detections
    yield "boxes-dlka", render.draw_boxes(image, found[0], names, palette.DLKA, f"D-LKA: {models[0]}")
    yield "boxes-baseline", render.draw_boxes(image, found[1], names, palette.BASELINE, f"Baseline: {models[1]}")
    yield "difference", render.draw_difference(image, *found, comparison, names)
    yield "small-objects", render.contact_sheet(image, render.disagreements(*found, comparison, names))
    captures, letterbox = dlka.captures, dlka.letterbox
    if captures:
        arrows, lengths = render.field_scale(captures), render.field_scale(captures, of_magnitude=True)
        for number, capture in enumerate(captures, 1):
            name = f"offsets-{number:02}-{capture.stage.label.lower().replace(' ', '-')}"
            yield f"{name}-arrows", render.offset_arrows(image, capture, letterbox, arrows)
            yield f"{name}-length", render.offset_magnitude(image, capture, letterbox, lengths)
        point = interesting_point(comparison, *found, (image.shape[0], image.shape[1]))
        yield "samples", render.draw_samples_grid(image, captures, letterbox, point)
    if dlka.gates:
        scale = render.gate_scale(dlka.gates, REDUCTION)
        for number, gate in enumerate(dlka.gates, 1):
            name = f"gate-{number:02}-{gate.level.lower()}"
            yield name, render.gate_overlay(image, gate, letterbox, REDUCTION, scale)
