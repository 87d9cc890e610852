"""The tab that opens: boxes of both models, and what kernels read, drawn by the browser without asking the server."""

from __future__ import annotations

from typing import Any

from dlka import render
from dlka.analysis import see
from dlka.analysis.analysis import Analysis, get_analysis, place_label, receptive_field
from dlka.analysis.figures import pictures
from dlka.analysis.report import tap_card
from dlka.inference.box_gradients import BLOCK
from dlka.ui import figure_row, files, words
from dlka.ui.guard import answering
from dlka.ui.page_queue import script_in_turn
from dlka.ui.tab import Shared, how_to_read
from dlka.ui.toolkit import gr

NAME = "See"
INPUTS: tuple[str, ...] = ("point",)
OUTPUTS: tuple[str, ...] = ("canvas",)
SCRIPTS = (*see.SCRIPTS, "cards.js", "take.js")  # one after the other, as one function


def build(first: Analysis) -> dict[str, Any]:
    """The tab's components, showing a first analysis."""
    with gr.Tab(NAME):
        canvas = gr.HTML(
            files.see_value(first, pictures.default_point(first), kept=True),
            html_template=see.read("see.html").replace("<!-- take -->", figure_row.HTML),
            js_on_load="\n".join((figure_row.SHARED, *map(see.read, SCRIPTS))),
            server_functions=[script_in_turn(asked) for asked in (add_up, see_field, figure_row.take_figure)],
            elem_id="see",
        )
        how_to_read(words.SEE, elem_id="see-help")
    return {"canvas": canvas}


@answering
def add_up(key: str, stage: str, row: int | str, column: int | str, channel: str = "", tap: str = "") -> str:
    """The card of one tap for the page's script."""
    return tap_card(key, stage, str(row), str(column), channel, tap)


@answering
def see_field(key: str, stage: str, row: int | str, column: int | str) -> str:
    """The effective receptive field of a cell, of the block that the stage with this label belongs to, for the page's
    script."""
    analysis = get_analysis(key)
    field, captures, cell = receptive_field(analysis, stage, str(row), str(column))
    letterbox = analysis.dlka.letterbox
    reads = render.reads_of(captures, cell, letterbox)
    drawn = render.receptive_field_overlay(analysis.image, field, BLOCK, letterbox, reads)
    radius = render.influence_radius(field, BLOCK, letterbox, reads.centre)
    within = f"{render.INFLUENCE:.0%} of its influence lies within {radius:.0f} px of it"
    text = f"{place_label(stage, analysis.capture(stage))}, cell {cell}: {within}."
    return files.image(drawn, "receptive-field.jpg", text)


def values(analysis: Analysis, point: tuple[float, float]) -> dict[str, Any]:
    """The canvas after a new analysis; a cell around the point is looked at first."""
    return {"canvas": files.see_value(analysis, point)}


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """Nothing: the browser draws by itself."""
