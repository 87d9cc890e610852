"""Pictures and tables about one box and the same object in the other model: cells, samples, and what its class depends
on by LayerCAM and the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlka import palette, render
from dlka.analysis.analysis import Analysis
from dlka.analysis.boxes import SIDES, TITLES, Trace, gradients, in_order, prediction
from dlka.inference.box_gradients import BLOCK
from dlka.inference.letterbox import Letterbox
from dlka.render import box_cells, legend
from dlka.render.box_cells import Evidence, evidence_overlay, lively_edges, share_inside
from dlka.render.box_samples import BoxSamples, box_samples
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
EVIDENCE_COLUMNS = ["what the class depends on", *TITLES.values()]
KINDS = {
    "layercam": ("LayerCAM of", "before the head"),
    "gradient": ("gradient of", "on the picture, sum of |gradient|"),
}
UNIT = "logits"


def overview(analysis: Analysis, traces: Sequence[Trace] = ()) -> render.Canvas:
    """All boxes of both models on the picture, with those of the chosen object labelled and thick."""
    canvas = render.Canvas(analysis.image)
    chosen = {(t.side, t.index): t for t in traces}
    outlines, keys = [], []
    for side, name in SIDES.items():
        found = prediction(analysis, side).detections
        keys.append(legend.Entry(f"{name} {len(found)}", colour=COLOURS[side], line=LINES[side]))
        for i, box in enumerate(found.boxes):
            trace = chosen.get((side, i))
            label = "" if trace is None else f"{name} {_object(analysis, trace)}"
            outlines.append(Outline(box, label, COLOURS[side], LINES[side], thin=trace is None))
    draw_outlines(canvas, sorted(outlines, key=lambda o: not o.thin))
    legend.title(canvas, "All boxes of both models")
    legend.key(canvas, keys)
    legend.note(canvas, "The chosen one is thick." if outlines else EMPTY.format(analysis.settings.confidence))
    return legend.finish(canvas)


def cells_picture(analysis: Analysis, traces: Sequence[Trace]) -> render.Paper:
    """The box and its cells, for both models beside each other."""
    panels = []
    for trace in in_order(traces):
        cells = np.concatenate([np.array([trace.cell]), trace.cells])
        strides = 2 ** np.concatenate([[trace.level], trace.levels])
        squares = cell_squares(cells, strides, prediction(analysis, trace.side).letterbox)
        text = f"{SIDES[trace.side]}: {_object(analysis, trace) if trace.found else 'not found, best cell'}"
        colour, line = COLOURS[trace.owner], LINES[trace.owner]
        panels.append(box_cells.BoxCells(text, colour, line, trace.box, squares[0], squares[1:]))
    return box_cells.draw_cells(analysis.image, panels, "The cells behind the box")


def samples_of(analysis: Analysis, trace: Trace) -> dict[str, BoxSamples]:
    """Label -> the samples of the box' cell in each stage of its level and in both composed; empty without stages.
    Stages are the D-LKA model's, whichever model the box is of: the maps of a level have the same cells in both."""
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
    side, title = trace.side, f"Where D-LKA reads for {trace.where}, against the {SIDES[trace.side]} box"
    drawn = list(rows.values())
    return box_cells.draw_box_samples(analysis.image, drawn, trace.box, COLOURS[side], LINES[side], title)


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
    side, rows = side_of(trace.box), []
    for label, s in seen.items():
        spreads = s.spread, s.regular_spread
        shares = f"{s.share:.1%}", f"{s.regular_share:.1%}"
        rows.append([label, *shares, *(f"{px:.1f}" for px in spreads), *(f"{px / side:.2f}" for px in spreads)])
    return rows


def shape_rows(seen: dict[str, BoxSamples]) -> list[list[Any]]:
    """One row a stage under SHAPE_COLUMNS."""
    rows = []
    for label, samples in seen.items():
        s, shift = samples.shape, ", ".join(signed(cells, 2) for cells in samples.shape.shift)
        turned = f"{signed(float(s.rotation), 1)}°"
        rows.append([label, f"({shift})", f"{s.zoom:.3f}", turned, f"{s.shear:.3f}", f"{s.rest:.2f}"])
    return rows


def signed(value: float, digits: int) -> str:
    """With its sign, and without one where it is rounded to zero."""
    return f"{value:+.{digits}f}" if round(float(value), digits) else f"{0:.{digits}f}"


