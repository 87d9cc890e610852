"""Pictures and tables about one box and the same object in the other model: cells, samples, and what its class depends
on by LayerCAM and the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlka import palette, render
from dlka.analysis.analysis import Analysis
from dlka.analysis.boxes import OTHER, SIDES, Trace, gradients, in_order, prediction
from dlka.inference.box_gradients import BLOCK
from dlka.render import box_cells, legend
from dlka.render.box_cells import BoxSamples, Evidence, box_samples, evidence_overlay, lively_edges, share_inside
from dlka.render.boxes import Outline, draw_outlines
from dlka.render.geometry import cell_squares, pixels_per_cell, to_picture
from dlka.render.picture import View
from dlka.types import ONLY_FIRST, ONLY_SECOND

COLOURS = {"dlka": palette.DLKA, "baseline": palette.BASELINE}
LINES = {"dlka": palette.KIND_LINES[ONLY_FIRST], "baseline": palette.KIND_LINES[ONLY_SECOND]}
BOX_COLUMNS = ["model", "object", "score", "size px", "winning cell", "merged cells"]
CELL_COLUMNS = ["cell", "score", "IoU with the box", "role"]
SAMPLE_COLUMNS = ["stage", "inside the box", "grid inside", "spread px", "grid px", "spread / size", "grid / size"]
SHAPE_COLUMNS = ["stage", "shift (dy, dx) cells", "zoom", "rotation", "shear", "rest cells"]
EMPTY = "Neither model has a box here: none scores above the confidence of {:g}. Lower it to see where boxes come from."
EVIDENCE_COLUMNS = ["what the class depends on", *(f"{title[0].upper()}{title[1:]}" for title in SIDES.values())]
KINDS = {
    "layercam": ("LayerCAM of", "before the head"),
    "gradient": ("gradient of", "on the picture, sum of |gradient|"),
}
UNIT = "logits"


def overview(analysis: Analysis, traces: Sequence[Trace] = ()) -> render.Canvas:
    """All boxes of both models on the picture, with those of the chosen object labelled and thick."""
    canvas = render.Canvas(analysis.image)
    chosen = {(t.side, t.index): t for t in traces}
    outlines = []
    for side in SIDES:
        found = prediction(analysis, side).detections
        for i, box in enumerate(found.boxes):
            trace = chosen.get((side, i))
            label = "" if trace is None else f"{SIDES[side]} {_object(analysis, trace)}"
            outlines.append(Outline(box, label, COLOURS[side], LINES[side], thin=trace is None))
    draw_outlines(canvas, sorted(outlines, key=lambda o: not o.thin))
    legend.title(canvas, "All boxes of both models")
    counts = {side: len(prediction(analysis, side).detections) for side in SIDES}
    keys = [legend.Entry(f"{SIDES[s]} {counts[s]}", colour=COLOURS[s], line=LINES[s]) for s in SIDES]
    legend.key(canvas, keys)
    legend.note(canvas, "The chosen one is thick." if outlines else EMPTY.format(analysis.settings.confidence))
    return legend.finish(canvas)


def cells_picture(analysis: Analysis, traces: Sequence[Trace]) -> render.Paper:
    """The box and its cells, for both models beside each other."""
    panels = [_panel(analysis, trace) for trace in in_order(traces)]
    return box_cells.draw_cells(analysis.image, panels, "The cells behind the box")


def _panel(analysis: Analysis, trace: Trace) -> box_cells.BoxCells:
    seen = prediction(analysis, trace.side)
    cells = np.concatenate([np.array([trace.cell]), trace.cells])
    strides = 2 ** np.concatenate([[trace.level], trace.levels])
    squares = cell_squares(cells, strides, seen.letterbox)
    text = f"{SIDES[trace.side]}: {_object(analysis, trace) if trace.found else 'not found, best cell'}"
    owner = trace.side if trace.found else OTHER[trace.side]
    return box_cells.BoxCells(text, COLOURS[owner], LINES[owner], trace.box, squares[0], squares[1:])


def samples_of(analysis: Analysis, trace: Trace) -> dict[str, BoxSamples]:
    """Label -> the samples of the box' cell in each stage of its level and in both composed; empty without stages.

    Stages are the D-LKA model's, whichever model the box is of: the maps of a level have the same cells in both.
    """
    return {
        label: box_samples(captures, trace.cell, trace.box, analysis.dlka.letterbox)
        for label, captures in analysis.views.items()
        if captures[0].stage.level == f"P{trace.level}"
    }


def samples_picture(analysis: Analysis, trace: Trace, seen: dict[str, BoxSamples]) -> render.Paper:
    """Where the stages of the D-LKA model read for the winning cell: a row per block."""
    rows: dict[str, list[tuple[str, BoxSamples]]] = {}
    for label, samples in seen.items():
        rows.setdefault(samples.reads.stage.block, []).append((label, samples))
    side, title = trace.side, f"Where D-LKA reads for {trace.where}"
    return box_cells.draw_box_samples(
        analysis.image,
        list(rows.values()),
        trace.box,
        COLOURS[side],
        LINES[side],
        f"{title}, against the {SIDES[side]} box",
    )


def box_rows(analysis: Analysis, traces: Sequence[Trace]) -> list[list[Any]]:
    """Both models' answers under BOX_COLUMNS."""
    rows = []
    for trace in in_order(traces):
        across, down = trace.box[2:] - trace.box[:2]
        size = f"{across:.0f} x {down:.0f}" if trace.found else "not found"
        merged = len(trace.cells) if trace.found else "-"
        where = trace.where if trace.found else f"{trace.where}, best here"
        rows.append([SIDES[trace.side], analysis.names[trace.number], f"{trace.score:.2f}", size, where, merged])
    return rows


