"""The tab of the offset field: one overlay at a time, and where all stages read for a chosen cell."""

from __future__ import annotations

from typing import Any

from dlka import render
from dlka.ui import address, files, pictures, tables, words
from dlka.ui.session import Look, recall
from dlka.ui.shared import Shared
from dlka.ui.told import told
from dlka.ui.toolkit import gr

OPACITY = 0.7
NAME = "Offsets"
GIVEN = ("stage", "kind", "opacity", "scale")
SHOWN = ("stage", "tap", "picture", "samples", "about")
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def build(first: Look) -> dict[str, Any]:
    """The tab's components, showing a first look."""
    stage, middle = first.stage_labels[0], pictures.default_point(first)
    kind, scale = pictures.OVERLAYS[0], pictures.SCALES[1]
    with gr.Tab(NAME):
        with gr.Row():
            stages = gr.Radio(first.stage_labels, value=stage, label="Deform stage", min_width=320)
            kinds = gr.Radio(pictures.OVERLAYS, value=kind, label="Overlay", min_width=320)
        about = gr.Markdown(tables.about_stage(first, stage), elem_classes="quiet")
        with gr.Row():
            picture = gr.Image(
                _overlay(first, middle, stage, kind, 0, OPACITY, scale),
                label="Click to choose a cell",
                interactive=False,
                elem_id="offset-picture",
                elem_classes="drawing",
                buttons=["download"],
                min_width=320,
            )
            samples = gr.Image(
                _samples(first, middle),
                label="Where every stage reads for that cell",
                interactive=False,
                elem_id="sample-panels",
                elem_classes="drawing",
                buttons=["download", "fullscreen"],
                min_width=320,
            )
        with gr.Row():
            tap = gr.Slider(
                0, first.capture(stage).stage.taps, 0, step=1, label="Tap", info="0: mean of all; else one, row by row"
            )
            opacity = gr.Slider(0.1, 1, OPACITY, step=0.05, label="Opacity")
            scales = gr.Radio(
                pictures.SCALES, value=scale, label="Colour scale", info="shared by all stages, or this stage's own"
            )
        gr.Markdown(words.OFFSETS, elem_classes="quiet")
    return {
        "stage": stages,
        "tap": tap,
        "picture": picture,
        "samples": samples,
        "about": about,
        "kind": kinds,
        "opacity": opacity,
        "scale": scales,
    }


def values(look: Look, point: tuple[float, float], stage: str | None, *overlay: Any) -> list[Any]:
    """Updates of what SHOWN names, after a new look.

    overlay: kind, opacity and scale as they stand; the tap goes back to the mean.
    """
    labels = look.stage_labels
    if not labels:
        blank = gr.update(value=None)
        return [gr.update(choices=[], value=None), gr.update(value=0), blank, blank, words.NO_STAGES]
    stage = stage if stage in labels else labels[0]
    kind, opacity, scale = overlay
    return [
        gr.update(choices=labels, value=stage),
        gr.update(maximum=look.capture(stage).stage.taps, value=0),
        _overlay(look, point, stage, kind, 0, opacity, scale),
        _samples(look, point),
        tables.about_stage(look, stage),
    ]


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """Every control redraws at once; none runs a model."""
    overlay = [tab[n] for n in ("stage", "kind", "tap", "opacity", "scale")]

    def redraw(key: str, point: tuple[float, float], *overlay: Any) -> str | None:
        return _overlay(told(recall, key), point, *overlay) if overlay[0] else None

    def choose_stage(key: str, point: tuple[float, float], stage: str, kind: str, tap: int, *rest: Any) -> list[Any]:
        look = told(recall, key)
        taps = look.capture(stage).stage.taps
        tap = tap if tap <= taps else 0
        picture = _overlay(look, point, stage, kind, tap, *rest)
        return [
            gr.update(maximum=taps, value=tap),
            picture,
            tables.about_stage(look, stage),
            _address(look, stage, point),
        ]

    def choose_point(key: str, event: gr.SelectData, *overlay: Any) -> list[Any]:
        look = told(recall, key)
        clicked = look.frame.pixel_of(*event.index)
        if clicked is None or not overlay[0]:  # on the legend, or a model without stages
            return [gr.skip()] * 4
        return [
            clicked,
            _overlay(look, clicked, *overlay),
            _samples(look, clicked),
            _address(look, overlay[0], clicked),
        ]

    tab["stage"].input(
        choose_stage,
        [shared.key, shared.point, *overlay],
        [tab["tap"], tab["picture"], tab["about"], shared.address],
        **QUIET,
    )
    for name in ("kind", "scale", "tap", "opacity"):
        tab[name].input(
            redraw, [shared.key, shared.point, *overlay], tab["picture"], trigger_mode="always_last", **QUIET
        )
    chosen = [shared.point, tab["picture"], tab["samples"], shared.address]
    tab["picture"].select(choose_point, [shared.key, *overlay], chosen, **QUIET)


def _overlay(look: Look, point: tuple[float, float], *overlay: Any) -> str:
    return files.picture(told(pictures.marked_overlay, look, point, *overlay), "offsets.png")


def _samples(look: Look, point: tuple[float, float]) -> str:
    return files.picture(pictures.sample_panels(look, point), "samples.png")


def _address(look: Look, stage: str, point: tuple[float, float]) -> str:
    """What the address says of the stage and of the cell that were chosen."""
    return address.encode_place(stage, render.cell_at(point, look.capture(stage), look.dlka.letterbox))