def side_of(box: np.ndarray) -> float:
    """Square root of a box' area in pixels, never 0."""
    return max(float(np.prod(box[2:].astype(np.float64) - box[:2])), 1e-6) ** 0.5


def percent(share: float | None, without: str) -> str:
    return without if share is None else f"{share:.0%}"


def _object(analysis: Analysis, trace: Trace) -> str:
    return f"{analysis.names[trace.number]} {trace.score:.2f}"


# What the class of a box depends on in both models.


@dataclass(frozen=True)
class Map:
    """One kind of evidence about an object in one model.

    kind: one of KINDS; values [H, W] on cells of `stride` letterboxed pixels; share: of it inside the box, 0..1, None
    where it is nothing at all; logit of the class at the cell; reach: cells of the map before the head that matter;
    centre [2]: (x, y) of the cell in pixels of the picture; largest: the end of the scale, and view: the window, both
    shared with the other model's
    """

    kind: str
    trace: Trace
    letterbox: Letterbox
    values: np.ndarray
    stride: int
    logit: float
    reach: int
    largest: float
    view: View

    @property
    def share(self) -> float | None:
        return share_inside(self.values, self.stride, self.letterbox, self.trace.box)

    @property
    def centre(self) -> np.ndarray:
        return to_picture(np.array(self.trace.cell), 2**self.trace.level, self.letterbox)


def maps(analysis: Analysis, traces: Sequence[Trace], kind: str) -> dict[str, Map]:
    """What the class of an object depends on, ready to be drawn, by SIDES."""
    traces = in_order(traces)
    seen = [gradients(analysis.key, t.side, t.level, t.cell, t.number) for t in traces]
    of_each: list[tuple[np.ndarray, int]] = [
        (g.cam, 2**t.level) if kind == "layercam" else (g.field, BLOCK) for t, g in zip(traces, seen)
    ]
    largest = max(float(values.max()) for values, _ in of_each) or 1.0
    edges = [lively_edges(*one, analysis.dlka.letterbox) for one in of_each]
    view = box_cells.close_view([*(t.box for t in traces), *(e for e in edges if e is not None)], analysis.image)
    return {
        t.side: Map(kind, t, prediction(analysis, t.side).letterbox, *one, g.logit, g.reach, largest, view)
        for t, g, one in zip(traces, seen, of_each)
    }


def picture(analysis: Analysis, of: Map) -> render.Canvas:
    """The map of one model over the picture."""
    trace, (kind, of_what) = of.trace, KINDS[of.kind]
    cell = legend.number(pixels_per_cell(of.stride, of.letterbox))
    found = f"score {trace.score:.2f}" if trace.found else f"not found: its best cell here, score {trace.score:.2f}"
    shown = Evidence(
        values=of.values,
        stride=of.stride,
        box=trace.box,
        colour=COLOURS[trace.owner],
        line=LINES[trace.owner],
        centre=of.centre,
        title=f"{TITLES[trace.side]}: {kind} {analysis.names[trace.number]}",
        subtitle=f"{trace.where}, {found} · {of_what} · 1 square = {cell} px",
    )
    return evidence_overlay(analysis.image, shown, of.letterbox, of.largest, UNIT, of.view)


def evidence(analysis: Analysis, traces: Sequence[Trace]) -> tuple[list[render.Canvas], list[list[Any]]]:
    """LayerCAM of both models, then the gradient on the picture of both, and their numbers under EVIDENCE_COLUMNS. Both
    models stand on the same scale, and in the same window."""
    cams, fields = (list(maps(analysis, traces, kind).values()) for kind in KINDS)
    radii = [render.influence_radius(of.values, BLOCK, of.letterbox, of.centre) for of in fields]
    rows = [
        ["class", *(analysis.names[of.trace.number] for of in cams)],
        ["cell", *(of.trace.where + ("" if of.trace.found else ", not found") for of in cams)],
        ["score", *(f"{of.trace.score:.3f}" for of in cams)],
        ["logit", *(f"{of.logit:+.2f}" for of in cams)],
        ["cells of the map before the head that matter", *(str(of.reach) for of in cams)],
        ["LayerCAM inside the box", *(percent(of.share, "nothing at all") for of in cams)],
        ["gradient inside the box", *(percent(of.share, "nothing at all") for of in fields)],
        ["90 % of the gradient within", *(f"{radius:.0f} px" for radius in radii)],
    ]
    return [picture(analysis, of) for of in (*cams, *fields)], rows
