"""The tab of counterfactuals: the D-LKA model once more with its offsets or gates changed, live."""

from __future__ import annotations

import html
from typing import Any

from dlka import render
from dlka.analysis import four_ways, model_words, report, what_if
from dlka.analysis.analysis import Analysis, get_analysis
from dlka.analysis.examples import examples, subject
from dlka.analysis.figures.changes import STAGES, ChangedModel, OneWay
from dlka.analysis.what_if import DIFFERENCE, LEFT, RIGHT, Change, WhatIf, drawing
from dlka.inference import interventions as kinds
from dlka.models.catalog import subject_of
from dlka.ui import figure_row, files, words
from dlka.ui.controls import picture_input
from dlka.ui.figure_row import FigureRef
from dlka.ui.tab import DRAWING, LAST, PRIVATE, QUIET, Shared, by_component, how_to_read, when_seen
from dlka.ui.toolkit import gr

NAME = "What if"
INPUTS: tuple[str, ...] = ("stages", "example")
OUTPUTS: tuple[str, ...] = ("stages", "example", "uses", "apart", "apart_figures")
VIEWS = ("Difference", "Swipe", "Side by side")
SETTINGS = ("kind", "strength", "stages", "seed", "example", "other", "view")
PICTURE_OUTPUTS = ("headline", "flat", "swipe", "objects", "figures")


def build(first: Analysis) -> dict[str, Any]:
    """The tab's components. They are drawn when the tab is opened, as that runs a model."""
    with gr.Tab(NAME):
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                tab = _controls(first)
            with gr.Column(scale=3, min_width=320):
                tab["headline"] = gr.HTML(elem_id="what-if-headline")
                tab["view"] = gr.Radio(VIEWS, value=VIEWS[0], label="View", show_label=False)
                tab["flat"] = gr.HTML(elem_id="what-if-picture")
                tab["swipe"] = gr.ImageSlider(
                    visible=False,
                    label="Left: learned. Right: changed. Drag the handle.",
                    elem_id="what-if-swipe",
                    max_height=700,
                    **DRAWING,
                )
        tab["figures"] = figure_row.build()
        with gr.Accordion("All objects", open=False):
            tab["objects"] = gr.HTML(elem_id="what-if-objects")
        how_to_read(words.WHAT_IF)
        tab["ask"] = gr.Button("Tell large kernel, deformation and resolution apart")
        tab["apart"] = gr.HTML(elem_id="four-ways")
        tab["apart_figures"] = figure_row.build()
        gr.Markdown(words.FOUR_WAYS, elem_classes="quiet")
    return tab


def _controls(first: Analysis) -> dict[str, Any]:
    """What the visitor changes."""
    tab: dict[str, Any] = {}
    tab["kind"] = gr.Radio(list(what_if.KINDS.items()), value=kinds.LEARNED, label="Offsets")
    tab["strength"] = gr.Slider(
        what_if.LOW,
        what_if.HIGH,
        0,  # something to see at once: what vanishes without offsets
        step=0.1,
        label="Strength",
        info="-1 mirrored, 0 off, 1 as they are, 2 twice the offsets",
        elem_id="what-if-strength",
    )
    tab["seed"] = gr.State(0)
    tab["again"] = gr.Button("Shuffle again", size="sm", visible=False)
    with gr.Group(visible=False) as donor:
        tab["donor"] = donor
        tab["example"] = gr.Dropdown(list(examples()), value=_other(first, ""), label="Offsets of", filterable=False)
        tab["other"] = picture_input(label="or of your own picture", sources=["upload", "clipboard"], height=160)
    tab["stages"] = gr.CheckboxGroup(first.stage_labels, label="Stages", info="none ticked: all of them")
    tab["uses"] = gr.HTML(_uses(first), elem_id="what-if-uses")
    return tab


def _other(analysis: Analysis, example: str) -> str:
    """Whose offsets are taken: the example that is chosen, unless the model cannot know it; else one that it can."""
    able = [label for label in examples() if subject(label) == subject_of(analysis.names)]
    shown = analysis.source.example if analysis.source else None
    others = [label for label in able if label != shown] or able
    return example if example in others else others[0]


def values(analysis: Analysis, stages: list[str], example: str) -> dict[str, Any]:
    """Updates of what OUTPUTS names, after a new analysis: ticks stay where the model has these stages."""
    labels = analysis.stage_labels
    ticked = gr.update(choices=labels, value=[label for label in labels if label in stages])
    shown = {"example": _other(analysis, example), "uses": _uses(analysis), "apart": "", "apart_figures": "[]"}
    return {"stages": ticked, **shown}


