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
            "stages": gr.Dataframe(
                stages, headers=tables.STAGE_COLUMNS, label="Deform stages", interactive=False, wrap=True
            ),
            "cost": gr.Dataframe(cost, headers=tables.COST_COLUMNS, label="Cost", interactive=False, wrap=True),
            "files": gr.File(paths, label="Downloads", file_count="multiple", interactive=False),
        }
        gr.Markdown(words.NUMBERS, elem_classes="quiet")
    return shown


def values(look: Look) -> list[Any]:
    """Updates of all components, in the order of build()."""
    paths = files.downloads(look, pictures.summary_overlay(look))
    return [tables.badges(look), tables.stage_rows(look), tables.cost_rows(look), paths]