def cell_rows(trace: Trace) -> list[list[Any]]:
    """The cells behind one box under CELL_COLUMNS, best first."""
    rows: list[list[Any]] = [[trace.where, f"{trace.score:.3f}", "1", "wins"]]
    for level, (row, column), score, overlap in zip(trace.levels, trace.cells, trace.scores, trace.overlaps):
        rows.append([f"P{level} ({row}, {column})", f"{score:.3f}", f"{overlap:.2f}", "merged"])
    return rows


def sample_rows(trace: Trace, seen: dict[str, BoxSamples]) -> list[list[Any]]:
    """One row a stage under SAMPLE_COLUMNS."""
    side = side_of(trace.box)
    return [
        [
            label,
            f"{s.share:.1%}",
            f"{s.regular_share:.1%}",
            f"{s.spread:.1f}",
            f"{s.regular_spread:.1f}",
            f"{s.spread / side:.2f}",
            f"{s.regular_spread / side:.2f}",
        ]
        for label, s in seen.items()
    ]


def shape_rows(seen: dict[str, BoxSamples]) -> list[list[Any]]:
    """One row a stage under SHAPE_COLUMNS."""
    return [
        [
            label,
            f"({signed(s.shape.shift[0], 2)}, {signed(s.shape.shift[1], 2)})",
            f"{s.shape.zoom:.3f}",
            f"{signed(float(s.shape.rotation), 1)}°",
            f"{s.shape.shear:.3f}",
            f"{s.shape.rest:.2f}",
        ]
        for label, s in seen.items()
    ]


def signed(value: float, digits: int) -> str:
    """With its sign, and without one where it is rounded to zero."""
    return f"{value:+.{digits}f}" if round(float(value), digits) else f"{0:.{digits}f}"


def side_of(box: np.ndarray) -> float:
    """Square root of a box' area in pixels, never 0."""
    return max(float(np.prod(box[2:].astype(np.float64) - box[:2])), 1e-6) ** 0.5


def _object(analysis: Analysis, trace: Trace) -> str:
    return f"{analysis.names[trace.number]} {trace.score:.2f}"


# What the class of a box depends on in both models.


@dataclass(frozen=True)
class Maps:
    """One kind of evidence about an object, D-LKA first, then the baseline.

    kind: one of KINDS; values [H, W] on cells of `strides` letterboxed pixels; logits of the class at the cells;
    largest: the end of the scale, and view: the window, both shared
    """

    kind: str
    traces: tuple[Trace, ...]
    values: tuple[np.ndarray, ...]
    strides: tuple[int, ...]
    logits: tuple[float, ...]
    largest: float
    view: View


