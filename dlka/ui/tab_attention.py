"""The tab of the gates: how strongly each D-LKA block answers, and where."""

from __future__ import annotations

from typing import Any

from dlka.analysis import report
from dlka.analysis.analysis import Analysis, get_analysis
from dlka.analysis.figures import pictures
from dlka.analysis.figures.views import Attention
from dlka.ui import figure_row, files, words
from dlka.ui.figure_row import FigureRef
from dlka.ui.tab import DRAWING, LAST, QUIET, Shared, by_component
from dlka.ui.toolkit import gr

OPACITY = 0.65
NAME = "Attention"
INPUTS: tuple[str, ...] = ("block", "reduction", "channel", "opacity")
OUTPUTS: tuple[str, ...] = ("block", "picture", "channel", "numbers", "figures")


def build(first: Analysis) -> dict[str, Any]:
    """The tab's components, showing a first analysis."""
    block, reduction = first.gate_labels[0], pictures.REDUCTIONS[0]
    tab: dict[str, Any] = {}
    with gr.Tab(NAME):
        with gr.Row():
            tab["block"] = gr.Radio(first.gate_labels, value=block, label="D-LKA block")
            tab["reduction"] = gr.Radio(pictures.REDUCTIONS, value=reduction, label="Reduction over channels")
        tab["picture"] = gr.Image(
            _draw(first, block, reduction, 0, OPACITY),
            label="Attention map",
            elem_id="attention-picture",
            buttons=["download", "fullscreen"],
            **DRAWING,
        )
        tab["figures"] = figure_row.build(first, _figures(block, reduction, 0, OPACITY))
        with gr.Row():
            tab["channel"] = gr.Slider(
                0,
                len(first.gate(block).values) - 1,
                0,
                step=1,
                label="Channel",
                info="used with the reduction 'channel'",
            )
            tab["opacity"] = gr.Slider(0.1, 1, OPACITY, step=0.05, label="Opacity")
        with gr.Accordion("The same as a table", open=False):
            tab["numbers"] = gr.HTML(_numbers(first, reduction, 0), elem_id="attention-numbers")
        gr.Markdown(words.ATTENTION, elem_classes="quiet")
    return tab


def values(analysis: Analysis, block: str | None, reduction: str, channel: int, opacity: float) -> dict[str, Any]:
    """Updates of what OUTPUTS names."""
    labels = analysis.gate_labels
    if not labels:
        unchosen = gr.update(choices=[], value=None)
        return {"block": unchosen, "picture": None, "channel": 0, "numbers": "", "figures": "[]"}
    block = block if block in labels else labels[0]
    last = len(analysis.gate(block).values) - 1
    channel = min(channel, last)
    return {
        "block": gr.update(choices=labels, value=block),
        "picture": _draw(analysis, block, reduction, channel, opacity),
        "channel": gr.update(maximum=last, value=channel),
        "numbers": _numbers(analysis, reduction, channel),
        "figures": figure_row.value(analysis, _figures(block, reduction, channel, opacity)),
    }


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """Every control redraws at once; none runs a model."""
    settings = [tab[n] for n in INPUTS]
    shown = [tab[n] for n in OUTPUTS]

    def redraw(key: str, *settings: Any) -> dict[Any, Any]:
        return by_component(tab, values(get_analysis(key), *settings))

    gr.on([c.input for c in settings], redraw, [shared.key, *settings], shown, **QUIET, **LAST)


def _draw(analysis: Analysis, *settings: Any) -> str:
    return files.picture(pictures.gate_overlay(analysis, *settings), "attention.jpg")


def _figures(block: str, reduction: str, channel: int, opacity: float) -> list[FigureRef]:
    shown = Attention(block, reduction, channel, opacity)
    return [FigureRef("Attention map", shown, ("attention-picture", 0))]


def _numbers(analysis: Analysis, reduction: str, channel: int) -> str:
    return report.table(report.GATE_COLUMNS, report.gate_rows(analysis, reduction, channel))
