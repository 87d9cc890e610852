"""The tab that compares boxes: what both found, what only one of the two did."""

from __future__ import annotations

from typing import Any

from dlka.ui import figure_row, files, pictures, tables, words
from dlka.ui.figure_row import Shown
from dlka.ui.session import Look, recall
from dlka.ui.shared import Shared
from dlka.ui.toolkit import gr

NAME = "Compare"
GIVEN = ("view",)
SHOWN = ("headline", "view", "swipe", "flat", "crops", "none", "timing", "objects", "figures")


def build(first: Look) -> dict[str, Any]:
    """The tab's components, showing a first look."""
    sheet = _crops(first)
    with gr.Tab(NAME):
        headline = gr.HTML(tables.headline(first))
        view = gr.Radio(pictures.VIEWS, value=pictures.VIEWS[0], label="View", show_label=False)
        swipe = gr.ImageSlider(
            _halves(first),
            label="Left: baseline. Right: D-LKA. Drag the handle.",
            interactive=False,
            elem_id="swipe",
            max_height=900,
            elem_classes="drawing",
        )
        flat = gr.Image(
            visible=False,
            label="Both models",
            interactive=False,
            elem_id="flat",
            elem_classes="drawing",
            buttons=["download", "fullscreen"],
        )
        crops = gr.Image(
            sheet,
            visible=sheet is not None,
            label="Small objects that only one model found",
            interactive=False,
            elem_id="crops",
            elem_classes="drawing",
            buttons=["download", "fullscreen"],
        )
        none = gr.Markdown(words.NO_DISAGREEMENT, visible=sheet is None, elem_classes="quiet")
        figures = figure_row.build(first, _figures(first, pictures.VIEWS[0]))
        timing = gr.HTML(tables.timings(first))
        with gr.Accordion("All objects", open=False):
            objects = gr.HTML(_objects(first))
        gr.Markdown(words.COMPARE, elem_classes="quiet")
    return {
        "headline": headline,
        "view": view,
        "swipe": swipe,
        "flat": flat,
        "crops": crops,
        "none": none,
        "timing": timing,
        "objects": objects,
        "figures": figures,
    }


def values(look: Look, point: tuple[float, float], view: str) -> list[Any]:
    """Updates of what SHOWN names, after a new look."""
    sheet = _crops(look)
    return [
        tables.headline(look),
        view,
        *_view(look, view),
        gr.update(value=sheet, visible=sheet is not None),
        gr.update(visible=sheet is None),
        tables.timings(look),
        _objects(look),
        figure_row.value(look, _figures(look, view)),
    ]


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """Changing the view draws again and runs no model."""

    def change(key: str, view: str) -> list[Any]:
        look = recall(key)
        return [*_view(look, view), figure_row.value(look, _figures(look, view))]

    tab["view"].input(
        change,
        [shared.key, tab["view"]],
        [tab["swipe"], tab["flat"], tab["figures"]],
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",  # of two quick choices the second one is shown
    )


def _view(look: Look, view: str) -> list[Any]:
    """The swipe slider and the flat picture; one of them is seen."""
    if view == "Swipe":
        return [gr.update(value=_halves(look), visible=True), gr.update(visible=False)]
    if view == "Difference":
        flat = files.picture(pictures.difference(look), "difference.jpg")
    else:
        flat = files.picture(pictures.beside(*pictures.both_boxes(look)), "side-by-side.jpg")
    return [gr.update(visible=False), gr.update(value=flat, visible=True)]


def _figures(look: Look, view: str) -> list[Shown]:
    """All figures of the tab, and which image each is in; what the view shows stands first."""
    images: dict[str, list[Any]] = {"Swipe": [("swipe", 0), ("swipe", 1)], "Side by side": [("flat", 0), ("flat", 0)]}
    left, right = images.get(view, [None, None])
    sides = [
        Shown("D-LKA's boxes", "boxes", {"side": "dlka"}, right),
        Shown("Baseline's boxes", "boxes", {"side": "baseline"}, left),
    ]
    pairs = Shown("Difference", "difference", {}, ("flat", 0) if view == "Difference" else None)
    small = [Shown("Small objects", "crops", {}, ("crops", 0))] if pictures.crops_of(look) else []
    return [pairs, *sides, *small] if view == "Difference" else [*sides, pairs, *small]


def _halves(look: Look) -> tuple[str, str]:
    left, right = pictures.both_boxes(look)
    return files.picture(left, "baseline.jpg"), files.picture(right, "dlka.jpg")


def _crops(look: Look) -> str | None:
    sheet = pictures.crops(look)
    return None if sheet is None else files.picture(sheet, "small-objects.jpg")


def _objects(look: Look) -> str:
    return tables.table(tables.OBJECT_COLUMNS, tables.object_rows(look))
