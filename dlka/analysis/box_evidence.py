"""What the class of one box depends on in both models: LayerCAM and the gradient, as pictures and in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlka import render
from dlka.analysis.analysis import Analysis
from dlka.analysis.box_figures import COLOURS, LINES
from dlka.analysis.boxes import SIDES, Trace, gradients, prediction
from dlka.inference.box_gradients import BLOCK
from dlka.render import box_cells, legend
from dlka.render.box_evidence import Evidence, evidence_overlay, lively_edges, share_inside
from dlka.render.geometry import cell_squares, pixels_per_cell
from dlka.render.picture import View

EVIDENCE_COLUMNS = ["what the class depends on", *(f"{title[0].upper()}{title[1:]}" for title in SIDES.values())]
KINDS = {
    "layercam": ("LayerCAM of", "before the head"),
    "gradient": ("gradient of", "on the picture, sum of |gradient|"),
}
UNIT = "logits"


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
    traces = tuple(sorted(traces, key=lambda t: list(SIDES).index(t.side)))
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
    shown = _evidence(analysis, of.traces[i], *KINDS[of.kind], of.values[i], of.strides[i])
    letterbox = prediction(analysis, side).letterbox
    return evidence_overlay(analysis.image, shown, letterbox, of.largest, UNIT, of.view, width=720)


def evidence(analysis: Analysis, traces: Sequence[Trace]) -> tuple[list[render.Canvas], list[list[Any]]]:
    """LayerCAM of both models, then the gradient on the picture of both, and their numbers under EVIDENCE_COLUMNS.

    Both models stand on the same scale, and in the same window.
    """
    traces = sorted(traces, key=lambda t: list(SIDES).index(t.side))
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


def _evidence(analysis: Analysis, trace: Trace, kind: str, of_what: str, values: np.ndarray, stride: int) -> Evidence:
    cell = legend.number(pixels_per_cell(stride, prediction(analysis, trace.side).letterbox))
    owner = trace.side if trace.found else next(s for s in SIDES if s != trace.side)
    found = f"score {trace.score:.2f}" if trace.found else f"not found: its best cell here, score {trace.score:.2f}"
    return Evidence(
        values=values,
        stride=stride,
        box=trace.box,
        colour=COLOURS[owner],
        line=LINES[owner],
        centre=_centre(analysis, trace),
        title=f"{EVIDENCE_COLUMNS[1 + list(SIDES).index(trace.side)]}: {kind} {analysis.names[trace.number]}",
        subtitle=f"{trace.where}, {found} · {of_what} · 1 square = {cell} px",
    )


def _centre(analysis: Analysis, trace: Trace) -> tuple[float, float]:
    stride = np.array([2**trace.level])
    left, top, right, bottom = cell_squares(np.array([trace.cell]), stride, prediction(analysis, trace.side).letterbox)[
        0
    ]
    return float(left + right) / 2 - 0.5, float(top + bottom) / 2 - 0.5


def _inside(analysis: Analysis, trace: Trace, values: np.ndarray, stride: int) -> str:
    part = share_inside(values, stride, prediction(analysis, trace.side).letterbox, trace.box)
    return "nothing at all" if part is None else f"{part:.0%}"


def _radius(analysis: Analysis, trace: Trace, field: np.ndarray) -> float:
    centre = np.array(_centre(analysis, trace))
    return render.influence_radius(field, BLOCK, prediction(analysis, trace.side).letterbox, centre)
