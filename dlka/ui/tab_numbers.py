"""The tab of numbers: offsets per stage, cost per model, and everything to take along."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dlka.ui import files, pictures, tables, words
from dlka.ui.session import Look


def build(first: Look) -> dict[str, Any]:
    """The tab's components, showing a first look."""
    badges, stages, cost, paths = values(first)
    with gr.Tab("Numbers"):
        shown = {
            "badges": gr.HTML(badges),
            "stages": gr.HTML(stages),
            "cost": gr.HTML(cost),
            "files": gr.File(paths, label="Downloads", file_count="multiple", interactive=False),
        }
        gr.Markdown(words.NUMBERS, elem_classes="quiet")
    return shown


def values(look: Look) -> list[Any]:
    """Updates of all components, in the order of build()."""
    paths = files.downloads(look, pictures.summary_overlay(look))
    return [
        tables.badges(look),
        tables.table(tables.STAGE_COLUMNS, tables.stage_rows(look)),
        tables.table(tables.COST_COLUMNS, tables.cost_rows(look)),
        paths,
    ]
