"""Named, typed endpoints for programs: the same functions as the page, without its state. See gradio_client.

A picture that was asked about before is not run again: the endpoints share the page's memory of finished looks.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any

from gradio_client.utils import is_file_obj_with_meta
from pydantic import PlainValidator

from dlka.analysis import figures, recipes, report
from dlka.analysis.analysis import Analysis, Settings, analyse
from dlka.analysis.checked import checked
from dlka.analysis.figures import pictures
from dlka.analysis.figures.views import Difference
from dlka.errors import DlkaError
from dlka.models.catalog import baseline_of
from dlka.ops.sampling import sampling_locations
from dlka.render import cell_at, sample_points
from dlka.ui import files
from dlka.ui.toolkit import gr

DEFAULT = Settings()


def _uploaded(value: Any) -> dict[str, Any]:
    """A file as gradio hands it on. Only dicts with its mark were checked to be uploads: a bare path is anybody's."""
    if not is_file_obj_with_meta(value):
        raise ValueError("an uploaded picture, as gradio_client.handle_file sends it")
    return value


Picture = Annotated[gr.FileData, PlainValidator(_uploaded)]


def endpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose arguments are checked first: they come from any program. Raises DlkaError."""

    @functools.wraps(function)
    def run(*values: Any, **named: Any) -> Any:
        return function(**checked(function, inspect.signature(function).bind_partial(*values, **named).arguments))

    return run


def add() -> None:
    """Register the endpoints on the Blocks that is being built."""
    for function in ENDPOINTS:
        gr.api(endpoint(function), api_name=function.__name__)


def compare(
    image: Picture,
    model: str = DEFAULT.dlka,
    baseline: str = "",
    confidence: float = DEFAULT.confidence,
    iou: float = DEFAULT.iou,
    size: int = DEFAULT.size,
    strength: float = DEFAULT.strength,
) -> tuple[dict[str, Any], gr.FileData, gr.FileData, gr.FileData]:
    """Both models on one picture: the report (objects, counts, stages, timings), the pictures of the baseline's boxes,
    of D-LKA's boxes, and of the difference. baseline: empty for the rigid twin of the model, else the control of its
    data; confidence and iou in 0..1; size: longer input side in pixels, a multiple of 32, 0 for what fits model and
    picture; strength: factor on every offset.
    """
    result = _look(image, dlka=model, baseline=baseline, confidence=confidence, iou=iou, size=size, strength=strength)
    left, right = pictures.both_boxes(result)
    drawn = (files.png(left), files.png(right), files.png(Difference().draw(result)))
    return report.report(result), *(gr.FileData(path=path) for path in drawn)  # type: ignore[return-value]  # of any length, mypy thinks


def stages(image: Picture, model: str = DEFAULT.dlka, size: int = DEFAULT.size) -> list[dict[str, Any]]:
    """Numbers of every deform stage on one picture: lengths of offsets in cells and in pixels of the picture, and
    shares.
    """
    return [asdict(stats) for stats in _look(image, dlka=model, size=size).stats]


def offset_overlay(
    image: Picture,
    model: str = DEFAULT.dlka,
    stage: str = "",
    kind: str = pictures.OVERLAYS[0],
    tap: int = 0,
    opacity: float = 0.7,
    scale_cells: float = 0.0,
    size: int = DEFAULT.size,
) -> gr.FileData:
    """A stage's offset field over the picture, PNG. stage: empty for the first; kind: Arrows, Flow colours, Magnitude
    or Sample density; tap: 0 for the mean, else from 1, row-major; scale_cells: end of the colour scale in cells, 0 for
    one shared by all stages.
    """
    scale: str | float = scale_cells or pictures.SCALES[0]
    result = _look(image, dlka=model, size=size)
    stage = stage or next(iter(result.stage_labels), stage)
    drawn = pictures.offset_overlay(result, stage, kind, tap, opacity, scale)
    return gr.FileData(path=files.png(drawn, "offsets.png"))


def attention_overlay(
    image: Picture,
    model: str = DEFAULT.dlka,
    block: str = "",
    reduction: str = "mean",
    channel: int = 0,
    opacity: float = 0.65,
    size: int = DEFAULT.size,
) -> gr.FileData:
    """A block's attention map over the picture, PNG. block: empty for the first; reduction: mean, mean abs, max abs or
    channel."""
    result = _look(image, dlka=model, size=size)
    drawn = pictures.gate_overlay(result, block or next(iter(result.gate_labels), block), reduction, channel, opacity)
    return gr.FileData(path=files.png(drawn, "attention.png"))


def probe(
    image: Picture, x: float, y: float, model: str = DEFAULT.dlka, size: int = DEFAULT.size
) -> list[dict[str, Any]]:
    """Where every deform stage reads for the cell nearest to (x, y), pixels of the picture at pixel centres.

    Per stage: its cell (row, column); samples and regular grid, [K, 2] each, (x, y) in pixels of the picture, taps
    row-major; samples in cells of its map, [K, 2] as (y, x).
    """
    result = _look(image, dlka=model, size=size)
    height, width = result.image.shape[:2]
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise DlkaError(f"Point: expected inside the picture of {width} x {height} pixels; got ({x:g}, {y:g}).")
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
                "samples": sample_points([capture], (row, column), box).tolist(),
                "regular": sample_points([capture], (row, column), box, deformed=False).tolist(),
                "samples_in_cells": cells[:, :, row, column].tolist(),
            }
        )
    return answer


def figure(
    image: Picture,
    kind: str,
    arguments: dict[str, Any],
    model: str = DEFAULT.dlka,
    baseline: str = "",
    size: int = DEFAULT.size,
    strength: float = DEFAULT.strength,
) -> tuple[dict[str, Any], gr.FileData, gr.FileData, gr.FileData, gr.FileData]:
    """Any figure of the page: its recipe, for `python -m dlka replay`, the figure as SVG, PDF and PNG, and its numbers
    as NPZ. kind and arguments: as in every recipe.
    """
    result = _look(image, dlka=model, baseline=baseline, size=size, strength=strength)
    asked = figures.figure(kind, arguments)
    made = asked.drawn(result)
    recipe = recipes.recipe_of(result, asked, made)
    written = (files.write(recipes.WRITERS[f](made, recipe), f"figure.{f}") for f in ("svg", "pdf", "png", "npz"))
    return recipe, *(gr.FileData(path=path) for path in written)  # type: ignore[return-value]  # of any length, mypy thinks


ENDPOINTS = (compare, stages, offset_overlay, attention_overlay, probe, figure)


def _look(image: Any, **settings: Any) -> Analysis:
    """The analysis of an uploaded file; settings as in analysis.Settings; without a baseline the fitting one."""
    asked = Settings(**settings)
    if not settings.get("baseline"):
        asked = replace(asked, baseline=baseline_of(asked.dlka) or DEFAULT.baseline)
    return analyse(image["path"], asked)