def maps(analysis: Analysis, traces: Sequence[Trace], kind: str) -> Maps:
    """What the class of an object depends on in both models, ready to be drawn."""
    traces = in_order(traces)
    seen = [gradients(analysis.key, t.side, t.level, t.cell, t.number) for t in traces]
    values = tuple(g.cam if kind == "layercam" else g.field for g in seen)
    strides = tuple(2**t.level if kind == "layercam" else BLOCK for t in traces)
    largest = max(float(v.max()) for v in values) or 1.0
    edges = [lively_edges(v, s, analysis.dlka.letterbox) for v, s in zip(values, strides)]
    view = box_cells.close_view([*(t.box for t in traces), *(e for e in edges if e is not None)], analysis.image)
    return Maps(kind, traces, values, strides, tuple(g.logit for g in seen), largest, view)


def picture(analysis: Analysis, of: Maps, side: str) -> render.Canvas:
    """The map of one model over the picture."""
    i = list(SIDES).index(side)
    trace, stride, letterbox = of.traces[i], of.strides[i], prediction(analysis, side).letterbox
    kind, of_what = KINDS[of.kind]
    cell = legend.number(pixels_per_cell(stride, letterbox))
    owner = trace.side if trace.found else OTHER[trace.side]
    found = f"score {trace.score:.2f}" if trace.found else f"not found: its best cell here, score {trace.score:.2f}"
    shown = Evidence(
        values=of.values[i],
        stride=stride,
        box=trace.box,
        colour=COLOURS[owner],
        line=LINES[owner],
        centre=_centre(analysis, trace),
        title=f"{EVIDENCE_COLUMNS[1 + i]}: {kind} {analysis.names[trace.number]}",
        subtitle=f"{trace.where}, {found} · {of_what} · 1 square = {cell} px",
    )
    return evidence_overlay(analysis.image, shown, letterbox, of.largest, UNIT, of.view)


def evidence(analysis: Analysis, traces: Sequence[Trace]) -> tuple[list[render.Canvas], list[list[Any]]]:
    """LayerCAM of both models, then the gradient on the picture of both, and their numbers under EVIDENCE_COLUMNS.

    Both models stand on the same scale, and in the same window.
    """
    traces = in_order(traces)
    seen = [gradients(analysis.key, t.side, t.level, t.cell, t.number) for t in traces]
    drawn = [picture(analysis, of, side) for of in (maps(analysis, traces, kind) for kind in KINDS) for side in SIDES]
    rows = [
        ["class", *(analysis.names[t.number] for t in traces)],
        ["cell", *(t.where if t.found else f"{t.where}, not found" for t in traces)],
        ["score", *(f"{t.score:.3f}" for t in traces)],
        ["logit", *(f"{g.logit:+.2f}" for g in seen)],
        ["cells of the map before the head that matter", *(str(g.reach) for g in seen)],
        ["LayerCAM inside the box", *(_inside(analysis, t, g.cam, 2**t.level) for t, g in zip(traces, seen))],
        ["gradient inside the box", *(_inside(analysis, t, g.field, BLOCK) for t, g in zip(traces, seen))],
        ["90 % of the gradient within", *(f"{_radius(analysis, t, g.field):.0f} px" for t, g in zip(traces, seen))],
    ]
    return drawn, rows


def _centre(analysis: Analysis, trace: Trace) -> np.ndarray:
    """[2] (x, y) of its cell in pixels of the picture."""
    return to_picture(np.array(trace.cell), 2**trace.level, prediction(analysis, trace.side).letterbox)


def _inside(analysis: Analysis, trace: Trace, values: np.ndarray, stride: int) -> str:
    part = share_inside(values, stride, prediction(analysis, trace.side).letterbox, trace.box)
    return "nothing at all" if part is None else f"{part:.0%}"


def _radius(analysis: Analysis, trace: Trace, field: np.ndarray) -> float:
    letterbox = prediction(analysis, trace.side).letterbox
    return render.influence_radius(field, BLOCK, letterbox, _centre(analysis, trace))
