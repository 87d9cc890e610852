"""The tab of the offset field: one overlay at a time, and where all stages read for a chosen cell.

A cell is chosen by a click on the picture, or by its row and column; the same numbers stand in a table.
"""

from __future__ import annotations

from typing import Any

from dlka import render
from dlka.analysis import report
from dlka.analysis.analysis import Analysis, get_analysis, whole
from dlka.analysis.figures import pictures
from dlka.analysis.figures.views import Offsets, Samples
from dlka.analysis.stages import NO_STAGES
from dlka.ui import address, figure_row, files, words
from dlka.ui.figure_row import FigureRef
from dlka.ui.tab import DRAWING, LAST, QUIET, Shared, by_component
from dlka.ui.toolkit import gr

OPACITY = 0.7
NAME = "Offsets"
INPUTS: tuple[str, ...] = ("point", "stage", "kind", "opacity", "scale")
OUTPUTS: tuple[str, ...] = ("stage", "tap", "picture", "samples", "about", "row", "column", "numbers", "figures")
OVERLAY = ("stage", "kind", "tap", "opacity", "scale")
Point = tuple[float, float]


def build(first: Analysis) -> dict[str, Any]:
    """The tab's components, showing a first analysis."""
    stage, middle = first.stage_labels[0], pictures.default_point(first)
    kind, scale = pictures.OVERLAYS[0], pictures.SCALES[1]
    overlay = (stage, kind, 0, OPACITY, scale)
    row, column = _cell(first, stage, middle)
    tab: dict[str, Any] = {}
    with gr.Tab(NAME):
        with gr.Row():
            tab["stage"] = gr.Radio(first.stage_labels, value=stage, label="Deform stage", min_width=320)
            tab["kind"] = gr.Radio(pictures.OVERLAYS, value=kind, label="Overlay", min_width=320)
        tab["about"] = gr.Markdown(report.about_stage(first, stage), elem_classes="quiet")
        with gr.Row():
            tab["picture"] = gr.Image(
                _overlay(first, middle, *overlay),
                label="Click to choose a cell",
                elem_id="offset-picture",
                buttons=["download"],
                min_width=320,
                **DRAWING,
            )
            tab["samples"] = gr.Image(
                _samples(first, middle),
                label="Where every stage reads for that cell",
                elem_id="sample-panels",
                buttons=["download", "fullscreen"],
                min_width=320,
                **DRAWING,
            )
        tab["figures"] = figure_row.build(first, _figures(middle, *overlay))
        with gr.Row():
            named: dict[str, Any] = {"precision": 0, "min_width": 120}
            tab["row"] = gr.Number(row, label="Row of the cell", info="from 0, arrow keys", **named)
            tab["column"] = gr.Number(column, label="Column of the cell", info="or click", **named)
            tab["tap"] = gr.Slider(
                0, first.capture(stage).stage.taps, 0, step=1, label="Tap", info="0: mean of all; else one, row by row"
            )
            tab["opacity"] = gr.Slider(0.1, 1, OPACITY, step=0.05, label="Opacity")
            tab["scale"] = gr.Radio(
                pictures.SCALES, value=scale, label="Colour scale", info="shared by all stages, or this stage's own"
            )
        with gr.Accordion("The same as tables", open=False):
            tab["numbers"] = gr.HTML(_numbers(first, stage, middle), elem_id="offset-numbers")
        gr.Markdown(words.OFFSETS, elem_classes="quiet")
    return tab


