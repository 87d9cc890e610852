"""Where all samples of a picture land, how all kernels are deformed, and what both have to do with its boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlka import render
from dlka.analysis.analysis import Analysis, get_analysis, pick
from dlka.analysis.box_figures import COLOURS, LINES, side_of
from dlka.analysis.boxes import SIDES, listed, prediction
from dlka.analysis.cache import kept
from dlka.inference.kernel_shape import KernelShape, stage_shapes
from dlka.render import legend
from dlka.render.box_samples import cell_spreads, inside, shares_inside
from dlka.render.boxes import Outline, draw_outlines
from dlka.render.canvas import Drawing
from dlka.render.recall import SpreadPoint, spread_chart
from dlka.types import Capture

SHAPES_COLUMNS = ["stage", "shift cells", "zoom", "rotation °", "shear", "rest cells"]
BOXES_COLUMNS = ["stage", "samples inside boxes", "grid inside boxes", "change", "zoom inside", "zoom elsewhere"]
SPREAD = "Spread of samples against box size"
SCALE = 1.0  # doublings, at the ends of the colours of every condensation map


def all_boxes(analysis: Analysis) -> np.ndarray:
    """[n, 4] the boxes of both models."""
    return np.concatenate([prediction(analysis, side).detections.boxes for side in SIDES])


def field(analysis: Analysis, label: str) -> list[Capture]:
    """The one stage, or the two of a composed field, by its label. Raises DlkaError for one that is not there."""
    return pick("Stage", analysis.views, label, "none: this model does not deform")


def condensation(analysis: Analysis, label: str) -> render.Canvas:
    """Where all samples of a stage, or of a composed field, land against the regular grid, under the boxes."""
    captures = field(analysis, label)
    canvas, outlines, keys = render.density_overlay(analysis.image, captures, analysis.dlka.letterbox, SCALE), [], []
    for side, name in SIDES.items():
        boxes, colour, line = prediction(analysis, side).detections.boxes, COLOURS[side], LINES[side]
        outlines += [Outline(box, "", colour, line, thin=True) for box in boxes]
        keys.append(legend.Entry(f"boxes of {name}", colour=colour, line=line))
    if outlines:
        draw_outlines(canvas, outlines)
        legend.key(canvas, keys)
        legend.finish(canvas)
    return canvas


@kept
def _shapes(key: str) -> dict[str, KernelShape]:
    analysis = get_analysis(key)
    return {label: stage_shapes(capture) for label, capture in zip(analysis.stage_labels, analysis.dlka.captures)}


def shapes_rows(analysis: Analysis) -> list[list[Any]]:
    """The deformation of all cells' kernels, one row a stage under SHAPES_COLUMNS: mean (5 % to 95 %)."""
    rows = []
    for label, shape in _shapes(analysis.key).items():
        rows.append([label])
        shift = np.hypot(shape.shift[..., 0], shape.shift[..., 1])
        parts = (shift, 2), (shape.zoom, 3), (shape.rotation, 1), (shape.shear, 3), (shape.rest, 2)
        for values, digits in parts:
            numbers = values.mean(), *np.percentile(values, (5, 95))
            mean, low, high = (f"{round(float(v), digits) + 0.0:.{digits}f}" for v in numbers)  # no "-0.0"
            rows[-1].append(f"{mean} ({low} to {high})")
    return rows


def pooled(analysis: Analysis) -> str:
    """One sentence: the share of all samples of all stages that lies inside boxes, against the regular grids'."""
    boxes, total = all_boxes(analysis), np.zeros(2)
    reads = np.array([capture.offset.size for capture in analysis.dlka.captures], np.float64)
    for count, capture in zip(reads, analysis.dlka.captures):
        total += count * np.array(shares_inside([capture], boxes, analysis.dlka.letterbox))
    learned, regular = total / reads.sum()
    return (
        f"Of all samples of all stages {learned:.2%} land inside a box of either model; of the regular grids' taps "
        f"{regular:.2%} do: {100 * (learned - regular):+.2f} points."
    )


def boxes_rows(analysis: Analysis) -> list[list[Any]]:
    """Samples and kernels inside the boxes of either model, one row a stage or composed field under BOXES_COLUMNS."""
    boxes, rows = all_boxes(analysis), []
    for label, captures in analysis.views.items():
        learned, regular = shares_inside(captures, boxes, analysis.dlka.letterbox)
        zooms = ["-", "-"]
        if len(captures) == 1:
            zoom = _shapes(analysis.key)[label].zoom
            within = inside(render.cell_centres(captures[0], analysis.dlka.letterbox), boxes)
            zooms = [f"{zoom[part].mean():.3f}" if part.any() else "-" for part in (within, ~within)]
        rows.append([label, f"{learned:.2%}", f"{regular:.2%}", f"{100 * (learned - regular):+.2f} points", *zooms])
    return rows


def spread_points(analysis: Analysis) -> dict[str, list[SpreadPoint]]:
    """Kind of stage, for example "7x7 d3" -> a point a box, with the samples of the box' cell on its own level."""
    panels: dict[str, list[SpreadPoint]] = {}
    for label, captures in analysis.views.items():
        level, _, kind = label.partition(" ")
        for side in SIDES:
            found = prediction(analysis, side).detections
            here = np.flatnonzero(found.levels == int(level[1:]))
            spreads = cell_spreads(captures, found.cells[here], analysis.dlka.letterbox)
            for box, learned, regular in zip(found.boxes[here], *spreads):
                point = SpreadPoint(side_of(box), float(learned), float(regular), side == "dlka")
                panels.setdefault(kind, []).append(point)
    return panels


def chart(analysis: Analysis) -> tuple[Drawing, str] | None:
    """Spread against box size over all boxes, and what it comes to in a sentence; None without boxes or stages."""
    panels = spread_points(analysis)
    return (Drawing(spread_chart(panels), SPREAD), agreement(analysis, panels)) if panels else None


def agreement(analysis: Analysis, panels: dict[str, list[SpreadPoint]]) -> str:
    """What the spreads of all boxes come to, one sentence."""
    sentences = [
        f"{kind} {_agreement(points, 'learned'):+.2f}, grid {_agreement(points, 'regular'):+.2f}"
        for kind, points in panels.items()
        if len(points) > 2
    ]
    said = f"; correlation of log spread with log size: {'; '.join(sentences)}" if sentences else ""
    return f"{len(listed(analysis))} boxes{said}."


def _agreement(points: list[SpreadPoint], which: str) -> float:
    """Pearson's correlation of the logarithms, 0 where one of the two does not vary."""
    sides, spreads = np.log([p.side for p in points]), np.log([max(getattr(p, which), 1e-6) for p in points])
    if min(np.ptp(sides), np.ptp(spreads)) < 1e-9:
        return 0.0
    return float(np.corrcoef(sides, spreads)[0, 1])
