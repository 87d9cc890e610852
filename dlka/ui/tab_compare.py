"""The tab that compares boxes: what both found, what only one of the two did."""

from __future__ import annotations

from typing import Any

from dlka.analysis import report
from dlka.analysis.analysis import Analysis, get_analysis
from dlka.analysis.figures import pictures
from dlka.analysis.figures.views import Boxes, Crops, Difference
from dlka.ui import figure_row, files, words
from dlka.ui.figure_row import FigureRef
from dlka.ui.tab import DRAWING, LAST, QUIET, Shared, by_component
from dlka.ui.toolkit import gr

NAME = "Compare"
INPUTS: tuple[str, ...] = ("view",)
PICTURE = ("swipe", "flat", "figures")  # what the view decides on
OUTPUTS: tuple[str, ...] = ("headline", "view", *PICTURE, "crops", "none", "timing", "objects")


def build(first: Analysis) -> dict[str, Any]:
    """The tab's components, showing a first analysis."""
    sheet = _crops(first)
    tab: dict[str, Any] = {}
    with gr.Tab(NAME):
        tab["headline"] = gr.HTML(report.headline(first))
        tab["view"] = gr.Radio(pictures.VIEWS, value=pictures.VIEWS[0], label="View", show_label=False)
        tab["swipe"] = gr.ImageSlider(
            _halves(first),
            label="Left: baseline. Right: D-LKA. Drag the handle.",
            elem_id="swipe",
            max_height=900,
            **DRAWING,
        )
        tab["flat"] = gr.Image(
            visible=False,
            label="Both models",
            elem_id="flat",
            buttons=["download", "fullscreen"],
            **DRAWING,
        )
        tab["crops"] = gr.Image(
            sheet,
            visible=sheet is not None,
            label="Small objects that only one model found",
            elem_id="crops",
            buttons=["download", "fullscreen"],
            **DRAWING,
        )
        tab["none"] = gr.Markdown(words.NO_DISAGREEMENT, visible=sheet is None, elem_classes="quiet")
        tab["figures"] = figure_row.build(first, _figures(first, pictures.VIEWS[0]))
        tab["timing"] = gr.HTML(report.timings(first))
        with gr.Accordion("All objects", open=False):
            tab["objects"] = gr.HTML(_objects(first))
        gr.Markdown(words.COMPARE, elem_classes="quiet")
    return tab


def values(analysis: Analysis, view: str) -> dict[str, Any]:
    """Updates of what OUTPUTS names, after a new analysis."""
    sheet = _crops(analysis)
    return {
        "headline": report.headline(analysis),
        "view": view,
        **_picture(analysis, view),
        "crops": gr.update(value=sheet, visible=sheet is not None),
        "none": gr.update(visible=sheet is None),
        "timing": report.timings(analysis),
        "objects": _objects(analysis),
    }


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """Changing the view draws again and runs no model."""

    def change(key: str, view: str) -> dict[Any, Any]:
        return by_component(tab, _picture(get_analysis(key), view))

    tab["view"].input(change, [shared.key, tab["view"]], [tab[n] for n in PICTURE], **QUIET, **LAST)


def _picture(analysis: Analysis, view: str) -> dict[str, Any]:
    """Updates of what PICTURE names: the swipe slider or the flat picture, of which one is seen, and the figures."""
    swipe = flat = gr.update(visible=False)
    if view == "Swipe":
        swipe = gr.update(value=_halves(analysis), visible=True)
    elif view == "Difference":
        flat = gr.update(value=files.picture(pictures.difference(analysis), "difference.jpg"), visible=True)
    else:
        both = pictures.beside(*pictures.both_boxes(analysis))
        flat = gr.update(value=files.picture(both, "side-by-side.jpg"), visible=True)
    return {"swipe": swipe, "flat": flat, "figures": figure_row.value(analysis, _figures(analysis, view))}


def _figures(analysis: Analysis, view: str) -> list[FigureRef]:
    """All figures of the tab, and which image each is in; what the view shows stands first."""
    images: dict[str, list[Any]] = {"Swipe": [("swipe", 0), ("swipe", 1)], "Side by side": [("flat", 0), ("flat", 0)]}
    left, right = images.get(view, [None, None])
    sides = [
        FigureRef("D-LKA's boxes", Boxes("dlka"), right),
        FigureRef("Baseline's boxes", Boxes("baseline"), left),
    ]
    pairs = FigureRef("Difference", Difference(), ("flat", 0) if view == "Difference" else None)
    small = [FigureRef("Small objects", Crops(), ("crops", 0))] if pictures.crops_of(analysis) else []
    return [pairs, *sides, *small] if view == "Difference" else [*sides, pairs, *small]


def _halves(analysis: Analysis) -> tuple[str, str]:
    left, right = pictures.both_boxes(analysis)
    return files.picture(left, "baseline.jpg"), files.picture(right, "dlka.jpg")


def _crops(analysis: Analysis) -> str | None:
    sheet = pictures.crops(analysis)
    return None if sheet is None else files.picture(sheet, "small-objects.jpg")


def _objects(analysis: Analysis) -> str:
    return report.table(report.OBJECT_COLUMNS, report.object_rows(analysis))
