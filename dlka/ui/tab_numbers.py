"""The tab of numbers: objects, offsets per stage, gates, cost per model, and everything to take along."""

from __future__ import annotations

from typing import Any

from dlka.analysis import recipes, report
from dlka.analysis.analysis import Analysis, get_analysis
from dlka.analysis.figures import Figure
from dlka.analysis.figures.views import Difference, summary
from dlka.csv_text import csv_text
from dlka.temporary import write
from dlka.ui import words
from dlka.ui.tab import PRIVATE, Shared, how_to_read
from dlka.ui.toolkit import gr

NAME = "Numbers"
INPUTS: tuple[str, ...] = ()
TABLES = ("headline", "objects", "badge", "stages", "gates", "cost")
OUTPUTS: tuple[str, ...] = (*TABLES, "files")


def build(first: Analysis) -> dict[str, Any]:
    """The tab's components, showing a first analysis."""
    shown = values(first)
    with gr.Tab(NAME):
        tab: dict[str, Any] = {name: gr.HTML(shown[name]) for name in TABLES}
        tab["make"] = gr.Button("Make files: CSV, JSON, NPZ, PNG, SVG, PDF, recipes", size="sm")
        tab["files"] = gr.File(visible=False, label="Downloads", file_count="multiple", interactive=False)
        how_to_read(words.NUMBERS)
    return tab


def values(analysis: Analysis) -> dict[str, Any]:
    """Updates of what OUTPUTS names; the files of an earlier analysis go away, new ones are made when asked for."""
    return {
        "headline": report.headline(analysis),
        "objects": report.table(report.OBJECT_COLUMNS, report.object_rows(analysis)),
        "badge": report.badge(analysis),
        "stages": report.table(report.STAGE_COLUMNS, report.stage_rows(analysis)),
        "gates": report.table(report.GATE_COLUMNS, report.gate_rows(analysis)) if analysis.gate_labels else "",
        "cost": report.table(report.COST_COLUMNS, report.cost_rows(analysis)),
        "files": gr.update(value=None, visible=False),
    }


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """Compressing all offsets takes longer than an analysis: only on demand."""

    def make(key: str) -> Any:
        return gr.update(value=downloads(get_analysis(key)), visible=True)

    tab["make"].click(make, shared.key, tab["files"], **PRIVATE)


def downloads(analysis: Analysis) -> list[str]:
    """All about an analysis: objects and stages as CSV, the report as JSON, offsets and gates as NPZ, two figures.

    Those are the difference, and the first stage's offsets where there are any: drawing, numbers, caption, recipe.
    """
    # offset/STAGE [2K, H, W] in cells, interleaved dy, dx; gate/BLOCK [C, H, W].
    arrays = {f"offset/{c.stage.name}": c.offset for c in analysis.dlka.captures}
    arrays |= {f"gate/{g.block}": g.values for g in analysis.dlka.gates}
    made = [
        write(_csv(report.OBJECT_COLUMNS, report.object_rows(analysis)), "objects.csv"),
        write(_csv(report.STAGE_COLUMNS, report.stage_rows(analysis)), "stages.csv"),
        write(report.report_text(analysis).encode(), "report.json"),
        write(recipes.npz(arrays), "offsets-and-gates.npz"),
    ]
    shown: list[Figure] = [Difference()]
    if analysis.stage_labels:
        shown.append(summary(analysis))
    for figure in shown:
        drawn = figure.drawn(analysis)
        recipe = recipes.recipe_of(analysis, figure, drawn)
        made += [write(data, f"{figure.name}.{form}") for form, data in recipes.files(drawn, recipe).items()]
    return made


def _csv(columns: list[str], rows: list[list[object]]) -> bytes:
    return csv_text([columns, *rows]).encode("utf-8-sig")
