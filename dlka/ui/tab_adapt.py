"""The tab in which the picture is changed: do boxes and samples follow, and down to which size is an object found?"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from dlka.analysis import adapt, adapt_curve
from dlka.analysis.analysis import Analysis, get_analysis
from dlka.analysis.figures import pictures
from dlka.analysis.figures.changes import ChangedPicture, ChangedSamples
from dlka.analysis.stages import NO_STAGES
from dlka.analysis.transforms import Change
from dlka.render import Paper
from dlka.render.chart import chart_svg
from dlka.ui import figure_row, files, words
from dlka.ui.figure_row import FigureRef
from dlka.ui.page_queue import LONG_RUN, WORDS
from dlka.ui.tab import LAST, PRIVATE, QUIET, Shared, by_component, how_to_read, when_seen
from dlka.ui.toolkit import gr

NAME = "Adapt"
INPUTS: tuple[str, ...] = ()
OUTPUTS: tuple[str, ...] = ()
SLIDERS = ("shrink", "rotate", "right", "down", "blur", "brightness")  # fields of Change
PICTURE_OUTPUTS = ("headline", "boxes", "objects", "samples", "numbers", "figures")  # what shows a changed picture
CURVE = ("told", "chart", "rows")  # what shows the curve


def build(first: Analysis) -> dict[str, Any]:
    """The tab's components; it is drawn when it is opened."""
    tab: dict[str, Any] = {}
    with gr.Tab(NAME):
        with gr.Row():
            tab["presets"] = [gr.Button(name, size="sm", min_width=90) for name in adapt.PRESETS]
        with gr.Row():
            tab["shrink"] = gr.Slider(
                0.1, 1, 1, step=0.01, label="Shrink", info="times the size", elem_id="adapt-shrink"
            )
            tab["rotate"] = gr.Slider(-180, 180, 0, step=1, label="Rotate", info="degrees, clockwise")
            tab["blur"] = gr.Slider(0, 20, 0, step=0.5, label="Blur", info="sigma in px")
        with gr.Accordion("Shift and brightness", open=False), gr.Row():
            tab["right"] = gr.Slider(-50, 50, 0, step=1, label="Shift right", info="% of the width")
            tab["down"] = gr.Slider(-50, 50, 0, step=1, label="Shift down", info="% of the height")
            tab["brightness"] = gr.Slider(0.1, 1, 1, step=0.01, label="Brightness", info="times every colour value")
        tab["target"] = gr.Dropdown([], label="Object to follow", info="smallest first", filterable=False)
        tab["headline"] = gr.HTML(elem_id="adapt-headline")
        tab["boxes"] = gr.HTML(elem_id="adapt-boxes")
        with gr.Accordion("What became of every object", open=False):
            tab["objects"] = gr.HTML()
        tab["stage"] = gr.Dropdown([], label="Deform stage to follow", filterable=False)
        tab["samples"] = gr.HTML(elem_id="adapt-samples")
        with gr.Accordion("The same in numbers", open=False):
            tab["numbers"] = gr.HTML(elem_id="adapt-numbers")
        tab["figures"] = figure_row.build()
        how_to_read(words.ADAPT)
        gr.Markdown("### Score against size")
        with gr.Row():
            tab["measure"] = gr.Button("Measure the curve", variant="primary", min_width=140)
            tab["cancel"] = gr.Button("Cancel", min_width=100, interactive=False)
        tab["told"] = gr.HTML(elem_id="adapt-told")
        tab["chart"] = gr.HTML(elem_id="adapt-curve")
        with gr.Accordion("The curve in numbers", open=False):
            tab["rows"] = gr.HTML(elem_id="adapt-rows")
        how_to_read(words.CURVE)
    return tab


