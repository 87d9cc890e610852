"""The page "Learn": a lesson of seven steps, and a playground."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlka.ui.asked import script_in_turn
from dlka.ui.learn import answers, pieces
from dlka.ui.learn.words import PAGE, STEPS
from dlka.ui.tab import QUIET
from dlka.ui.toolkit import gr

NAME, PATH = "Learn", "learn"
SERVER: dict[str, list[Callable[..., Any]]] = {
    "offsets": [answers.see_field],  # made once
    "gate": [script_in_turn(answers.see_gate)],
    "levels": [script_in_turn(answers.see_small), script_in_turn(answers.see_small_picture)],
}


def build() -> None:
    """The page's components and what they do."""
    gr.Markdown(f"# {PAGE['title']}\n{PAGE['lead']}", elem_id="title")
    with gr.Tabs():
        with gr.Tab(PAGE["lesson"]):
            gr.HTML(
                pieces.bar_value(),
                html_template=pieces.bar_html(),
                js_on_load=pieces.bar_script(),
                server_functions=[script_in_turn(answers.make_worksheet)],
                elem_classes="learn",
            )
            _lesson()
        with gr.Tab(PAGE["playground"]):
            gr.HTML(
                pieces.play_value(),
                html_template=pieces.play_html(),
                js_on_load=pieces.play_script(),
                server_functions=[script_in_turn(answers.see_drawing)],
                elem_id="play",
                elem_classes="learn",
            )


def _lesson() -> None:
    titles = [words["title"] for words in STEPS.values()]
    with gr.Walkthrough(selected=0, elem_id="lesson") as lesson:
        for i, step in enumerate(STEPS):
            with gr.Step(titles[i], id=i):
                gr.HTML(
                    pieces.step_value(step),
                    html_template=pieces.step_html(step),
                    js_on_load=pieces.step_script(step),
                    server_functions=[answers.tell_answer, *SERVER.get(step, [])],
                    elem_id=f"step-{step}",
                    elem_classes="learn",
                )
                with gr.Row(elem_classes="learn-turn"):
                    if i:
                        _turn(gr.Button(PAGE["back"].format(title=titles[i - 1])), lesson, i - 1)
                    if i + 1 < len(titles):
                        _turn(gr.Button(PAGE["next"].format(title=titles[i + 1]), variant="primary"), lesson, i + 1)
                    else:
                        gr.Markdown(PAGE["to_playground"])


def _turn(button: gr.Button, lesson: gr.Walkthrough, step: int) -> None:
    """A press goes to a step. Gradio's own row of steps only leads back."""
    button.click(lambda: gr.Walkthrough(selected=step), outputs=lesson, queue=False, **QUIET)