def _uses(analysis: Analysis) -> str:
    """What the same changes cost the model on many pictures, as its card has it."""
    model, card = analysis.settings.dlka, analysis.cards[0]
    rows = model_words.uses_rows(card)
    why = html.escape(model_words.offsets_in_use(model, card)[1])
    head = f"<p><b>{html.escape(model)}</b>, on many pictures. {why}</p>"
    return head + (report.table(model_words.USES_COLUMNS, rows) if rows else "")


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """Every control runs the model once more, unless it did the same before."""
    settings, seen = [tab[name] for name in SETTINGS], [tab[name] for name in PICTURE_OUTPUTS]

    def redraw(key: str, *settings: Any) -> dict[Any, Any]:
        return by_component(tab, draw(key, *settings))

    when_seen(shared, NAME, redraw, settings, seen)
    moved = [tab[name].input for name in ("strength", "stages", "view")]
    gr.on([*moved, tab["other"].change], redraw, [shared.key, *settings], seen, **QUIET, **LAST)

    def choose(key: str, kind: str, _: float, *rest: Any) -> dict[Any, Any]:
        strength = 0.0 if kind == kinds.LEARNED else 1.0  # none of its own, or as much of what is not its own
        return {tab["strength"]: strength, **redraw(key, kind, strength, *rest)}

    tab["kind"].input(choose, [shared.key, *settings], [tab["strength"], *seen], **QUIET, **LAST)

    def given(key: str, kind: str, *rest: Any) -> dict[Any, Any]:  # the page itself may have chosen it
        return redraw(key, kind, *rest) if kind == kinds.GIVEN else gr.skip()

    tab["example"].change(given, [shared.key, *settings], seen, **QUIET, **LAST)

    def again(key: str, kind: str, strength: float, stages: list[str], seed: int, *rest: Any) -> dict[Any, Any]:
        return {tab["seed"]: seed + 1, **redraw(key, kind, strength, stages, seed + 1, *rest)}

    tab["again"].click(again, [shared.key, *settings], [tab["seed"], *seen], **QUIET, **LAST)

    def choose_kind(kind: str) -> dict[Any, Any]:  # only the controls that mean something for it are seen
        seen = {"strength": kind != kinds.GATE_OFF, "again": kind == kinds.SHUFFLED, "donor": kind == kinds.GIVEN}
        return {tab[name]: gr.update(visible=visible) for name, visible in seen.items()}

    meant = [tab["strength"], tab["again"], tab["donor"]]
    tab["kind"].change(choose_kind, tab["kind"], meant, queue=False, **QUIET)

    def tell_apart(key: str) -> dict[Any, Any]:
        return by_component(tab, draw_ways(key))

    tab["ask"].click(tell_apart, shared.key, [tab["apart"], tab["apart_figures"]], **PRIVATE)


def draw(
    key: str,
    kind: str,
    strength: float,
    stages: list[str],
    seed: int,
    example: str,
    other: str | None,
    view: str,
) -> dict[str, Any]:
    """Updates of what PICTURE_OUTPUTS names."""
    analysis = get_analysis(key)
    change = what_if.asked(analysis, kind, strength, stages, seed, other or str(examples()[example]))
    seen = what_if.what_if(analysis, change)
    shown = _figures(change, example, other, view)
    said = what_if.headline(analysis, seen)
    if not shown:
        said += f'<p class="quiet">{words.NO_RECIPE}</p>'
    return {
        "headline": said,
        **_view(analysis, seen, view),
        "objects": report.table(what_if.COLUMNS, what_if.object_rows(analysis, seen)),
        "figures": figure_row.value(analysis, shown),
    }


def _view(analysis: Analysis, seen: WhatIf, view: str) -> dict[str, Any]:
    """The flat picture and the swipe slider; one of them is seen."""
    shown = {"flat": gr.update(visible=False), "swipe": gr.update(visible=False)}
    if view == VIEWS[0]:
        one = _described(drawing(analysis, seen, DIFFERENCE), "what-if.jpg")
        return shown | {"flat": gr.update(value=one, visible=True)}
    left, right = drawing(analysis, seen, LEFT), drawing(analysis, seen, RIGHT)
    if view == "Side by side":
        both = f'<div class="four-ways">{_described(left, "learned.jpg")}{_described(right, "changed.jpg")}</div>'
        return shown | {"flat": gr.update(value=both, visible=True)}
    halves = render.same_size(left.to_array(), right.to_array())
    swiped = files.picture(halves[0], "learned.jpg"), files.picture(halves[1], "changed.jpg")
    return shown | {"swipe": gr.update(value=swiped, visible=True)}


def _figures(change: Change, example: str, other: str | None, view: str) -> list[FigureRef]:
    """What can be taken along: nothing with the offsets of a visitor's picture, which no recipe brings."""
    if change.kind == kinds.GIVEN and other:
        return []
    given = example if change.kind == kinds.GIVEN else ""
    done = change.kind, change.strength, STAGES.join(change.stages), change.seed, given
    pictures = (DIFFERENCE,) if view == VIEWS[0] else (LEFT, RIGHT)
    return [FigureRef(picture.capitalize(), ChangedModel(picture, *done)) for picture in pictures]


def draw_ways(key: str) -> dict[str, str]:
    """Values of "apart", the four ways as HTML (sentence, table, pictures), and of "apart_figures"."""
    analysis, ways = get_analysis(key), four_ways.four_ways(key)
    drawn = "".join(
        _described(four_ways.drawing(analysis, ways, way), f"{way.replace(' ', '-')}.jpg") for way in four_ways.NAMES
    )
    table = report.table(four_ways.COLUMNS, four_ways.rows(ways))
    shown = [FigureRef(way, OneWay(way)) for way in four_ways.NAMES]
    said = f'<p class="four-told">{four_ways.sentence(analysis, ways)}</p>{table}<div class="four-ways">{drawn}</div>'
    return {"apart": said, "apart_figures": figure_row.value(analysis, shown)}


def _described(paper: render.Paper, name: str) -> str:
    """The drawing as a picture whose alt text is its whole legend, linked to its full size."""
    address = files.address(files.picture(paper, name))
    return f'<a class="described" href="{address}" target="_blank">{files.sized(paper, address, paper.legend_text)}</a>'
