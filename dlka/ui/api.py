"""Named, typed endpoints for programs: the same functions as the page, without its state. See gradio_client.

A picture that was asked about before is not run again: the endpoints share the page's memory of finished looks.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from dlka.images import read_image
from dlka.ops.sampling import sampling_locations
from dlka.render import cell_at, grid_points, sample_points
from dlka.ui import figure_recipe, figures, files, pictures, tables
from dlka.ui.models import partner
from dlka.ui.session import Look, Refused, Settings, look
from dlka.ui.source import source_of
from dlka.ui.told import told
from dlka.ui.toolkit import gr

DEFAULT = Settings()


def add() -> None:
    """Register the endpoints on the Blocks that is being built."""
    for function in (compare, stages, offset_overlay, attention_overlay, probe, figure):
        gr.api(sentences(function), api_name=function.__name__, concurrency_id="models", concurrency_limit=1)


def compare(
    image: gr.FileData,
    model: str = DEFAULT.dlka,
    baseline: str = "",
    confidence: float = DEFAULT.confidence,
    iou: float = DEFAULT.iou,
    size: int = DEFAULT.size,
    strength: float = DEFAULT.strength,
) -> tuple[dict[str, Any], gr.FileData, gr.FileData, gr.FileData]:
    """Both models on one picture: the report (objects, counts, stages, timings), the pictures of the baseline's boxes,
    of D-LKA's boxes, and of the difference. baseline: empty for the control of the model's own data; confidence and iou
    in 0..1; size: longer input side in pixels, a multiple of 32; strength: factor on every offset.
    """
    result = _look(image, dlka=model, baseline=baseline, confidence=confidence, iou=iou, size=size, strength=strength)
    left, right = pictures.both_boxes(result)
    drawn = (files.picture(left), files.picture(right), files.picture(pictures.difference(result)))
    return tables.report(result), *(gr.FileData(path=path) for path in drawn)  # type: ignore[return-value]


def stages(image: gr.FileData, model: str = DEFAULT.dlka, size: int = DEFAULT.size) -> list[dict[str, Any]]:
    """Numbers of every deform stage on one picture: lengths of offsets in cells and in pixels of the picture, shares,
    health.
    """
    return [stats.as_dict() for stats in _look(image, dlka=model, size=size).stats]


def offset_overlay(
    image: gr.FileData,
    model: str = DEFAULT.dlka,
    stage: str = "P3 5x5",
    kind: str = pictures.OVERLAYS[0],
    tap: int = 0,
    opacity: float = 0.7,
    scale_cells: float = 0.0,
    size: int = DEFAULT.size,
) -> gr.FileData:
    """A stage's offset field over the picture, PNG. kind: Arrows, Flow colours, Magnitude or Sample density; tap: 0 for
    the mean, else from 1, row-major; scale_cells: end of the colour scale in cells, 0 for one shared by all stages.
    """
    scale: str | float = scale_cells or pictures.SCALES[0]
    drawn = pictures.offset_overlay(_look(image, dlka=model, size=size), stage, kind, tap, opacity, scale)
    return gr.FileData(path=files.picture(drawn, "offsets.png"))


def attention_overlay(
    image: gr.FileData,
    model: str = DEFAULT.dlka,
    block: str = "P3",
    reduction: str = "mean",
    channel: int = 0,
    opacity: float = 0.65,
    size: int = DEFAULT.size,
) -> gr.FileData:
    """A block's attention map over the picture, PNG. reduction: mean, mean abs, max abs or channel."""
    drawn = pictures.gate_overlay(_look(image, dlka=model, size=size), block, reduction, channel, opacity)
    return gr.FileData(path=files.picture(drawn, "attention.png"))


def probe(
    image: gr.FileData, x: float, y: float, model: str = DEFAULT.dlka, size: int = DEFAULT.size
) -> list[dict[str, Any]]:
    """Where every deform stage reads for the cell nearest to (x, y), pixels of the picture at pixel centres.

    Per stage: its cell (row, column); samples and regular grid, [K, 2] each, (x, y) in pixels of the picture, taps
    row-major; samples in cells of its map, [K, 2] as (y, x).
    """
    result = _look(image, dlka=model, size=size)
    height, width = result.image.shape[:2]
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise Refused(f"Point: expected inside the picture of {width} x {height} pixels; got ({x:g}, {y:g}).")
    box = result.dlka.letterbox
    answer = []
    for label, capture in zip(result.stage_labels, result.dlka.captures):
        stage = capture.stage
        row, column = cell_at((x, y), capture, box)
        cells = sampling_locations(capture.offset, stage.kernel, stage.step, stage.padding, stage.dilation)
        answer.append(
            {
                "stage": label,
                "cell": [row, column],
                "samples": sample_points(capture, (row, column), box).tolist(),
                "regular": grid_points(capture, (row, column), box).tolist(),
                "samples_in_cells": cells[:, :, row, column].tolist(),
            }
        )
    return answer


def figure(
    image: gr.FileData,
    kind: str,
    arguments: dict[str, Any],
    model: str = DEFAULT.dlka,
    baseline: str = "",
    size: int = DEFAULT.size,
    strength: float = DEFAULT.strength,
) -> tuple[dict[str, Any], gr.FileData, gr.FileData, gr.FileData, gr.FileData]:
    """Any figure of the page: its recipe, for `python -m dlka replay`, the figure as SVG, PDF and PNG, and its numbers
    as NPZ. kind and arguments: as in dlka/ui/figures.py and in every recipe.
    """
    result = _look(image, dlka=model, baseline=baseline, size=size, strength=strength)
    made = figures.figure(result, kind, arguments)
    recipe = figure_recipe.recipe_of(result, kind, arguments, made)
    written = (files.write(figure_recipe.WRITERS[f](made, recipe), f"figure.{f}") for f in ("svg", "pdf", "png", "npz"))
    return recipe, *(gr.FileData(path=path) for path in written)  # type: ignore[return-value]


def _look(image: Any, **settings: Any) -> Look:
    """The look at an uploaded file; settings as in session.Settings; without a baseline the fitting one."""
    asked = Settings(**settings)
    if not settings.get("baseline"):
        asked = replace(asked, baseline=partner(asked.dlka, DEFAULT.baseline))
    return look(read_image(image["path"]), asked, source_of(image["path"]))


def sentences(function: Any) -> Any:
    """The same endpoint, whose refusals reach the caller as one sentence."""

    @functools.wraps(function)
    def endpoint(*arguments: Any, **named: Any) -> Any:
        return told(function, *arguments, **named)

    return endpoint