def values(
    analysis: Analysis, point: Point, stage: str | None, kind: str, opacity: float, scale: str
) -> dict[str, Any]:
    """Updates of what OUTPUTS names, after a new analysis; the tap goes back to the mean."""
    labels = analysis.stage_labels
    if not labels:
        without = {"stage": gr.update(choices=[], value=None), "tap": 0, "about": NO_STAGES, "figures": "[]"}
        return dict.fromkeys(OUTPUTS) | without
    stage = stage if stage in labels else labels[0]
    row, column = _cell(analysis, stage, point)
    return {
        "stage": gr.update(choices=labels, value=stage),
        "tap": gr.update(maximum=analysis.capture(stage).stage.taps, value=0),
        "samples": _samples(analysis, point),
        "about": report.about_stage(analysis, stage),
        "numbers": _numbers(analysis, stage, point),
        "row": row,
        "column": column,
        **_field(analysis, point, stage, kind, 0, opacity, scale),
    }


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """Every control redraws at once; none runs a model."""
    overlay = [tab[n] for n in OVERLAY]

    def redraw(key: str, point: Point, *overlay: Any) -> dict[Any, Any]:
        drawn = _field(get_analysis(key), point, *overlay) if overlay[0] else {"picture": None, "figures": "[]"}
        return by_component(tab, drawn)

    def show(analysis: Analysis, point: Point, *overlay: Any, **more: Any) -> dict[Any, Any]:
        """A stage and a point that were chosen, overlay[0] and point: what both bring, and more by name."""
        stage = overlay[0]
        drawn = {**_field(analysis, point, *overlay), "numbers": _numbers(analysis, stage, point), **more}
        return {**by_component(tab, drawn), shared.address: address.encode_place(stage, _cell(analysis, stage, point))}

    def choose_stage(key: str, point: Point, stage: str, kind: str, tap: int, *rest: Any) -> dict[Any, Any]:
        analysis = get_analysis(key)
        taps = analysis.capture(stage).stage.taps
        tap = tap if tap <= taps else 0
        (row, column), about = _cell(analysis, stage, point), report.about_stage(analysis, stage)
        more = {"tap": gr.update(maximum=taps, value=tap), "about": about, "row": row, "column": column}
        return show(analysis, point, stage, kind, tap, *rest, **more)

    def choose_point(key: str, event: gr.SelectData, *overlay: Any) -> dict[Any, Any]:
        analysis = get_analysis(key)
        clicked = analysis.frame.pixel_of(*event.index)
        if clicked is None or not overlay[0]:  # on the legend, or a model without stages
            return gr.skip()
        row, column = _cell(analysis, overlay[0], clicked)
        more = {"samples": _samples(analysis, clicked), "row": row, "column": column}
        return {shared.point: clicked, **show(analysis, clicked, *overlay, **more)}

    def choose_cell(key: str, row: int | None, column: int | None, *overlay: Any) -> dict[Any, Any]:
        if row is None or column is None or not overlay[0]:  # while a number is typed
            return gr.skip()
        analysis = get_analysis(key)
        centres = render.cell_centres(analysis.capture(overlay[0]), analysis.dlka.letterbox)
        given = zip((row, column), ("Row", "Column"), centres.shape)
        x, y = centres[tuple(whole(str(number), what, 0, count - 1) for number, what, count in given)].tolist()
        return {shared.point: (x, y), **show(analysis, (x, y), *overlay, samples=_samples(analysis, (x, y)))}

    chosen = [tab["picture"], tab["figures"], tab["numbers"], shared.address]
    cell = [tab["row"], tab["column"]]
    told = [tab["tap"], tab["about"], *cell, *chosen]
    tab["stage"].input(choose_stage, [shared.key, shared.point, *overlay], told, **QUIET, **LAST)
    moved = [tab[name].input for name in ("kind", "scale", "tap", "opacity")]
    shown, drawn = [shared.key, shared.point, *overlay], [tab["picture"], tab["figures"]]
    gr.on(moved, redraw, shown, drawn, **QUIET, **LAST)
    point = [shared.point, tab["samples"]]
    tab["picture"].select(choose_point, [shared.key, *overlay], [*point, *cell, *chosen], **QUIET)
    typed = [number.input for number in cell]
    gr.on(typed, choose_cell, [shared.key, *cell, *overlay], [*point, *chosen], **QUIET, **LAST)


def _field(analysis: Analysis, point: Point, *overlay: Any) -> dict[str, str]:
    """The overlay with its marked point, and the figures."""
    drawn, shown = _overlay(analysis, point, *overlay), _figures(point, *overlay)
    return {"picture": drawn, "figures": figure_row.value(analysis, shown)}


def _cell(analysis: Analysis, stage: str, point: Point) -> tuple[int, int]:
    return render.cell_at(point, analysis.capture(stage), analysis.dlka.letterbox)


def _overlay(analysis: Analysis, point: Point, *overlay: Any) -> str:
    return files.picture(pictures.marked_overlay(analysis, point, *overlay), "offsets.jpg")


def _samples(analysis: Analysis, point: Point) -> str:
    return files.picture(pictures.sample_panels(analysis, point), "samples.jpg")


def _figures(point: Point, stage: str, kind: str, tap: int, opacity: float, scale: str) -> list[FigureRef]:
    x, y = map(float, point)
    return [
        FigureRef("Offset field", Offsets(stage, kind, tap, opacity, scale, x, y), ("offset-picture", 0)),
        FigureRef("Samples of every stage", Samples(x, y), ("sample-panels", 0)),
    ]


def _numbers(analysis: Analysis, stage: str, point: Point) -> str:
    """The stage's row of numbers, then every tap of the chosen cell."""
    row, column = _cell(analysis, stage, point)
    rows = [row for row in report.stage_rows(analysis) if row[0] == stage]
    return (
        report.table(report.STAGE_COLUMNS, rows)
        + f"<p>{stage}, cell (row {row}, column {column}): every tap, in pixels of the picture.</p>"
        + report.table(report.TAP_COLUMNS, report.tap_rows(analysis, stage, point))
    )
