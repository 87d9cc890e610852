"""The tab "Boxes": from one box back to its cells and samples, and from all samples to where they condense."""

from __future__ import annotations

from typing import Any

from dlka.analysis import box_figures, boxes, condensation
from dlka.analysis.analysis import Look, recall
from dlka.analysis.figures.one_box import BoxCells, BoxEvidence, BoxSamples, Condensation, Spread
from dlka.ui import box_page, figure_row, files, words
from dlka.ui.figure_row import Shown
from dlka.ui.shared import Shared, when_seen
from dlka.ui.toolkit import gr

NAME = "Boxes"
GIVEN: tuple[str, ...] = ()
SHOWN = ("box", "picture", "cells", "evidence", "figures", "stage", "map", "chart", "tables", "map_figures")
PRIVATE: dict[str, Any] = {"api_visibility": "private"}


def build(first: Look) -> dict[str, Any]:
    """The tab's components, empty: they are drawn when the tab is opened, as that makes both models look once more."""
    with gr.Tab(NAME):
        gr.Markdown(words.BOXES, elem_classes="quiet")
        box = gr.Dropdown([], label="Box", info="smallest first; or click one on the picture", filterable=False)
        with gr.Row():
            with gr.Column(min_width=300):
                picture = gr.Image(
                    label="Click to choose the smallest box there",
                    alt_text="All boxes of both models on the picture; the list of boxes says the same in words",
                    interactive=False,
                    elem_id="boxes-picture",
                    elem_classes="drawing",
                    buttons=["download"],
                )
            with gr.Column(scale=2, min_width=300):
                cells = gr.HTML(elem_id="box-cells")
        gr.Markdown("## What its class depends on")
        evidence = gr.HTML(elem_id="box-evidence")
        figures = figure_row.build(first, [])
        gr.Markdown(words.BOX_EVIDENCE, elem_classes="quiet")
        gr.Markdown("## Where all samples land")
        stage = gr.Radio([], label="Deform stage, or both of a block composed")
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                map_ = gr.HTML(elem_id="box-map")
            with gr.Column(scale=2, min_width=300):
                chart = gr.HTML(elem_id="box-chart")
        map_figures = figure_row.build(first, [])
        numbers = gr.HTML(elem_id="box-tables")
        gr.Markdown(words.CONDENSATION, elem_classes="quiet")
    return {
        "box": box,
        "picture": picture,
        "cells": cells,
        "evidence": evidence,
        "figures": figures,
        "stage": stage,
        "map": map_,
        "chart": chart,
        "tables": numbers,
        "map_figures": map_figures,
    }


def values(look: Look, point: tuple[float, float]) -> list[Any]:
    """Updates of what SHOWN names: nothing of the last look stays; what is new is drawn when the tab is seen."""
    unchosen = gr.update(choices=[], value=None)
    return [unchosen, None, "", "", "[]", unchosen, "", "", "", "[]"]


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """A box is chosen from the list or on the picture: cells and samples at once, then what needs gradients."""
    shown = [tab[n] for n in SHOWN]
    about = [tab["picture"], tab["cells"], tab["figures"]]

    def choose(key: str, name: str | None) -> list[Any]:
        return _about(recall(key), name) if name else [gr.skip() for _ in about]

    def click(key: str, event: gr.SelectData) -> list[Any]:
        look = recall(key)
        point = look.frame.pixel_of(*event.index)
        name = None if point is None else boxes.at_point(look, point)
        return [name, *_about(look, name)] if name else [gr.skip() for _ in (name, *about)]

    def explain(key: str, name: str | None) -> list[Any]:
        return _evidence(recall(key), name) if name else ["", "[]"]

    def condense(key: str, label: str | None) -> list[str]:
        return _map(recall(key), label)

    when_seen(shared, NAME, draw, [], shown)
    last: dict[str, Any] = {"trigger_mode": "always_last"}
    chosen = tab["box"].input(choose, [shared.key, tab["box"]], about, **PRIVATE, **last)
    clicked = tab["picture"].select(click, shared.key, [tab["box"], *about], **PRIVATE)
    for event in (chosen, clicked):
        event.then(explain, [shared.key, tab["box"]], [tab["evidence"], tab["figures"]], **PRIVATE, **last)
    drawn = [tab["map"], tab["map_figures"]]
    tab["stage"].input(condense, [shared.key, tab["stage"]], drawn, show_progress="hidden", **PRIVATE, **last)


def draw(key: str) -> list[Any]:
    """All of SHOWN for a look: its smallest box is chosen."""
    look = recall(key)
    choices, stages = boxes.listed(look), list(condensation.fields(look))
    name = choices[0][1] if choices else None
    stage = stages[0] if stages else None
    picture, cells, _ = _about(look, name) if name else _nothing(look)
    evidence = _evidence(look, name) if name else ["", "[]"]
    map_, map_figures = _map(look, stage)
    return [
        gr.update(choices=choices, value=name),
        picture,
        cells,
        *evidence,
        gr.update(choices=stages, value=stage),
        map_,
        box_page.chart_part(look),
        box_page.tables_part(look),
        map_figures,
    ]


def _about(look: Look, name: str) -> list[Any]:
    """Picture, cells and samples, and the figures of these two."""
    traces = boxes.find(look, name)
    picture = files.picture(box_figures.overview(look, traces), "boxes.jpg")
    return [picture, box_page.cells_part(look, traces), figure_row.value(look, _figures(look, name))]


def _nothing(look: Look) -> list[Any]:
    sentence = box_figures.EMPTY.format(look.settings.confidence)
    return [files.picture(box_figures.overview(look), "boxes.jpg"), f"<p>{sentence}</p>", "[]"]


def _evidence(look: Look, name: str) -> list[Any]:
    """What the class depends on, and all figures of the box."""
    shown = _figures(look, name) + [
        Shown(f"{title} of {model}", BoxEvidence(name, side, kind))
        for kind, title in (("layercam", "LayerCAM"), ("gradient", "Gradient"))
        for side, model in (("dlka", "D-LKA"), ("baseline", "the baseline"))
    ]
    return [box_page.evidence_part(look, boxes.find(look, name)), figure_row.value(look, shown)]


def _figures(look: Look, name: str) -> list[Shown]:
    """What can be taken of a box before its gradients are known."""
    shown = [Shown("Cells behind the box", BoxCells(name))]
    if box_figures.samples_of(look, boxes.find(look, name)[0]):
        shown.append(Shown("Samples behind the box", BoxSamples(name)))
    return shown


def _map(look: Look, stage: str | None) -> list[str]:
    """The map of one stage or composed field, and what can be taken with it."""
    shown = [] if stage is None else [Shown("Condensation map", Condensation(stage))]
    if stage is not None and boxes.listed(look):
        shown.append(Shown(condensation.SPREAD, Spread()))
    return [box_page.condensation_part(look, stage), figure_row.value(look, shown)]
