"""The tab "Objects": from one box back to its cells and samples, and from all samples to where they condense."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from dlka.analysis import box_figures, boxes, condensation
from dlka.analysis.analysis import Analysis, get_analysis
from dlka.analysis.boxes import SIDES, Trace
from dlka.analysis.figures.one_box import BoxCells, BoxEvidence, BoxSamples, Condensation, Spread
from dlka.analysis.report import table
from dlka.analysis.stages import NO_STAGES
from dlka.render import Paper
from dlka.ui import figure_row, files, words
from dlka.ui.figure_row import FigureRef
from dlka.ui.tab import DRAWING, LAST, PRIVATE, QUIET, Shared, by_component, when_seen
from dlka.ui.toolkit import gr

NAME = "Objects"
INPUTS: tuple[str, ...] = ()
OF_BOX = ("box", "picture", "cells", "evidence", "figures")
OUTPUTS: tuple[str, ...] = (*OF_BOX, "stage", "map", "chart", "tables", "map_figures")
NO_EVIDENCE = {"evidence": "", "figures": "[]"}


def build(first: Analysis) -> dict[str, Any]:
    """The tab's components, empty: they are drawn when the tab is opened, as that makes both models look once more."""
    tab: dict[str, Any] = {}
    with gr.Tab(NAME):
        gr.Markdown(words.OBJECTS, elem_classes="quiet")
        tab["box"] = gr.Dropdown([], label="Box", info="smallest first; or click one on the picture", filterable=False)
        with gr.Row():
            with gr.Column(min_width=300):
                tab["picture"] = gr.Image(
                    label="Click to choose the smallest box there",
                    alt_text="All boxes of both models on the picture; the list of boxes says the same in words",
                    elem_id="boxes-picture",
                    buttons=["download"],
                    **DRAWING,
                )
            with gr.Column(scale=2, min_width=300):
                tab["cells"] = gr.HTML(elem_id="box-cells")
        tab["figures"] = figure_row.build()
        with gr.Accordion("What its class depends on", open=False):
            tab["evidence"] = gr.HTML(elem_id="box-evidence")
            gr.Markdown(words.BOX_EVIDENCE, elem_classes="quiet")
        with gr.Accordion("Where all samples land", open=False):
            tab["stage"] = gr.Radio([], label="Deform stage, or both of a block composed")
            with gr.Row():
                with gr.Column(scale=3, min_width=300):
                    tab["map"] = gr.HTML(elem_id="box-map")
                with gr.Column(scale=2, min_width=300):
                    tab["chart"] = gr.HTML(elem_id="box-chart")
            tab["map_figures"] = figure_row.build()
            tab["tables"] = gr.HTML(elem_id="box-tables")
            gr.Markdown(words.CONDENSATION, elem_classes="quiet")
    return tab


def values(analysis: Analysis) -> dict[str, Any]:
    """Updates of what OUTPUTS names: nothing of the last analysis stays; what is new is drawn when the tab is seen."""
    unchosen = gr.update(choices=[], value=None)
    empty = {"box": unchosen, "picture": None, "figures": "[]", "stage": unchosen, "map_figures": "[]"}
    return dict.fromkeys(OUTPUTS, "") | empty


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """A box is chosen from the list or on the picture: cells and samples at once, then what needs gradients."""
    shown = [tab[n] for n in OUTPUTS]
    about = [tab["picture"], tab["cells"], tab["figures"]]

    def choose(key: str, name: str | None) -> dict[Any, Any]:
        return by_component(tab, _about(get_analysis(key), name)) if name else gr.skip()

    def click(key: str, event: gr.SelectData) -> dict[Any, Any]:
        analysis = get_analysis(key)
        point = analysis.frame.pixel_of(*event.index)
        name = None if point is None else boxes.at_point(analysis, point)
        return by_component(tab, {"box": name, **_about(analysis, name)}) if name else gr.skip()

    def explain(key: str, name: str | None) -> dict[Any, Any]:
        return by_component(tab, _evidence(get_analysis(key), name) if name else NO_EVIDENCE)

    def condense(key: str, label: str | None) -> dict[Any, Any]:
        return by_component(tab, _map(get_analysis(key), label))

    when_seen(shared, NAME, lambda key: by_component(tab, draw(key)), [], shown)
    chosen = tab["box"].input(choose, [shared.key, tab["box"]], about, **PRIVATE, **LAST)
    clicked = tab["picture"].select(click, shared.key, [tab["box"], *about], **PRIVATE)
    for event in (chosen, clicked):
        event.then(explain, [shared.key, tab["box"]], [tab["evidence"], tab["figures"]], **PRIVATE, **LAST)
    drawn = [tab["map"], tab["map_figures"]]
    tab["stage"].input(condense, [shared.key, tab["stage"]], drawn, **QUIET, **LAST)


def draw(key: str) -> dict[str, Any]:
    """All of OUTPUTS for an analysis: its smallest box is chosen."""
    analysis = get_analysis(key)
    choices, stages = boxes.listed(analysis), list(analysis.views)
    name = choices[0][1] if choices else None
    stage = stages[0] if stages else None
    if name is not None:
        of_box = {**_about(analysis, name), **_evidence(analysis, name)}
    else:
        picture = files.picture(box_figures.overview(analysis), "boxes.jpg")
        said = f"<p>{box_figures.EMPTY.format(analysis.settings.confidence)}</p>"
        of_box = {"picture": picture, "cells": said, **NO_EVIDENCE}
    return {
        "box": gr.update(choices=choices, value=name),
        **of_box,
        "stage": gr.update(choices=stages, value=stage),
        **_map(analysis, stage),
        "chart": chart_part(analysis),
        "tables": tables_part(analysis),
    }