def values(analysis: Analysis) -> dict[str, Any]:
    """Nothing: the models would have to look at the changed picture, so the tab waits until it is seen."""
    return {}


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """A control that changes the picture lets both models look again, unless they have seen it."""
    sliders = [tab[name] for name in SLIDERS]
    seen, curve = [tab[name] for name in PICTURE_OUTPUTS], [tab[name] for name in CURVE]
    # What is shown. Choices that the tab itself has set ask once more, and a choice by mouse asks twice.
    shown = gr.State(())
    asked = [shared.key, shared.point, shown, tab["target"], tab["stage"], *sliders]

    def change(
        key: str,
        point: tuple[float, float],
        last: tuple[Any, ...],
        number: int | None,
        stage: str | None,
        *given: float,
    ) -> dict[Any, Any]:
        now = (key, number, stage, given)
        if now == last:
            return gr.skip()
        return {shown: now, **by_component(tab, draw(get_analysis(key), point, number, stage, given))}

    def first(key: str, point: tuple[float, float], stage: str | None, *given: float) -> dict[Any, Any]:
        analysis = get_analysis(key)
        found, stages = adapt.targets(analysis), analysis.stage_labels
        chosen = point != pictures.default_point(analysis)  # by a link: else one that can be followed far
        number = adapt.nearest(found, point) if chosen else adapt.surest(found)
        stage = stage if stage in stages else next(iter(stages), None)
        objects = [(label, i) for i, label in enumerate(adapt.labels(found))]
        return {
            tab["target"]: gr.update(choices=objects, value=number),
            tab["stage"]: gr.update(choices=stages, value=stage),
            shown: (key, number, stage, given),
            **by_component(tab, draw(analysis, point, number, stage, given)),
            **dict.fromkeys(curve, ""),  # that of another picture
        }

    when_seen(
        shared,
        NAME,
        first,
        [shared.point, tab["stage"], *sliders],
        [tab["target"], tab["stage"], shown, *seen, *curve],
    )
    moved = [*(slider.input for slider in sliders), tab["target"].change, tab["stage"].change]
    gr.on(moved, change, asked, [shown, *seen], **QUIET, **LAST)
    for button, preset in zip(tab["presets"], adapt.PRESETS.values()):
        given = [getattr(preset, name) for name in SLIDERS]

        def press(*state: Any, given: list[float] = given) -> dict[Any, Any]:
            changed = change(*state[:5], *given)
            return dict(zip(sliders, given)) | ({} if changed == gr.skip() else changed)

        button.click(press, asked, [*sliders, shown, *seen], **QUIET)

    # Others' comparisons need not wait for a whole curve. The predictors take turns anyway.
    def measure(key: str, number: int | None) -> Iterator[dict[Any, Any]]:
        for step in _curve(key, number):
            yield by_component(tab, step)

    run = tab["measure"].click(measure, [shared.key, tab["target"]], [*curve, tab["cancel"]], **QUIET, **LONG_RUN)
    tab["cancel"].click(lambda: gr.update(interactive=False), None, tab["cancel"], cancels=run, **QUIET, **WORDS)
    shared.key.change(None, cancels=run, **PRIVATE)


def draw(
    analysis: Analysis, point: tuple[float, float], number: int | None, stage: str | None, given: tuple[float, ...]
) -> dict[str, str]:
    """Values of PICTURE_OUTPUTS for a changed picture; given: by SLIDERS."""
    seen = adapt.follow(analysis, Change(**dict(zip(SLIDERS, given))), number, point)
    pair = "".join(_image(adapt.boxes(seen, side), f"{side}.jpg") for side in ("baseline", "dlka"))
    paper = None if stage is None else adapt.samples(seen, stage)
    samples = "<p>The chosen place has left the picture, so nothing is read there.</p>"
    if stage is None:
        samples = f"<p>{NO_STAGES}</p>"
    elif paper is not None:
        samples = f'<div class="adapt-one">{_image(paper, "samples.jpg")}</div>'
    return {
        "headline": adapt.headline(seen),
        "boxes": f'<div class="adapt-pair">{pair}</div>',
        "objects": adapt.object_table(seen),
        "samples": samples,
        "numbers": "" if stage is None else adapt.sample_table(seen, stage),
        "figures": figure_row.value(analysis, _figures(seen, number, stage)),
    }


def _figures(seen: adapt.Followed, number: int | None, stage: str | None) -> list[FigureRef]:
    """Those that are seen; in a recipe objects are counted from 1, as in the list."""
    chosen: dict[str, Any] = {"number": None if number is None else number + 1, **asdict(seen.change)}
    shown = [
        FigureRef(f"Boxes of {name}", ChangedPicture(side, **chosen))
        for side, name in (("baseline", "the baseline"), ("dlka", "D-LKA"))
    ]
    if stage is not None and seen.inside:
        x, y = seen.point_before if number is None else (None, None)
        shown.append(FigureRef("Samples", ChangedSamples(stage, x=x, y=y, **chosen)))
    return shown


def _image(paper: Paper, name: str) -> str:
    """A drawing, and its legend for those who do not see it."""
    return files.sized(paper, files.address(files.picture(paper, name)), paper.legend_text.replace("\n", ". "))


def _curve(key: str, number: int | None) -> Iterator[dict[str, Any]]:
    """Values of CURVE and the Cancel button, as the curve grows; what was measured stays when it is cancelled."""
    analysis = get_analysis(key)
    chosen = adapt_curve.chosen(analysis, number)
    steps: list[adapt_curve.Step] = []
    yield {"told": adapt_curve.told(analysis, steps), "chart": "", "rows": "", "cancel": gr.update(interactive=True)}
    for step in adapt_curve.measure(analysis, chosen):
        steps.append(step)
        alt = adapt_curve.described(analysis, chosen, steps)
        svg = files.data_url(chart_svg(adapt_curve.chart(analysis, chosen, steps), alt), "image/svg+xml")
        chart = f'<div class="adapt-one"><img src="{svg}" alt="{html.escape(alt)}"></div>'
        yield {
            "told": adapt_curve.told(analysis, steps),
            "chart": chart,
            "rows": adapt_curve.table(steps),
            "cancel": gr.update(interactive=len(steps) < adapt_curve.STEPS),
        }
