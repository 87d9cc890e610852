"""The page "Learn": a lesson of nine steps, a letter game and a playground."""

from __future__ import annotations

from dlka.ui.asked import script_in_turn
from dlka.ui.learn import answers, pieces
from dlka.ui.toolkit import gr

NAME, PATH = "Learn", "learn"
SERVER = (
    answers.see_field,
    answers.see_gate,
    answers.see_small,
    answers.see_small_picture,
    answers.see_volume,
    answers.see_drawing,
    answers.read_letter,
    answers.make_worksheet,
)


def build() -> None:
    """The page's one component: what it shows, its scripts make in the reader's language."""
    gr.HTML(
        pieces.value(),
        html_template='<div class="learn-page"></div>',
        js_on_load=pieces.script(),
        server_functions=[script_in_turn(function) for function in SERVER],
        elem_id="learn",
        elem_classes="learn",
        padding=False,
    )
