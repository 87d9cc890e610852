"""The tab of numbers: offsets per stage, cost per model, and everything to take along."""

from __future__ import annotations

from typing import Any

from dlka.analysis import report
from dlka.analysis.analysis import Analysis, get_analysis
from dlka.analysis.figures import pictures
from dlka.ui import files, words
from dlka.ui.tab import Shared
from dlka.ui.toolkit import gr

NAME = "Numbers"
INPUTS: tuple[str, ...] = ()
OUTPUTS: tuple[str, ...] = ("badge", "stages", "cost", "files")


def build(first: Analysis) -> dict[str, Any]:
    """The tab's components, showing a first analysis."""
    badge, stages, cost, _ = values(first, pictures.default_point(first))
    with gr.Tab(NAME):
        shown: dict[str, Any] = {"badge": gr.HTML(badge), "stages": gr.HTML(stages), "cost": gr.HTML(cost)}
        make = gr.Button("Make files: CSV, JSON, NPZ, PNG, SVG, PDF, recipes", size="sm")
        shown["files"] = gr.File(visible=False, label="Downloads", file_count="multiple", interactive=False)
        gr.Markdown(words.NUMBERS, elem_classes="quiet")
    return shown | {"make": make}


def values(analysis: Analysis, point: tuple[float, float]) -> list[Any]:
    """Updates of what OUTPUTS names; the files of an earlier analysis go away, new ones are made when asked for."""
    return [
        report.badge(analysis),
        report.table(report.STAGE_COLUMNS, report.stage_rows(analysis)),
        report.table(report.COST_COLUMNS, report.cost_rows(analysis)),
        gr.update(value=None, visible=False),
    ]


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """Compressing all offsets takes longer than an analysis: only on demand."""

    def make(key: str) -> Any:
        return gr.update(value=files.downloads(get_analysis(key)), visible=True)

    tab["make"].click(make, shared.key, tab["files"], api_visibility="private")