def _about(analysis: Analysis, name: str) -> dict[str, Any]:
    """Picture, cells and samples, and the figures of these two."""
    traces = boxes.find(analysis, name)
    return {
        "picture": files.picture(box_figures.overview(analysis, traces), "boxes.jpg"),
        "cells": cells_part(analysis, traces),
        "figures": figure_row.value(analysis, _figures(analysis, name)),
    }


def _evidence(analysis: Analysis, name: str) -> dict[str, Any]:
    """What the class depends on, and all figures of the box."""
    shown = _figures(analysis, name) + [
        FigureRef(f"{title} of {model}", BoxEvidence(name, side, kind))
        for kind, title in (("layercam", "LayerCAM"), ("gradient", "Gradient"))
        for side, model in (("dlka", "D-LKA"), ("baseline", "the baseline"))
    ]
    evidence = evidence_part(analysis, boxes.find(analysis, name))
    return {"evidence": evidence, "figures": figure_row.value(analysis, shown)}


def _figures(analysis: Analysis, name: str) -> list[FigureRef]:
    """What can be taken of a box before its gradients are known."""
    shown = [FigureRef("Cells behind the box", BoxCells(name))]
    if box_figures.samples_of(analysis, boxes.find(analysis, name)[0]):
        shown.append(FigureRef("Samples behind the box", BoxSamples(name)))
    return shown


def _map(analysis: Analysis, stage: str | None) -> dict[str, Any]:
    """The condensation map of one stage or composed field, and what can be taken with it."""
    if stage is None:
        drawn, shown = f'<p class="quiet">{html.escape(NO_STAGES)}</p>', []
    else:
        drawn = _figure(condensation.condensation(analysis, stage), "condensation.jpg")
        shown = [FigureRef("Condensation map", Condensation(stage))]
        if boxes.listed(analysis):
            shown.append(FigureRef(condensation.SPREAD, Spread()))
    return {"map": drawn, "map_figures": figure_row.value(analysis, shown)}


def cells_part(analysis: Analysis, traces: Sequence[Trace]) -> str:
    """The chosen box first among the traces: its cells, its samples, and their tables."""
    own, other = traces
    parts = [
        table(box_figures.BOX_COLUMNS, box_figures.box_rows(analysis, traces)),
        _notes(analysis, own, other),
        _figure(box_figures.cells_picture(analysis, traces), "box-cells.jpg"),
    ]
    if seen := box_figures.samples_of(analysis, own):
        parts += [
            _figure(box_figures.samples_picture(analysis, own, seen), "box-samples.jpg"),
            table(box_figures.SAMPLE_COLUMNS, box_figures.sample_rows(own, seen)),
            table(box_figures.SHAPE_COLUMNS, box_figures.shape_rows(seen)),
        ]
    cells = table(box_figures.CELL_COLUMNS, box_figures.cell_rows(own))
    behind = f"All {len(own.cells) + 1} cells" if len(own.cells) else "The one cell"
    return "".join(parts) + f"<details><summary>{behind} behind this box</summary>{cells}</details>"


def _notes(analysis: Analysis, own: Trace, other: Trace) -> str:
    """What has to be said about whose samples these are, and about a model that found nothing."""
    told = []
    if not analysis.stage_labels:
        told.append(NO_STAGES)
    elif not box_figures.samples_of(analysis, own):
        told.append(f"The D-LKA model has no deform stage on P{own.level}, where this box comes from.")
    elif own.side == "baseline":
        told.append(
            "The baseline does not deform: the samples are those of the D-LKA model at the same cell "
            f"{own.where}, against the baseline's box."
        )
    if not other.found:
        same = (other.level, other.cell) == (own.level, own.cell)
        limit = analysis.settings.confidence
        under = f", under the confidence of {limit:g}" if other.score <= limit else ""
        told.append(
            f"The {SIDES[other.side]} model has no box of this object. Shown is "
            f"{'the same cell' if same else 'its best cell for the class there'}, {other.where}, with a score of "
            f"{other.score:.3f}{under}."
        )
    return "".join(f'<p class="quiet">{html.escape(sentence)}</p>' for sentence in told)


def evidence_part(analysis: Analysis, traces: Sequence[Trace]) -> str:
    """LayerCAM and the gradient on the picture, of both models."""
    drawn, rows = box_figures.evidence(analysis, traces)
    figures = "".join(_figure(canvas, "box-evidence.jpg") for canvas in drawn)
    return f'<div class="box-pair">{figures}</div>{table(box_figures.EVIDENCE_COLUMNS, rows)}'


def tables_part(analysis: Analysis) -> str:
    """What all samples and kernels of the picture come to, in and beside its boxes."""
    if not analysis.stage_labels:
        return ""
    return (
        f"<p>{html.escape(condensation.pooled(analysis))}</p>"
        + table(condensation.BOXES_COLUMNS, condensation.boxes_rows(analysis))
        + table(condensation.SHAPES_COLUMNS, condensation.shapes_rows(analysis))
    )


def chart_part(analysis: Analysis) -> str:
    """Spread against box size, over all boxes; empty without boxes or stages."""
    charted = condensation.chart(analysis)
    if charted is None:
        return ""
    drawn, sentence = charted
    text = f"{condensation.SPREAD}: {sentence}"
    return f'<figure>{files.image(drawn, "spread.jpg", text)}</figure><p class="quiet">{html.escape(text)}</p>'


def _figure(paper: Paper, name: str) -> str:
    return f"<figure>{files.image(paper, name, paper.legend_text)}</figure>"
